// Neighbour discovery in ICMPv6 (RFC 4861): the solicitation and the advertisement, their target and
// their link-layer address option. Offsets are from the start of the ICMPv6 message.

import { checksum, pseudoHeader6 } from './checksum.js'
import { ipv6HopLimit, ipv6NextHeader, NEXT_HEADER_ICMPV6 } from './ipv6.js'

export const ND_TARGET = 8
const OPTIONS = 24

export const NEIGHBOR_SOLICITATION = 135
export const NEIGHBOR_ADVERTISEMENT = 136

export const OPTION_SOURCE_LINK_LAYER = 1
export const OPTION_TARGET_LINK_LAYER = 2

/** What linkLayerOption() gives in place of an offset. */
export const ABSENT = -1
export const MALFORMED = -2

/** No router passes on a packet and leaves 255: what carries it came from this segment (RFC 4861 §3.1). */
const ND_HOP_LIMIT = 255

/**
 * True if the ICMPv6 message of `length` octets at `at`, in the IPv6 packet at `ip`, is a solicitation or
 * an advertisement that a host would take (RFC 4861 §7.1.1, §7.1.2): hop limit 255, right checksum, code
 * 0, whole. The check at the door; extension headers before it are not followed.
 */
export function isNeighborMessage(bytes: Uint8Array, ip: number, at: number, length: number): boolean {
  return (
    ipv6NextHeader(bytes, ip) === NEXT_HEADER_ICMPV6 &&
    length >= OPTIONS &&
    (bytes[at] === NEIGHBOR_SOLICITATION || bytes[at] === NEIGHBOR_ADVERTISEMENT) &&
    bytes[at + 1] === 0 &&
    ipv6HopLimit(bytes, ip) === ND_HOP_LIMIT &&
    checksum(bytes, at, length, pseudoHeader6(bytes, ip, NEXT_HEADER_ICMPV6, length)) === 0
  )
}

/**
 * The offset of the MAC in the first option of `type` (OPTION_…_LINK_LAYER), ABSENT if there is none,
 * MALFORMED if the message must be dropped: an option of length zero or past the end (RFC 4861 §4.6).
 */
export function linkLayerOption(bytes: Uint8Array, at: number, length: number, type: number): number {
  const end = at + length
  let found = ABSENT
  for (let option = at + OPTIONS; option < end;) {
    if (option + 2 > end) return MALFORMED
    const octets = bytes[option + 1]! * 8
    if (octets === 0 || option + octets > end) return MALFORMED
    if (found === ABSENT && bytes[option] === type) found = option + 2
    option += octets
  }
  return found
}
