// Replies: what goes into the header (RFC 2131 table 3), which options go in, in which order, and where the frame goes
// (RFC 2131 §4.1, §4.3). What was configured comes encoded from configured.ts.
//
// The options of a reply: its type, the server, the terms; then what the client asked for, in its order (RFC 2131
// §4.3.1); then what it gets in any case. Where that is more than the client takes, options go into `file` and `sname`;
// what fits nowhere is left out, the last wish first to go.

import type { Mac } from '../wire/mac.js'
import type { ReceivedDhcp } from './receive.js'
import {
  BOOT_REPLY,
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  type DhcpMessage,
  emitDhcp,
  emitDhcpWithin,
  FLAG_BROADCAST,
  HTYPE_ETHERNET,
} from '../wire/dhcp.js'
import { emitEthernet, ETHERNET_HEADER, ETHERTYPE_IPV4 } from '../wire/ethernet.js'
import { emitIpv4, IPV4_BROADCAST, IPV4_HEADER, PROTOCOL_UDP } from '../wire/ipv4.js'
import { MAC_BROADCAST, MAC_LENGTH, macAt } from '../wire/mac.js'
import { emitUdp, UDP_HEADER } from '../wire/udp.js'
import { type BootReply, Configured, type SegmentOptions } from './configured.js'
import {
  ACK,
  AUTO_CONFIGURE,
  BOOT_FILE,
  CLIENT_ID,
  getOption,
  HOSTNAME,
  LEASE_TIME,
  MAX_SIZE,
  MESSAGE,
  MESSAGE_TYPE,
  NAK,
  OFFER,
  PARAMETER_LIST,
  RAPID_COMMIT,
  REBINDING_TIME,
  RELAY_AGENT,
  RENEWAL_TIME,
  ROUTER,
  SERVER_ID,
  setOption,
  SUBNET_MASK,
  VENDOR_CLASS,
} from './options.js'

export type { SegmentOptions } from './configured.js'

/** A reply to a request. */
export type Reply =
  /** An address and for how long. */
  | {
      readonly type: typeof OFFER | typeof ACK
      readonly yiaddr: number
      readonly leaseSeconds: number
      readonly hostname?: string
      /** This ACK answers a DISCOVER (RFC 4039). */
      readonly rapidCommit?: boolean
    }
  /** To an INFORM: neither address nor lease time. */
  | { readonly type: typeof ACK; readonly yiaddr: 0; readonly hostname?: string }
  /** No address, but what to do without one (RFC 2563). */
  | { readonly type: typeof OFFER; readonly yiaddr: 0 }
  | { readonly type: typeof NAK; readonly why: string }

type Options = Map<number, Uint8Array>

interface Contents {
  /** In front. */
  head: Options
  /** In any case, where the client wishes it, else behind. */
  always: Options
  wishes: readonly number[]
  onWish(code: number): Uint8Array | undefined
}

/** What every host must be able to take (RFC 791 §3.1), and so the least that option 57 may say. */
const LEAST_PACKET = 576
/** What fits the segment whatever the client says it could take. */
const MOST_PACKET = 1500

/** True for a DISCOVER that may be answered with an ACK (RFC 4039 §3.1). */
export function wantsRapidCommit({ options }: DhcpMessage): boolean {
  return getOption(options, RAPID_COMMIT) === true
}

export class ReplyBuilder {
  readonly #configured: Configured

  constructor(segment: SegmentOptions) {
    this.#configured = new Configured(segment)
  }

  /**
   * What to answer to a DISCOVER when no address is left: whether the client may choose a link-local one (RFC 2563 §2.2).
   * Undefined, for silence, if it did not say that it would, or nothing was configured.
   */
  withoutAddress({ options }: DhcpMessage): Reply | undefined {
    return options.has(AUTO_CONFIGURE.code) && this.#configured.autoConfigure
      ? { type: OFFER, yiaddr: 0 }
      : undefined
  }

