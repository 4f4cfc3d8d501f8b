// UDP over IPv4 (RFC 768). Offsets are from the start of the UDP header.

import { readU16, writeU16 } from './bytes.js'
import { checksum, pseudoHeader4 } from './checksum.js'
import { PROTOCOL_UDP } from './ipv4.js'

const SOURCE_PORT = 0
const DESTINATION_PORT = 2
const LENGTH = 4
const CHECKSUM = 6
/** Octets of a UDP header. */
export const UDP_HEADER = 8

/** The source port of the datagram at `at`. */
export function udpSourcePort(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + SOURCE_PORT)
}

/** The destination port of the datagram at `at`. */
export function udpDestinationPort(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + DESTINATION_PORT)
}

/** Octets of header and payload, as the header says: it may lie, compare it with what is there. */
export function udpLength(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + LENGTH)
}

/**
 * True if the datagram of `length` octets at `at`, in the IPv4 packet at `ip`, has the right checksum or
 * none: zero means that the sender made none.
 */
export function isUdpChecksumRight(bytes: Uint8Array, ip: number, at: number, length: number): boolean {
  if (readU16(bytes, at + CHECKSUM) === 0) return true
  return checksum(bytes, at, length, pseudoHeader4(bytes, ip, PROTOCOL_UDP, length)) === 0
}

/**
 * Writes a UDP header at `at` before `payload` octets that are there already, in the IPv4 packet whose
 * addresses are at `ip` already: both are under the checksum.
 */
export function emitUdp(
  bytes: Uint8Array,
  at: number,
  header: { ip: number; sourcePort: number; destinationPort: number; payload: number },
): void {
  const length = UDP_HEADER + header.payload
  writeU16(bytes, at + SOURCE_PORT, header.sourcePort)
  writeU16(bytes, at + DESTINATION_PORT, header.destinationPort)
  writeU16(bytes, at + LENGTH, length)
  writeU16(bytes, at + CHECKSUM, 0)
  const sum = checksum(bytes, at, length, pseudoHeader4(bytes, header.ip, PROTOCOL_UDP, length))
  // A sum of zero goes out as all ones: zero would say "no checksum".
  writeU16(bytes, at + CHECKSUM, sum === 0 ? 0xffff : sum)
}
