/**
 * A Unix socket that somebody else listens on, dialled until it answers and again whenever it goes, with pauses that
 * double up to a limit.
 *
 * The path is the operator's, and is followed as connect() follows it, symbolic links included: whoever may write to
 * its folder chooses who answers, and gets the frames of the segment. For a daemon that runs as root it belongs in a
 * folder that nobody else writes to; with --user it is not root that dials, but for the first attempt.
 */

import { hasCode } from '../errors.js'
import { native } from '../native.js'

/** The first pause between two attempts, in ms. */
const FIRST_PAUSE = 100
/** A connection that lived this long, in ms, was a good one: the pauses begin anew. */
const SETTLED = 10_000

export interface RedialClock {
  /** Milliseconds that never go back. */
  now(): number
  /** Calls once, `ms` from now, unless the function that it returns was called before. */
  after(ms: number, call: () => void): () => void
}

export interface RedialOptions {
  path: string
  /** The longest pause, in ms. */
  lastPause: number
  /** Makes a port of the connection, which calls `lost` when it ends. Owns `fd`, also when it throws. */
  onConnected: (fd: number) => void
  /** It went (`wasUp`), or could not be had at first. Not called for each attempt that fails. */
  onDown: (reason: string, wasUp: boolean) => void
  clock?: RedialClock
}

const SYSTEM_CLOCK: RedialClock = {
  now: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}

export class Redial {
  readonly path: string
  /** Why it is not connected; undefined while it is. */
  down: string | undefined = 'not connected yet'
  readonly #options: RedialOptions
  #isSaid = false
  #isClosed = false
  #pause = FIRST_PAUSE
  #connectedAt = 0
  #cancel = (): void => {}
  readonly #clock: RedialClock

  constructor(options: RedialOptions) {
    this.path = options.path
    this.#options = options
    this.#clock = options.clock ?? SYSTEM_CLOCK
  }

  /** Tries at once, and goes on until `close`. */
  dial(): void {
    try {
      // Not waiting: where the backlog is full, a blocking connect would stop the whole switch.
      this.#options.onConnected(native.dial(this.path, true))
    } catch (error) {
      return this.lost(reasonOf(error))
    }
    this.#connectedAt = this.#clock.now()
    this.#isSaid = false
    this.down = undefined
  }

  /** The connection ended by itself. */
  lost(reason: string): void {
    if (this.#isClosed) return
    const wasUp = this.down === undefined
    this.down = reason
    if (!this.#isSaid) this.#options.onDown(reason, wasUp)
    this.#isSaid = true
    if (wasUp && this.#clock.now() - this.#connectedAt >= SETTLED) this.#pause = FIRST_PAUSE
    this.#cancel = this.#clock.after(this.#pause, () => this.dial())
    this.#pause = Math.min(this.#pause * 2, this.#options.lastPause)
  }

  /** No more attempts; the connection is its port's to close. */
  close(): void {
    this.#isClosed = true
    this.#cancel()
    this.down = 'closed'
  }
}

function reasonOf(error: unknown): string {
  // QEMU takes one connection at a time; who comes next waits in its backlog, and then there is no more room.
  if (hasCode(error, 'EAGAIN')) return 'it has a connection, and no room for another'
  return error instanceof Error ? error.message : String(error)
}
