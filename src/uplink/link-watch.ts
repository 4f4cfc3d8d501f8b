/**
 * Notices what vmnet does not tell: that the machine has slept, and that the interface which is bridged has gone, lost its
 * carrier, or has it again. By looking every two seconds, since Node hears of neither; whoever wants to look at something
 * of its own does so with it.
 */

import { native } from '../native.js'

/** Milliseconds between two looks. */
const INTERVAL = 2000
/** Shorter sleeps, in ms, break nothing. */
const SHORTEST_SLEEP = 5000

export type LinkState = 'missing' | 'down' | 'up'

export interface LinkWatchOptions {
  /** The interface to watch, if any. */
  interface?: string
  /** Called at every look. */
  onLook: () => void
  /** @param ms how long the machine slept */
  onWake: (ms: number) => void
  onLink: (state: LinkState, before: LinkState) => void
  system?: WatchedSystem
}

/** What the watch asks of the system; a parameter for the tests. */
export interface WatchedSystem {
  sleptFor(): number
  /** Undefined when it cannot be asked now. */
  linkOf(name: string): { state: LinkState } | undefined
  /** Calls `look` every `ms`, until what it returns is called. */
  every(ms: number, look: () => void): () => void
}

const SYSTEM: WatchedSystem = {
  sleptFor: () => native.sleptFor(),
  linkOf: name => native.linkOf(name),
  every(ms, look) {
    const timer = setInterval(look, ms)
    return () => clearInterval(timer)
  },
}

export class LinkWatch {
  readonly #options: LinkWatchOptions
  readonly #system: WatchedSystem
  readonly #end: () => void
  #slept: number
  #link: LinkState = 'up'

  constructor(options: LinkWatchOptions) {
    this.#options = options
    this.#system = options.system ?? SYSTEM
    this.#slept = this.#system.sleptFor()
    this.#end = this.#system.every(INTERVAL, () => this.#look())
  }

  close(): void {
    this.#end()
  }

  #look(): void {
    const { interface: name, onLook, onWake, onLink } = this.#options
    const slept = this.#system.sleptFor()
    const since = slept - this.#slept
    this.#slept = slept
    const before = this.#link
    if (name !== undefined) this.#link = this.#system.linkOf(name)?.state ?? before
    if (this.#link !== before) onLink(this.#link, before)
    if (since >= SHORTEST_SLEEP) onWake(since)
    else onLook()
  }
}
