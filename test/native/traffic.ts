// Traffic that never ends and needs nobody: two switches joined by two cables, which is the loop that spanning
// tree is for. A broadcast goes round and round, by real sockets, as fast as this process can; there is always a
// port that is ready.

import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { native } from '../../src/native.js'
import { Listener } from '../../src/ports/listener.js'
import { streamPort, type StreamPort } from '../../src/ports/run-port.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { frame, runOf, until } from '../helpers/frames.js'

const OPTIONS = { clock: { now: () => native.now() }, random32: () => 1 }

class HookedSwitch extends Switch {
  rounds = 0
  hook: (rounds: number) => void = () => {}

  override ingressFromNative(from: Port, run: Run, end: number, now: number, start: number): number {
    this.hook(++this.rounds)
    return super.ingressFromNative(from, run, end, now, start)
  }
}

export class Loop {
  /** Where the cables are plugged in. */
  readonly near = new HookedSwitch(OPTIONS)
  readonly path: string
  readonly ports: StreamPort[] = []
  /** Why ports ended. */
  readonly ends: string[] = []
  onConnection: () => void = () => {}
  onEnd: (reason: string) => void = () => {}
  readonly #far = new Switch(OPTIONS)
  readonly #runs = [Run.allocate(), Run.allocate()]
  readonly #folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  readonly #listener: Listener

  /** Listens and dials both cables, without a turn of the loop. */
  constructor() {
    this.path = join(this.#folder, 's')
    this.#listener = new Listener({
      path: this.path,
      mode: 0o600,
      onConnection: fd => {
        this.onConnection()
        this.#plug(this.near, this.#runs[0], fd)
      },
      onRefused() {},
    })
    this.#listener.start()
    for (let cable = 0; cable < 2; cable++) this.#plug(this.#far, this.#runs[1], native.dial(this.path, true))
  }

  get rounds(): number {
    return this.near.rounds
  }

  /** Sets a frame going round, once both cables are plugged in. */
  async start(): Promise<this> {
    await until(() => this.near.ports.length === 2)
    const kick = new Port({ name: 'kick', role: 'vm' })
    this.near.attach(kick)
    const run = new Run(runOf(frame()))
    this.near.ingress(kick, run, run.bytes.length)
    this.near.detach(kick)
    return this
  }

  /** Waits until frames have gone round `times` more, seen from events of Node's loop. */
  async goesRound(times = 100): Promise<void> {
    const goal = this.rounds + times
    await until(() => this.rounds >= goal)
  }

  /** Calls back from within a run, after some rounds. */
  inRun(act: () => void): void {
    const goal = this.rounds + 50
    this.near.hook = rounds => {
      if (rounds === goal) act()
    }
  }

  /** Ends a port from the other side. */
  cut(): void {
    this.ports[0].close()
  }

  close(): void {
    this.#listener.close()
    for (const port of this.ports) port.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #plug(sw: Switch, run: Run, fd: number): void {
    try {
      this.ports.push(
        streamPort({
          switch: sw,
          run,
          port: new Port({ name: 'cable', role: 'vm' }),
          fd,
          onEnd: reason => {
            this.ends.push(reason)
            this.onEnd(reason)
          },
        }),
      )
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }
}

/** A loop that goes round already. */
export const startLoop = (): Promise<Loop> => new Loop().start()
