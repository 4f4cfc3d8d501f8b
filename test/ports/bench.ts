// A switch behind a real listening socket, and peers that plug into it as VMs do. A peer is a bare descriptor,
// so that a test decides byte by byte when it writes and reads.

import { closeSync, mkdtempSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasCode } from '../../src/errors.js'
import { native } from '../../src/native.js'
import { Listener } from '../../src/ports/listener.js'
import { streamPort, type StreamPort } from '../../src/ports/run-port.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { turn, until } from '../helpers/frames.js'
import { Tester } from '../switch/segment.js'

/** What is asked of tap's `t`: things to undo when the test is over. */
export interface Scope {
  teardown(undo: () => unknown): unknown
}

/** A directory for socket files, short enough for their paths. */
export function scratch(t: Scope): string {
  const directory = mkdtempSync(join(tmpdir(), 'vbt-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

class CountingSwitch extends Switch {
  /** Runs that came in from a socket. */
  runs = 0

  override ingressFromNative(from: Port, run: Run, end: number, now: number, start: number): number {
    this.runs++
    return super.ingressFromNative(from, run, end, now, start)
  }
}

export class Peer {
  readonly fd: number
  readonly stream: StreamPort
  /** Why the port ended, once it has. */
  ended: string | undefined
  #open: boolean

  constructor(fd: number, stream: StreamPort) {
    this.fd = fd
    this.#open = fd >= 0
    this.stream = stream
  }

  get port(): Port {
    return this.stream.port
  }

  /** Writes what the socket takes now; returns how much that was. */
  writeSome(bytes: Uint8Array): number {
    try {
      return writeSync(this.fd, bytes)
    } catch (error) {
      if (hasCode(error, 'EAGAIN')) return 0
      throw error
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += this.writeSome(bytes.subarray(at))
      if (at < bytes.length) await turn()
    }
  }

  /** At most `length` of the bytes that are there now. */
  readSome(length = 65_536): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    try {
      return bytes.subarray(0, readSync(this.fd, bytes))
    } catch (error) {
      if (hasCode(error, 'EAGAIN')) return bytes.subarray(0, 0)
      throw error
    }
  }

  /** Waits for `length` bytes, `atOnce` of them at a time. */
  async read(length: number, atOnce = 65_536): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let got = 0; got < length;) {
      const piece = this.readSome(Math.min(atOnce, length - got))
      pieces.push(piece)
      got += piece.length
      if (piece.length === 0) await turn()
    }
    return Buffer.concat(pieces)
  }

  close(): void {
    if (this.#open) closeSync(this.fd)
    this.#open = false
  }
}

export class Bench {
  readonly switch = new CountingSwitch({ clock: performance, random32: () => 0x9e3779b9 })
  readonly path: string
  readonly #run = Run.allocate()
  readonly #peers = new Set<Peer>()
  readonly #listener: Listener
  #plugged: ((fd: number) => void) | undefined

  constructor(t: Scope) {
    this.path = join(scratch(t), 's')
    this.#listener = new Listener({
      path: this.path,
      mode: 0o600,
      onConnection: fd => this.#plugged!(fd),
      onRefused: reason => {
        throw new Error(reason)
      },
    })
    this.#listener.start()
    t.teardown(() => {
      this.#listener.close()
      for (const peer of this.#peers) {
        peer.close()
        peer.stream.close()
      }
    })
  }

  /** A port whose frames the test sees and sends without a socket. */
  tester(): Tester {
    const tester = new Tester({ maxFrame: 65_536 })
    this.switch.attach(tester.port)
    return tester
  }

  /** Plugs a peer in, and waits until it is a port. `dial`: its descriptor, or -1 where the test closes it itself. */
  async plug(name = 'vm', dial = () => native.dial(this.path, true)): Promise<Peer> {
    const fd = dial()
    const theirs = await new Promise<number>(resolve => (this.#plugged = resolve))
    let peer: Peer
    const stream = streamPort({
      switch: this.switch,
      run: this.#run,
      port: new Port({ name, role: 'vm', maxFrame: 65_536 }),
      fd: theirs,
      onEnd: reason => (peer.ended = reason),
    })
    peer = new Peer(fd, stream)
    this.#peers.add(peer)
    return peer
  }

  /** Lets go of a peer that has left. */
  forget(peer: Peer): void {
    this.#peers.delete(peer)
  }

  /** Sends a run from a port that has no socket. */
  inject(from: Tester, bytes: Uint8Array): void {
    this.switch.ingress(from.port, new Run(bytes), bytes.length)
  }

  /** Writes bytes, and waits until the switch has seen them as a run of their own. */
  async deliver(peer: Peer, bytes: Uint8Array): Promise<void> {
    const { runs } = this.switch
    await peer.write(bytes)
    await until(() => this.switch.runs > runs)
  }
}
