// The five messages of a client and what each deserves (RFC 2131 §4.3): the part of the server between a message
// that was received and a reply that is sent.

import type { AddressSearch, Found } from './address-search.js'
import type { DhcpClient } from './client.js'
import type { LeaseCommitter } from './commit.js'
import type { DhcpCounters } from './counters.js'
import type { AddressPool } from './pool.js'
import type { ReceivedDhcp } from './receive.js'
import type { Reply } from './reply.js'
import type { DhcpServerOptions } from './server.js'
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
import { ReplyBuilder, wantsRapidCommit } from './reply.js'
import { judgeRequest } from './request.js'

/**
 * An hour: a VM asks again after half of it, which costs nothing on such a segment, and the address of one
 * that was thrown away is not lost for long.
 */
export const DEFAULT_LEASE_SECONDS = 3600
/** A client that asks for less would keep the disk busy. */
export const LEAST_LEASE_SECONDS = 120

/** Why a DISCOVER stays unanswered, for people; `name` is the event's. */
const NO_OFFER = {
  'no-address': { name: 'exhausted', why: 'no address left' },
  'port-limit': { name: 'limited', why: 'this port holds as many addresses as it may' },
  probing: { name: 'taken', why: 'every address tried is in use' },
  'not-saved': { name: 'refused', why: 'ERR_LEASE_STORE: leases cannot be saved' },
} as const

const CLIENT_TYPES: readonly number[] = [DISCOVER, REQUEST, DECLINE, RELEASE, INFORM]

export interface ExchangeOptions extends DhcpServerOptions {
  pool: AddressPool
  search: AddressSearch
  committer: LeaseCommitter
  counters: DhcpCounters
}

