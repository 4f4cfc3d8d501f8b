// Moving frames from one end to another: streams of them at a pace that the receiver sets, so that nothing has a
// reason to get lost, and short lists that are compared frame by frame.

import { LENGTH_BYTES } from '../../src/switch/run.js'
import { turn } from '../helpers/frames.js'
import type { End } from './end.js'
import { eventually, PATIENCE } from './patience.js'
import { FrameCheck, FrameStream, type StreamFields } from './stream.js'

/** What may be on its way: less than any queue between two ends holds, in frames and in bytes. */
const WINDOW = 768
const WINDOW_BYTES = 160 * 1024

/** Frames that are written together, at most. */
const BURST = 192

/** Nothing is wrong: a word, so that an assertion that fails shows what is. */
export const SAME = 'the same frames'

export interface Carried {
  frames: number
  bytes: number
  /** SAME when every frame came as it was sent, in order, once. */
  fault: string
}

/** Sends `count` frames of a stream from one end to the other, and compares all that comes. */
export async function carry(from: End, to: End, count: number, fields: StreamFields): Promise<Carried> {
  const stream = new FrameStream(fields)
  const arrived = new FrameCheck(fields)
  const run = Buffer.alloc(WINDOW_BYTES + 65_540)
  let sentBytes = 0
  let filled = 0
  let put = 0
  let progress = performance.now()
  while (arrived.count < count && arrived.fault === '') {
    if (put === filled) {
      filled = put = 0
      const room = Math.min(count - stream.count, BURST, WINDOW - (stream.count - arrived.count))
      for (let i = 0; i < room && sentBytes - arrived.bytes < WINDOW_BYTES; i++) {
        const length = stream.next(run, filled + LENGTH_BYTES)
        run.writeUInt32BE(length, filled)
        filled += LENGTH_BYTES + length
        sentBytes += length
      }
    }
    if (put < filled) put += from.put(run.subarray(put, filled))
    await turn()
    if (to.take(stream.count - arrived.count, arrived.check) > 0) progress = performance.now()
    else if (performance.now() - progress > PATIENCE) arrived.fault = `frame ${arrived.count}: never came`
  }
  return { frames: arrived.count, bytes: arrived.bytes, fault: arrived.fault || SAME }
}

/** Writes all of a run, however long the end takes to accept it. */
export async function putAll(end: End, run: Buffer): Promise<void> {
  let at = 0
  await eventually(
    () => `room for ${run.length - at} bytes`,
    () => (at += end.put(run.subarray(at))) === run.length,
  )
}

/** Waits for `count` frames at an end, and returns copies. */
export async function receive(end: End, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = []
  const keep = (bytes: Buffer, at: number, length: number) =>
    void frames.push(Buffer.from(bytes.subarray(at, at + length)))
  await eventually(
    () => `frame ${frames.length} of ${count}`,
    () => {
      end.take(count - frames.length, keep)
      return frames.length === count
    },
  )
  return frames
}

/** How the first frame that differs does; SAME when both lists are, byte for byte. */
export function difference(got: readonly Uint8Array[], wanted: readonly Uint8Array[]): string {
  for (let i = 0; i < Math.max(got.length, wanted.length); i++) {
    if (i >= got.length) return `frame ${i} of ${wanted.length} is missing`
    if (i >= wanted.length) return `a frame of ${got[i].length} bytes came after all ${wanted.length}`
    if (Buffer.compare(got[i], wanted[i]) === 0) continue
    const place = wanted.findIndex(each => Buffer.compare(each, got[i]) === 0)
    if (place >= 0) return `frame ${place} came in the place of frame ${i}`
    if (got[i].length !== wanted[i].length)
      return `frame ${i} has ${got[i].length} bytes, not ${wanted[i].length}`
    return `frame ${i} differs from byte ${got[i].findIndex((byte, at) => byte !== wanted[i][at])} on`
  }
  return SAME
}
