/**
 * Frames a second over a way with a window: as many are on the way as the window has, so that no queue overflows,
 * and what is lost is lost and not crowded out.
 */

import { setImmediate as turn } from 'node:timers/promises'
import { Interrupted } from './wait.js'

/** Frames on the way at a time: 96 KiB of 1500 bytes, under every queue that they pass. */
export const WINDOW = 64
/** After this long without one that arrives, in ms, those on the way are taken for lost. */
const STALL = 500
/** How long the last ones are waited for, in ms. */
const LAST_LIMIT = 2000

export interface Way {
  /** Sends that many frames, WINDOW at most. */
  send(frames: number): void
  /** How many came out so far. */
  received(): number
}

export interface Rate {
  sent: number
  received: number
  /** Of the frames that arrived while it was sent, a second. */
  framesPerSecond: number
}

/** Sends for `ms`, then waits for the last ones. @throws Interrupted */
export async function measure(way: Way, ms: number, now: () => number, signal: AbortSignal): Promise<Rate> {
  const before = way.received()
  const start = now()
  let sent = 0
  let given = 0
  let last = 0
  let progress = start
  const look = (): number => {
    const received = way.received() - before
    if (received > last) progress = now()
    last = received
    return received
  }
  while (now() - start < ms) {
    if (signal.aborted) throw new Interrupted()
    if (now() - progress > STALL) {
      given = sent - look()
      progress = now()
    }
    const room = WINDOW - (sent - given - look())
    if (room > 0) {
      const frames = Math.min(room, WINDOW)
      way.send(frames)
      sent += frames
    }
    await turn()
  }
  const arrived = look()
  const took = now() - start
  for (progress = now(); look() < sent && now() - progress < LAST_LIMIT;) {
    if (signal.aborted) throw new Interrupted()
    await turn()
  }
  return { sent, received: last, framesPerSecond: (arrived / took) * 1000 }
}