  /** The whole Ethernet frame that answers `request`. */
  frame(request: ReceivedDhcp, reply: Reply): Uint8Array {
    const isNak = reply.type === NAK
    const yiaddr = isNak ? 0 : reply.yiaddr
    const configures = reply.type === ACK || 'leaseSeconds' in reply
    const boot = configures ? this.#configured.bootOf(request) : undefined
    const contents = this.#contents(request, reply, boot)
    const message: DhcpMessage = {
      op: BOOT_REPLY,
      htype: HTYPE_ETHERNET,
      hlen: MAC_LENGTH,
      hops: 0,
      xid: request.xid,
      secs: 0,
      // RFC 2131 §4.3.2: a relay is to broadcast a NAK.
      flags: isNak && request.giaddr !== 0 ? request.flags | FLAG_BROADCAST : request.flags,
      ciaddr: reply.type === ACK ? request.ciaddr : 0,
      yiaddr,
      siaddr: configures ? (boot?.nextServer ?? this.#configured.nextServer) : 0,
      giaddr: request.giaddr,
      chaddr: request.chaddr,
      sname: boot?.serverName ?? '',
      file: boot?.file ?? '',
      options: this.#inOrder(request, contents),
    }
    const most = payloadLimit(request)
    const payload = emitDhcpWithin(message, most) ?? emitWhatFits(message, contents, most)
    return this.#frame(destinationOf(request, isNak, yiaddr), payload)
  }

  #contents(request: ReceivedDhcp, reply: Reply, boot: BootReply | undefined): Contents {
    const { serverIp, netmask, autoConfigure } = this.#configured
    const head: Options = new Map()
    const always: Options = new Map()
    setOption(head, MESSAGE_TYPE, reply.type)
    setOption(head, SERVER_ID, serverIp)
    if (reply.type === NAK) setOption(head, MESSAGE, reply.why)
    const hasTerms = 'leaseSeconds' in reply
    if (hasTerms) {
      setOption(head, LEASE_TIME, reply.leaseSeconds)
      if (reply.rapidCommit) setOption(head, RAPID_COMMIT, true)
      // RFC 2131 §4.4.5
      setOption(always, RENEWAL_TIME, Math.floor(reply.leaseSeconds * 0.5))
      setOption(always, REBINDING_TIME, Math.floor(reply.leaseSeconds * 0.875))
    }
    const configures = hasTerms || reply.type === ACK
    if (configures) always.set(SUBNET_MASK.code, netmask)
    if (reply.type !== NAK && autoConfigure && request.options.has(AUTO_CONFIGURE.code))
      always.set(AUTO_CONFIGURE.code, autoConfigure)
    // RFC 6842 §3: as it came, though it be none that we would know a client by. A reply holds no longer one.
    const clientId = request.options.get(CLIENT_ID.code)
    if (clientId && clientId.length <= 255) always.set(CLIENT_ID.code, clientId)
    if (!configures) return { head, always, wishes: [], onWish: () => undefined }

    const vendorClass = boot && this.#configured.vendorClassOf(request)
    if (vendorClass) always.set(VENDOR_CLASS.code, vendorClass)
    return { head, always, ...this.#wishes(request, reply.hostname, boot) }
  }

  #wishes(
    { options }: ReceivedDhcp,
    hostname: string | undefined,
    boot: BootReply | undefined,
  ): Pick<Contents, 'wishes' | 'onWish'> {
    const { options: configured, defaultWishes, echoesHostname } = this.#configured
    const wishes = getOption(options, PARAMETER_LIST) ?? defaultWishes
    return {
      wishes: boot?.isLong ? [BOOT_FILE.code, ...wishes] : wishes,
      onWish: code =>
        code === HOSTNAME.code && hostname !== undefined && echoesHostname
          ? HOSTNAME.encode(hostname)
          : (boot?.options.get(code) ?? configured.get(code)),
    }
  }

  /** The options of a reply, as if there were room for all. */
  #inOrder(request: ReceivedDhcp, { head, always, wishes, onWish }: Contents): Options {
    const options = new Map(head)
    for (const code of wishes) {
      const value = options.has(code) ? undefined : (always.get(code) ?? onWish(code))
      if (value === undefined) continue
      // RFC 2132 §3.3: the mask stands before the router.
      if (code === ROUTER.code) options.set(SUBNET_MASK.code, this.#configured.netmask)
      options.set(code, value)
    }
    for (const [code, value] of always) if (!options.has(code)) options.set(code, value)
    // RFC 3046 §2.2: as it came, and last.
    const relayAgent = request.giaddr === 0 ? undefined : getOption(request.options, RELAY_AGENT)
    if (relayAgent) options.set(RELAY_AGENT.code, relayAgent)
    return options
  }

  #frame({ mac, address, port }: Destination, payload: Uint8Array): Uint8Array {
    const ip = ETHERNET_HEADER
    const udp = ip + IPV4_HEADER
    const frame = new Uint8Array(udp + UDP_HEADER + payload.length)
    const { serverMac, serverIp } = this.#configured
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
}

interface Destination {
  mac: Mac
  address: number
  port: number
}

/** Where a reply goes (RFC 2131 §4.1). */
function destinationOf(request: ReceivedDhcp, isNak: boolean, yiaddr: number): Destination {
  const { giaddr, ciaddr, flags, chaddr, sender } = request
  if (giaddr !== 0) return { mac: sender, address: giaddr, port: DHCP_SERVER_PORT }
  // A client that is told no may not have the address its stack listens on, or may have a wrong one; one that gets
  // no address has none.
  const address = ciaddr || yiaddr
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
function emitWhatFits(message: DhcpMessage, { head, always }: Contents, most: number): Uint8Array {
  const kept = new Set([...head.keys(), ...always.keys()])
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
