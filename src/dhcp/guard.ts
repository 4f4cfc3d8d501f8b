// Tells DHCP frames from others as they pass the switch, for its guard: which way a frame would go in a
// DHCP exchange. Reads at offsets only: no allocation, any length, any bytes.

import { BOOT_REPLY, DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from '../wire/dhcp.js'
import { ETHERNET_HEADER, ETHERTYPE_IPV4, etherType } from '../wire/ethernet.js'
import { ipv4HeaderLength, IPV4_PROTOCOL, isLaterIpv4Fragment, PROTOCOL_UDP } from '../wire/ipv4.js'
import { UDP_HEADER, udpDestinationPort } from '../wire/udp.js'

export const NOT_DHCP = 0
/** From a client, or a relay, to a server: UDP to port 67, unless it says it is a reply. */
export const DHCP_TO_SERVER = 1
/** What only a server sends: UDP to port 68, or a BOOTREPLY to a relay on port 67. */
export const DHCP_FROM_SERVER = 2

/**
 * Classifies the frame of `length` octets at `at`: NOT_DHCP, DHCP_TO_SERVER or DHCP_FROM_SERVER.
 *
 * Lengths and checksums that a receiver would refuse do not matter here: a guard must not let through
 * what some sloppy stack would take. A first fragment is classified, its ports are there, and the rest is
 * nothing without it. Frames with a VLAN tag are on another segment than the server.
 */
export function classifyDhcp(bytes: Uint8Array, at: number, length: number): number {
  if (length < ETHERNET_HEADER || etherType(bytes, at) !== ETHERTYPE_IPV4) return NOT_DHCP
  const ip = at + ETHERNET_HEADER
  const header = ipv4HeaderLength(bytes, ip, length - ETHERNET_HEADER)
  if (header === 0 || bytes[ip + IPV4_PROTOCOL] !== PROTOCOL_UDP || isLaterIpv4Fragment(bytes, ip))
    return NOT_DHCP
  const udp = ip + header
  const left = at + length - udp
  if (left < 4) return NOT_DHCP
  const port = udpDestinationPort(bytes, udp)
  if (port === DHCP_CLIENT_PORT) return DHCP_FROM_SERVER
  if (port !== DHCP_SERVER_PORT) return NOT_DHCP
  return left > UDP_HEADER && bytes[udp + UDP_HEADER] === BOOT_REPLY ? DHCP_FROM_SERVER : DHCP_TO_SERVER
}
