/**
 * `vmbridge interfaces`: what VMs can be bridged to. Of a Mac interfaces, of Linux bridges that are there.
 */

import { existsSync, readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { BridgeError, UsageError } from '../errors.js'
import { native } from '../native.js'
import { requireVmnet } from '../uplink/vmnet-interface.js'
import { printable } from '../printable.js'
import { print, printJson } from './ask.js'
import type { Command, Parsed } from './options.js'
import { table } from './table.js'

export const command: Command = {
  name: 'interfaces',
  summary:
    'Shows what `vmbridge daemon --mode bridged --interface NAME` takes: interfaces on macOS, bridges on Linux.',
  options: { json: { help: 'print everything as JSON' } },
  examples: [
    ['vmbridge interfaces', 'what can be bridged, and whether it has a carrier'],
    [
      'vmbridge interfaces --json | jq -r \'.interfaces[] | select(.link == "up").name\'',
      'those that carry now',
    ],
  ],
}

export interface BridgeableInterface {
  name: string
  link: 'missing' | 'down' | 'up'
  /** Wi-Fi gives all VMs this machine's MAC address; a wired interface is better. */
  wireless: boolean
  /** Of a bridge: the devices that are in it. */
  ports?: string[]
  /** With their prefix lengths. */
  addresses: string[]
}

/** One entry for each network device, with a folder `bridge` where it is one; its ports are in `brif`. */
const DEVICES = '/sys/class/net'

export async function run({ operands, has }: Parsed): Promise<number> {
  if (operands.length > 0)
    throw new UsageError(
      `interfaces takes no operand, but got "${operands[0]}"`,
      'vmbridge interfaces --help',
    )
  const [interfaces, show] = hasBridges() ? [bridges(), bridgeTable] : [bridgeable(), interfaceTable]
  await (has('json') ? printJson({ interfaces }) : print(printable(show(interfaces))))
  return 0
}

/** A build for Linux with a stand-in for vmnet says what that bridges, as a Mac does. */
const hasBridges = (): boolean => process.platform === 'linux' && native.VmnetInterface === undefined

function bridges(): BridgeableInterface[] {
  return readdirSync(DEVICES)
    .filter(name => existsSync(join(DEVICES, name, 'bridge')))
    .map(name => ({ ...describe(name), ports: readdirSync(join(DEVICES, name, 'brif')) }))
}

/** @throws BridgeError ERR_VMNET_UNSUPPORTED, ERR_VMNET_INTERFACES */
function bridgeable(): BridgeableInterface[] {
  requireVmnet()
  const names = native.vmnetSharedInterfaces()
  if (names === undefined) {
    throw new BridgeError('ERR_VMNET_INTERFACES', 'macOS does not say what can be bridged', {
      hint: 'try with sudo; networksetup -listallhardwareports shows every interface',
    })
  }
  return names.map(describe)
}

function describe(name: string): BridgeableInterface {
  const { state, wireless } = native.linkOf(name)!
  const addresses = (networkInterfaces()[name] ?? []).flatMap(({ cidr }) => cidr ?? [])
  return { name, link: state, wireless, addresses }
}

function bridgeTable(interfaces: readonly BridgeableInterface[]): string {
  if (interfaces.length === 0) {
    return `this machine has no bridge; to make one (the addresses of eth0 move to it):
  ip link add br0 type bridge && ip link set br0 up && ip link set eth0 master br0
`
  }
  const rows = interfaces.map(({ name, link, ports = [], addresses }) => [
    name,
    link,
    ports.join(' ') || '-',
    addresses.join(' ') || '-',
  ])
  return table(['NAME', 'LINK', 'PORTS', 'ADDRESSES'], rows)
}

function interfaceTable(interfaces: readonly BridgeableInterface[]): string {
  if (interfaces.length === 0) return 'no interface of this machine can be bridged\n'
  const rows = interfaces.map(({ name, link, wireless, addresses }) => [
    name,
    link,
    wireless ? 'Wi-Fi' : 'wired',
    addresses.join(' ') || '-',
  ])
  return table(['NAME', 'LINK', 'TYPE', 'ADDRESSES'], rows)
}
