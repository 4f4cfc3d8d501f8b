// A process, or a worker thread of one, that ends at a given stage of its datagram ports' life. Arguments: the stage, and
// `worker` to go through it in a worker, whose exit code is printed then.

import { fileURLToPath } from 'node:url'
import { isMainThread, Worker } from 'node:worker_threads'
import type { Port } from '../../src/switch/port.js'
import type { Run } from '../../src/switch/run.js'
import { frame, turn, until } from '../helpers/frames.js'
import { DgramBench, type Plugged } from '../ports/dgram-bench.js'

const SELF = fileURLToPath(import.meta.url)
const say = (line: string) => process.stdout.write(`${line}\n`)
const exit = (code: number) => () => process.exit(code)

/** Two VMs, one of which sends broadcasts for ever, and the other of which never reads. */
class Traffic {
  readonly bench: DgramBench
  vms: Plugged[] = []
  runs = 0
  hook: () => void = () => {}
  readonly #undo: (() => unknown)[] = []
  #isOpen = true

  constructor() {
    this.bench = new DgramBench({ teardown: undo => this.#undo.unshift(undo) })
    const { switch: sw } = this.bench
    const ingress = sw.ingressFromNative.bind(sw)
    sw.ingressFromNative = (from: Port, run: Run, end: number, now: number, start: number) => {
      this.runs++
      this.hook()
      return ingress(from, run, end, now, start)
    }
  }

  async start(): Promise<this> {
    this.bench.start()
    this.vms = [await this.bench.plug('free'), await this.bench.plug('tied')]
    void this.#send()
    await this.goesOn()
    return this
  }

  async goesOn(): Promise<void> {
    const goal = this.runs + 50
    await until(() => this.runs > goal)
  }

  close(): void {
    this.#isOpen = false
    for (const undo of this.#undo) undo()
  }

  async #send(): Promise<void> {
    const frames = Array.from({ length: 200 }, (_, seed) => frame({ length: seed % 2 ? 1514 : 9000, seed }))
    while (this.#isOpen)
      await this.vms[0].peer.send(frames, this.bench.path).catch(() => (this.#isOpen = false))
  }
}

const start = () => new Traffic().start()

const stages: Record<string, () => unknown> = {
  'open-exit'() {
    new Traffic().bench.start()
    process.exit(7)
  },
  async 'traffic-exit'() {
    await start()
    process.exit(7)
  },
  async 'exit-in-peer'() {
    const { bench } = new Traffic()
    bench.refuses = exit(7) as () => never
    await bench.start().plug('tied')
  },
  async 'exit-in-run'() {
    const traffic = await start()
    traffic.hook = exit(7)
  },
  async 'throw-in-run'() {
    const traffic = await start()
    traffic.hook = () => {
      throw new Error('thrown from within a run')
    }
  },
  async 'exit-in-end'() {
    const { bench, vms } = await start()
    bench.onEnd = exit(7)
    await vms[1].peer.close({ unlink: true })
    bench.listener.look()
  },
  async 'close-in-run'() {
    const traffic = await start()
    traffic.hook = () => traffic.close()
  },
  async 'close-in-peer'() {
    const traffic = new Traffic()
    traffic.bench.refuses = () => {
      traffic.close()
      return true
    }
    const peer = await traffic.bench.start().bind()
    await peer.send([frame()], traffic.bench.path).catch(() => {})
  },
  async 'close-all'() {
    const traffic = await start()
    traffic.close()
    traffic.close()
    const left = traffic.runs
    for (let i = 0; i < 5; i++) await turn()
    if (traffic.runs !== left) throw new Error('a closed port was served')
  },
  async dropped() {
    let runs = 0
    await (async () => {
      const traffic = await start()
      traffic.hook = () => runs++
    })()
    for (let i = 0; i < 10; i++) {
      globalThis.gc!()
      const before = runs
      await until(() => runs > before + 5)
    }
    process.exit(7)
  },
}

const [stage, where] = process.argv.slice(2)
if (isMainThread && where === 'worker') {
  const worker = new Worker(SELF, { argv: [stage] })
  worker.on('error', (error: Error) => say(`error: ${error.message}`))
  say(`the worker ended with ${await new Promise(resolve => worker.once('exit', resolve))}`)
} else {
  await stages[stage]()
}
