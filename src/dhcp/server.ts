// The segment's DHCP server (RFC 2131): one more host on the switch. Frames come in by handleFrame(), whole
// and borrowed; replies leave by send(). What is in between:
//
//   receive.ts   frame -> message, or the reason why not
//   request.ts   what a DHCPREQUEST deserves
//   pool.ts      which address, from leases, offers and declines
//   commit.ts    an ACK waits until its lease is on disk
//   reply.ts     options and addressing of what we send
//
// Nothing a station sends throws, and no table outgrows the pool.

import type { DhcpMessage } from '../wire/dhcp.js'
import type { Ipv4Range } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import type { DhcpClient } from './client.js'
import type { DhcpLog, LeaseStore } from './lease-store.js'
import type { Reply, SegmentOptions } from './reply.js'
import type { DhcpStatus } from './status.js'
import { ETHERNET_HEADER, ETHERTYPE_ARP, etherType } from '../wire/ethernet.js'
import { formatIpv4Range, IPV4_BROADCAST } from '../wire/ipv4.js'
import { arpAnswer } from './arp-answer.js'
import { clientOf } from './client.js'
import { LeaseCommitter } from './commit.js'
import { logEvent, nameOf } from './events.js'
import * as option from './options.js'
import {
  ACK,
  DECLINE,
  DISCOVER,
  getOption,
  INFORM,
  MESSAGE_TYPE,
  NAK,
  OFFER,
  RELEASE,
  REQUEST,
} from './options.js'
import { AddressPool } from './pool.js'
import { RECEIVE_FAULTS, receiveDhcp } from './receive.js'
import { ReplyBuilder } from './reply.js'
import { judgeRequest } from './request.js'
import { leaseStatus } from './status.js'

/**
 * An hour: a VM asks again after half of it, which costs nothing on such a segment, and the address of one
 * that was thrown away is not lost for long.
 */
export const DEFAULT_LEASE_SECONDS = 3600
/** A client that asks for less would keep the disk busy. */
export const LEAST_LEASE_SECONDS = 120

export interface DhcpServerOptions extends SegmentOptions {
  range: Ipv4Range
  exclude?: readonly Ipv4Range[]
  /** The longest lease, in seconds; clients may ask for less, down to LEAST_LEASE_SECONDS. */
  leaseSeconds?: number
  /** Milliseconds since the epoch. */
  clock: { now(): number }
  store: LeaseStore
  log: DhcpLog
  /** Takes a whole Ethernet frame, to keep; must not throw. */
  send(frame: Uint8Array): void
  /** True where no host has `serverIp`: the server answers ARP for it. */
  answersArp: boolean
  /** True if a station other than the one with `mac` claims `ip`: it is not leased then. */
  isClaimed?: (ip: number, mac: Mac) => boolean
}

/** Reasons for no answer beyond those of receive.ts. */
const SILENCES = [
  'message-type',
  'malformed',
  'other-server',
  'unknown-client',
  'no-address',
  'not-saved',
] as const

const CLIENT_TYPES: readonly number[] = [DISCOVER, REQUEST, DECLINE, RELEASE, INFORM]

export class DhcpServer {
  readonly #options: DhcpServerOptions
  readonly #leaseSeconds: number
  readonly #pool: AddressPool
  readonly #committer: LeaseCommitter
  readonly #replies: ReplyBuilder
  readonly #received = countersOf(CLIENT_TYPES.map(nameOf))
  readonly #sent = countersOf([...[OFFER, ACK, NAK].map(nameOf), 'arp'])
  readonly #dropped = countersOf([...RECEIVE_FAULTS, ...SILENCES])
  #isOpen = false

