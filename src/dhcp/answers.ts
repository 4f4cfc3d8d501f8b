// DHCP answered from reservations alone, as talosctl's own server does it: no pool, no leases, no state. A DISCOVER is
// answered by an OFFER, a REQUEST and an INFORM by an ACK, whatever address or server they name: a client has one
// address, and is told it. Who has no reservation hears nothing; a DECLINE and a RELEASE change nothing.
//
// What is kept beside is for people: when each client had its last ACK. It goes with its reservation, and so is
// bounded by their number.

import type { DhcpClock } from './clock.js'
import type { DhcpLog } from './lease-store.js'
import type { Reservation, Reservations } from './reservations.js'
import type { DhcpStatus, LeaseStatus } from './status.js'
import { ETHERNET_HEADER, ETHERTYPE_ARP, etherType } from '../wire/ethernet.js'
import type { Mac } from '../wire/mac.js'
import { ANSWER_LEASE_SECONDS, answerFrame, type Answerer } from './answer-reply.js'
import { arpAnswer } from './arp-answer.js'
import { clientOf, type DhcpClient } from './client.js'
import { DhcpCounters } from './counters.js'
import { logEvent, nameOf } from './events.js'
import * as option from './options.js'
import {
  ACK,
  DECLINE,
  DISCOVER,
  getOption,
  INFORM,
  MESSAGE_TYPE,
  OFFER,
  RELEASE,
  REQUEST,
} from './options.js'
import { type DhcpAddresses, receiveDhcp, type ReceivedDhcp, segmentAddresses } from './receive.js'
import { ofLease } from './status.js'

export interface AnswersOptions extends Answerer {
  reservations: Pick<Reservations, 'of' | 'at' | 'list'>
  clock: Pick<DhcpClock, 'now'>
  log: DhcpLog
  /** Takes a whole Ethernet frame, to keep; must not throw. */
  send(frame: Uint8Array): void
  /** True where no host has `serverIp`: the server answers ARP for it. */
  answersArp: boolean
}

/** The message that answers each; none to the last two. */
const ANSWERS: ReadonlyMap<number, typeof OFFER | typeof ACK | undefined> = new Map([
  [DISCOVER, OFFER],
  [REQUEST, ACK],
  [INFORM, ACK],
  [DECLINE, undefined],
  [RELEASE, undefined],
])

/** The last ACK of a client that has a reservation. */
interface Told {
  readonly client: DhcpClient
  /** Ms since the epoch. */
  readonly expires: number
}

export class Answers {
  readonly #options: AnswersOptions
  readonly #addresses: DhcpAddresses
  readonly #counters = new DhcpCounters()
  readonly #told = new WeakMap<Reservation, Told>()

  constructor(options: AnswersOptions) {
    this.#options = options
    this.#addresses = segmentAddresses(options.serverIp, options.subnet)
  }

  /**
   * Takes the Ethernet frame of `length` octets at `at` of `bytes`, which are borrowed for the call, from the port of
   * that name. Answers, or counts why not; never throws.
   */
  handleFrame(bytes: Uint8Array, at: number, length: number, portName: string): void {
    const { answersArp, serverIp, serverMac } = this.#options
    if (length >= ETHERNET_HEADER && etherType(bytes, at) === ETHERTYPE_ARP) {
      const answer = answersArp ? arpAnswer(bytes, at, length, serverIp, serverMac) : undefined
      if (answer) this.#send(answer, 'arp')
      return
    }
    const message = receiveDhcp(bytes, at, length, this.#addresses)
    if (typeof message === 'string') this.#counters.drop(message)
    else this.#answer(message, clientOf(message, portName))
  }

  #answer(message: ReceivedDhcp, client: DhcpClient): void {
    const { reservations, clock, log } = this.#options
    const type = getOption(message.options, MESSAGE_TYPE)
    if (type === undefined || !ANSWERS.has(type)) return this.#counters.drop('message-type')
    this.#counters.received(nameOf(type))
    const asked = getOption(message.options, option.REQUESTED_IP) ?? message.ciaddr
    // By the hardware address alone, whatever the client calls itself.
    const reservation = reservations.of({ mac: client.mac })
    const why = reservation === undefined ? 'no reservation' : undefined
    logEvent(log, 'info', { type, client, ip: asked, why })
    if (reservation === undefined) return this.#counters.drop('unknown-client')
    const answer = ANSWERS.get(type)
    if (answer === undefined) return
    if (type === REQUEST)
      this.#told.set(reservation, { client, expires: clock.now() + ANSWER_LEASE_SECONDS * 1000 })
    this.#send(answerFrame(this.#options, message, reservation, answer), nameOf(answer))
    logEvent(log, 'info', { type: answer, client, ip: reservation.ip })
  }

  #send(frame: Uint8Array, name: string): void {
    this.#options.send(frame)
    this.#counters.sent(name)
  }

  /** Forgets when the client at the address, or of the MAC, had its last ACK; what was known of it. */
  async release(what: { ip: number } | { mac: Mac }): Promise<LeaseStatus[]> {
    const { reservations, clock } = this.#options
    const reservation = 'ip' in what ? reservations.at(what.ip) : reservations.of(what)
    const lease = reservation && this.#leaseOf(reservation)
    if (reservation === undefined || lease?.state !== 'bound') return []
    this.#told.delete(reservation)
    return [{ ...lease, state: 'expired', expires: new Date(clock.now()).toISOString() }]
  }

  /** When the client at an address had its last ACK, as a lease. */
  at(ip: number): LeaseStatus | undefined {
    const reservation = this.#options.reservations.at(ip)
    return reservation && this.#leaseOf(reservation)
  }

  /** For `status`; plain data. Nothing is leased to whoever comes, so there is no range. */
  status(): Omit<DhcpStatus, 'range'> & { range?: never } {
    const leases = this.#options.reservations.list().map(each => this.#leaseOf(each))
    return {
      exclude: [],
      free: 0,
      leases: leases.filter(lease => lease !== undefined),
      conflicts: [],
      counters: this.#counters.status(),
      degraded: false,
    }
  }

  #leaseOf(reservation: Reservation): LeaseStatus | undefined {
    const told = this.#told.get(reservation)
    if (told === undefined) return undefined
    const { client, expires } = told
    const hostname = reservation.hostname ?? client.hostname
    const lease = { ...client, ip: reservation.ip, expires, ...(hostname !== undefined && { hostname }) }
    return ofLease(lease, this.#options.clock.now())
  }
}
