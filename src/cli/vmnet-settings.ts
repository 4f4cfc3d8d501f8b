/**
 * Reads what `vmbridge daemon` is told of the vmnet uplink. What vmnet cannot do is refused here, with the rule that says
 * so, since its own answer would be a number.
 */

import { UsageError } from '../errors.js'
import type { VmnetChoice } from '../uplink/uplink.js'
import { formatUuid, parseUuid } from '../uuid.js'
import { cidr, formatCidr, formatIpv4, parseIpv4, type Cidr } from '../wire/ipv4.js'
import type { Option, Parsed } from './options.js'
import { parseChoice } from './values.js'

export const MODES = ['shared', 'host', 'bridged'] as const

export const VMNET_OPTIONS: Record<string, Option> = {
  mode: {
    value: 'MODE',
    help: 'of vmnet and of the TAP: shared (NAT, this host is the gateway), host (this host alone), bridged (the LAN)',
    fallback: 'shared with vmnet, host with a TAP',
  },
  interface: {
    value: 'NAME',
    help: 'what to bridge, en0 of a Mac or the bridge br0 of Linux; `vmbridge interfaces` lists them',
  },
  'dhcp-end': {
    value: 'IP',
    help: 'shared and host: where DHCP ends, from the address behind the gateway on; the rest is static',
  },
  'interface-id': { value: 'UUID', help: 'the same one gives the same MAC', fallback: 'kept in --state-dir' },
  'network-id': {
    value: 'UUID',
    help: 'host: the network of that name, apart from all others',
    fallback: 'kept in --state-dir',
  },
  'nat66-prefix': { value: 'PREFIX', help: 'shared: the ULA prefix of 64 bits, such as fd00:1234::' },
  isolate: { help: "keep this interface apart from vmnet's other isolated ones" },
  'vmnet-dhcp': {
    value: 'on|off',
    help: "shared and host: Apple's DHCP server",
    fallback: 'on with --no-dhcp; else off where macOS can, and kept from the VMs where not',
  },
  'dhcp-on-lan': { help: 'bridged: lease addresses of the LAN to the VMs, in place of its own DHCP server' },
}

/** Those that a TAP has as well. */
const OF_TAP = ['mode', 'interface', 'dhcp-on-lan']
/** Options that the other uplinks do not have. */
const NAMES = Object.keys(VMNET_OPTIONS)
/** What each mode has no use for, with the reason. */
const FOREIGN: Record<VmnetChoice['mode'], Record<string, string>> = {
  bridged: {
    'dhcp-end': "the LAN's own DHCP server serves a bridged network",
    'network-id': 'a bridged network is the LAN',
    'nat66-prefix': 'there is no NAT on a bridged network',
    'vmnet-dhcp': "Apple's DHCP server never serves a bridged network",
    mtu: 'the MTU of a bridged network is that of the interface',
  },
  shared: {
    interface: 'only --mode bridged has one',
    'network-id': 'only --mode host has one',
    'dhcp-on-lan': 'only --mode bridged has a LAN',
  },
  host: {
    interface: 'only --mode bridged has one',
    'nat66-prefix': 'only --mode shared has NAT',
    'dhcp-on-lan': 'only --mode bridged has a LAN',
  },
}

/** @throws UsageError when an option of vmnet was given to another uplink; some of them a TAP has, too */
export function refuseVmnetOptions({ get, has }: Parsed, uplink: string): void {
  const isTap = /^(auto|tap(:.*)?)$/.test(uplink)
  const given = NAMES.find(
    name => (get(name) !== undefined || has(name)) && !(isTap && OF_TAP.includes(name)),
  )
  if (given === undefined) return
  const where = uplink === 'auto' ? 'without --uplink vmnet' : `with --uplink ${uplink}`
  throw new UsageError(
    `--${given} is of no use ${where}`,
    OF_TAP.includes(given) ? '--uplink vmnet (macOS) or --uplink tap (Linux)' : '--uplink vmnet',
  )
}

/** @throws UsageError when an option was given that the mode has no use for, with the reason */
export function refuseForeign({ get, has }: Parsed, mode: string, foreign: Record<string, string>): void {
  for (const [name, why] of Object.entries(foreign)) {
    if (get(name) !== undefined || has(name))
      throw new UsageError(`--${name} with --mode ${mode}: ${why}`, 'leave one of them out')
  }
}

