/**
 * Waiting with a limit: everything that the self-test waits for is asked for here, so that nothing holds it up for
 * ever, and Ctrl-C ends every wait at once.
 */

import { setTimeout as sleepFor } from 'node:timers/promises'

/** How often, in ms, what tells nobody of its changes (the kernel's tables) is looked at. */
const POLL_PAUSE = 10

/** Thrown out of every wait by Ctrl-C. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted')
  }
}

/** Sleeps `ms`. @throws Interrupted */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, { signal })
  } catch {
    throw new Interrupted()
  }
}

/** What `look` gives as soon as that is something, or undefined after `ms`. @throws Interrupted */
export async function poll<T>(
  look: () => T | undefined | Promise<T | undefined>,
  ms: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  const until = performance.now() + ms
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() >= until) return undefined
    await sleep(POLL_PAUSE, signal)
  }
}

/** What `promise` comes to, or undefined after `ms`: it may go on, unheard. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = new AbortController()
  try {
    return await Promise.race([promise, sleepFor(ms, undefined, { signal: late.signal })])
  } finally {
    late.abort()
  }
}

/** Those who wait for something that is told, by `wake`, when it may have changed. */
export class Watchers {
  readonly #looks = new Set<() => void>()

  wake(): void {
    for (const look of this.#looks) look()
  }

  /** What `look` gives as soon as that is something, or undefined after `ms`. @throws Interrupted */
  until<T>(look: () => T | undefined, ms: number, signal: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', interrupt)
        this.#looks.delete(again)
        settle()
      }
      const interrupt = (): void => finish(() => reject(new Interrupted()))
      const again = (): void => {
        const found = look()
        if (found !== undefined) finish(() => resolve(found))
      }
      const timer = setTimeout(() => finish(() => resolve(look())), ms)
      this.#looks.add(again)
      signal.addEventListener('abort', interrupt)
      if (signal.aborted) interrupt()
      else again()
    })
  }
}