export class Exchange {
  readonly #options: ExchangeOptions
  readonly #leaseSeconds: number
  readonly #replies: ReplyBuilder

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#leaseSeconds = options.leaseSeconds ?? DEFAULT_LEASE_SECONDS
    this.#replies = new ReplyBuilder(options)
  }

  /** Answers a message, now or later, or counts why not. */
  handle(message: ReceivedDhcp, client: DhcpClient): void {
    const { clock, pool, counters } = this.#options
    const type = getOption(message.options, MESSAGE_TYPE)
    const now = clock.now()
    pool.expire(now)
    // Plain BOOTP (no type), what only servers send, and what does not exist.
    if (type === undefined || !CLIENT_TYPES.includes(type)) return counters.drop('message-type')
    counters.received(nameOf(type))
    if (type === DISCOVER) this.#discover(message, client, now)
    else if (type === REQUEST) this.#request(message, client, now)
    else if (type === DECLINE) this.#decline(message, client, now)
    else if (type === RELEASE) this.#release(message, client, now)
    else this.#inform(message, client)
  }

  #discover(message: ReceivedDhcp, client: DhcpClient, now: number): void {
    const wanted = getOption(message.options, option.REQUESTED_IP)
    this.#note(DISCOVER, client, wanted)
    const lease = this.#options.pool.leaseOf(client.key)
    if (this.#options.committer.degraded && !(lease && lease.expires > now))
      return this.#noOffer(message, client, 'not-saved')
    this.#options.search.find(client, wanted, found => this.#offer(message, client, found))
  }

  #offer(message: ReceivedDhcp, client: DhcpClient, found: Found): void {
    if (typeof found === 'string') return this.#noOffer(message, client, found)
    if (wantsRapidCommit(message)) return this.#grant(message, client, found)
    this.#reply(message, client, { type: OFFER, ...this.#terms(message, client, found) })
  }

  #noOffer(message: ReceivedDhcp, client: DhcpClient, reason: keyof typeof NO_OFFER): void {
    this.#options.counters.drop(reason)
    const { name, why } = NO_OFFER[reason]
    logEvent(this.#options.log, 'warn', { type: DISCOVER, client, name, why })
    const reply = reason === 'no-address' ? this.#replies.withoutAddress(message) : undefined
    if (reply) this.#reply(message, client, reply)
  }

  #request(message: ReceivedDhcp, client: DhcpClient, now: number): void {
    const asked = getOption(message.options, option.REQUESTED_IP) ?? message.ciaddr
    this.#note(REQUEST, client, asked)
    const verdict = judgeRequest(this.#options, client, message, now)
    if (verdict.kind === 'silence') return this.#options.counters.drop(verdict.why)
    if (verdict.kind === 'nak') {
      this.#options.pool.withdraw(client.key)
      return this.#reply(message, client, { type: NAK, why: verdict.why })
    }
    // Where nothing was offered, what holds for an offer holds now: the probe, and the bound of the port.
    this.#options.search.check(client, verdict.ip, found => {
      if (typeof found === 'number') return this.#grant(message, client, found)
      const why = found === 'port-limit' ? NO_OFFER[found].why : 'address not available'
      this.#reply(message, client, { type: NAK, why })
    })
  }

  /** Leases the address to one who asked for it, or to a DISCOVER that wants no offer, and says so once that is on disk. */
  #grant(message: ReceivedDhcp, client: DhcpClient, ip: number): void {
    const terms = this.#terms(message, client, ip)
    const { key, mac, clientId, port } = client
    const isRapid = getOption(message.options, MESSAGE_TYPE) === DISCOVER
    const lease = {
      ip,
      key,
      mac,
      ...(clientId && { clientId }),
      ...(terms.hostname !== undefined && { hostname: terms.hostname }),
      expires: this.#options.clock.now() + terms.leaseSeconds * 1000,
    }
    this.#options.committer.commit(lease, outcome => {
      if (outcome === 'stands') {
        return this.#reply(message, client, { type: ACK, ...terms, ...(isRapid && { rapidCommit: true }) })
      }
      if (outcome === 'gone') return this.#options.counters.drop('gone')
      this.#options.counters.drop('not-saved')
      // Who was offered it begins anew; who has it already keeps it for as long as it may.
      if (message.options.has(option.SERVER_ID.code))
        this.#reply(message, client, { type: NAK, why: NO_OFFER['not-saved'].why })
    })
    this.#options.pool.foundAt(ip, port)
  }

  /** The client found another station with its address. Only its own address: no one may drain the pool. */
  #decline(message: ReceivedDhcp, client: DhcpClient, now: number): void {
    const ip = getOption(message.options, option.REQUESTED_IP)
    if (ip === undefined || !this.#isForUs(message)) return this.#options.counters.drop('malformed')
    if (this.#options.pool.leaseOf(client.key)?.ip !== ip && this.#options.pool.offerTo(client.key) !== ip) {
      return this.#options.counters.drop('unknown-client')
    }
    if (this.#isElsewhere(client, ip)) return this.#options.counters.drop('other-port')
    this.#options.pool.decline(client, ip, now)
    this.#options.committer.save()
    const why = 'another station has it, put aside for 10 min'
    logEvent(this.#options.log, 'warn', { type: DECLINE, client, ip, why })
  }

  /** A message that takes an address away counts only from the port that it is behind: it costs nothing to forge. */
  #isElsewhere({ port }: DhcpClient, ip: number): boolean {
    const known = this.#options.pool.portOf(ip)
    return known !== undefined && known !== port
  }

  /** The client leaves; its lease is over and remembered. */
  #release(message: ReceivedDhcp, client: DhcpClient, now: number): void {
    if (message.ciaddr === 0 || !this.#isForUs(message)) return this.#options.counters.drop('malformed')
    const lease = this.#options.pool.leaseOf(client.key)
    if (lease?.ip !== message.ciaddr) return this.#options.counters.drop('unknown-client')
    if (this.#isElsewhere(client, lease.ip)) return this.#options.counters.drop('other-port')
    this.#note(RELEASE, client, lease.ip)
    if (lease.expires <= now) return
    this.#options.pool.end(lease, now)
    this.#options.committer.save()
  }

  /** The client has an address of its own and wants the rest (RFC 2131 §4.3.5). */
  #inform(message: ReceivedDhcp, client: DhcpClient): void {
    const { netmask, network } = this.#options.subnet
    if ((message.ciaddr & netmask) >>> 0 !== network) return this.#options.counters.drop('malformed')
    this.#note(INFORM, client, message.ciaddr)
    const { hostname } = client
    this.#reply(message, client, { type: ACK, yiaddr: 0, ...(hostname !== undefined && { hostname }) })
  }

  /** Address, lease time and name, as they go into an OFFER and into the ACK after it. */
  #terms(
    message: ReceivedDhcp,
    client: DhcpClient,
    ip: number,
  ): { yiaddr: number; leaseSeconds: number; hostname?: string } {
    const wish = getOption(message.options, option.LEASE_TIME) ?? this.#leaseSeconds
    const reserved = this.#options.reservations?.of(client)
    const hostname = reserved?.hostname ?? client.hostname ?? this.#options.pool.leaseOf(client.key)?.hostname
    return {
      yiaddr: ip,
      leaseSeconds: Math.min(this.#leaseSeconds, Math.max(LEAST_LEASE_SECONDS, wish)),
      ...(hostname !== undefined && { hostname }),
    }
  }

  #reply(message: ReceivedDhcp, client: DhcpClient, reply: Reply): void {
    const own = this.#options.reservations?.of(client)?.options
    this.#options.send(this.#replies.frame(message, reply, own))
    this.#options.counters.sent(nameOf(reply.type))
    if (reply.type === NAK) {
      const ip = getOption(message.options, option.REQUESTED_IP) ?? message.ciaddr
      return this.#note(NAK, client, ip, reply.why)
    }
    this.#note(reply.type, client, reply.yiaddr || message.ciaddr)
  }

  #note(type: number, client: DhcpClient, ip: number | undefined, why?: string): void {
    logEvent(this.#options.log, 'info', { type, client, ip, why })
  }

  /**
   * False if it names another server. That these messages name one at all (RFC 2131 table 5) is more than
   * systemd-networkd's RELEASE keeps.
   */
  #isForUs({ options }: ReceivedDhcp): boolean {
    return (
      !options.has(option.SERVER_ID.code) || getOption(options, option.SERVER_ID) === this.#options.serverIp
    )
  }
}