/** @throws UsageError by the rules of vmnet: Apple's headers, and the contract that the tests hold */
export function parseVmnet(parsed: Parsed, gateway: Cidr): VmnetChoice {
  const { get, has } = parsed
  const mode = parseChoice('mode', get('mode') ?? 'shared', MODES)
  refuseForeign(parsed, mode, FOREIGN[mode])
  const name = get('interface')
  if (mode === 'bridged' && name === undefined)
    throw new UsageError('--mode bridged needs --interface', 'vmbridge interfaces')
  const appleDhcp = parseAppleDhcp(parsed, mode)
  if (mode !== 'bridged') requirePrivate(gateway)
  if (mode === 'shared' || (mode === 'host' && appleDhcp === 'on')) requirePool(gateway)
  const dhcpEnd = get('dhcp-end')
  const networkId = parseIdentifier('network-id', get('network-id'))
  const interfaceId = parseIdentifier('interface-id', get('interface-id'))
  const prefix = get('nat66-prefix')
  const choice: VmnetChoice = {
    kind: 'vmnet',
    mode,
    isolate: has('isolate'),
    appleDhcp,
    ...(name === undefined ? {} : { interface: name }),
    ...(dhcpEnd === undefined ? {} : { dhcpEnd: parseDhcpEnd(dhcpEnd, gateway) }),
    ...(interfaceId === undefined ? {} : { interfaceId }),
    ...(networkId === undefined ? {} : { networkId }),
    ...(prefix === undefined ? {} : { nat66Prefix: parseUla(prefix) }),
  }
  return choice
}

function parseAppleDhcp({ get, has }: Parsed, mode: VmnetChoice['mode']): VmnetChoice['appleDhcp'] {
  if (mode === 'bridged') return 'off'
  const text = get('vmnet-dhcp')
  const wish = text === undefined ? undefined : parseChoice('vmnet-dhcp', text, ['on', 'off'] as const)
  if (!has('no-dhcp')) {
    if (wish === 'on')
      throw new UsageError(
        "--vmnet-dhcp on: two DHCP servers would answer, vmbridge's and Apple's",
        'add --no-dhcp, or leave --vmnet-dhcp out',
      )
    return wish ?? 'unheard'
  }
  if (mode === 'host' && wish === 'on' && get('network-id') !== undefined)
    throw new UsageError(
      "--vmnet-dhcp on with --network-id: Apple's DHCP server does not serve such a network",
      'leave one of them out',
    )
  return wish ?? (mode === 'host' && get('network-id') !== undefined ? 'off' : 'on')
}

function parseIdentifier(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const bytes = parseUuid(text)
  if (bytes !== undefined) return formatUuid(bytes)
  throw new UsageError(`--${name} ${text} is not a UUID`, `--${name} "$(uuidgen)"`)
}

function parseDhcpEnd(text: string, gateway: Cidr): number {
  const end = parseIpv4(text)
  const example = `--dhcp-end ${formatIpv4(gateway.broadcast - 1)}`
  if (end === undefined) throw new UsageError(`--dhcp-end ${text} is not an IPv4 address`, example)
  if (end <= gateway.address || end >= gateway.broadcast) {
    throw new UsageError(
      `--dhcp-end ${text} is not behind the gateway in ${formatCidr(gateway)}: addresses are leased from the one after it on`,
      example,
    )
  }
  return end
}

/** RFC 1918: vmnet takes no other addresses. */
const PRIVATE = [cidr(0x0a000000, 8), cidr(0xac100000, 12), cidr(0xc0a80000, 16)]

function requirePrivate(gateway: Cidr): void {
  if (PRIVATE.some(({ network, broadcast }) => gateway.network >= network && gateway.broadcast <= broadcast))
    return
  throw new UsageError(
    `--gateway ${formatCidr(gateway)} is not a private network (RFC 1918), and vmnet takes no other`,
    '--gateway 192.168.105.1/24',
  )
}

/** Apple's DHCP pool begins behind the gateway, and is never empty. */
function requirePool(gateway: Cidr): void {
  if (gateway.address < gateway.broadcast - 1) return
  throw new UsageError(
    `--gateway ${formatCidr(gateway)} is the last address of its subnet, and vmnet leases those behind its gateway`,
    `--gateway ${formatIpv4(gateway.network + 1)}/${gateway.prefix}`,
  )
}

/** A unique local prefix (RFC 4193, of which fc00::/8 is not in use) of 64 bits, with or without its /64. */
function parseUla(text: string): string {
  const prefix = text.replace(/\/64$/, '')
  if (/^fd[0-9a-f]{2}(:[0-9a-f]{1,4}){0,3}::$/i.test(prefix)) return prefix.toLowerCase()
  throw new UsageError(
    `--nat66-prefix ${text} is not a unique local prefix of 64 bits (RFC 4193)`,
    '--nat66-prefix fd00:1234::',
  )
}
