// A process, or a worker thread of one, that ends at a given stage of the addon's life. Arguments: the stage,
// and `worker` to go through it in a worker, whose exit code is printed then.

import { mkdtempSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { native } from '../../src/native.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { turn, until } from '../helpers/frames.js'
import { Loop, startLoop } from './traffic.js'

const SELF = fileURLToPath(import.meta.url)
const say = (line: string) => process.stdout.write(`${line}\n`)
const exit = (code: number) => () => process.exit(code)

const startWorker = (stage: string) => new Worker(SELF, { argv: [stage] })
const running = (worker: Worker) => new Promise(resolve => worker.once('message', resolve))
const ended = (worker: Worker) => new Promise<number>(resolve => worker.once('exit', resolve))

const stages: Record<string, () => unknown> = {
  loaded() {},
  'listening-exit'() {
    new Loop()
    process.exit(7)
  },
  async 'traffic-exit'() {
    await (await startLoop()).goesRound()
    process.exit(7)
  },
  async 'exit-in-run'() {
    const loop = await startLoop()
    loop.inRun(exit(7))
  },
  async 'exit-in-end'() {
    const loop = await startLoop()
    await loop.goesRound()
    loop.onEnd = exit(7)
    loop.cut()
  },
  'exit-in-connection'() {
    new Loop().onConnection = exit(7)
  },
  async 'throw-in-run'() {
    const loop = await startLoop()
    loop.inRun(() => {
      throw new Error('thrown from within a run')
    })
  },
  async 'throw-in-end'() {
    const loop = await startLoop()
    loop.onEnd = () => {
      throw new Error('thrown from within onEnd')
    }
    loop.cut()
  },
  async 'throw-in-run-caught'() {
    process.on('uncaughtException', ({ message }) => say(`caught: ${message}`))
    const [broken, other] = [await startLoop(), await startLoop()]
    broken.inRun(() => {
      throw new Error('thrown from within a run')
    })
    await until(() => broken.ends.length > 0)
    say(`ended: ${broken.ends[0]}`)
    await other.goesRound()
    for (const loop of [broken, other]) loop.close()
  },
  async 'exit-in-exit'() {
    process.on('exit', exit(9))
    await (await startLoop()).goesRound()
    process.exit(7)
  },
  async 'close-in-exit'() {
    const loop = await startLoop()
    process.on('exit', () => loop.close())
    await loop.goesRound()
    process.exit(7)
  },
  async 'close-in-run'() {
    const loop = await startLoop()
    loop.inRun(() => loop.close())
  },
  async 'close-all'() {
    const loop = await startLoop()
    await loop.goesRound()
    loop.close()
    loop.close()
    const left = loop.rounds
    await turn()
    if (loop.rounds !== left) throw new Error('a closed port was served')
  },
  async 'open-again'() {
    for (let i = 0; i < 20; i++) {
      const loop = await startLoop()
      await loop.goesRound(20)
      loop.close()
      // Nothing is open now: the loop lives by this timer alone.
      await new Promise(resolve => setTimeout(resolve, 1))
    }
  },
  async dropped() {
    let rounds = 0
    await (async () => {
      const loop = await startLoop()
      loop.near.hook = now => (rounds = now)
      await loop.goesRound()
    })()
    for (let i = 0; i < 10; i++) {
      globalThis.gc!()
      await turn()
      const before = rounds
      await until(() => rounds > before + 50)
    }
    process.exit(7)
  },
  async 'dropped-native'() {
    const path = join(mkdtempSync(join(tmpdir(), 'vbt-')), 's')
    let received = 0
    // Callbacks that hold nothing of the port or of the listener, as a switch's would.
    const plug = (fd: number) => {
      const run = Run.allocate()
      const { stretches, counters } = new Port({ name: 'alone', role: 'vm' })
      const onRun = (end: number) => {
        received += end
        return end
      }
      new native.StreamIo(fd, run.bytes, run.departures, stretches, counters, onRun, () => {})
    }
    const open = () => void new native.Listener(native.listen(path, 0o600, -1), plug, () => {})
    open()
    const collect = async () => {
      for (let i = 0; i < 10; i++) {
        globalThis.gc!()
        await turn()
      }
    }
    await collect()
    const peer = native.dial(path, true)
    rmSync(dirname(path), { recursive: true })
    writeSync(peer, 'x')
    await until(() => received === 1)
    await collect()
    writeSync(peer, 'x')
    await until(() => received === 2)
    process.exit(7)
  },
  async 'traffic-for-ever'() {
    const loop = await startLoop()
    await loop.goesRound()
    parentPort?.postMessage('running')
  },
  async 'terminate-workers'() {
    for (let i = 0; i < 10; i++) {
      const worker = startWorker('traffic-for-ever')
      await running(worker)
      await worker.terminate()
    }
  },
  async 'two-workers'() {
    const [a, b] = [startWorker('traffic-for-ever'), startWorker('traffic-for-ever')]
    const mine = await startLoop()
    await Promise.all([running(a), running(b)])
    await mine.goesRound()
    await a.terminate()
    await mine.goesRound()
    mine.close()
    const last = startWorker('close-all')
    say(`a worker that closes all ends with ${await ended(last)}`)
    await b.terminate()
  },
  async 'exit-beside-worker'() {
    await running(startWorker('traffic-for-ever'))
    process.exit(7)
  },
}

const [stage, where] = process.argv.slice(2)
if (isMainThread && where === 'worker') {
  const worker = startWorker(stage)
  worker.on('error', (error: Error) => say(`error: ${error.message}`))
  say(`the worker ended with ${await ended(worker)}`)
} else {
  await stages[stage]()
}
