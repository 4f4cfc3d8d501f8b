/**
 * Reads the settings of `vmbridge daemon` from its flags and the environment. Every refusal names the option, what was
 * given and a form that is right.
 */

import { join, resolve } from 'node:path'
import { controlBeside, ownPlace, SOCKET_NAME, stateFolderFor } from '../config/paths.js'
import type { DaemonSettings, DhcpSettings, NetworkSettings } from '../daemon/settings.js'
import { readGateway } from '../config/gateway.js'
import { parseBootRules } from '../dhcp/boot.js'
import { parseOptions } from '../dhcp/option-config.js'
import { DNS, DOMAIN } from '../dhcp/options.js'
import { defaultRange } from '../dhcp/range.js'
import { UsageError } from '../errors.js'
import type { SocketRights } from '../ports/claim.js'
import { MAX_SOCKET_PATH } from '../socket-path.js'
import { isBridged, type UplinkChoice } from '../uplink/uplink.js'
import { formatCidr, formatIpv4, parseIpv4, parseIpv4Range, type Cidr, type Ipv4Range } from '../wire/ipv4.js'
import { readDaemonLevel, type DaemonLevel } from './daemon-level.js'
import type { Parsed } from './options.js'
import { parseTap } from './tap-settings.js'
import { parseVmnet, refuseVmnetOptions } from './vmnet-settings.js'
import { parseMtu, parseSeconds } from './values.js'

export const DEFAULT_GATEWAY = '192.168.105.1/24'
/** Those that are of no use without the DHCP server. */
export const DHCP_OPTIONS = [
  ...(['dhcp-range', 'dhcp-exclude', 'dhcp-option', 'dhcp-boot'] as const),
  ...(['dns', 'domain', 'lease-time'] as const),
]
const MACOS_LEASES = '/var/db/dhcpd_leases'

/** What a network has from around it. */
export interface NetworkFrame {
  name: string
  /** Where VMs plug in unless its words name a place. */
  socket: string
  /** Where its state is unless its words say: by the first of its sockets. */
  stateDir: (socket: string) => string
  rights: SocketRights
}

/** @param platform whose uplink `auto` is */
export function readDaemonSettings(parsed: Parsed, platform = process.platform): DaemonSettings {
  const { get, all, operands } = parsed
  if (operands.length > 0)
    throw new UsageError(`daemon takes no operand, but got "${operands[0]}"`, 'vmbridge daemon --help')
  const place = ownPlace()
  const level = readDaemonLevel(parsed)
  const frame: NetworkFrame = {
    name: 'default',
    socket: join(place.run, SOCKET_NAME),
    stateDir: socket => stateFolderFor(place, socket),
    rights: level.rights,
  }
  const network = readNetworkSettings(parsed, frame, platform)
  const isElsewhere = get('control') === undefined && all('socket').length > 0
  return {
    networks: [network],
    ...level,
    ...demandUplink(level, [network], platform),
    ...(isElsewhere ? { controlFallback: controlBeside(network.sockets[0]) } : {}),
  }
}

/** What joins the host to networks on demand: without root no device can be had any more. */
export function demandUplink(
  { user }: DaemonLevel,
  networks: readonly NetworkSettings[],
  platform: NodeJS.Platform,
): Pick<DaemonSettings, 'demandUplink'> {
  if (user !== undefined) return {}
  const isVmnet = platform === 'darwin' || networks.some(({ uplink }) => uplink.kind === 'vmnet')
  return { demandUplink: isVmnet ? 'vmnet' : 'tap' }
}

/**
 * @param platform whose uplink `auto` is
 * @throws UsageError
 */
