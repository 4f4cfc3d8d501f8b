// Frames without end from a seed, all different: sizes from the bare header to the longest, mostly unicast with
// some multicast and VLAN tags between. Who checks them makes the same frames again and compares every byte, so
// one that is lost, repeated, out of order or changed is seen where it happens.

import { PLAIN_TYPE } from '../helpers/frames.js'
import type { Mac } from '../../src/wire/mac.js'

const HEADER = 14
const VLAN_TAG = 4
/** From this length on the payload tells frames apart; shorter ones have a number in a group address. */
const TELLING = HEADER + 8
const POOL = 128 * 1024

export interface StreamFields {
  /** A 32-bit number but zero. */
  seed: number
  from: Mac
  to: Mac
  /** Bytes of the longest frame, of those without a VLAN tag; with one they are four bytes more. */
  longest: number
  /** Whether some frames have a VLAN tag; they do unless told otherwise. */
  tagged?: boolean
}

export class FrameStream {
  /** Frames so far. */
  count = 0
  readonly #fields: StreamFields
  readonly #pool = Buffer.alloc(POOL)
  #state: number

  constructor(fields: StreamFields) {
    this.#fields = fields
    this.#state = fields.seed | 0
    for (let at = 0; at < POOL; at += 4) this.#pool.writeInt32LE(this.#random() | 0, at)
  }

  /** Lays the next frame at `at` and returns its length. */
  next(into: Buffer, at: number): number {
    const { from, to, longest, tagged = true } = this.#fields
    const dice = this.#random()
    // Half of them short, as acknowledgements are.
    const span = (dice & 1) === 0 ? Math.min(128, longest) : longest
    let length = HEADER + (this.#random() % (span - HEADER + 1))
    if (length < TELLING || (dice & 14) === 0) {
      into.writeUInt16BE(0x0300, at)
      into.writeUInt32BE(this.count, at + 2)
    } else {
      into.writeUInt16BE(to.hi, at)
      into.writeUInt32BE(to.lo, at + 2)
    }
    into.writeUInt16BE(from.hi, at + 6)
    into.writeUInt32BE(from.lo, at + 8)
    let payload = at + HEADER
    into.writeUInt16BE(PLAIN_TYPE, at + 12)
    // A kernel drops a tag with less than an inner EtherType and two bytes behind it.
    if (tagged && length >= TELLING && (dice & 0xf0) === 0) {
      into.writeUInt16BE(0x8100, at + 12)
      into.writeUInt16BE(dice >>> 16, at + 14)
      into.writeUInt16BE(PLAIN_TYPE, at + 16)
      length += VLAN_TAG
      payload += VLAN_TAG
    }
    const rest = at + length - payload
    const start = this.#random() % (POOL - rest)
    this.#pool.copy(into, payload, start, start + rest)
    this.count++
    return length
  }

  /** xorshift32 (Marsaglia 2003), as an unsigned number. */
  #random(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }
}

/** Compares what comes with what must come. */
export class FrameCheck {
  /** Frames that came and were right. */
  count = 0
  bytes = 0
  /** What was wrong with the first frame that was not right; empty while all are. */
  fault = ''
  readonly #stream: FrameStream
  #wanted = Buffer.alloc(65_536)
  #last = Buffer.alloc(65_536)
  #lastLength = 0

  constructor(fields: StreamFields) {
    this.#stream = new FrameStream(fields)
  }

  readonly check = (bytes: Buffer, at: number, length: number): void => {
    if (this.fault !== '') return
    const wanted = this.#stream.next(this.#wanted, 0)
    if (length !== wanted || this.#wanted.compare(bytes, at, at + length, 0, wanted) !== 0) {
      this.fault = `frame ${this.count}: ${this.#describe(bytes.subarray(at, at + length), wanted)}`
      return
    }
    this.count++
    this.bytes += length
    const last = this.#last
    this.#last = this.#wanted
    this.#lastLength = wanted
    this.#wanted = last
  }

  #describe(got: Buffer, wanted: number): string {
    if (got.equals(this.#last.subarray(0, this.#lastLength))) return 'the one before it again'
    if (got.length === wanted) {
      const differs = got.findIndex((byte, i) => byte !== this.#wanted[i])
      if (got.subarray(0, HEADER).equals(this.#wanted.subarray(0, HEADER))) return `byte ${differs} differs`
    }
    const next = Buffer.alloc(65_536)
    for (let ahead = 1; ahead <= 2000; ahead++) {
      const length = this.#stream.next(next, 0)
      if (got.equals(next.subarray(0, length))) return `the one of ${ahead} later came in its place`
    }
    return `${got.length} bytes that are no frame of the stream; ${wanted} were to come`
  }
}
