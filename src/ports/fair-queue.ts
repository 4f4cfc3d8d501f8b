/**
 * Frames that wait for one reader, first in first out, in a buffer of a fixed size that the ports they came from
 * share: a port that floods must not push out what the others say.
 *
 * The rule is the dynamic threshold of Choudhury and Hahne ("Dynamic queue length thresholds for shared-memory
 * packet switches", 1998) with alpha 1: a port may add a frame only while what it has waiting is no more than what
 * is free afterwards. One port alone gets half of the buffer, two get a third each, and so on: some room is always
 * left for a port that was silent until now, and no port has a share that lies idle.
 */

import type { Port } from '../switch/port.js'
import { LENGTH_BYTES } from '../switch/run.js'
import { MAX_PORTS } from '../switch/switch.js'

export class FairQueue {
  /** Where the frames stand, each behind its length as in a run. */
  readonly bytes: Uint8Array
  readonly #view: DataView
  /** Bytes that wait, by the port's id and one more; the first cell is that of frames from no known port. */
  readonly #held = new Int32Array(1 + MAX_PORTS)
  /** Of each frame in `bytes`, those that were taken out included: its port, and its cell of `#held`. */
  readonly #ports: (Port | undefined)[] = []
  readonly #cells: number[] = []
  /** Frames that were taken out, and where the next one stands. */
  #taken = 0
  #at = 0
  #end = 0

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.#view = new DataView(this.bytes.buffer)
  }

  /** Frames that wait. */
  get frames(): number {
    return this.#ports.length - this.#taken
  }

  /** Where the first frame stands, behind its length. */
  get at(): number {
    return this.#at + LENGTH_BYTES
  }

  /** Bytes of the first frame. */
  get length(): number {
    return this.#view.getUint32(this.#at)
  }

  /** Where the first frame came in: the port itself, since its id may be another's by now. */
  get port(): Port | undefined {
    return this.#ports[this.#taken]
  }

  /**
   * Copies the frame that stands at `at` of a run, its length before it, and `size` bytes with that. False if its
   * port may not have that much waiting.
   */
  put(run: Uint8Array, at: number, size: number, port: Port | undefined): boolean {
    // A port with the id of one that left inherits what waits of that, for the milliseconds until it is read.
    const cell = port === undefined ? 0 : port.id + 1
    const free = this.bytes.length - (this.#end - this.#at)
    if (this.#held[cell] + size > free || this.#end + size > this.bytes.length) return false
    this.bytes.set(run.subarray(at, at + size), this.#end)
    this.#end += size
    this.#held[cell] += size
    this.#ports.push(port)
    this.#cells.push(cell)
    return true
  }

  /** Takes the first frame out; its bytes stay where they are until `compact`. */
  shift(): void {
    const size = LENGTH_BYTES + this.length
    this.#held[this.#cells[this.#taken]] -= size
    this.#at += size
    this.#taken++
  }

  /** Makes the room of the frames that were taken out free again; what waits moves, so nobody may be reading. */
  compact(): void {
    this.bytes.copyWithin(0, this.#at, this.#end)
    this.#end -= this.#at
    this.#at = 0
    this.#ports.splice(0, this.#taken)
    this.#cells.splice(0, this.#taken)
    this.#taken = 0
  }
}
