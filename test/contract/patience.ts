// Waiting for what must come: an event of the loop at a time, and no longer than a busy machine may need.

import { turn } from '../helpers/frames.js'

/** Milliseconds without any progress after which what is awaited will never come. */
export const PATIENCE = 30_000

/** @throws an error that says what was awaited */
export async function eventually(what: () => string, done: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`in vain for ${PATIENCE / 1000} s: ${what()}`)
    await turn()
  }
}