export function readNetworkSettings(
  parsed: Parsed,
  { name, socket, stateDir, rights }: NetworkFrame,
  platform = process.platform,
): NetworkSettings {
  const { get, all } = parsed
  const given = all('socket').map(path => resolve(path))
  const sockets = given.length > 0 ? given : [socket]
  const gateway = parseGateway(get('gateway') ?? DEFAULT_GATEWAY)
  const uplink = parseUplink(get('uplink') ?? 'auto', parsed, gateway, platform)
  if (uplink.kind === 'socket' && sockets.includes(uplink.path)) {
    throw new UsageError(
      `--uplink socket:${uplink.path} is this daemon's own --socket`,
      'name another server there',
    )
  }
  const { dgrams, dials } = parsePlaces(parsed, sockets, uplink)
  const dhcp = parseDhcp(parsed, uplink, gateway)
  const leasesFile = leasesFileOf(parsed, uplink, dhcp, platform)
  if (dhcp !== undefined && leasesFile !== undefined) dhcp.leasesFile = leasesFile
  // Apple's own server leases no more than ours: addresses for static use stay free. It leases from the gateway on.
  const leased = dhcp === undefined ? undefined : (dhcp.range ?? defaultRange(gateway))
  const vmnet = uplink.kind === 'auto' ? uplink.vmnet : uplink.kind === 'vmnet' ? uplink : undefined
  if (vmnet !== undefined && leased !== undefined && leased.last > gateway.address)
    vmnet.dhcpEnd ??= leased.last
  return {
    name,
    sockets,
    dgrams,
    dials,
    rights,
    uplink,
    gateway,
    mtu: parseMtu(get('mtu') ?? '1500'),
    stateDir: resolve(get('state-dir') ?? stateDir(sockets[0])),
    ...(dhcp === undefined ? {} : { dhcp }),
  }
}

/** Two connections to one VM would be a loop. */
/** The other places where VMs plug in: each path has one meaning. */
function parsePlaces(
  { all }: Parsed,
  sockets: readonly string[],
  uplink: UplinkChoice,
): { dgrams: string[]; dials: string[] } {
  const taken = new Map(sockets.map(path => [path, "this daemon's own --socket"]))
  if (uplink.kind === 'socket') taken.set(uplink.path, 'the --uplink')
  const take = (option: string): string[] =>
    all(option).map(text => {
      const path = resolve(text)
      const is = taken.get(path)
      if (is !== undefined) throw new UsageError(`--${option} ${path} is ${is}`, 'a path of its own for each')
      if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
        throw new UsageError(
          `--${option} ${path} is longer than the ${MAX_SOCKET_PATH} bytes a socket path may have`,
          `--${option} /tmp/vm.sock`,
        )
      taken.set(path, `given twice, as --${option} already`)
      return path
    })
  return { dgrams: take('dgram'), dials: take('dial') }
}

function parseUplink(text: string, parsed: Parsed, gateway: Cidr, platform: NodeJS.Platform): UplinkChoice {
  if (text === 'vmnet') return parseVmnet(parsed, gateway)
  if (text === 'auto') return parseAuto(parsed, gateway, platform)
  const colon = text.indexOf(':')
  const kind = colon < 0 ? text : text.slice(0, colon)
  const detail = colon < 0 ? '' : text.slice(colon + 1)
  if (text === 'tap') return parseTap(parsed, text)
  if (kind === 'tap' && detail !== '') return parseTap(parsed, text, detail)
  refuseVmnetOptions(parsed, text)
  if (text === 'none') return { kind: 'none' }
  if (kind === 'socket' && detail !== '') return { kind, path: resolve(detail) }
  throw new UsageError(`--uplink ${text} is not none, tap, tap:NAME, vmnet or socket:PATH`, '--uplink tap')
}

/** Without a word about the uplink: the host is joined where that can be, and to a LAN that was named in any case. */
function parseAuto(parsed: Parsed, gateway: Cidr, platform: NodeJS.Platform): UplinkChoice {
  if (platform === 'darwin') {
    refuseVmnetOptions(parsed, 'auto')
    const vmnet = parseVmnet(parsed, gateway)
    return vmnet.mode === 'bridged' ? vmnet : { kind: 'auto', vmnet }
  }
  const tap = parseTap(parsed, 'auto')
  if (isBridged(tap)) return tap
  return { kind: 'auto', vmnet: undefined, ...(tap.mode && { mode: tap.mode }) }
}

function parseGateway(text: string): Cidr {
  const gateway = readGateway(text)
  if (!('wrong' in gateway)) return gateway
  throw new UsageError(`--gateway ${text}${gateway.wrong}`, `--gateway ${gateway.example ?? DEFAULT_GATEWAY}`)
}

