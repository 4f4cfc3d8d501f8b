// From a frame to a DHCP message of a client on this segment, or the reason why it is none. Everything a
// sloppy or hostile station could get wrong below the options is checked here.

import type { DhcpFault, DhcpMessage } from '../wire/dhcp.js'
import type { Mac } from '../wire/mac.js'
import { checksum } from '../wire/checksum.js'
import { BOOT_REQUEST, DHCP_SERVER_PORT, HTYPE_ETHERNET, parseDhcp } from '../wire/dhcp.js'
import { ETHERNET_HEADER, ETHERNET_SOURCE, ETHERTYPE_IPV4, etherType } from '../wire/ethernet.js'
import {
  type Cidr,
  IPV4_BROADCAST,
  IPV4_PROTOCOL,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4Source,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_UDP,
} from '../wire/ipv4.js'
import { isStationMac, MAC_LENGTH, macAt, macHigh, macLow } from '../wire/mac.js'
import { isUdpChecksumRight, UDP_HEADER, udpDestinationPort, udpLength, udpSourcePort } from '../wire/udp.js'

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
  /** From a relay (giaddr) that is no host of this segment: the server serves no other. */
  | 'relayed'

export const RECEIVE_FAULTS: readonly ReceiveFault[] = [
  ...(['not-dhcp', 'ip-header', 'ip-checksum', 'fragment', 'udp-length', 'udp-checksum'] as const),
  ...(['not-for-us', 'bootp-short', 'bootp-cookie', 'bootp-options'] as const),
  ...(['not-request', 'hardware', 'relayed'] as const),
]

/** A message with what the frame says of who sent it. */
export interface ReceivedDhcp extends DhcpMessage {
  /** The Ethernet source: the client's station, or the relay's. */
  readonly sender: Mac
}

export interface DhcpAddresses {
  /** Whether an IPv4 destination (a uint32) is meant for this server. */
  isOurs(destination: number): boolean
  /** Whether it is an address of a host on this segment's subnet. */
  isLocal(address: number): boolean
}

/** What is meant for a server at `serverIp` (a uint32) of a subnet, and who else is on that. */
export function segmentAddresses(serverIp: number, subnet: Cidr): DhcpAddresses {
  const { netmask, network, broadcast } = subnet
  return {
    isOurs: destination =>
      destination === serverIp || destination === IPV4_BROADCAST || destination === broadcast,
    isLocal: address => {
      const isHost = (address & netmask) >>> 0 === network && address !== network && address !== broadcast
      return isHost && address !== serverIp
    },
  }
}

/**
 * Reads the frame of `length` octets at `at`. The Ethernet destination is the switch's business, and so is a client's
 * source port: replies go to port 68 whatever it is (RFC 2131 §4.1). Never throws; the message owns its bytes.
 */
export function receiveDhcp(
  bytes: Uint8Array,
  at: number,
  length: number,
  { isOurs, isLocal }: DhcpAddresses,
): ReceivedDhcp | ReceiveFault {
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
  if (typeof message === 'string') return message
  const fault = faultOf(message)
  if (fault !== undefined) return fault
  const { giaddr, hops } = message
  // A relay on this very segment is answered; it names itself in every place where it must. One elsewhere asks for
  // a subnet that is not here.
  const isRelayHere =
    isLocal(giaddr) &&
    hops > 0 &&
    ipv4Source(bytes, ip) === giaddr &&
    udpSourcePort(bytes, udp) === DHCP_SERVER_PORT
  if (giaddr !== 0 && !isRelayHere) return 'relayed'
  return { ...message, sender: macAt(bytes, at + ETHERNET_SOURCE) }
}

function faultOf({ op, htype, hlen, chaddr }: DhcpMessage): ReceiveFault | undefined {
  if (op !== BOOT_REQUEST) return 'not-request'
  if (htype !== HTYPE_ETHERNET || hlen !== MAC_LENGTH) return 'hardware'
  // Replies go to this address: a group address would have one message answered to many stations.
  return isStationMac(macHigh(chaddr, 0), macLow(chaddr, 0)) ? undefined : 'hardware'
}
