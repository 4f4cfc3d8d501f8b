// ICMP echo over IPv4 (RFC 792). Offsets are from the start of the ICMP message.

import { readU16, writeU16 } from './bytes.js'
import { checksum } from './checksum.js'

export const PROTOCOL_ICMP = 1

const TYPE = 0
const CODE = 1
const CHECKSUM = 2
const IDENTIFIER = 4
const SEQUENCE = 6
/** Octets before the data. */
export const ICMP_HEADER = 8

export const ECHO_REPLY = 0
export const ECHO_REQUEST = 8

/**
 * True if the message of `length` octets at `at` is an echo request or reply, whole and with the right checksum: the
 * check at the door.
 */
export function isEcho(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= ICMP_HEADER &&
    (bytes[at + TYPE] === ECHO_REQUEST || bytes[at + TYPE] === ECHO_REPLY) &&
    bytes[at + CODE] === 0 &&
    checksum(bytes, at, length) === 0
  )
}

/** ECHO_REQUEST or ECHO_REPLY. */
export function icmpType(bytes: Uint8Array, at: number): number {
  return bytes[at + TYPE]!
}

/** Tells the requests of one program from those of another. */
export function echoIdentifier(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + IDENTIFIER)
}

export function echoSequence(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + SEQUENCE)
}

/** Writes the header of an echo message at `at` before `data` octets that are there already: they are under the checksum. */
export function emitEcho(
  bytes: Uint8Array,
  at: number,
  header: { type: number; identifier: number; sequence: number; data: number },
): void {
  bytes[at + TYPE] = header.type
  bytes[at + CODE] = 0
  writeU16(bytes, at + CHECKSUM, 0)
  writeU16(bytes, at + IDENTIFIER, header.identifier)
  writeU16(bytes, at + SEQUENCE, header.sequence)
  writeU16(bytes, at + CHECKSUM, checksum(bytes, at, ICMP_HEADER + header.data))
}
