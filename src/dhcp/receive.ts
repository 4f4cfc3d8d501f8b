// From a frame to a DHCP message of a client on this segment, or the reason why it is none. Everything a
// sloppy or hostile station could get wrong below the options is checked here.

import type { DhcpFault, DhcpMessage } from '../wire/dhcp.js'
import { checksum } from '../wire/checksum.js'
import { BOOT_REQUEST, DHCP_SERVER_PORT, HTYPE_ETHERNET, parseDhcp } from '../wire/dhcp.js'
import { ETHERNET_HEADER, ETHERTYPE_IPV4, etherType } from '../wire/ethernet.js'
import {
  IPV4_PROTOCOL,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_UDP,
} from '../wire/ipv4.js'
import { isStationMac, MAC_LENGTH, macHigh, macLow } from '../wire/mac.js'
import { isUdpChecksumRight, UDP_HEADER, udpDestinationPort, udpLength } from '../wire/udp.js'

/** Why a frame is no message to act on. */
export type ReceiveFault =
  /** Not IPv4 UDP to port 67: flooded traffic of others, no fault of anybody. */
  | 'not-dhcp'
  | 'ip-header'
  | 'ip-checksum'
  | 'fragment'
  | 'udp-length'
  | 'udp-checksum'
  | 'not-for-us'
  | DhcpFault
  /** A BOOTREPLY, or an op that does not exist. */
  | 'not-request'
  /** Not an Ethernet address of one station. */
  | 'hardware'
  /** From a relay (giaddr): this server serves its own segment only. */
  | 'relayed'

export const RECEIVE_FAULTS: readonly ReceiveFault[] = [
  ...(['not-dhcp', 'ip-header', 'ip-checksum', 'fragment', 'udp-length', 'udp-checksum'] as const),
  ...(['not-for-us', 'bootp-short', 'bootp-cookie', 'bootp-options'] as const),
  ...(['not-request', 'hardware', 'relayed'] as const),
]

/**
 * Reads the frame of `length` octets at `at`; `isOurs` says whether an IPv4 destination (a uint32) is meant
 * for this server. The Ethernet destination is the switch's business, and so is the source port: replies go
 * to port 68 whatever it is (RFC 2131 §4.1). Never throws; the message owns its bytes.
 */
export function receiveDhcp(
  bytes: Uint8Array,
  at: number,
  length: number,
  isOurs: (destination: number) => boolean,
): DhcpMessage | ReceiveFault {
  if (length < ETHERNET_HEADER || etherType(bytes, at) !== ETHERTYPE_IPV4) return 'not-dhcp'
  const ip = at + ETHERNET_HEADER
  const header = ipv4HeaderLength(bytes, ip, length - ETHERNET_HEADER)
  if (header === 0) return 'ip-header'
  if (bytes[ip + IPV4_PROTOCOL] !== PROTOCOL_UDP) return 'not-dhcp'
  const total = ipv4TotalLength(bytes, ip)
  // A frame may be longer than its packet (padding), never shorter.
  if (total < header || total > length - ETHERNET_HEADER) return 'ip-header'
  if (checksum(bytes, ip, header) !== 0) return 'ip-checksum'
  if (isIpv4Fragment(bytes, ip)) return 'fragment'
  const udp = ip + header
  if (total - header < UDP_HEADER) return 'udp-length'
  if (udpDestinationPort(bytes, udp) !== DHCP_SERVER_PORT) return 'not-dhcp'
  const datagram = udpLength(bytes, udp)
  if (datagram < UDP_HEADER || datagram > total - header) return 'udp-length'
  if (!isUdpChecksumRight(bytes, ip, udp, datagram)) return 'udp-checksum'
  if (!isOurs(ipv4Destination(bytes, ip))) return 'not-for-us'
  const message = parseDhcp(bytes, udp + UDP_HEADER, datagram - UDP_HEADER)
  return typeof message === 'string' ? message : (faultOf(message) ?? message)
}

function faultOf({ op, htype, hlen, chaddr, giaddr }: DhcpMessage): ReceiveFault | undefined {
  if (op !== BOOT_REQUEST) return 'not-request'
  if (htype !== HTYPE_ETHERNET || hlen !== MAC_LENGTH) return 'hardware'
  // Replies go to this address: a group address would have one message answered to many stations.
  if (!isStationMac(macHigh(chaddr, 0), macLow(chaddr, 0))) return 'hardware'
  return giaddr === 0 ? undefined : 'relayed'
}
