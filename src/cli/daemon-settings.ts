/**
 * Reads the settings of `vmbridge daemon` from its flags and the environment. Every refusal names the option, what was
 * given and a form that is right.
 */

import { join, resolve } from 'node:path'
import { CONTROL_NAME, controlBeside, ownPlace, SOCKET_NAME, stateFolderFor } from '../config/paths.js'
import type { DaemonSettings, DhcpSettings } from '../daemon/settings.js'
import { parseBootRules } from '../dhcp/boot.js'
import { parseOptions } from '../dhcp/option-config.js'
import { DNS, DOMAIN } from '../dhcp/options.js'
import { UsageError } from '../errors.js'
import { LOG_LEVELS } from '../log.js'
import { native } from '../native.js'
import type { SocketRights } from '../ports/claim.js'
import type { UplinkChoice } from '../uplink/uplink.js'
import {
  formatCidr,
  formatIpv4,
  parseCidr,
  parseIpv4,
  parseIpv4Range,
  type Cidr,
  type Ipv4Range,
} from '../wire/ipv4.js'
import type { Parsed } from './options.js'
import { parseChoice, parseMode, parseMtu, parseSeconds } from './values.js'

export const DEFAULT_GATEWAY = '192.168.105.1/24'
/** Those that are of no use without the DHCP server. */
const DHCP_OPTIONS = [
  ...(['dhcp-range', 'dhcp-exclude', 'dhcp-option', 'dhcp-boot'] as const),
  ...(['dns', 'domain', 'lease-time'] as const),
]
const DEFAULT_MODE = '0660'
/** (gid_t)-1 means: leave it. */
const MAX_GID = 0xfffffffe
/** What an interface can have with a route: /31 and /32 leave no room for VMs. */
const LONGEST_PREFIX = 30
const SHORTEST_PREFIX = 8

export function readDaemonSettings(parsed: Parsed): DaemonSettings {
  const { get, all, operands } = parsed
  if (operands.length > 0)
    throw new UsageError(`daemon takes no operand, but got "${operands[0]}"`, 'vmbridge daemon --help')
  const place = ownPlace()
  const given = all('socket').map(path => resolve(path))
  const sockets = given.length > 0 ? given : [join(place.run, SOCKET_NAME)]
  const uplink = parseUplink(get('uplink') ?? 'auto')
  if (uplink.kind === 'socket' && sockets.includes(uplink.path)) {
    throw new UsageError(
      `--uplink socket:${uplink.path} is this daemon's own --socket`,
      'name another server there',
    )
  }
  const gateway = parseGateway(get('gateway') ?? DEFAULT_GATEWAY)
  const dhcp = parseDhcp(parsed, uplink, gateway)
  const control = get('control')
  const pidfile = get('pidfile')
  return {
    network: {
      name: 'default',
      sockets,
      rights: parseRights(parsed),
      uplink,
      gateway,
      mtu: parseMtu(get('mtu') ?? '1500'),
      stateDir: resolve(get('state-dir') ?? stateFolderFor(place, sockets[0])),
      ...(dhcp === undefined ? {} : { dhcp }),
    },
    control: control === undefined ? join(place.run, CONTROL_NAME) : resolve(control),
    ...(control === undefined && given.length > 0 ? { controlFallback: controlBeside(given[0]) } : {}),
    ...(pidfile === undefined ? {} : { pidfile: resolve(pidfile) }),
    logLevel: parseChoice('log-level', get('log-level') ?? 'info', LOG_LEVELS),
    logFormat: parseChoice('log-format', get('log-format') ?? 'pretty', ['pretty', 'json'] as const),
  }
}

function parseRights({ get }: Parsed): SocketRights {
  const mode = parseMode('socket-mode', get('socket-mode') ?? DEFAULT_MODE)
  const group = get('socket-group')
  if (group === undefined) return { mode }
  const gid = /^\d+$/.test(group) ? Number(group) : native.groupId(group)
  if (gid === undefined || gid > MAX_GID)
    throw new UsageError(`--socket-group ${group}: there is no such group`, 'getent group')
  return { mode, gid }
}

function parseUplink(text: string): UplinkChoice {
  const colon = text.indexOf(':')
  const kind = colon < 0 ? text : text.slice(0, colon)
  const detail = colon < 0 ? '' : text.slice(colon + 1)
  if ((kind === 'none' || kind === 'auto') && colon < 0) return { kind }
  if (kind === 'tap' && (colon < 0 || detail !== ''))
    return { kind, ...(detail === '' ? {} : { name: detail }) }
  if (kind === 'socket' && detail !== '') return { kind, path: resolve(detail) }
  throw new UsageError(`--uplink ${text} is not none, tap, tap:NAME or socket:PATH`, '--uplink tap')
}

function parseGateway(text: string): Cidr {
  const gateway = parseCidr(text)
  const example = `--gateway ${DEFAULT_GATEWAY}`
  if (gateway === undefined)
    throw new UsageError(`--gateway ${text} is not an address with a prefix length`, example)
  const { address, prefix, network, broadcast } = gateway
  if (prefix < SHORTEST_PREFIX || prefix > LONGEST_PREFIX) {
    throw new UsageError(
      `--gateway ${text}: the prefix is not from /${SHORTEST_PREFIX} to /${LONGEST_PREFIX}`,
      example,
    )
  }
  if (address === network || address === broadcast) {
    const which = address === network ? 'network' : 'broadcast'
    throw new UsageError(
      `--gateway ${text} is the ${which} address of its subnet`,
      `--gateway ${formatIpv4(network + 1)}/${prefix}`,
    )
  }
  return gateway
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
  const range = get('dhcp-range')
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
    ...(domain === undefined ? {} : { domain: parseDomain(domain) }),
    ...(leaseTime === undefined ? {} : { leaseSeconds: parseSeconds('lease-time', leaseTime) }),
  }
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