  /** Throws ERR_DHCP_RANGE if there is nothing to lease; start() opens it. */
  constructor(options: DhcpServerOptions) {
    const { subnet, range, serverIp, router, exclude = [], isClaimed, clock, store, log } = options
    const own = [serverIp, subnet.address, router ?? serverIp].map(ip => ({ first: ip, last: ip }))
    this.#options = options
    this.#leaseSeconds = options.leaseSeconds ?? DEFAULT_LEASE_SECONDS
    this.#pool = new AddressPool({
      subnet,
      range,
      exclude: [...exclude, ...own],
      ...(isClaimed && { isClaimed }),
    })
    this.#committer = new LeaseCommitter({ pool: this.#pool, store, log, clock })
    this.#replies = new ReplyBuilder(options)
  }

  /** Loads the leases; frames are ignored before. Leases outside of the range are forgotten. */
  async start(): Promise<void> {
    const { store, log } = this.#options
    let outside = 0
    for (const lease of await store.load()) {
      if (this.#pool.has(lease.ip)) this.#pool.put(lease)
      else outside++
    }
    if (outside > 0)
      log.warn({ event: 'dhcp.store', outside }, `forgot ${outside} leases outside of the range`)
    this.#isOpen = true
  }

  /** Takes no more frames, and resolves when every ACK that waits for the disk has left or was refused. */
  async close(): Promise<void> {
    this.#isOpen = false
    await this.flush()
  }

  /** Resolves when nothing waits for the disk. */
  flush(): Promise<void> {
    return this.#committer.flush()
  }

  /**
   * Takes the Ethernet frame of `length` octets at `at` of `bytes`, which are borrowed for the call, from
   * the port of that name. Answers, or counts why not; never throws.
   */
  handleFrame(bytes: Uint8Array, at: number, length: number, portName: string): void {
    if (!this.#isOpen) return
    if (length >= ETHERNET_HEADER && etherType(bytes, at) === ETHERTYPE_ARP) {
      if (this.#options.answersArp) this.#answerArp(bytes, at, length)
      return
    }
    const message = receiveDhcp(bytes, at, length, this.#isOurs)
    if (typeof message === 'string') this.#drop(message)
    else this.#handle(message, clientOf(message, portName))
  }

  /** For `status`; plain data. */
  status(): DhcpStatus {
    const { range, exclude = [], clock } = this.#options
    const now = clock.now()
    this.#pool.expire(now)
    return {
      range: formatIpv4Range(range),
      exclude: exclude.map(formatIpv4Range),
      free: this.#pool.free(now),
      leases: leaseStatus(this.#pool, now),
      counters: { received: { ...this.#received }, sent: { ...this.#sent }, dropped: { ...this.#dropped } },
      degraded: this.#committer.degraded,
    }
  }

  readonly #isOurs = (destination: number): boolean => {
    const { serverIp, subnet } = this.#options
    return destination === serverIp || destination === IPV4_BROADCAST || destination === subnet.broadcast
  }

  #handle(message: DhcpMessage, client: DhcpClient): void {
    const type = getOption(message.options, MESSAGE_TYPE)
    const now = this.#options.clock.now()
    this.#pool.expire(now)
    // Plain BOOTP (no type), what only servers send, and what does not exist.
    if (type === undefined || !CLIENT_TYPES.includes(type)) return this.#drop('message-type')
    this.#received[nameOf(type)]!++
    if (type === DISCOVER) this.#discover(message, client, now)
    else if (type === REQUEST) this.#request(message, client, now)
    else if (type === DECLINE) this.#decline(message, client, now)
    else if (type === RELEASE) this.#release(message, client, now)
    else this.#inform(message, client)
  }

  #discover(message: DhcpMessage, client: DhcpClient, now: number): void {
    const wanted = getOption(message.options, option.REQUESTED_IP)
    this.#note(DISCOVER, client, wanted)
    const ip = this.#pool.offer(client, wanted, now)
    if (ip === undefined) {
      this.#drop('no-address')
      const event = { type: DISCOVER, client, name: 'exhausted', why: 'no address left' }
      return logEvent(this.#options.log, 'warn', event)
    }
    this.#reply(message, client, { type: OFFER, ...this.#terms(message, client, ip) })
  }

  #request(message: DhcpMessage, client: DhcpClient, now: number): void {
    const asked = getOption(message.options, option.REQUESTED_IP) ?? message.ciaddr
    this.#note(REQUEST, client, asked)
    const verdict = judgeRequest({ ...this.#options, pool: this.#pool }, client, message, now)
    if (verdict.kind === 'silence') return this.#drop(verdict.why)
    if (verdict.kind === 'nak') {
      this.#pool.withdraw(client.key)
      return this.#reply(message, client, { type: NAK, why: verdict.why })
    }
    const terms = this.#terms(message, client, verdict.ip)
    const { key, mac, clientId } = client
    const lease = {
      ip: verdict.ip,
      key,
      mac,
      ...(clientId && { clientId }),
      ...(terms.hostname !== undefined && { hostname: terms.hostname }),
      expires: now + terms.leaseSeconds * 1000,
    }
    this.#committer.commit(lease, stands => {
      if (!stands) return this.#drop('not-saved')
      this.#reply(message, client, { type: ACK, ...terms })
    })
  }

  /** The client found another station with its address. Only its own address: no one may drain the pool. */
  #decline(message: DhcpMessage, client: DhcpClient, now: number): void {
    const ip = getOption(message.options, option.REQUESTED_IP)
    if (ip === undefined || !this.#isForUs(message)) return this.#drop('malformed')
    if (this.#pool.leaseOf(client.key)?.ip !== ip && this.#pool.offerTo(client.key) !== ip) {
      return this.#drop('unknown-client')
    }
    this.#pool.decline(client, ip, now)
    this.#committer.save()
    const why = 'another station has it, put aside for 10 min'
    logEvent(this.#options.log, 'warn', { type: DECLINE, client, ip, why })
  }

  /** The client leaves; its lease is over and remembered. */
  #release(message: DhcpMessage, client: DhcpClient, now: number): void {
    if (message.ciaddr === 0 || !this.#isForUs(message)) return this.#drop('malformed')
    const lease = this.#pool.leaseOf(client.key)
    if (lease?.ip !== message.ciaddr) return this.#drop('unknown-client')
    this.#note(RELEASE, client, lease.ip)
    if (lease.expires <= now) return
    this.#pool.put({ ...lease, expires: now })
    this.#committer.save()
  }

  /** The client has an address of its own and wants the rest (RFC 2131 §4.3.5). */
  #inform(message: DhcpMessage, client: DhcpClient): void {
    const { netmask, network } = this.#options.subnet
    if ((message.ciaddr & netmask) >>> 0 !== network) return this.#drop('malformed')
    this.#note(INFORM, client, message.ciaddr)
    const { hostname } = client
    this.#reply(message, client, { type: ACK, yiaddr: 0, ...(hostname !== undefined && { hostname }) })
  }

  /** Address, lease time and name, as they go into an OFFER and into the ACK after it. */
  #terms(
    message: DhcpMessage,
    client: DhcpClient,
    ip: number,
  ): { yiaddr: number; leaseSeconds: number; hostname?: string } {
    const wish = getOption(message.options, option.LEASE_TIME) ?? this.#leaseSeconds
    const hostname = client.hostname ?? this.#pool.leaseOf(client.key)?.hostname
    return {
      yiaddr: ip,
      leaseSeconds: Math.min(this.#leaseSeconds, Math.max(LEAST_LEASE_SECONDS, wish)),
      ...(hostname !== undefined && { hostname }),
    }
  }

  #reply(message: DhcpMessage, client: DhcpClient, reply: Reply): void {
    this.#options.send(this.#replies.frame(message, reply))
    this.#sent[nameOf(reply.type)]!++
    if (reply.type === NAK) {
      const ip = getOption(message.options, option.REQUESTED_IP) ?? message.ciaddr
      return this.#note(NAK, client, ip, reply.why)
    }
    this.#note(reply.type, client, reply.yiaddr || message.ciaddr)
  }

  #note(type: number, client: DhcpClient, ip: number | undefined, why?: string): void {
    logEvent(this.#options.log, 'info', { type, client, ip, why })
  }

  #isForUs({ options }: DhcpMessage): boolean {
    return getOption(options, option.SERVER_ID) === this.#options.serverIp
  }

  #answerArp(bytes: Uint8Array, at: number, length: number): void {
    const { serverIp, serverMac } = this.#options
    const answer = arpAnswer(bytes, at, length, serverIp, serverMac)
    if (!answer) return
    this.#options.send(answer)
    this.#sent.arp!++
  }

  #drop(reason: string): void {
    this.#dropped[reason]!++
  }
}

function countersOf(names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map(name => [name, 0]))
}
