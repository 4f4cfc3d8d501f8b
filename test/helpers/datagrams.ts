// VMs that speak datagrams: Node has no such sockets, and our own would be judged by themselves, so a Python has them
// (datagrams.py, beside the source of this file).

import { join } from 'node:path'
import { Child } from './child.js'
import { framesOf, runOf } from './frames.js'
import { ROOT } from './root.js'

const PROGRAM = join(ROOT, 'test/helpers/datagrams.py')

interface Answer {
  error?: string
  run?: string
  bytes?: string
  ended?: boolean
}

/** What is asked of tap's `t`: things to undo when the test is over. */
interface Scope {
  teardown(undo: () => unknown): unknown
}

/** What is passed with the first word on a stream. */
export type Passed = 'pair' | 'stream' | 'udp' | 'lonely' | 'device' | 'file'

const encode = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

export class DatagramProcess {
  readonly child: Child
  #asked: Promise<unknown> = Promise.resolve()
  #answers = 0
  #names = 0

  constructor(t: Scope) {
    this.child = Child.launch(['python3', '-u', PROGRAM], { stdin: true })
    t.teardown(() => this.child.close())
  }

  /** One at a time, in the order of the calls. Throws an error with a `code` where the system said no. */
  ask(request: Record<string, unknown>): Promise<Answer> {
    const answer = this.#asked.then(async () => {
      this.child.stdin!.write(`${JSON.stringify(request)}\n`)
      const line = await this.child.waitForLine(() => true, { from: this.#answers++, timeoutMs: 120_000 })
      const said = JSON.parse(line) as Answer
      if (said.error === undefined) return said
      throw Object.assign(new Error(`${request['do']}: ${said.error}`), { code: said.error })
    })
    this.#asked = answer.catch(() => {})
    return answer
  }

  /** A socket that is bound to `path`, `@` and a name outside of the file system, or to nothing. */
  async bind(path?: string): Promise<DatagramPeer> {
    const peer = new DatagramPeer(this, `bound${this.#names++}`, path)
    await this.ask({ do: 'bind', peer: peer.name, path })
    return peer
  }

  /** Frames of several peers in one go, in this order, each to an address or to what the peer is connected to. */
  async mix(frames: readonly (readonly [DatagramPeer, Uint8Array, string | undefined])[]): Promise<void> {
    const list = frames.map(([peer, frame, to]) => [peer.name, encode(runOf(frame)), to ?? null])
    await this.ask({ do: 'mix', frames: list })
  }

  /** `count` sockets at `path` and a number, each of which sends the frame once and goes. */
  async visit(path: string, frame: Uint8Array, count: number, to: string): Promise<void> {
    await this.ask({ do: 'visit', path, run: encode(runOf(frame)), count, to })
  }

  /** Connects a stream to `to`, passes descriptors with the first of the words, and writes the others. */
  async give(to: string, kinds: readonly Passed[], words: readonly Uint8Array[]): Promise<PassingPeer> {
    const peer = new PassingPeer(this, `passing${this.#names++}`)
    await this.ask({ do: 'give', peer: peer.name, to, kinds, words: words.map(encode) })
    return peer
  }
}

export class DatagramPeer {
  readonly name: string
  readonly path: string | undefined
  readonly #process: DatagramProcess

  constructor(process: DatagramProcess, name: string, path?: string) {
    this.#process = process
    this.name = name
    this.path = path
  }

  /** Connects the socket, as vfkit does; it hears nobody else then. */
  async tie(to: string): Promise<void> {
    await this.#process.ask({ do: 'tie', peer: this.name, to })
  }

  async send(frames: readonly Uint8Array[], to?: string): Promise<void> {
    await this.#process.ask({ do: 'send', peer: this.name, run: encode(runOf(...frames)), to })
  }

  /** The next `count` datagrams. */
  async receive(count: number): Promise<Buffer[]> {
    const { run } = await this.#process.ask({ do: 'receive', peer: this.name, count })
    return framesOf(Buffer.from(run!, 'base64'))
  }

  /** The datagrams that are there. */
  async drain(): Promise<Buffer[]> {
    const { run } = await this.#process.ask({ do: 'drain', peer: this.name })
    return framesOf(Buffer.from(run!, 'base64'))
  }

  /** `unlink`: with its file. */
  async close({ unlink = false } = {}): Promise<void> {
    await this.#process.ask({ do: 'close', peer: this.name, ...(unlink && { unlink: this.path }) })
  }
}

/** One that has come by a stream; its datagrams are those of the descriptor's other end. */
export class PassingPeer extends DatagramPeer {
  readonly #process: DatagramProcess

  constructor(process: DatagramProcess, name: string) {
    super(process, name)
    this.#process = process
  }

  /** `length` bytes of the stream, or less and its end. */
  async hear(length: number): Promise<{ bytes: Buffer; ended: boolean }> {
    const { bytes, ended } = await this.#process.ask({ do: 'hear', peer: this.name, length })
    return { bytes: Buffer.from(bytes!, 'base64'), ended: ended! }
  }

  async say(word: Uint8Array): Promise<void> {
    await this.#process.ask({ do: 'say', peer: this.name, word: encode(word) })
  }

  async hangUp(): Promise<void> {
    await this.#process.ask({ do: 'hang_up', peer: this.name })
  }
}
