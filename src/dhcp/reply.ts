// Replies: which options go in, in which order, and where the frame goes (RFC 2131 §4.1, §4.3, table 3).

import type { DhcpMessage } from '../wire/dhcp.js'
import type { Cidr } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import {
  BOOT_REPLY,
  DHCP_CLIENT_PORT,
  DHCP_OVERHEAD,
  DHCP_SERVER_PORT,
  emitDhcp,
  FLAG_BROADCAST,
  HTYPE_ETHERNET,
  optionOctets,
} from '../wire/dhcp.js'
import { emitEthernet, ETHERNET_HEADER, ETHERTYPE_IPV4 } from '../wire/ethernet.js'
import { emitIpv4, IPV4_BROADCAST, IPV4_HEADER, PROTOCOL_UDP } from '../wire/ipv4.js'
import { MAC_BROADCAST, MAC_LENGTH, macAt } from '../wire/mac.js'
import { emitUdp, UDP_HEADER } from '../wire/udp.js'
import {
  ACK,
  BROADCAST,
  CLIENT_ID,
  DNS,
  DOMAIN,
  getOption,
  HOSTNAME,
  LEASE_TIME,
  MAX_SIZE,
  MESSAGE,
  MESSAGE_TYPE,
  MTU,
  NAK,
  OFFER,
  PARAMETER_LIST,
  REBINDING_TIME,
  RENEWAL_TIME,
  ROUTER,
  SERVER_ID,
  setOption,
  SUBNET_MASK,
} from './options.js'

/** What every client of the segment is told. Addresses are uint32. */
export interface SegmentOptions {
  serverMac: Mac
  serverIp: number
  subnet: Cidr
  router?: number
  dns: readonly number[]
  domain?: string
  /** Octets of the largest IP packet, 68 or more. */
  mtu?: number
}

/** A reply to a request; OFFER and ACK with an address have a lease time, the ACK of an INFORM has neither. */
export type Reply =
  | {
      readonly type: typeof OFFER | typeof ACK
      readonly yiaddr: number
      readonly leaseSeconds: number
      readonly hostname?: string
    }
  | { readonly type: typeof ACK; readonly yiaddr: 0; readonly hostname?: string }
  | { readonly type: typeof NAK; readonly why: string }

/** What every host must be able to take (RFC 791 §3.1), and so the least that option 57 may say. */
const LEAST_PACKET = 576
/** What fits the segment whatever the client says it could take. */
const MOST_PACKET = 1500

export class ReplyBuilder {
  readonly #segment: SegmentOptions
  readonly #configured = new Map<number, Uint8Array>()

