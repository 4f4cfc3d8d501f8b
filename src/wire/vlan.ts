// VLAN tags (IEEE 802.1Q §9.6): 4 octets between the source address and the type, with the tag's own type first.

import { readU16 } from './bytes.js'
import { ETHERNET_HEADER, etherType } from './ethernet.js'

export const ETHERTYPE_VLAN = 0x8100
/** A service tag, as the outer one of two (IEEE 802.1ad). */
export const ETHERTYPE_SERVICE_VLAN = 0x88a8
export const VLAN_TAG = 4
const VID_MASK = 0x0fff

/**
 * Where the frame of `length` octets at `at` would stand if its priority tags (VID 0) were not there: they say
 * nothing of a VLAN, and a host takes such a frame as an untagged one. The type and what follows it may be read
 * from there, the addresses may not.
 */
export function skipPriorityTags(bytes: Uint8Array, at: number, length: number): number {
  const end = at + length
  while (at + ETHERNET_HEADER + VLAN_TAG <= end && isTag(etherType(bytes, at))) {
    if ((readU16(bytes, at + ETHERNET_HEADER) & VID_MASK) !== 0) break
    at += VLAN_TAG
  }
  return at
}

function isTag(type: number): boolean {
  return type === ETHERTYPE_VLAN || type === ETHERTYPE_SERVICE_VLAN
}
