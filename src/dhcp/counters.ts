// How often what happened in the DHCP server, since the start, by message or by reason.

import { ACK, DECLINE, DISCOVER, INFORM, NAK, OFFER, RELEASE, REQUEST } from './options.js'
import { nameOf } from './events.js'
import { RECEIVE_FAULTS, type ReceiveFault } from './receive.js'

/** Reasons for no answer beyond those of receive.ts. */
const SILENCES = [
  'message-type',
  'malformed',
  'other-server',
  'unknown-client',
  'other-port',
  'no-address',
  'port-limit',
  'probing',
  'not-saved',
  'gone',
] as const

export type DropReason = ReceiveFault | (typeof SILENCES)[number]

type Counts = Record<string, number>

export interface CounterStatus {
  received: Counts
  sent: Counts
  dropped: Counts
}

export class DhcpCounters {
  readonly #received = zeros([DISCOVER, REQUEST, DECLINE, RELEASE, INFORM].map(nameOf))
  readonly #sent = zeros([...[OFFER, ACK, NAK].map(nameOf), 'arp', 'probe'])
  readonly #dropped = zeros([...RECEIVE_FAULTS, ...SILENCES])

  received(name: string): void {
    this.#received[name]!++
  }

  sent(name: string): void {
    this.#sent[name]!++
  }

  drop(reason: DropReason): void {
    this.#dropped[reason]!++
  }

  /** A copy. */
  status(): CounterStatus {
    return { received: { ...this.#received }, sent: { ...this.#sent }, dropped: { ...this.#dropped } }
  }
}

function zeros(names: readonly string[]): Counts {
  return Object.fromEntries(names.map(name => [name, 0]))
}
