// The socket uplink under the suite: the far side is a server of the framing.

import { closeSync, mkdtempSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasCode } from '../../src/errors.js'
import { Listener } from '../../src/ports/listener.js'
import { STREAM_MAX_FRAME } from '../../src/switch/port.js'
import { MAX_FRAME } from '../../src/switch/run.js'
import { type End, StreamEnd } from './end.js'
import type { Break, Ground, Kind, Scene } from './kind.js'
import { eventually } from './patience.js'

/** Bytes that the server writes at once: no multiple of a frame, so that frames come in parts. */
const PIECE = 30_011

/** A server that takes one connection at a time; the newest is the one that counts. */
class Server implements End {
  readonly path: string
  #listener: Listener | undefined
  #end: StreamEnd | undefined
  #taken: StreamEnd | undefined

  constructor(path: string) {
    this.path = path
    this.listen()
  }

  listen(): void {
    this.#listener = new Listener({
      path: this.path,
      mode: 0o600,
      onConnection: fd => {
        this.hangUp()
        this.#end = new StreamEnd(fd)
      },
      onRefused: reason => {
        throw new Error(reason)
      },
    })
    this.#listener.start()
  }

  /** Waits for a connection that it has not given yet. */
  async connection(): Promise<void> {
    await eventually(
      () => `a connection to ${this.path}`,
      () => this.#end !== undefined && this.#end !== this.#taken,
    )
    this.#taken = this.#end
  }

  put(run: Buffer): number {
    try {
      return this.#end?.put(run.subarray(0, PIECE)) ?? run.length
    } catch (error) {
      if (!hasCode(error, 'EPIPE') && !hasCode(error, 'ECONNRESET')) throw error
      return run.length
    }
  }

  take(most: number, each: (bytes: Buffer, at: number, length: number) => void): number {
    try {
      return this.#end?.take(most, each) ?? 0
    } catch (error) {
      if (!hasCode(error, 'ECONNRESET')) throw error
      return 0
    }
  }

  /** Bytes of no framing, as they are. */
  say(...bytes: number[]): void {
    writeSync(this.#end!.fd, Uint8Array.from(bytes))
  }

  hangUp(): void {
    if (this.#end !== undefined) closeSync(this.#end.fd)
    this.#end = undefined
  }

  close(): void {
    this.#listener?.close()
    this.#listener = undefined
    this.hangUp()
  }
}

const serverGone = (name: string, reason: RegExp, ...bytes: number[]): Break<Scene<SocketGround>> => ({
  name,
  reason,
  act({ ground: { far } }) {
    if (bytes.length > 0) far.say(...bytes)
    far.close()
  },
  mend: ({ ground: { far } }) => far.listen(),
})

interface SocketGround extends Ground {
  far: Server
}

export const socket: Kind<SocketGround> = {
  name: 'socket',
  reaches: true,
  mtus: [1500],
  longestOut: () => STREAM_MAX_FRAME,
  longestIn: () => MAX_FRAME,
  sendsRunts: true,
  whenFull: 'waits',
  returns: true,
  breaks: [
    serverGone('its server hangs up', /^(eof|reset)$/),
    serverGone('its server ends inside a frame', /^truncated$/, 0, 0, 0, 100, 1, 2, 3),
    serverGone('its server sends an empty frame', /^empty-frame$/, 0, 0, 0, 0),
    serverGone('its server sends a frame over the limit', /^frame-too-long$/, 0, 1, 0, 1),
  ],
  failures: [],
  async lay(t) {
    const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
    const far = new Server(join(folder, 's'))
    t.teardown(() => {
      far.close()
      rmSync(folder, { recursive: true, force: true })
    })
    return {
      choice: { kind: 'socket', path: far.path },
      name: far.path,
      far,
      join: () => far.connection(),
      part: () => far.hangUp(),
      traces: () => [],
    }
  },
  // Nobody reads.
  stall: () => () => {},
  stallsAs: 'tx-queue-full',
}
