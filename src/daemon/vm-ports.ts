/**
 * The VMs of a network: the ports that they plug into by a stream or by datagrams, what is known of who is behind each,
 * and the names by which they are known again.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { SYSTEM_CLOCK } from '../dhcp/clock.js'
import { limitLog, type LineLog, type LogClock } from '../limited-log.js'
import type { Logger } from '../log.js'
import { native, type Credentials, type DgramSource } from '../native.js'
import { PairWatch } from '../ports/pair-watch.js'
import { Redial } from '../ports/redial.js'
import { Refusals } from '../ports/refusals.js'
import {
  dgramPort,
  streamPort,
  type DgramPort,
  type PortOptions,
  type RunPort,
  type StreamPort,
} from '../ports/run-port.js'
import { Port, STREAM_MAX_FRAME } from '../switch/port.js'
import type { Run } from '../switch/run.js'
import type { Clock, Switch } from '../switch/switch.js'
import { maxFrameOf } from '../uplink/uplink.js'
import { ETHERNET_HEADER } from '../wire/ethernet.js'
import { PortNames } from './port-names.js'
import { PortNamesFile } from './port-names-file.js'
import { processStart } from './process-start.js'

/** A VM's port and what is known of the process behind it. */
export interface VmPort {
  /** What moves its frames: closing that unplugs the VM. */
  io: RunPort
  /** Not known of who is no more than an address. */
  peer?: Credentials
  /** By what it is known again: `dial:` or `dgram:` and a path, or none. */
  key?: string
  /** Milliseconds since the epoch. */
  since: number
}

/** A VM that listens, and that we connect to. */
export interface Dial {
  redial: Redial
  /** While it is connected. */
  port?: Port | undefined
}

export interface VmPortsOptions {
  switch: Switch
  run: Run
  log: Logger
  /** Milliseconds since the epoch. */
  wallClock: Clock
  stateDir: string
  /** Bytes of an IP packet. Asked for at each port: the uplink may decide it. */
  mtu: () => number
  /** Paths that VMs listen on. */
  dials: readonly string[]
  /** `ports` has one more, or one less. */
  onChange?: () => void
  /** Of the log's limit. */
  logClock?: LogClock
}

/** Who is behind a port. */
interface Origin {
  peer?: Credentials | undefined
  /** By what it is known again (port-names.ts). */
  key?: string
  /** The descriptor of a stream, for the log. */
  fd?: number
  /** The port ended by itself, and is on the switch no more. */
  onEnd?: (reason: string) => void
}

/** How a VM ends its port itself. */
const LEAVES = new Set(['eof', 'reset', 'gone'])

/**
 * Every port is three lines, and a local user may come and go as often as he likes: a burst that shows a hundred VMs
 * whole, and after that some 120 KB a minute.
 */
const LINES = { topic: 'port', perSecond: 10, burst: 300 } as const

/** The longest pause, in ms, before a VM that listens is dialled again: it may have started since. */
const LAST_DIAL_PAUSE = 1000

/**
 * Between the last word to the VMs and their ports' end, in ms. A QEMU 10.0 that finds its stream closed while a frame
 * waits for room in it never transmits again on the next one; in this time it learns that it cannot write.
 */
const FAREWELL = 20

export class VmPorts {
  readonly ports = new Map<Port, VmPort>()
  readonly dials: Dial[]
  readonly #options: VmPortsOptions
  readonly #pairs = new PairWatch()
  readonly #namesFile: PortNamesFile
  readonly #refusals: Refusals
  /** Of ports that come and go. */
  readonly #log: LineLog
  #names = new PortNames()

  constructor(options: VmPortsOptions) {
    const { stateDir, log, dials, logClock = SYSTEM_CLOCK } = options
    this.#options = options
    this.#log = limitLog(log, logClock, LINES)
    this.#namesFile = new PortNamesFile({ folder: stateDir, log })
    this.#refusals = new Refusals((reason, refused) =>
      log.warn({ event: 'port.refused', reason, refused }, `a VM was refused its datagrams: ${reason}`),
    )
    this.dials = dials.map(path => this.#dialOf(path))
  }

