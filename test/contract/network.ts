// The network that an uplink is opened on: a real switch with VMs in memory and by socket, one run buffer for all
// of them as in the daemon, and a log that is read by event.

import { closeSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { native } from '../../src/native.js'
import { Listener } from '../../src/ports/listener.js'
import { streamPort, type StreamPort } from '../../src/ports/run-port.js'
import { RX_FRAMES } from '../../src/switch/counters.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { openUplink } from '../../src/uplink/select.js'
import type { Uplink, UplinkChoice } from '../../src/uplink/uplink.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import type { Mac } from '../../src/wire/mac.js'
import type { LogEntry, Scope } from '../helpers/daemon.js'
import { runOf } from '../helpers/frames.js'
import { Tester } from '../switch/segment.js'
import { StreamEnd } from './end.js'
import { eventually } from './patience.js'

export const GATEWAY = parseCidr('10.99.0.1/24')!
export const MTU = 1500

class WatchedSwitch extends Switch {
  /** Called after each run that came from a descriptor, while its departures wait: what came in, and how many frames. */
  onRun: (from: Port, frames: number) => void = () => {}

  override ingressFromNative(from: Port, run: Run, end: number, now: number, start: number): number {
    const before = from.counters[RX_FRAMES]
    const used = super.ingressFromNative(from, run, end, now, start)
    this.onRun(from, from.counters[RX_FRAMES] - before)
    return used
  }
}

/** A VM behind a real socket: `end` is the VM's own side of it. */
export interface SocketVm {
  port: Port
  stream: StreamPort
  end: StreamEnd
  /** Closes both sides; once. */
  close(): void
}

export class Network {
  readonly switch = new WatchedSwitch({ clock: { now: () => native.now() }, random32: () => 0x9e3779b9 })
  readonly run = Run.allocate()
  /** What was logged, oldest first. */
  readonly entries: LogEntry[] = []
  readonly #log = pino(
    { level: 'trace', base: null },
    { write: (line: string) => this.entries.push(JSON.parse(line)) },
  )
  readonly #uplinks = new Set<Uplink>()
  readonly #vms = new Set<SocketVm>()
  readonly #folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  readonly #listener: Listener
  #accepted: (fd: number) => void = closeSync

  constructor(t: Scope) {
    this.#listener = new Listener({
      path: join(this.#folder, 's'),
      mode: 0o600,
      onConnection: fd => this.#accepted(fd),
      onRefused: reason => {
        throw new Error(reason)
      },
    })
    this.#listener.start()
    t.teardown(async () => {
      for (const uplink of this.#uplinks) await uplink.close()
      for (const vm of this.#vms) vm.close()
      this.#listener.close()
      rmSync(this.#folder, { recursive: true, force: true })
    })
  }

  /** Opens an uplink, which is closed with the test at the latest. */
  async open(choice: UplinkChoice, mtu = MTU): Promise<Uplink> {
    const context = { switch: this.switch, run: this.run, log: this.#log, mtu, stateDir: this.#folder }
    const uplink = await openUplink(choice, GATEWAY, context)
    this.#uplinks.add(uplink)
    return uplink
  }

  /** A VM without a socket: what it is given is noted, and what it says is handed to the switch as one run. */
  tester(): Tester {
    const tester = new Tester({ maxFrame: 65_536 })
    this.switch.attach(tester.port)
    return tester
  }

  say(from: Tester, ...frames: readonly Uint8Array[]): void {
    this.sayRun(from, runOf(...frames))
  }

  sayRun(from: Tester, bytes: Uint8Array): void {
    this.switch.ingress(from.port, new Run(bytes), bytes.length)
  }

  async plug(): Promise<SocketVm> {
    const fd = native.dial(this.#listener.path, true)
    const theirs = await new Promise<number>(resolve => (this.#accepted = resolve))
    const port = new Port({ name: 'vm', role: 'vm', maxFrame: 65_536 })
    const stream = streamPort({ switch: this.switch, run: this.run, port, fd: theirs, onEnd() {} })
    const vm: SocketVm = {
      port,
      stream,
      end: new StreamEnd(fd),
      close: () => {
        if (!this.#vms.delete(vm)) return
        stream.close()
        closeSync(fd)
      },
    }
    this.#vms.add(vm)
    return vm
  }

  knows({ hi, lo }: Mac): Port | undefined {
    return this.switch.locate(hi, lo)
  }

  /** Whether there is an entry for a station, be its port gone: the next port may have that number. */
  remembers({ hi, lo }: Mac): boolean {
    return this.switch.fdbEntries().some(({ high, low }) => high === hi && low === (lo | 0))
  }

  /** The first entry of an event from the entry `from` on. */
  async logged(event: string, from = 0): Promise<LogEntry> {
    const found = () => this.entries.slice(from).find(entry => entry.event === event)
    await eventually(
      () => `${event} in ${JSON.stringify(this.entries.slice(from))}`,
      () => found() !== undefined,
    )
    return found()!
  }
}

/** Descriptors that this process has open. */
export const descriptors = (): number => readdirSync('/proc/self/fd').length
