// MAC addresses as two numbers: the high 16 bits and the low 32 bits, both unsigned. Numbers compare
// and hash without a string or an object a frame; text is made only where a person reads it.

import { readU16, readU32, writeU16, writeU32 } from './bytes.js'

/** A MAC address where one is kept or passed whole; the hot path passes the two numbers. */
export interface Mac {
  /** The first two octets, 0 to 0xffff. */
  readonly hi: number
  /** The last four octets, 0 to 0xffffffff. */
  readonly lo: number
}

export const MAC_LENGTH = 6
export const MAC_BROADCAST: Mac = { hi: 0xffff, lo: 0xffffffff }

/** The first two octets of the MAC at `at`. */
export function macHigh(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at)
}

/** The last four octets of the MAC at `at`, unsigned. */
export function macLow(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + 2)
}

/** The MAC at `at` as an object of its own. */
export function macAt(bytes: Uint8Array, at: number): Mac {
  return { hi: macHigh(bytes, at), lo: macLow(bytes, at) }
}

/** Writes six octets at `at`. */
export function writeMac(bytes: Uint8Array, at: number, hi: number, lo: number): void {
  writeU16(bytes, at, hi)
  writeU32(bytes, at + 2, lo)
}

/** True if `hi`, `lo` can be one station's address: neither zero nor a group address (IEEE 802-2014 §8.2). */
export function isStationMac(hi: number, lo: number): boolean {
  return (hi & 0x0100) === 0 && (hi !== 0 || lo !== 0)
}

/** Lower-case octets with colons: `52:54:00:12:34:56`. */
export function formatMac(hi: number, lo: number): string {
  const digits = hi.toString(16).padStart(4, '0') + lo.toString(16).padStart(8, '0')
  return digits.replace(/..(?=.)/g, '$&:')
}

/**
 * Reads six octets with colons or hyphens; one digit an octet will do, as macOS prints them (`a:0:27:…`).
 * Undefined for anything else.
 */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-f]{1,2}([:-])(?:[0-9a-f]{1,2}\1){4}[0-9a-f]{1,2}$/i.test(text)) return undefined
  const [a, b, c, d, e, f] = text.split(/[:-]/).map(octet => Number.parseInt(octet, 16))
  return { hi: (a! << 8) | b!, lo: ((c! << 24) | (d! << 16) | (e! << 8) | f!) >>> 0 }
}
