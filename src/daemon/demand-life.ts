/**
 * How long a network on demand is there: as long as a VM is plugged in, and a while before the first and after the last.
 */

import type { Clock } from '../switch/switch.js'

/**
 * How long a network on demand outlives its last port, in ms: a guest that reboots under QEMU's -no-reboot comes back by a
 * new process. No longer, since talosctl 1.13 and older predict the name of the next bridge.
 */
const LINGER = 1000

/** VMs that are waited for at a time: who wants a network again and again without ever coming costs no more. */
const MOST_AWAITED = 256

export interface DemandLifeOptions {
  /** Monotonic ms. */
  clock: Clock
  /** It is over, as far as was known when this was set up: `isOver` tells whether that still holds. */
  onOver: () => void
}

export class DemandLife {
  readonly #options: DemandLifeOptions
  /** When it was wanted for VMs that have not come, the first first: until when they are waited for, in ms. */
  #awaited: number[] = []
  /** VMs that are plugged in, as far as was heard. */
  #ports = 0
  /** When the last VM left, in ms. */
  #emptySince = 0
  #timer: NodeJS.Timeout | undefined
  #isEnded = false

  constructor(options: DemandLifeOptions) {
    this.#options = options
  }

  /** One VM more is expected, within `wait` ms. */
  expect(wait: number): void {
    this.#forgetLate()
    if (this.#awaited.length === MOST_AWAITED) this.#awaited.shift()
    this.#awaited.push(this.#now() + wait)
    this.#schedule()
  }

  /** There are that many VMs now. Called in the middle of whatever a VM does: only timers are set. */
  portsAre(count: number): void {
    this.#forgetLate()
    // Who plugs in is one of those that are waited for.
    for (let come = this.#ports; come < count; come++) this.#awaited.shift()
    this.#ports = count
    if (count === 0) this.#emptySince = this.#now()
    this.#schedule()
  }

  /** Ms until it is over if no VM comes; undefined where there are VMs. */
  get left(): number | undefined {
    return this.#ports > 0 ? undefined : Math.max(0, this.#due - this.#now())
  }

  get isOver(): boolean {
    return this.left === 0
  }

  /** Nothing more is told of it. */
  end(): void {
    this.#isEnded = true
    clearTimeout(this.#timer)
  }

  /** When it is over if no VM comes. */
  get #due(): number {
    return Math.max(this.#emptySince + LINGER, ...this.#awaited)
  }

  /** VMs that did not come in their time are waited for no more: who plugs in takes the place of none of them. */
  #forgetLate(): void {
    const now = this.#now()
    this.#awaited = this.#awaited.filter(until => until > now)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    const { left } = this
    if (left === undefined || this.#isEnded) return
    // A timer may come a little before its time.
    this.#timer = setTimeout(() => (this.isOver ? this.#options.onOver() : this.#schedule()), left)
  }

  #now(): number {
    return this.#options.clock.now()
  }
}
