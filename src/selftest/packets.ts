/**
 * Whole frames with a packet of IPv4 in them, built from their parts.
 */

import { emitEthernet, ETHERNET_HEADER, ETHERTYPE_IPV4 } from '../wire/ethernet.js'
import { emitIpv4, IPV4_HEADER, PROTOCOL_UDP } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import { emitUdp, UDP_HEADER } from '../wire/udp.js'
import { emitEcho, ICMP_HEADER, PROTOCOL_ICMP } from '../wire/icmp.js'

/** Octets before the payload of a datagram, and before the data of an echo message. */
const BEFORE_DATA = ETHERNET_HEADER + IPV4_HEADER + UDP_HEADER
/** Octets of IPv4 and UDP headers: an MTU less these is what a datagram carries. */
export const DATAGRAM_HEADERS = IPV4_HEADER + UDP_HEADER

export interface Addresses {
  source: Mac
  destination: Mac
  sourceIp: number
  destinationIp: number
}

export function udpFrame(
  addresses: Addresses,
  ports: { source: number; destination: number },
  payload: Uint8Array,
): Uint8Array {
  const frame = ipv4Frame(addresses, PROTOCOL_UDP, payload)
  emitUdp(frame, ETHERNET_HEADER + IPV4_HEADER, {
    ip: ETHERNET_HEADER,
    sourcePort: ports.source,
    destinationPort: ports.destination,
    payload: payload.length,
  })
  return frame
}

export function echoFrame(
  addresses: Addresses,
  echo: { type: number; identifier: number; sequence: number },
  data: Uint8Array,
): Uint8Array {
  const frame = ipv4Frame(addresses, PROTOCOL_ICMP, data)
  emitEcho(frame, ETHERNET_HEADER + IPV4_HEADER, { ...echo, data: data.length })
  return frame
}

/** A frame whose innermost header, of the eight octets that UDP and an echo message both have, is still to be written. */
function ipv4Frame(addresses: Addresses, protocol: number, data: Uint8Array): Uint8Array {
  const { source, destination, sourceIp, destinationIp } = addresses
  const frame = new Uint8Array(BEFORE_DATA + data.length)
  frame.set(data, BEFORE_DATA)
  emitEthernet(frame, 0, { destination, source, type: ETHERTYPE_IPV4 })
  emitIpv4(frame, ETHERNET_HEADER, {
    source: sourceIp,
    destination: destinationIp,
    protocol,
    payload: ICMP_HEADER + data.length,
  })
  return frame
}
