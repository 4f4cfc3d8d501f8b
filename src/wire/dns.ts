// DNS messages (RFC 1035 §4.1.1), as far as one who relays them unread must know: the header's ID and flags. Over TCP a
// 16-bit big-endian length stands before each (§4.2.2).

import { readU16, writeU16 } from './bytes.js'

/** Octets of the header, the least that a message has. */
export const DNS_HEADER = 12
/** The most that a message has over TCP. */
export const MOST_DNS_MESSAGE = 65_535
/** Octets of the length before a message over TCP. */
export const DNS_LENGTH = 2

const FLAGS = 2
const RESPONSE = 0x8000
const RECURSION_AVAILABLE = 0x0080
/** What a response has of its query's flags: the opcode, RD and CD (RFC 4035 §3.2.2). */
const KEPT = 0x7910
const SERVER_FAILURE = 2

/** True for a query that is long enough to have a header. */
export function isDnsQuery(message: Uint8Array): boolean {
  return message.length >= DNS_HEADER && (readU16(message, FLAGS) & RESPONSE) === 0
}

/** True for a response with that ID. */
export function isDnsResponse(message: Uint8Array, id: number): boolean {
  return message.length >= DNS_HEADER && (readU16(message, FLAGS) & RESPONSE) !== 0 && dnsId(message) === id
}

export function dnsId(message: Uint8Array): number {
  return readU16(message, 0)
}

export function setDnsId(message: Uint8Array, id: number): void {
  writeU16(message, 0, id)
}

/** Makes a query its own answer, SERVFAIL: its question stays in it, by which clients know it. */
export function turnIntoServerFailure(query: Uint8Array): void {
  writeU16(query, FLAGS, (readU16(query, FLAGS) & KEPT) | RESPONSE | RECURSION_AVAILABLE | SERVER_FAILURE)
}
