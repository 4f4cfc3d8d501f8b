/**
 * Asks the resolvers of the host one after the other until one answers.
 */

import { turnIntoServerFailure } from '../wire/dns.js'
import type { Ask } from './ask.js'

/** Milliseconds for each resolver: a client waits 5 s in all, and there are up to three. */
export const PATIENCE = 1500
/** Milliseconds that queries go first to the one that answered in place of the first: not each waits for a dead one. */
const PREFERENCE = 30_000

export interface UpstreamOptions {
  /** Addresses, at this moment. */
  resolvers: () => readonly string[]
  port: number
  /** Milliseconds. */
  patience: number
  /** Monotonic ms. */
  now: () => number
  random32: () => number
}

export class Upstream {
  readonly #options: UpstreamOptions
  #preferred: string | undefined
  #preferredUntil = 0

  constructor(options: UpstreamOptions) {
    this.#options = options
  }

  /**
   * The answer of the first resolver that gives one, else SERVFAIL; undefined once it is given up.
   * @param query becomes the upstream's
   */
  async ask(how: Ask, query: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
    const { port, patience, now, random32 } = this.#options
    const resolvers = this.#inOrder()
    for (const resolver of resolvers) {
      // One that cannot be asked at all, for want of a descriptor or of that family, has no answer either.
      const answer = await how(query, { resolver, port, patience, signal, random32 }).catch(() => undefined)
      if (signal.aborted) return undefined
      if (answer === undefined) continue
      if (resolver !== resolvers[0]) {
        this.#preferred = resolver
        this.#preferredUntil = now() + PREFERENCE
      }
      return answer
    }
    turnIntoServerFailure(query)
    return query
  }

  #inOrder(): readonly string[] {
    const resolvers = this.#options.resolvers()
    const preferred = this.#preferred
    if (preferred === undefined || !resolvers.includes(preferred)) return resolvers
    if (this.#options.now() >= this.#preferredUntil) return resolvers
    return [preferred, ...resolvers.filter(resolver => resolver !== preferred)]
  }
}
