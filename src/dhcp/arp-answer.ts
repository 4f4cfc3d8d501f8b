// Answers to ARP for the server's address, where no host has it: the server is one more host on the segment.

import type { Mac } from '../wire/mac.js'
import * as arp from '../wire/arp.js'
import { ETHERNET_HEADER } from '../wire/ethernet.js'
import { isStationMac, macAt } from '../wire/mac.js'

/**
 * The frame that answers the ARP frame of `length` octets at `at` for `ip` (a uint32) at `mac`; undefined if
 * it asks for another address, or nothing. Probes are answered too: the address is taken (RFC 5227 §2.1.1).
 */
export function arpAnswer(
  bytes: Uint8Array,
  at: number,
  length: number,
  ip: number,
  mac: Mac,
): Uint8Array | undefined {
  const packet = at + ETHERNET_HEADER
  if (!arp.isArpIpv4(bytes, packet, length - ETHERNET_HEADER)) return undefined
  if (arp.arpOperation(bytes, packet) !== arp.ARP_REQUEST || arp.arpTargetIp(bytes, packet) !== ip)
    return undefined
  const asker = macAt(bytes, packet + arp.ARP_SENDER_MAC)
  if (!isStationMac(asker.hi, asker.lo)) return undefined
  return arp.arpFrame(asker, {
    operation: arp.ARP_REPLY,
    senderMac: mac,
    senderIp: ip,
    targetMac: asker,
    targetIp: arp.arpSenderIp(bytes, packet),
  })
}
