// ARP for IPv4 over Ethernet (RFC 826). Offsets are from the start of the ARP packet, which is
// ETHERNET_HEADER octets into its frame.

import type { Mac } from './mac.js'
import { readU16, readU32, writeU16, writeU32 } from './bytes.js'
import { emitEthernet, ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4 } from './ethernet.js'
import { writeMac } from './mac.js'

const HARDWARE_TYPE = 0
const PROTOCOL_TYPE = 2
const LENGTHS = 4
const OPERATION = 6
export const ARP_SENDER_MAC = 8
export const ARP_SENDER_IP = 14
export const ARP_TARGET_MAC = 18
export const ARP_TARGET_IP = 24
/** Octets of an ARP packet for IPv4 over Ethernet; frames that carry one are often longer, padded to 60. */
export const ARP_LENGTH = 28

export const ARP_REQUEST = 1
export const ARP_REPLY = 2

const HARDWARE_ETHERNET = 1
const SIX_AND_FOUR = 0x0604

/** True if the `length` octets at `at` hold an ARP packet for IPv4 over Ethernet: the check at the door. */
export function isArpIpv4(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= ARP_LENGTH &&
    readU16(bytes, at + HARDWARE_TYPE) === HARDWARE_ETHERNET &&
    readU16(bytes, at + PROTOCOL_TYPE) === ETHERTYPE_IPV4 &&
    readU16(bytes, at + LENGTHS) === SIX_AND_FOUR
  )
}

/** ARP_REQUEST, ARP_REPLY or something of no meaning here. */
export function arpOperation(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + OPERATION)
}

/** The sender's IPv4 address as a uint32; 0 in a probe (RFC 5227 §1.1). */
export function arpSenderIp(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + ARP_SENDER_IP)
}

/** The IPv4 address asked for or answered to, as a uint32. */
export function arpTargetIp(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + ARP_TARGET_IP)
}

/** What an ARP packet says; IPv4 addresses as uint32. */
export interface ArpMessage {
  operation: number
  senderMac: Mac
  senderIp: number
  targetMac: Mac
  targetIp: number
}

/** A whole frame of 42 octets from the sender's MAC to `destination`. */
export function arpFrame(destination: Mac, message: ArpMessage): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER + ARP_LENGTH)
  emitEthernet(frame, 0, { destination, source: message.senderMac, type: ETHERTYPE_ARP })
  emitArp(frame, ETHERNET_HEADER, message)
  return frame
}

/** Writes the ARP_LENGTH octets of an ARP packet at `at`. */
export function emitArp(bytes: Uint8Array, at: number, message: ArpMessage): void {
  writeU16(bytes, at + HARDWARE_TYPE, HARDWARE_ETHERNET)
  writeU16(bytes, at + PROTOCOL_TYPE, ETHERTYPE_IPV4)
  writeU16(bytes, at + LENGTHS, SIX_AND_FOUR)
  writeU16(bytes, at + OPERATION, message.operation)
  writeMac(bytes, at + ARP_SENDER_MAC, message.senderMac.hi, message.senderMac.lo)
  writeU32(bytes, at + ARP_SENDER_IP, message.senderIp)
  writeMac(bytes, at + ARP_TARGET_MAC, message.targetMac.hi, message.targetMac.lo)
  writeU32(bytes, at + ARP_TARGET_IP, message.targetIp)
}
