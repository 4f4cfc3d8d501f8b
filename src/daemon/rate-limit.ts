/**
 * So many messages a second from each port, and no more: a token bucket a port, kept as the time when it will be
 * full again (the virtual scheduling of ITU-T I.371), so that a message costs one compare and one store.
 */

import { MAX_PORTS } from '../switch/switch.js'

export interface Rate {
  perSecond: number
  /** Messages that may come at once after a silence. */
  burst: number
}

export class RateLimit {
  /** By port id, in ms: when the bucket is full. */
  readonly #full = new Float64Array(MAX_PORTS).fill(-Infinity)
  /** Of one message, in ms. */
  readonly #cost: number
  readonly #depth: number

  constructor({ perSecond, burst }: Rate) {
    this.#cost = 1000 / perSecond
    this.#depth = burst * this.#cost
  }

  /** Whether a port may say one more at `now` (ms, never going back). */
  admit(id: number, now: number): boolean {
    const full = Math.max(this.#full[id], now) + this.#cost
    if (full - now > this.#depth) return false
    this.#full[id] = full
    return true
  }

  /** A full bucket, as for a port that was silent. */
  reset(id: number): void {
    this.#full[id] = -Infinity
  }
}
