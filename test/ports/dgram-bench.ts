// A switch behind a real datagram socket, and peers that plug into it as VMs do, out of another process.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Credentials, DgramPeer as Source } from '../../src/native.js'
import { DgramListener } from '../../src/ports/dgram-listener.js'
import { dgramPort, type DgramPort } from '../../src/ports/run-port.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { type DatagramPeer, DatagramProcess } from '../helpers/datagrams.js'
import { frame, runOf, station, until } from '../helpers/frames.js'
import type { Need } from '../helpers/requires.js'
import { Tester } from '../switch/segment.js'
import { type Scope, scratch } from './bench.js'

export const DGRAM_NEEDS: readonly Need[] = ['linux', 'python3']

/** The addon with macOS's calls, which are told of no sender's process. */
export const IS_DOUBLE = process.env['VMBRIDGE_PREBUILD'] !== undefined
/** … and whose sockets never say that they have room again, while the calls for many are there (native/double/messages.cc). */
export const IS_SILENT = IS_DOUBLE && process.env['VMNET_DOUBLE_MESSAGES'] === undefined

/** Bytes of a full frame. */
export const LONGEST = 1514

/** Descriptors that are open in this process. */
export const descriptors = (): number => readdirSync('/proc/self/fd').length

/** A broadcast that carries a number behind its header. */
export function numbered(n: number, length = LONGEST, from = 7): Uint8Array {
  const bytes = frame({ from: station(from), length, seed: n })
  Buffer.from(bytes.buffer).writeUInt32BE(n, 14)
  return bytes
}
export const numberOf = (each: Buffer): number => each.readUInt32BE(14)

export interface Plugged {
  peer: DatagramPeer
  made: DgramPort
}

export class DgramBench {
  readonly switch = new Switch({ clock: performance, random32: () => 0x9e3779b9 })
  readonly folder: string
  readonly path: string
  readonly listener: DgramListener
  readonly process: DatagramProcess
  /** The last port of each address. */
  readonly ports = new Map<string, DgramPort>()
  /** Addresses that were asked about, and why ports ended. */
  readonly met: string[] = []
  /** The processes behind the addresses, where the system tells. */
  readonly senders = new Map<string, Credentials | undefined>()
  readonly ended: string[] = []
  readonly refused: string[] = []
  readonly shared: string[] = []
  /** Who is not let in. */
  refuses: (address: string) => boolean = () => false
  onEnd: (ended: string) => void = ended => this.ended.push(ended)
  readonly #run = Run.allocate()
  #count = 0

  /** The socket is there, and nobody reads it before `start`. */
  constructor(t: Scope) {
    this.folder = scratch(t)
    this.path = join(this.folder, 's')
    this.process = new DatagramProcess(t)
    this.listener = new DgramListener({
      path: this.path,
      mode: 0o600,
      run: this.#run,
      onPeer: (source, address, sender) => {
        this.senders.set(address, sender)
        return this.#meet(source, address)
      },
      onRefused: reason => this.refused.push(reason),
      onShared: reason => this.shared.push(reason),
    })
    t.teardown(() => {
      this.listener.close()
      for (const { io } of this.ports.values()) io.close()
    })
  }

  start(): this {
    this.listener.start(LONGEST)
    return this
  }

  /** A port whose frames the test sees and sends without a socket. */
  tester(): Tester {
    const tester = new Tester({ maxFrame: 65_536 })
    this.switch.attach(tester.port)
    return tester
  }

  /** Sends a run from a port that has no socket. */
  inject(from: Tester, ...frames: Uint8Array[]): void {
    const bytes = runOf(...frames)
    this.switch.ingress(from.port, new Run(bytes), bytes.length)
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  bind(name = `vm${this.#count++}`): Promise<DatagramPeer> {
    return this.process.bind(this.at(name))
  }

  /** The port of a peer, once it has one. */
  async portOf({ path }: DatagramPeer): Promise<DgramPort> {
    await until(() => this.ports.has(path!))
    return this.ports.get(path!)!
  }

  /** A peer that has said hello: one that sends to our address (free), or that has connected its socket (tied). */
  async plug(kind: 'free' | 'tied', name?: string): Promise<Plugged> {
    const peer = await this.bind(name)
    if (kind === 'tied') await peer.tie(this.path)
    await peer.send([Buffer.from('VFKT')], kind === 'tied' ? undefined : this.path)
    return { peer, made: await this.portOf(peer) }
  }

  #meet(source: Source, address: string): DgramPort {
    this.met.push(address)
    if (this.refuses(address)) throw new Error(`${address} is not wanted`)
    return this.#plug(source, address)
  }

  #plug(source: Source, address: string): DgramPort {
    const made = dgramPort(source, {
      switch: this.switch,
      run: this.#run,
      port: new Port({ name: address, role: 'vm', maxFrame: 65_536 }),
      onEnd: reason => this.onEnd(`${address} ${reason}`),
    })
    this.ports.set(address, made)
    return made
  }
}
