// IPv6 (RFC 8200): header offsets, readers, and addresses as text (RFC 4291 §2.2, RFC 5952). An address
// kept anywhere is four uint32 words, the first octets in the first.

import { readU16, readU32 } from './bytes.js'

const PAYLOAD_LENGTH = 4
const NEXT_HEADER = 6
const HOP_LIMIT = 7
export const IPV6_SOURCE = 8
/** Octets of the fixed header. */
export const IPV6_HEADER = 40

export const NEXT_HEADER_ICMPV6 = 58

export type Ipv6Words = readonly [number, number, number, number]

/** True if the `length` octets at `at` hold a whole IPv6 header and payload: the check at the door. */
export function isIpv6(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= IPV6_HEADER && bytes[at]! >>> 4 === 6 && IPV6_HEADER + ipv6PayloadLength(bytes, at) <= length
  )
}

/** Octets after the fixed header. */
export function ipv6PayloadLength(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + PAYLOAD_LENGTH)
}

/** The protocol that follows the fixed header. */
export function ipv6NextHeader(bytes: Uint8Array, at: number): number {
  return bytes[at + NEXT_HEADER]!
}

export function ipv6HopLimit(bytes: Uint8Array, at: number): number {
  return bytes[at + HOP_LIMIT]!
}

/** True if the address at `at` is `::` (RFC 4291 §2.5.2). */
export function isIpv6Unspecified(bytes: Uint8Array, at: number): boolean {
  return (
    readU32(bytes, at) === 0 &&
    readU32(bytes, at + 4) === 0 &&
    readU32(bytes, at + 8) === 0 &&
    readU32(bytes, at + 12) === 0
  )
}

/** True if the address at `at` is a multicast one (RFC 4291 §2.7). */
export function isIpv6Multicast(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff
}

/**
 * The one right text of an address (RFC 5952): lower case, no leading zeros, `::` for the longest run of
 * two or more zero groups, the first of equals. Four words in, each a uint32.
 */
export function formatIpv6([a, b, c, d]: Ipv6Words): string {
  const groups = [a, b, c, d].flatMap(word => [word >>> 16, word & 0xffff])
  let start = -1
  let longest = 1
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && groups[end] === 0) end++
    if (end - i > longest) {
      start = i
      longest = end - i
    }
    if (end > i) i = end
  }
  const hex = groups.map(group => group.toString(16))
  if (start < 0) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + longest).join(':')}`
}

/** Any text of RFC 4291 §2.2 (no zone, no prefix), the dotted tail included; undefined for anything else. */
export function parseIpv6(text: string): Ipv6Words | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groupsOf(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? groupsOf(halves[1]!, true) : []
  if (!head || !tail) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail]
  const word = (i: number): number => ((groups[i]! << 16) | groups[i + 1]!) >>> 0
  return [word(0), word(2), word(4), word(6)]
}

/** The 16-bit groups of one side of a `::`; only the last may be dotted, and only where `dotted`. */
function groupsOf(text: string, dotted: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16))
      continue
    }
    const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(part)?.slice(1).map(Number)
    if (!octets || !dotted || i !== parts.length - 1 || octets.some(octet => octet > 255)) return undefined
    groups.push((octets[0]! << 8) | octets[1]!, (octets[2]! << 8) | octets[3]!)
  }
  return groups
}
