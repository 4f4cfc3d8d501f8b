// From a reply to the frame that carries it: as much of it as the client can take, and where it goes (RFC 2131 §4.1).

import type { Mac } from '../wire/mac.js'
import type { ReceivedDhcp } from './receive.js'
import {
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  type DhcpMessage,
  emitDhcp,
  emitDhcpWithin,
  FLAG_BROADCAST,
} from '../wire/dhcp.js'
import { emitEthernet, ETHERNET_HEADER, ETHERTYPE_IPV4 } from '../wire/ethernet.js'
import { emitIpv4, IPV4_BROADCAST, IPV4_HEADER, PROTOCOL_UDP } from '../wire/ipv4.js'
import { MAC_BROADCAST, macAt } from '../wire/mac.js'
import { emitUdp, UDP_HEADER } from '../wire/udp.js'
import { getOption, MAX_SIZE, MESSAGE_TYPE, NAK, RELAY_AGENT } from './options.js'

/** What every host must be able to take (RFC 791 §3.1), and so the least that option 57 may say. */
const LEAST_PACKET = 576
/** What fits the segment whatever the client says it could take. */
const MOST_PACKET = 1500

/** Whom the frame is from. */
export interface ReplySource {
  readonly serverMac: Mac
  /** A uint32. */
  readonly serverIp: number
}

/**
 * The whole Ethernet frame of `reply`, the answer to `request`. Where its options are more than the client takes, they go
 * into `file` and `sname`, and what fits nowhere is left out: all but those that `must` be, the last first.
 */
export function frameReply(
  { serverMac, serverIp }: ReplySource,
  request: ReceivedDhcp,
  reply: DhcpMessage,
  must: Iterable<number>,
): Uint8Array {
  const most = payloadLimit(request)
  const payload = emitDhcpWithin(reply, most) ?? emitWhatFits(reply, must, most)
  const { mac, address, port } = destinationOf(request, reply)
  const ip = ETHERNET_HEADER
  const udp = ip + IPV4_HEADER
  const frame = new Uint8Array(udp + UDP_HEADER + payload.length)
  frame.set(payload, udp + UDP_HEADER)
  emitEthernet(frame, 0, { destination: mac, source: serverMac, type: ETHERTYPE_IPV4 })
  emitIpv4(frame, ip, {
    source: serverIp,
    destination: address,
    protocol: PROTOCOL_UDP,
    payload: UDP_HEADER + payload.length,
  })
  emitUdp(frame, udp, {
    ip,
    sourcePort: DHCP_SERVER_PORT,
    destinationPort: port,
    payload: payload.length,
  })
  return frame
}

interface Destination {
  mac: Mac
  address: number
  port: number
}

/** Where a reply goes (RFC 2131 §4.1). */
function destinationOf(request: ReceivedDhcp, { yiaddr, options }: DhcpMessage): Destination {
  const { giaddr, ciaddr, flags, chaddr, sender } = request
  if (giaddr !== 0) return { mac: sender, address: giaddr, port: DHCP_SERVER_PORT }
  // A client that is told no may not have the address its stack listens on, or may have a wrong one; one that gets
  // no address has none.
  const address = ciaddr || yiaddr
  const isNak = getOption(options, MESSAGE_TYPE) === NAK
  return isNak || address === 0 || (ciaddr === 0 && (flags & FLAG_BROADCAST) !== 0)
    ? { mac: MAC_BROADCAST, address: IPV4_BROADCAST, port: DHCP_CLIENT_PORT }
    : { mac: macAt(chaddr, 0), address, port: DHCP_CLIENT_PORT }
}

/** Octets a reply's UDP payload may have: option 57 counts the headers (RFC 2132 §9.10 with RFC 2131 §2). */
function payloadLimit(request: ReceivedDhcp): number {
  const packet = Math.max(LEAST_PACKET, getOption(request.options, MAX_SIZE) ?? LEAST_PACKET)
  return Math.min(MOST_PACKET, packet) - IPV4_HEADER - UDP_HEADER
}

/** A message that has more options than `most` octets can hold, with those that must be and the first of the others. */
function emitWhatFits(message: DhcpMessage, must: Iterable<number>, most: number): Uint8Array {
  const kept = new Set(must)
  const select = (): DhcpMessage => ({
    ...message,
    options: new Map([...message.options].filter(([code]) => kept.has(code))),
  })
  // What must be is less than the least limit, a client identifier of 255 octets included.
  let payload = emitDhcpWithin(select(), most) ?? emitDhcp(select())
  for (const code of [RELAY_AGENT.code, ...message.options.keys()]) {
    if (kept.has(code)) continue
    kept.add(code)
    const larger = emitDhcpWithin(select(), most)
    if (larger) payload = larger
    else kept.delete(code)
  }
  return payload
}
