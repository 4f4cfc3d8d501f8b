// Frames and framed runs for tests: built whole, filled with a pattern that shows where a byte came from, and
// taken apart again by code that shares nothing with the switch's own walk.

import { emitEthernet } from '../../src/wire/ethernet.js'
import { MAC_BROADCAST, type Mac } from '../../src/wire/mac.js'

/** An experimental EtherType (IEEE 802 local): nothing inspects it. */
export const PLAIN_TYPE = 0x88b5

/** The address of the nth station. */
export const station = (n: number): Mac => ({ hi: 0x5254, lo: n })

export interface FrameFields {
  to?: Mac
  from?: Mac
  type?: number
  /** Length of the whole frame in bytes; under 14 the header is cut. */
  length?: number
  /** Changes the payload, so that frames between the same stations differ. */
  seed?: number
}

export function frame(fields: FrameFields = {}): Uint8Array {
  const { to = MAC_BROADCAST, from = station(1), type = PLAIN_TYPE, length = 60, seed = 0 } = fields
  const bytes = new Uint8Array(Math.max(length, 14))
  for (let i = 14; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed * 13) & 0xff
  emitEthernet(bytes, 0, { destination: to, source: from, type })
  return bytes.subarray(0, length)
}

/** The frames one behind the other, each after its length as 32 bits big-endian. */
export function runOf(...frames: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap(each => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(each.length)
      return [length, each]
    }),
  )
}

/** The frames of a run that must hold whole ones only. */
export function framesOf(run: Uint8Array): Buffer[] {
  const bytes = Buffer.from(run.buffer, run.byteOffset, run.byteLength)
  const frames: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at)
    if (end > bytes.length) throw new Error(`the run ends inside the frame at ${at}`)
    frames.push(bytes.subarray(at + 4, end))
    at = end
  }
  return frames
}

/** One turn of the loop: what was ready has been served. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Turns the loop until `done` says so; a test that waits in vain is ended by its timeout. */
export async function until(done: () => boolean): Promise<void> {
  while (!done()) await turn()
}