/** Another segment behind a socket mostly has a DHCP server: ours is there only when something of it is asked for. */
function parseDhcp(parsed: Parsed, uplink: UplinkChoice, gateway: Cidr): DhcpSettings | undefined {
  const { get, all, has } = parsed
  const asked = DHCP_OPTIONS.find(name => all(name).length > 0)
  if (has('no-dhcp')) {
    if (asked === undefined) return undefined
    throw new UsageError(`--no-dhcp and --${asked} contradict each other`, 'leave one of them out')
  }
  if (uplink.kind === 'socket' && asked === undefined && get('gateway') === undefined) return undefined
  if (isBridged(uplink) && !onLan(parsed, asked)) return undefined
  const range = get('dhcp-range')
  const end = uplink.kind === 'vmnet' ? uplink.dhcpEnd : undefined
  const domain = get('domain')
  const leaseTime = get('lease-time')
  const { options, nextServer } = parseOptions(all('dhcp-option'))
  for (const [name, { code }] of [
    ['dns', DNS],
    ['domain', DOMAIN],
  ] as const) {
    if (options.has(code) && all(name).length > 0)
      throw new UsageError(`--${name} and --dhcp-option ${name}= say the same`, 'leave one of them out')
  }
  return {
    options,
    boot: parseBootRules(all('dhcp-boot')),
    ...(nextServer === undefined ? {} : { nextServer }),
    exclude: all('dhcp-exclude').map(text => parseRange('dhcp-exclude', text, gateway)),
    dns: all('dns').map(parseDns),
    ...(range === undefined ? {} : { range: parseRange('dhcp-range', range, gateway) }),
    ...(range === undefined && end !== undefined ? { range: { first: gateway.address + 1, last: end } } : {}),
    ...(domain === undefined ? {} : { domain: parseDomain(domain) }),
    ...(leaseTime === undefined ? {} : { leaseSeconds: parseSeconds('lease-time', leaseTime) }),
  }
}

/**
 * Where minikube looks: on a Mac, and only root may write there. Where Apple's server serves, that keeps the file.
 * @throws UsageError where nothing of ours is leased
 */
function leasesFileOf(
  { get }: Parsed,
  { kind }: UplinkChoice,
  dhcp: DhcpSettings | undefined,
  platform: NodeJS.Platform,
): string | undefined {
  const given = get('leases-file')
  if (given === 'none') return undefined
  if (given !== undefined && dhcp === undefined) {
    throw new UsageError(
      `--leases-file ${given}: there is no DHCP server of ours on this network`,
      'leave it out: the file holds the leases of our server',
    )
  }
  if (given !== undefined) return resolve(given)
  const isVmnet = platform === 'darwin' && (kind === 'vmnet' || kind === 'auto')
  return isVmnet && process.geteuid?.() === 0 ? MACOS_LEASES : undefined
}

/**
 * A bridged network is the LAN, which has a DHCP server: ours leases addresses of it only when that is said, and where.
 * @param asked an option that is of use to the DHCP server only
 */
function onLan({ get, has }: Parsed, asked: string | undefined): boolean {
  if (!has('dhcp-on-lan')) {
    const given = asked ?? (get('gateway') === undefined ? undefined : 'gateway')
    if (given === undefined) return false
    throw new UsageError(
      `--${given} with --mode bridged: the VMs are on the LAN, whose own DHCP server serves them`,
      `leave --${given} out, or say --dhcp-on-lan to lease addresses of the LAN yourself`,
    )
  }
  if (get('gateway') !== undefined && get('dhcp-range') !== undefined) return true
  throw new UsageError(
    '--dhcp-on-lan needs --gateway and --dhcp-range: the router of the LAN, and addresses that its own DHCP server does not lease',
    '--dhcp-on-lan --gateway 192.168.1.1/24 --dhcp-range 192.168.1.200-192.168.1.220',
  )
}

function parseRange(name: string, text: string, gateway: Cidr): Ipv4Range {
  const range = parseIpv4Range(text)
  const example = `--${name} ${formatIpv4(gateway.network + 2)}-${formatIpv4(gateway.broadcast - 1)}`
  if (range === undefined)
    throw new UsageError(`--${name} ${text} is not a range A-B of addresses, A first`, example)
  if (range.first < gateway.network || range.last > gateway.broadcast) {
    throw new UsageError(`--${name} ${text} is not inside ${formatCidr(gateway)}`, example)
  }
  return range
}

function parseDns(text: string): number {
  const address = parseIpv4(text)
  if (address === undefined) throw new UsageError(`--dns ${text} is not an IPv4 address`, '--dns 1.1.1.1')
  return address
}

function parseDomain(text: string): string {
  if (/^(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/i.test(text)) return text
  throw new UsageError(`--domain ${text} is not a domain name`, '--domain lab.internal')
}