  constructor(segment: SegmentOptions) {
    this.#segment = segment
    const { subnet, router, dns, domain, mtu } = segment
    // In this order where a client has no wishes.
    setOption(this.#configured, SUBNET_MASK, subnet.netmask)
    if (router !== undefined) setOption(this.#configured, ROUTER, [router])
    if (dns.length > 0) setOption(this.#configured, DNS, dns)
    if (domain !== undefined) setOption(this.#configured, DOMAIN, domain)
    setOption(this.#configured, BROADCAST, subnet.broadcast)
    if (mtu !== undefined) setOption(this.#configured, MTU, mtu)
  }

  /** The whole Ethernet frame that answers `request`. */
  frame(request: DhcpMessage, reply: Reply): Uint8Array {
    const isNak = reply.type === NAK
    const yiaddr = isNak ? 0 : reply.yiaddr
    const payload = emitDhcp({
      op: BOOT_REPLY,
      htype: HTYPE_ETHERNET,
      hlen: MAC_LENGTH,
      hops: 0,
      xid: request.xid,
      secs: 0,
      flags: request.flags,
      ciaddr: reply.type === ACK ? request.ciaddr : 0,
      yiaddr,
      siaddr: 0,
      giaddr: 0,
      chaddr: request.chaddr,
      sname: '',
      file: '',
      options: this.#options(request, reply),
    })
    // A client that is told no may not have the address its stack listens on, or may have a wrong one.
    const isBroadcast = isNak || (request.ciaddr === 0 && (request.flags & FLAG_BROADCAST) !== 0)
    return this.#frame(
      isBroadcast ? MAC_BROADCAST : macAt(request.chaddr, 0),
      isBroadcast ? IPV4_BROADCAST : request.ciaddr || yiaddr,
      payload,
    )
  }

  /**
   * The options of a reply: type, server, lease time; then what the client asked for, in its order (RFC
   * 2131 §4.3.1) as far as it fits; then what it gets in any case. The mask stands before the router (RFC
   * 2132 §3.3).
   */
  #options(request: DhcpMessage, reply: Reply): Map<number, Uint8Array> {
    const options = new Map<number, Uint8Array>()
    const always = new Map<number, Uint8Array>()
    setOption(options, MESSAGE_TYPE, reply.type)
    setOption(options, SERVER_ID, this.#segment.serverIp)
    // RFC 6842 §3: as it came, though it be none that we would know a client by. A reply holds no longer one.
    const sent = request.options.get(CLIENT_ID.code)
    const clientId = sent && sent.length <= 255 ? sent : undefined
    if (reply.type === NAK) {
      setOption(options, MESSAGE, reply.why)
      if (clientId) options.set(CLIENT_ID.code, clientId)
      return options
    }
    if ('leaseSeconds' in reply) {
      setOption(options, LEASE_TIME, reply.leaseSeconds)
      // RFC 2131 §4.4.5
      setOption(always, RENEWAL_TIME, Math.floor(reply.leaseSeconds * 0.5))
      setOption(always, REBINDING_TIME, Math.floor(reply.leaseSeconds * 0.875))
    }
    setOption(always, SUBNET_MASK, this.#segment.subnet.netmask)
    if (clientId) always.set(CLIENT_ID.code, clientId)

    const onWish = new Map(this.#configured)
    if (reply.hostname !== undefined) setOption(onWish, HOSTNAME, reply.hostname)
    const wishes = getOption(request.options, PARAMETER_LIST) ?? [...onWish.keys()]
    let room = payloadLimit(request) - DHCP_OVERHEAD - octetsOf(options) - octetsOf(always)
    for (const code of wishes) {
      const value = always.get(code) ?? onWish.get(code)
      if (value === undefined || options.has(code)) continue
      // Room is kept already for what is sent in any case.
      const octets = always.has(code) ? 0 : optionOctets(value)
      if (octets > room) continue
      room -= octets
      if (code === ROUTER.code) setOption(options, SUBNET_MASK, this.#segment.subnet.netmask)
      options.set(code, value)
    }
    for (const [code, value] of always) if (!options.has(code)) options.set(code, value)
    return options
  }

  #frame(destination: Mac, destinationIp: number, payload: Uint8Array): Uint8Array {
    const ip = ETHERNET_HEADER
    const udp = ip + IPV4_HEADER
    const frame = new Uint8Array(udp + UDP_HEADER + payload.length)
    frame.set(payload, udp + UDP_HEADER)
    emitEthernet(frame, 0, { destination, source: this.#segment.serverMac, type: ETHERTYPE_IPV4 })
    emitIpv4(frame, ip, {
      source: this.#segment.serverIp,
      destination: destinationIp,
      protocol: PROTOCOL_UDP,
      payload: UDP_HEADER + payload.length,
    })
    emitUdp(frame, udp, {
      ip,
      sourcePort: DHCP_SERVER_PORT,
      destinationPort: DHCP_CLIENT_PORT,
      payload: payload.length,
    })
    return frame
  }
}

/** Octets a reply's UDP payload may have: option 57 counts the headers (RFC 2132 §9.10 with RFC 2131 §2). */
function payloadLimit(request: DhcpMessage): number {
  const packet = Math.max(LEAST_PACKET, getOption(request.options, MAX_SIZE) ?? LEAST_PACKET)
  return Math.min(MOST_PACKET, packet) - IPV4_HEADER - UDP_HEADER
}

function octetsOf(options: Map<number, Uint8Array>): number {
  let octets = 0
  for (const value of options.values()) octets += optionOctets(value)
  return octets
}
