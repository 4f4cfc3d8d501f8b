/**
 * VMs that were not let in: counted, and said once a minute at most, since a local user can come as often as he likes.
 */

/** `reason` for people; `refused` so far. */
export type OnRefused = (reason: string, refused: number) => void

const SAY_AGAIN_AFTER = 60_000

export class Refusals {
  count = 0
  readonly #onRefused: OnRefused
  #saidAt = -Infinity

  constructor(onRefused: OnRefused) {
    this.#onRefused = onRefused
  }

  add(reason: string): void {
    this.count++
    const now = performance.now()
    if (now - this.#saidAt < SAY_AGAIN_AFTER) return
    this.#saidAt = now
    this.#onRefused(reason, this.count)
  }
}
