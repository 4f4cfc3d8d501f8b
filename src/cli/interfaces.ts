/**
 * `vmbridge interfaces`: the interfaces of this Mac that VMs can be bridged to.
 */

import { networkInterfaces } from 'node:os'
import { BridgeError, UsageError } from '../errors.js'
import { native } from '../native.js'
import { requireVmnet } from '../uplink/vmnet-interface.js'
import { print, printJson } from './ask.js'
import type { Command, Parsed } from './options.js'
import { table } from './table.js'

export const command: Command = {
  name: 'interfaces',
  summary:
    'Shows the interfaces that `vmbridge daemon --uplink vmnet --mode bridged --interface NAME` takes (macOS).',
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
  /** With their prefix lengths. */
  addresses: string[]
}

export async function run({ operands, has }: Parsed): Promise<number> {
  if (operands.length > 0)
    throw new UsageError(
      `interfaces takes no operand, but got "${operands[0]}"`,
      'vmbridge interfaces --help',
    )
  const interfaces = bridgeable()
  await (has('json') ? printJson({ interfaces }) : print(interfaceTable(interfaces)))
  return 0
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
  const all = networkInterfaces()
  return names.map(name => {
    const { state, wireless } = native.linkOf(name)!
    return { name, link: state, wireless, addresses: (all[name] ?? []).flatMap(({ cidr }) => cidr ?? []) }
  })
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
