// Replies: what goes into the header (RFC 2131 table 3), which options go in, in which order, and where the frame goes
// (RFC 2131 §4.1, §4.3). What was configured comes encoded from configured.ts.
//
// The options of a reply: its type, the server, the terms; then what the client asked for, in its order (RFC 2131
// §4.3.1); then what it gets in any case. Where that is more than the client takes, options go into `file` and `sname`;
// what fits nowhere is left out, the last wish first to go.

import type { OptionConfig } from './option-config.js'
import type { ReceivedDhcp } from './receive.js'
import { BOOT_REPLY, type DhcpMessage, FLAG_BROADCAST, HTYPE_ETHERNET } from '../wire/dhcp.js'
import { MAC_LENGTH } from '../wire/mac.js'
import { type BootReply, Configured, segmentFor, type SegmentOptions } from './configured.js'
import {
  ACK,
  AUTO_CONFIGURE,
  BOOT_FILE,
  CLIENT_ID,
  getOption,
  HOSTNAME,
  LEASE_TIME,
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
import { frameReply } from './reply-frame.js'

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

/** True for a DISCOVER that may be answered with an ACK (RFC 4039 §3.1). */
export function wantsRapidCommit({ options }: DhcpMessage): boolean {
  return getOption(options, RAPID_COMMIT) === true
}

export class ReplyBuilder {
  readonly #segment: SegmentOptions
  readonly #configured: Configured
  /** By the options that a client has of its own. */
  readonly #own = new WeakMap<OptionConfig, Configured>()

  constructor(segment: SegmentOptions) {
    this.#segment = segment
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

  /** The whole Ethernet frame that answers `request`, whose client may have options of its `own`. */
  frame(request: ReceivedDhcp, reply: Reply, own?: OptionConfig): Uint8Array {
    const configured = this.#configuredFor(own)
    const isNak = reply.type === NAK
    const yiaddr = isNak ? 0 : reply.yiaddr
    const configures = reply.type === ACK || 'leaseSeconds' in reply
    const boot = configures ? configured.bootOf(request) : undefined
    const contents = contentsOf(configured, request, reply, boot)
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
      siaddr: configures ? (boot?.nextServer ?? configured.nextServer) : 0,
      giaddr: request.giaddr,
      chaddr: request.chaddr,
      sname: boot?.serverName ?? '',
      file: boot?.file ?? '',
      options: inOrder(configured, request, contents),
    }
    const must = [...contents.head.keys(), ...contents.always.keys()]
    return frameReply(configured, request, message, must)
  }

  #configuredFor(own: OptionConfig | undefined): Configured {
    if (own === undefined) return this.#configured
    let configured = this.#own.get(own)
    if (configured === undefined) {
      configured = new Configured(segmentFor(this.#segment, own))
      this.#own.set(own, configured)
    }
    return configured
  }
}

function contentsOf(
  configured: Configured,
  request: ReceivedDhcp,
  reply: Reply,
  boot: BootReply | undefined,
): Contents {
  const { serverIp, netmask, autoConfigure } = configured
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

  const vendorClass = boot && configured.vendorClassOf(request)
  if (vendorClass) always.set(VENDOR_CLASS.code, vendorClass)
  return { head, always, ...wishesOf(configured, request, reply.hostname, boot) }
}

function wishesOf(
  { options: told, defaultWishes, echoesHostname }: Configured,
  { options }: ReceivedDhcp,
  hostname: string | undefined,
  boot: BootReply | undefined,
): Pick<Contents, 'wishes' | 'onWish'> {
  const wishes = getOption(options, PARAMETER_LIST) ?? defaultWishes
  return {
    wishes: boot?.isLong ? [BOOT_FILE.code, ...wishes] : wishes,
    onWish: code =>
      code === HOSTNAME.code && hostname !== undefined && echoesHostname
        ? HOSTNAME.encode(hostname)
        : (boot?.options.get(code) ?? told.get(code)),
  }
}

/** The options of a reply, as if there were room for all. */
function inOrder(
  { netmask }: Configured,
  request: ReceivedDhcp,
  { head, always, wishes, onWish }: Contents,
): Options {
  const options = new Map(head)
  for (const code of wishes) {
    const value = options.has(code) ? undefined : (always.get(code) ?? onWish(code))
    if (value === undefined) continue
    // RFC 2132 §3.3: the mask stands before the router.
    if (code === ROUTER.code) options.set(SUBNET_MASK.code, netmask)
    options.set(code, value)
  }
  for (const [code, value] of always) if (!options.has(code)) options.set(code, value)
  // RFC 3046 §2.2: as it came, and last.
  const relayAgent = request.giaddr === 0 ? undefined : getOption(request.options, RELAY_AGENT)
  if (relayAgent) options.set(RELAY_AGENT.code, relayAgent)
  return options
}
