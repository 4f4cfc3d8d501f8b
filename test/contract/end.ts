// The two ends of a wire as the suite holds them: bare descriptors, read and written here by Node's own calls, so
// that nothing of what is tested takes part. An end never waits: what cannot be written now is offered again.

import { readSync, writeSync } from 'node:fs'
import { hasCode } from '../../src/errors.js'
import { LENGTH_BYTES, MAX_FRAME } from '../../src/switch/run.js'

/** Gets one frame, borrowed for the call. */
export type Taker = (bytes: Buffer, at: number, length: number) => void

export interface End {
  /** Puts bytes of a framed run onto the wire, as many as it takes now, and returns how many that were. */
  put(run: Buffer): number
  /** Hands over at most `most` of the frames that are there, in order, and returns how many that were. */
  take(most: number, each: Taker): number
}

/** The result of a system call, or undefined where it would have to wait. */
function unlessWaiting(call: () => number): number | undefined {
  try {
    return call()
  } catch (error) {
    if (hasCode(error, 'EAGAIN')) return undefined
    throw error
  }
}

/** A stream socket of the framing: the VM's end, or the server that the socket uplink dialled. */
export class StreamEnd implements End {
  readonly fd: number
  readonly #bytes = Buffer.alloc(512 * 1024)
  #start = 0
  #end = 0

  constructor(fd: number) {
    this.fd = fd
  }

  put(run: Buffer): number {
    return unlessWaiting(() => writeSync(this.fd, run)) ?? 0
  }

  take(most: number, each: Taker): number {
    let taken = this.#takeWhole(most, each)
    while (taken < most && this.#fill()) taken += this.#takeWhole(most - taken, each)
    return taken
  }

  /** True when something came; false also at the stream's end, which is for others to notice. */
  #fill(): boolean {
    if (this.#start > 0) this.#bytes.copyWithin(0, this.#start, this.#end)
    this.#end -= this.#start
    this.#start = 0
    const room = this.#bytes.length - this.#end
    const read = unlessWaiting(() => readSync(this.fd, this.#bytes, this.#end, room, null)) ?? 0
    this.#end += read
    return read > 0
  }

  #takeWhole(most: number, each: Taker): number {
    let taken = 0
    while (taken < most && this.#end - this.#start >= LENGTH_BYTES) {
      const length = this.#bytes.readUInt32BE(this.#start)
      if (length > MAX_FRAME) throw new Error(`the framing is broken: a frame of ${length} bytes`)
      if (this.#end - this.#start < LENGTH_BYTES + length) break
      each(this.#bytes, this.#start + LENGTH_BYTES, length)
      this.#start += LENGTH_BYTES + length
      taken++
    }
    return taken
  }
}

/** A TAP: one frame a call, as the kernel has it. */
export class TapEnd implements End {
  readonly #fd: number
  readonly #frame = Buffer.alloc(MAX_FRAME)

  constructor(fd: number) {
    this.#fd = fd
  }

  put(run: Buffer): number {
    let at = 0
    while (at < run.length) {
      const length = run.readUInt32BE(at)
      const from = at + LENGTH_BYTES
      if (unlessWaiting(() => writeSync(this.#fd, run, from, length)) === undefined) break
      at = from + length
    }
    return at
  }

  take(most: number, each: Taker): number {
    let taken = 0
    for (; taken < most; taken++) {
      const length = unlessWaiting(() => readSync(this.#fd, this.#frame, 0, this.#frame.length, null))
      if (length === undefined) break
      each(this.#frame, 0, length)
    }
    return taken
  }
}
