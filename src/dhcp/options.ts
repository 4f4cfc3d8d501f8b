// DHCP options: each is its code, its name, its RFC, and how its value is encoded, decoded and written
// for people, side by side. `decode` gives undefined for a value of the wrong shape and never throws.
// Option 52 (overload) is no value but a way of laying options out: the codec in wire/dhcp.ts undoes it.

import { readU16, readU32, toHex, writeU16, writeU32 } from '../wire/bytes.js'
import { decodeNames, encodeNames } from '../wire/dns-name.js'
import { type Cidr, cidr, formatIpv4 } from '../wire/ipv4.js'

export interface DhcpOption<T> {
  readonly code: number
  readonly name: string
  readonly rfc: string
  encode(value: T): Uint8Array
  decode(bytes: Uint8Array): T | undefined
  /** One line for a log or a table, without control characters whatever a client sent. */
  text(value: T): string
}

/** How a kind of value is laid out; an option is a kind with a code and a name. */
type Kind<T> = Pick<DhcpOption<T>, 'encode' | 'decode' | 'text'>

function option<T>(code: number, name: string, rfc: string, kind: Kind<T>): DhcpOption<T> {
  return { code, name, rfc, ...kind }
}

const uint8: Kind<number> = {
  encode: value => Uint8Array.of(value),
  decode: bytes => (bytes.length === 1 ? bytes[0] : undefined),
  text: String,
}

const uint16: Kind<number> = {
  encode(value) {
    const bytes = new Uint8Array(2)
    writeU16(bytes, 0, value)
    return bytes
  },
  decode: bytes => (bytes.length === 2 ? readU16(bytes, 0) : undefined),
  text: String,
}

const uint32: Kind<number> = {
  encode(value) {
    const bytes = new Uint8Array(4)
    writeU32(bytes, 0, value)
    return bytes
  },
  decode: bytes => (bytes.length === 4 ? readU32(bytes, 0) : undefined),
  text: String,
}

const seconds: Kind<number> = { ...uint32, text: value => `${value} s` }

/** One IPv4 address, a uint32. */
const address: Kind<number> = { ...uint32, text: formatIpv4 }

