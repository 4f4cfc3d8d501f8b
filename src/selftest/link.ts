/**
 * A cable to the switch as QEMU has it: a stream connection to a socket of the network, where every frame stands
 * behind its length of 32 bits, big-endian.
 */

import { connect, type Socket } from 'node:net'
import { readU32, writeU32 } from '../wire/bytes.js'

const LENGTH = 4
/** What the framing may announce; a switch that says more has lost its place. */
const LONGEST = 65_550

/** A frame behind its length, ready to be written. */
export function framed(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LENGTH + frame.length)
  writeU32(bytes, 0, frame.length)
  bytes.set(frame, LENGTH)
  return bytes
}

export interface LinkOptions {
  path: string
  /** One frame, borrowed for the call. */
  onFrame: (frame: Uint8Array) => void
  /** After the frames that came at once. */
  onRead: () => void
}

export class Link {
  /** Why it is down, once it is. */
  down: string | undefined
  readonly #socket: Socket
  readonly #onFrame: (frame: Uint8Array) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor({ path, onFrame, onRead }: LinkOptions) {
    this.#onFrame = onFrame
    this.#socket = connect(path)
    this.#socket.on('data', chunk => {
      this.#read(chunk)
      onRead()
    })
    this.#socket.on('error', error => (this.down ??= error.message))
    this.#socket.on('close', () => {
      this.down ??= 'the switch closed the connection'
      onRead()
    })
  }

  send(frame: Uint8Array): void {
    this.write(framed(frame))
  }

  /** Frames behind their lengths, as `framed` makes them. */
  write(run: Uint8Array): void {
    if (this.down === undefined) this.#socket.write(run)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (at + LENGTH <= bytes.length) {
      const length = readU32(bytes, at)
      if (length === 0 || length > LONGEST) {
        this.down = `the switch announced a frame of ${length} bytes`
        this.#socket.destroy()
        return
      }
      const end = at + LENGTH + length
      if (end > bytes.length) break
      this.#onFrame(bytes.subarray(at + LENGTH, end))
      at = end
    }
    this.#rest = bytes.subarray(at)
  }
}