  /** Reads the names of an earlier life. */
  async load(): Promise<void> {
    const file = this.#namesFile
    const records = await file.load()
    const reserved = this.#options.dials.map(dialKey)
    this.#names = new PortNames({
      records,
      reserved,
      onChange: () => file.save(() => this.#names.records),
    })
  }

  /** Connects to the VMs that listen. */
  dial(): void {
    for (const { redial } of this.dials) redial.dial()
  }

  /** Bytes of a frame without a tag. */
  get fullFrame(): number {
    return this.#options.mtu() + ETHERNET_HEADER
  }

  plugStream(fd: number, peer: Credentials): void {
    let stream: StreamPort
    this.#plug(options => (stream = streamPort({ ...options, fd })), {
      peer,
      fd,
      onEnd: reason => {
        if (reason === 'datagrams') this.#plugPair(stream.io.passed()!, peer)
      },
    })
    // `vmbridge run --dgram` comes by a stream, to ask for one end of a pair.
    stream!.io.offerDatagrams()
  }

  /** Called by the end of a port, out of the loop: nobody is there to catch what is thrown. */
  #plugPair(fd: number, peer: Credentials): void {
    try {
      this.#pairs.add(this.#plugDatagrams({ longest: this.fullFrame, fd }, { peer }), peer.pid)
    } catch (error) {
      this.#refusals.add(error instanceof Error ? error.message : String(error))
    }
  }

  /** @param address the same for the same VM as long as it uses it */
  plugPeer(source: DgramSource, address: string, peer: Credentials | undefined): DgramPort {
    return this.#plugDatagrams(source, { peer, key: `dgram:${address}` })
  }

  /** Tells the VMs that nothing more is taken from them. */
  async takeLeave(): Promise<void> {
    for (const { redial } of this.dials) redial.close()
    for (const { io } of this.ports.values()) io.io.refuse?.()
    if (this.ports.size > 0) await pause(FAREWELL)
  }

  /** After takeLeave. */
  async close(): Promise<void> {
    this.#pairs.close()
    for (const { io } of this.ports.values()) io.close()
    this.ports.clear()
    await this.#namesFile.close()
  }

  #dialOf(path: string): Dial {
    const dial: Dial = {
      redial: new Redial({
        path,
        lastPause: LAST_DIAL_PAUSE,
        onConnected: fd => {
          const make = (options: PortOptions): StreamPort => streamPort({ ...options, fd })
          dial.port = this.#plug(make, {
            peer: native.peerCredentials(fd),
            key: dialKey(path),
            fd,
            onEnd: reason => {
              dial.port = undefined
              dial.redial.lost(reason)
            },
          })
        },
        onDown: (reason, wasUp) => {
          // That a port is down was said.
          if (wasUp) return
          const line = `no VM at ${path} yet (${reason}): dialling it until it answers`
          this.#options.log.info({ event: 'dial.down', path, reason }, line)
        },
      }),
    }
    return dial
  }

  #plugDatagrams(source: DgramSource, origin: Origin): DgramPort {
    let made: DgramPort
    this.#plug(options => (made = dgramPort(source, options)), origin)
    return made!
  }

  /** @param make makes what is behind the port, and owns that also when it throws */
  #plug(make: (options: PortOptions) => RunPort, { peer, key, fd, onEnd }: Origin): Port {
    const { switch: sw, run, wallClock, mtu } = this.#options
    const log = this.#log
    const named = this.#names.plug(
      {
        ...(key !== undefined && { key }),
        ...(peer && { pid: peer.pid, start: processStart(peer.pid) }),
      },
      name => {
        const was = port.name
        log.info({ event: 'port.named', port: name, was }, `${was} is ${name} from now on`)
        port.name = name
      },
    )
    const maxFrame = Math.max(STREAM_MAX_FRAME, maxFrameOf(mtu()))
    const port = new Port({ name: named.name, role: 'vm', maxFrame })
    let io: RunPort
    try {
      io = make({
        switch: sw,
        run,
        port,
        onFirstFrame: source => this.#names.hear(named, source),
        onEnd: reason => {
          this.ports.delete(port)
          this.#options.onChange?.()
          this.#names.unplug(named)
          const fields = { event: 'port.down', port: port.name, fd, pid: peer?.pid, reason }
          // A VM that leaves is news; framing that breaks is a fault to look into.
          if (LEAVES.has(reason)) log.info(fields, `${port.name} left`)
          else if (reason === 'datagrams') log.info(fields, `${port.name} goes on by datagrams`)
          else log.warn(fields, `${port.name} was closed: ${reason}`)
          onEnd?.(reason)
        },
      })
    } catch (error) {
      this.#names.unplug(named)
      throw error
    }
    this.ports.set(port, {
      io,
      ...(peer && { peer }),
      ...(key !== undefined && { key }),
      since: wallClock.now(),
    })
    this.#options.onChange?.()
    log.info(
      { event: 'port.up', port: port.name, fd, pid: peer?.pid, uid: peer?.uid, key },
      `${port.name} plugged in${peer === undefined ? '' : `, PID ${peer.pid}`}`,
    )
    return port
  }
}

function dialKey(path: string): string {
  return `dial:${path}`
}