/** One IPv4 address or more, in order of preference. */
const addresses: Kind<readonly number[]> = {
  encode(value) {
    const bytes = new Uint8Array(4 * value.length)
    for (const [i, ip] of value.entries()) writeU32(bytes, 4 * i, ip)
    return bytes
  },
  decode(bytes) {
    if (bytes.length === 0 || bytes.length % 4 !== 0) return undefined
    return Array.from({ length: bytes.length / 4 }, (_, i) => readU32(bytes, 4 * i))
  },
  text: value => value.map(formatIpv4).join(', '),
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')

/** Text of one character or more, Latin-1 so that any bytes decode; the NULs some clients end it with fall. */
const string: Kind<string> = {
  encode: value => Uint8Array.from(value, character => character.charCodeAt(0)),
  decode(bytes) {
    const text = String.fromCharCode(...bytes.subarray(0, 255)).replace(/\0+$/, '')
    return text === '' ? undefined : text
  },
  text: printable,
}

/** DNS names in the wire format, with pointers. */
const domainNames: Kind<readonly string[]> = {
  encode: encodeNames,
  decode: decodeNames,
  text: value => printable(value.join(' ')),
}

/** A network and the router that leads there, a uint32. */
export interface StaticRoute {
  readonly network: Cidr
  readonly router: number
}

/** RFC 3442: the prefix length, as many octets of the network as it covers, the router. */
const routes: Kind<readonly StaticRoute[]> = {
  encode(value) {
    const octets = value.map(({ network: { prefix, network }, router }) => {
      const bytes = new Uint8Array(9)
      const covered = Math.ceil(prefix / 8)
      bytes[0] = prefix
      writeU32(bytes, 1, network)
      writeU32(bytes, 1 + covered, router)
      return bytes.subarray(0, 5 + covered)
    })
    return Uint8Array.from(octets.flatMap(bytes => [...bytes]))
  },
  decode(bytes) {
    const value: StaticRoute[] = []
    for (let at = 0; at < bytes.length;) {
      const prefix = bytes[at]!
      const covered = Math.ceil(prefix / 8)
      if (prefix > 32 || at + 5 + covered > bytes.length) return undefined
      const network = new Uint8Array(4)
      network.set(bytes.subarray(at + 1, at + 1 + covered))
      value.push({
        network: cidr(readU32(network, 0), prefix),
        router: readU32(bytes, at + 1 + covered),
      })
      at += 5 + covered
    }
    return value.length > 0 ? value : undefined
  },
  text: value =>
    value
      .map(
        ({ network, router }) => `${formatIpv4(network.network)}/${network.prefix} via ${formatIpv4(router)}`,
      )
      .join(', '),
}

/** One 16-bit number or more. */
const uint16s: Kind<readonly number[]> = {
  encode(value) {
    const bytes = new Uint8Array(2 * value.length)
    for (const [i, number] of value.entries()) writeU16(bytes, 2 * i, number)
    return bytes
  },
  decode(bytes) {
    if (bytes.length === 0 || bytes.length % 2 !== 0) return undefined
    return Array.from({ length: bytes.length / 2 }, (_, i) => readU16(bytes, 2 * i))
  },
  text: value => value.join(', '),
}

/** Nothing but its presence. */
const flag: Kind<true> = {
  encode: () => new Uint8Array(0),
  decode: bytes => (bytes.length === 0 ? true : undefined),
  text: () => 'yes',
}

/** Octets as they are, within bounds. */
function octets(least: number, most: number): Kind<Uint8Array> {
  return {
    encode: value => value,
    decode: bytes => (bytes.length >= least && bytes.length <= most ? bytes : undefined),
    text: toHex,
  }
}

/** Option codes, each once, in the order of the client's wishes. */
const codes: Kind<readonly number[]> = {
  encode: value => Uint8Array.from(value),
  decode: bytes => (bytes.length === 0 ? undefined : [...new Set(bytes)]),
  text: value => value.join(', '),
}

/** Option 53, RFC 2132 §9.6. */
export const DISCOVER = 1
export const OFFER = 2
export const REQUEST = 3
export const DECLINE = 4
export const ACK = 5
export const NAK = 6
export const RELEASE = 7
export const INFORM = 8

const MESSAGE_NAMES = ['', 'DISCOVER', 'OFFER', 'REQUEST', 'DECLINE', 'ACK', 'NAK', 'RELEASE', 'INFORM']
const messageType: Kind<number> = { ...uint8, text: value => `DHCP${MESSAGE_NAMES[value] ?? value}` }

export const SUBNET_MASK = option(1, 'subnet-mask', 'RFC 2132 §3.3', address)
export const ROUTER = option(3, 'router', 'RFC 2132 §3.5', addresses)
export const DNS = option(6, 'dns', 'RFC 2132 §3.8', addresses)
export const LOG_SERVER = option(7, 'log-server', 'RFC 2132 §3.9', addresses)
export const HOSTNAME = option(12, 'hostname', 'RFC 2132 §3.14', string)
export const DOMAIN = option(15, 'domain', 'RFC 2132 §3.17', string)
export const ROOT_PATH = option(17, 'root-path', 'RFC 2132 §3.19', string)
export const MTU = option(26, 'mtu', 'RFC 2132 §5.1', uint16)
export const BROADCAST = option(28, 'broadcast', 'RFC 2132 §5.3', address)
export const NTP = option(42, 'ntp', 'RFC 2132 §8.3', addresses)
/** Opaque: it means what the client's vendor says. */
export const VENDOR = option(43, 'vendor', 'RFC 2132 §8.4', octets(1, 1024))
export const REQUESTED_IP = option(50, 'requested-ip', 'RFC 2132 §9.1', address)
export const LEASE_TIME = option(51, 'lease-time', 'RFC 2132 §9.2', seconds)
export const MESSAGE_TYPE = option(53, 'message-type', 'RFC 2132 §9.6', messageType)
export const SERVER_ID = option(54, 'server-id', 'RFC 2132 §9.7', address)
export const PARAMETER_LIST = option(55, 'parameter-list', 'RFC 2132 §9.8', codes)
export const MESSAGE = option(56, 'message', 'RFC 2132 §9.9', string)
export const MAX_SIZE = option(57, 'max-size', 'RFC 2132 §9.10', uint16)
export const RENEWAL_TIME = option(58, 'renewal-time', 'RFC 2132 §9.11', seconds)
export const REBINDING_TIME = option(59, 'rebinding-time', 'RFC 2132 §9.12', seconds)
export const VENDOR_CLASS = option(60, 'vendor-class', 'RFC 2132 §9.13', string)
/** Under 2 octets is no identifier (RFC 2132 §9.14); the upper bound keeps the lease table's keys small. */
export const CLIENT_ID = option(61, 'client-id', 'RFC 2132 §9.14, RFC 6842', octets(2, 255))
export const TFTP_SERVER = option(66, 'tftp-server', 'RFC 2132 §9.4', string)
export const BOOT_FILE = option(67, 'boot-file', 'RFC 2132 §9.5', string)
/** One class as text, as iPXE sends it, or classes each behind its length (RFC 3004 §4). */
export const USER_CLASS = option(77, 'user-class', 'RFC 3004 §4', octets(1, 255))
export const RAPID_COMMIT = option(80, 'rapid-commit', 'RFC 4039 §4', flag)
/** What a relay wrote of where a message came from; it gets it back. */
export const RELAY_AGENT = option(82, 'relay-agent', 'RFC 3046 §2.0', octets(1, 255))
/** Processor architectures of a boot client, in the order of its wishes. */
export const ARCHITECTURE = option(93, 'architecture', 'RFC 4578 §2.1', uint16s)
export const TIMEZONE = option(101, 'timezone', 'RFC 4833 §2', string)
/** How long the client is to do without IPv4. */
export const IPV6_ONLY = option(108, 'ipv6-only', 'RFC 8925 §3.4', seconds)
/** Whether a client without a lease may choose a link-local address: 0 or 1. */
export const AUTO_CONFIGURE = option(116, 'auto-configure', 'RFC 2563 §2', uint8)
export const SEARCH = option(119, 'search', 'RFC 3397 §2', domainNames)
export const STATIC_ROUTES = option(121, 'static-routes', 'RFC 3442 §2', routes)
/** Options of iPXE, one inside of another. */
export const IPXE = option(175, 'ipxe', 'RFC 3942 §3', octets(1, 255))

type Options = Map<number, Uint8Array>

/** The value of an option in a message; undefined where it is missing or malformed. */
export function getOption<T>(options: Options, { code, decode }: DhcpOption<T>): T | undefined {
  const bytes = options.get(code)
  return bytes && decode(bytes)
}

/** Puts an option behind those that are there. */
export function setOption<T>(options: Options, { code, encode }: DhcpOption<T>, value: T): void {
  options.set(code, encode(value))
}

/**
 * A host name that is safe in a log, a table, a file and a DNS label (RFC 1123 §2.1): the first label,
 * letters, digits and hyphens, at most 63 characters. Undefined if nothing of that is left.
 */
export function safeHostname(text: string | undefined): string | undefined {
  const label = (text ?? '')
    .split('.', 1)[0]!
    .replace(/[^a-z0-9]+/gi, '-')
    .slice(0, 64)
    .replace(/^-/, '')
    .slice(0, 63)
    .replace(/-$/, '')
  return label === '' ? undefined : label
}
