// IPv4 (RFC 791): header offsets, readers and the header of the packets we send; addresses, CIDR and
// ranges as text. Addresses are uint32 numbers in host order: 192.0.2.1 is 0xc0000201.

import { readU16, readU32, writeU16, writeU32 } from './bytes.js'
import { checksum } from './checksum.js'

const TOTAL_LENGTH = 2
const IDENTIFICATION = 4
const FRAGMENT = 6
const TIME_TO_LIVE = 8
export const IPV4_PROTOCOL = 9
const CHECKSUM = 10
const SOURCE = 12
const DESTINATION = 16
/** Octets of a header without options, the least it may have. */
export const IPV4_HEADER = 20

export const PROTOCOL_UDP = 17
export const IPV4_BROADCAST = 0xffffffff

const MORE_FRAGMENTS = 0x2000
const FRAGMENT_OFFSET = 0x1fff
const DEFAULT_TTL = 64

/**
 * The length in octets of the header at `at` (20 to 60), or 0 if the `length` octets there hold no whole
 * IPv4 header: the check at the door.
 */
export function ipv4HeaderLength(bytes: Uint8Array, at: number, length: number): number {
  if (length < IPV4_HEADER || bytes[at]! >>> 4 !== 4) return 0
  const header = (bytes[at]! & 0x0f) * 4
  return header < IPV4_HEADER || header > length ? 0 : header
}

/** Octets of header and payload, as the header says: it may lie, compare it with what is there. */
export function ipv4TotalLength(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + TOTAL_LENGTH)
}

/** True for every fragment, the first included. */
export function isIpv4Fragment(bytes: Uint8Array, at: number): boolean {
  return (readU16(bytes, at + FRAGMENT) & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) !== 0
}

/** True for a fragment but the first: its payload starts with no UDP or TCP header. */
export function isLaterIpv4Fragment(bytes: Uint8Array, at: number): boolean {
  return (readU16(bytes, at + FRAGMENT) & FRAGMENT_OFFSET) !== 0
}

/** The source address of the packet at `at`, a uint32. */
export function ipv4Source(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + SOURCE)
}

/** The destination address of the packet at `at`, a uint32. */
export function ipv4Destination(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + DESTINATION)
}

/** Writes a header of IPV4_HEADER octets at `at`, checksum included, before `payload` octets of `protocol`. */
export function emitIpv4(
  bytes: Uint8Array,
  at: number,
  header: { source: number; destination: number; protocol: number; payload: number },
): void {
  bytes[at] = 0x45
  bytes[at + 1] = 0
  writeU16(bytes, at + TOTAL_LENGTH, IPV4_HEADER + header.payload)
  // Nothing here is ever fragmented, so the identification may be constant (RFC 6864 §4.1).
  writeU16(bytes, at + IDENTIFICATION, 0)
  writeU16(bytes, at + FRAGMENT, 0)
  bytes[at + TIME_TO_LIVE] = DEFAULT_TTL
  bytes[at + IPV4_PROTOCOL] = header.protocol
  writeU16(bytes, at + CHECKSUM, 0)
  writeU32(bytes, at + SOURCE, header.source)
  writeU32(bytes, at + DESTINATION, header.destination)
  writeU16(bytes, at + CHECKSUM, checksum(bytes, at, IPV4_HEADER))
}

/** Dotted decimal, four octets without leading zeros, to a uint32; undefined for anything else. */
export function parseIpv4(text: string): number | undefined {
  if (!/^(?:(?:0|[1-9]\d{0,2})(?:\.|$)){4}$/.test(text) || text.endsWith('.')) return undefined
  let address = 0
  for (const octet of text.split('.')) {
    if (Number(octet) > 255) return undefined
    address = address * 256 + Number(octet)
  }
  return address
}

/** A uint32 as dotted decimal. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** An address with its subnet: every address a uint32. */
export interface Cidr {
  readonly address: number
  /** 0 to 32. */
  readonly prefix: number
  readonly netmask: number
  readonly network: number
  readonly broadcast: number
}

/** The subnet that holds `address` at `prefix` bits (0 to 32). */
export function cidr(address: number, prefix: number): Cidr {
  const netmask = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0
  const network = (address & netmask) >>> 0
  return { address, prefix, netmask, network, broadcast: (network | ~netmask) >>> 0 }
}

/** `192.168.105.1/24` to an address with its subnet; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([\d.]+)\/(0|[1-9]\d?)$/.exec(text)
  if (!match) return undefined
  const address = parseIpv4(match[1]!)
  const prefix = Number(match[2])
  return address === undefined || prefix > 32 ? undefined : cidr(address, prefix)
}

/** The address and the prefix: `192.168.105.1/24`. */
export function formatCidr({ address, prefix }: Cidr): string {
  return `${formatIpv4(address)}/${prefix}`
}

/** Addresses from `first` to `last`, both included, as uint32. */
export interface Ipv4Range {
  readonly first: number
  readonly last: number
}

/** `A-B` with A not above B, or one address alone; undefined for anything else. */
export function parseIpv4Range(text: string): Ipv4Range | undefined {
  const [from, to, ...rest] = text.split('-')
  const first = parseIpv4(from!)
  const last = to === undefined ? first : parseIpv4(to)
  if (first === undefined || last === undefined || rest.length > 0 || first > last) return undefined
  return { first, last }
}

/** `A-B`, or the address alone where the range has only one. */
export function formatIpv4Range({ first, last }: Ipv4Range): string {
  return first === last ? formatIpv4(first) : `${formatIpv4(first)}-${formatIpv4(last)}`
}
