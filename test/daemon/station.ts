// A VM without QEMU: a stream connection to the daemon's socket that speaks its framing, byte by byte where a
// test wants it, with the frames that came kept in order.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Daemon, Scope } from '../helpers/daemon.js'

export const BROADCAST = 'ff:ff:ff:ff:ff:ff'
/** IEEE's number for experiments: no station answers it. */
export const TEST_ETHERTYPE = 0x88b5

const bytesOf = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex')

/** An Ethernet frame with a text in it, padded to 60 bytes. */
export function textFrame(destination: string, source: string, text: string, type = TEST_ETHERTYPE): Buffer {
  const frame = Buffer.alloc(Math.max(60, 14 + text.length))
  bytesOf(destination).copy(frame, 0)
  bytesOf(source).copy(frame, 6)
  frame.writeUInt16BE(type, 12)
  frame.write(text, 14, 'latin1')
  return frame
}

/** A gratuitous ARP: `mac` says that it has `ip`. */
export function announcement(mac: string, ip: string): Buffer {
  const frame = Buffer.alloc(42)
  const address = Buffer.from(ip.split('.').map(Number))
  bytesOf(BROADCAST).copy(frame, 0)
  bytesOf(mac).copy(frame, 6)
  frame.writeUInt16BE(0x0806, 12)
  Buffer.from([0, 1, 8, 0, 6, 4, 0, 1]).copy(frame, 14)
  bytesOf(mac).copy(frame, 22)
  address.copy(frame, 28)
  address.copy(frame, 38)
  return frame
}

/** Frames behind their lengths. */
export function framed(...frames: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap(frame => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(frame.length)
      return [length, frame]
    }),
  )
}

/** Takes framed runs apart, cut wherever they come. */
export class Deframer {
  #rest = Buffer.alloc(0)

  push(chunk: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const frames: Buffer[] = []
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32BE()) {
      const end = 4 + this.#rest.readUInt32BE()
      frames.push(this.#rest.subarray(4, end))
      this.#rest = this.#rest.subarray(end)
    }
    return frames
  }
}

type Matches = (frame: Buffer) => boolean

export class Station {
  readonly frames: Buffer[] = []
  /** Bytes that came, framed or not. */
  bytes = 0
  /** Settles when the other end has closed the connection. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #watchers = new Set<() => void>()
  #isClosed = false

  constructor(socket: Socket) {
    this.#socket = socket
    const deframer = new Deframer()
    socket.on('data', chunk => {
      this.bytes += chunk.length
      this.frames.push(...deframer.push(chunk))
      this.#wake()
    })
    socket.on('error', () => {})
    this.closed = new Promise(resolve =>
      socket.on('close', () => {
        this.#isClosed = true
        resolve()
        this.#wake()
      }),
    )
  }

  /** Connects to a socket, where somebody must listen; the test's end closes it. */
  static async connect(t: Scope, path: string): Promise<Station> {
    const socket = connect(path)
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return new Station(socket)
  }

  /** Connects to a daemon and waits until the switch has the port: frames reach it from then on. */
  static async plug(t: Scope, daemon: Daemon, path = daemon.socket): Promise<Station> {
    const from = daemon.child.lines.length
    const station = await Station.connect(t, path)
    await daemon.child.waitForLine(/"event":"port\.up"/, { from })
    return station
  }

  /** Resolves when the daemon has taken all connections to `path` that came before: they are taken in their order. */
  static async isTheirTurn(t: Scope, path: string): Promise<void> {
    const last = await Station.connect(t, path)
    // An empty frame, for which it is closed.
    last.write(framed(new Uint8Array()))
    await last.closed
  }

  send(...frames: readonly Uint8Array[]): void {
    this.write(framed(...frames))
  }

  /** Bytes as they are, framed or not. */
  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** The first frame that matches, of those that came or come; rejects after `timeoutMs` or when closed. */
  receive(matches: Matches | string, timeoutMs = 5000): Promise<Buffer> {
    const wanted: Matches = typeof matches === 'string' ? frame => frame.includes(matches) : matches
    let next = 0
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer)
        this.#watchers.delete(look)
        settle()
      }
      const fail = (): void => finish(() => reject(new Error(`no such frame: ${matches}`)))
      const look = (): void => {
        for (; next < this.frames.length; next++) {
          const frame = this.frames[next]
          if (wanted(frame)) return finish(() => resolve(frame))
        }
        if (this.#isClosed) fail()
      }
      const timer = setTimeout(fail, timeoutMs)
      this.#watchers.add(look)
      look()
    })
  }

  has(text: string): boolean {
    return this.frames.some(frame => frame.includes(text))
  }

  /** Stops reading, as a VM does whose QEMU is stopped. */
  pause(): void {
    this.#socket.pause()
  }

  async close(): Promise<void> {
    this.#socket.destroy()
    await this.closed
  }

  #wake(): void {
    for (const look of this.#watchers) look()
  }
}
