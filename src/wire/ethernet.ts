// Ethernet II (IEEE 802.3 §3.1.1, without preamble and FCS): destination, source, type, payload.

import type { Mac } from './mac.js'
import { readU16, writeU16 } from './bytes.js'
import { writeMac } from './mac.js'

export const ETHERNET_DESTINATION = 0
export const ETHERNET_SOURCE = 6
export const ETHERNET_TYPE = 12
/** Octets before the payload; also the least a frame may have on a virtual wire. */
export const ETHERNET_HEADER = 14

export const ETHERTYPE_IPV4 = 0x0800
export const ETHERTYPE_ARP = 0x0806
export const ETHERTYPE_IPV6 = 0x86dd

/** The EtherType of the frame at `at`, which must have ETHERNET_HEADER octets; under 0x0600 it is a length. */
export function etherType(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + ETHERNET_TYPE)
}

/** Writes the ETHERNET_HEADER octets of a frame at `at`. */
export function emitEthernet(
  bytes: Uint8Array,
  at: number,
  header: { destination: Mac; source: Mac; type: number },
): void {
  writeMac(bytes, at + ETHERNET_DESTINATION, header.destination.hi, header.destination.lo)
  writeMac(bytes, at + ETHERNET_SOURCE, header.source.hi, header.source.lo)
  writeU16(bytes, at + ETHERNET_TYPE, header.type)
}
