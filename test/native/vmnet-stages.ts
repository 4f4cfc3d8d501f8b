// A process, or a worker thread of one, that ends at a given stage of a vmnet interface's life, on the stand-in for
// vmnet.framework. Arguments: the stage, and `worker` to go through it in a worker, whose exit code is printed then.

import { createSocket, type Socket } from 'node:dgram'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { native, type VmnetInterface, type VmnetIo, type VmnetReport } from '../../src/native.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { startVmnet } from '../../src/uplink/vmnet-interface.js'
import { frame, runOf, turn, until } from '../helpers/frames.js'

const SELF = fileURLToPath(import.meta.url)
const OPTIONS = {
  mode: 'shared',
  start: '192.168.105.1',
  end: '192.168.105.199',
  mask: '255.255.255.0',
} as const

const say = (line: string) => process.stdout.write(`${line}\n`)
const exit = (code: number) => () => process.exit(code)
const thrower = (message: string) => () => {
  throw new Error(message)
}
const double = (text: string): unknown =>
  (native as unknown as { vmnetDouble(text: string): unknown }).vmnetDouble(text)
const stats = (): Record<string, number> => JSON.parse(double('stats') as string) as Record<string, number>
const descriptors = (): number => readdirSync('/proc/self/fd').length

/** Starts an interface; `reports` grows by the state, the status and the call of each. */
function begin(onReport: VmnetReport = () => {}) {
  const reports: string[] = []
  const made = new native.VmnetInterface!(OPTIONS, (...report) => {
    reports.push(report.slice(0, 3).join(' '))
    onReport(...report)
  })
  return { made, reports }
}

async function running(onReport?: VmnetReport) {
  const begun = begin(onReport)
  await until(() => begun.reports.length > 0)
  return begun
}

/** What goes over the interface of `made`, and why its port ended. */
function join(made: VmnetInterface, onRun = () => {}, onEnd = () => {}) {
  const run = Run.allocate()
  const { stretches, counters } = new Port({ name: 'uplink', role: 'uplink' })
  const seen = { runs: 0, ends: [] as string[] }
  const io = new native.VmnetIo(
    made,
    run.bytes,
    run.departures,
    stretches,
    counters,
    end => {
      seen.runs++
      onRun()
      return end
    },
    reason => {
      seen.ends.push(reason)
      onEnd()
    },
  )
  return { io, seen, stretches, counters }
}

/** The host broadcasts for ever, which the interface reads. */
function flood(): Socket {
  const socket = createSocket('udp4')
  const send = () => {
    for (let i = 0; i < 20; i++) socket.send('x'.repeat(900), 9, '192.168.105.255', () => {})
    setImmediate(send)
  }
  socket.bind(0, '192.168.105.1', () => {
    socket.setBroadcast(true)
    send()
  })
  return socket
}

async function flooded(onRun?: () => void, onEnd?: () => void) {
  const { made, reports } = await running()
  const joined = join(made, onRun, onEnd)
  flood()
  await until(() => joined.seen.runs > 20 || joined.seen.ends.length > 0)
  return { made, reports, ...joined }
}

/** Has the port send one frame. */
function write({ io, stretches }: { io: VmnetIo; stretches: Int32Array }): void {
  const run = runOf(frame())
  stretches.set([0, run.length])
  io.transmit(run, 1, 1)
}

const collect = async () => {
  for (let i = 0; i < 10; i++) {
    globalThis.gc!()
    await turn()
  }
}

const stages: Record<string, () => unknown> = {
  'starting-exit'() {
    begin()
    process.exit(7)
  },
  async 'starting-slowly-exit'() {
    double('start=delay:300')
    begin()
    await turn()
    process.exit(7)
  },
  async 'running-exit'() {
    await running()
    process.exit(7)
  },
  async 'traffic-exit'() {
    await flooded()
    process.exit(7)
  },
  'exit-in-run': () => flooded(exit(7)),
  async 'exit-in-end'() {
    const scene = await flooded(undefined, exit(7))
    double('gone,event=spurious')
    await until(() => scene.seen.ends.length > 0)
  },
  'exit-in-report': () => begin(exit(7)),
  'throw-in-report': () => begin(thrower('thrown from within a report')),
  'throw-in-run': () => flooded(thrower('thrown from within a run')),
  async 'throw-in-end'() {
    const scene = await flooded(undefined, thrower('thrown from within onEnd'))
    double('gone,event=spurious')
    await until(() => scene.seen.ends.length > 0)
  },
  async 'stopping-exit'() {
    const { made, io } = await flooded()
    io.close()
    made.stop()
    process.exit(7)
  },
  async 'stop-never-exit'() {
    double('stop=never')
    const { made, io } = await flooded()
    io.close()
    made.stop()
    await turn()
    process.exit(7)
  },
  async 'close-in-exit'() {
    const { made, io } = await flooded()
    process.on('exit', () => {
      io.close()
      made.stop()
    })
    process.exit(7)
  },
  async 'close-in-run'() {
    const scene = await running()
    const joined = join(scene.made, () => {
      joined.io.close()
      scene.made.stop()
    })
    const socket = createSocket('udp4')
    socket.bind(0, '192.168.105.1', () => {
      socket.setBroadcast(true)
      socket.send('x', 9, '192.168.105.255', () => socket.close())
    })
    await until(() => scene.reports.length === 2)
    say(scene.reports[1])
  },
  async 'stop-all'() {
    const { made, reports } = await running()
    const { io } = join(made)
    io.close()
    io.close()
    made.stop()
    made.stop()
    await until(() => reports.length === 2)
    made.stop()
    made.abandon()
    say(`${reports.join(', ')}; parameters ${made.parameters()}`)
  },
  /** What comes up after it was given up is stopped, and the process ends with it. */
  async 'abandoned-while-starting'() {
    double('start=delay:200')
    const { made, reports } = begin()
    made.abandon()
    made.abandon()
    await until(() => stats()['stops'] === 1 && stats()['liveInterfaces'] === 0)
    say(`${reports.length} reports`)
  },
  /** The port is still open, and its interface is taken away: an end as any other, without a crash. */
  async 'stop-under-port'() {
    for (const way of ['stop', 'abandon'] as const) {
      const { made } = await running()
      const joined = join(made)
      made[way]()
      write(joined)
      await until(() => joined.seen.ends.length > 0)
      say(`${joined.seen.ends} ${joined.counters[0]} sent`)
      await until(() => stats()['liveInterfaces'] === 0)
    }
  },
  /** Nobody holds the interface and its port: they go on. */
  async dropped() {
    const seen = await (async () => (await flooded()).seen)()
    for (let i = 0; i < 10; i++) {
      await collect()
      const before = seen.runs
      await until(() => seen.runs > before + 5)
    }
    process.exit(7)
  },
  /** What has ended is collected: nothing of it stays in the process. */
  async collected() {
    const held: WeakRef<object>[] = []
    for (const faults of [
      'start=ok',
      'start=1001',
      'start=late:1001',
      'start=null',
      'stop=1001',
      'stop=never',
    ]) {
      double(`clear,${faults}`)
      await (async () => {
        const { made, reports } = await running()
        held.push(new WeakRef(made))
        if (!reports[0].startsWith('running')) return
        const { io } = join(made)
        held.push(new WeakRef(io))
        io.close()
        made.stop()
        if (faults === 'stop=never') return made.abandon()
        await until(() => reports.length === 2)
      })()
    }
    await until(() => {
      globalThis.gc!()
      return held.every(each => each.deref() === undefined)
    })
    say(`${held.length} collected`)
  },
  /** At every number of free descriptors: an error with a code, and nothing left behind. */
  async 'out-of-descriptors'() {
    process.on('uncaughtException', ({ message }) => say(`uncaught: ${message}`))
    await (await startVmnet(OPTIONS, new AbortController().signal)).stop()
    const before = descriptors()
    const taken: number[] = []
    const codes = new Set<string>()
    let isStarted = false
    for (let free = 0; !isStarted; free++) {
      try {
        for (;;) taken.push(openSync('/dev/null', 'r'))
      } catch {
        // None is left.
      }
      for (let i = 0; i < free; i++) closeSync(taken.pop()!)
      if (free === 0) say(`link: ${native.linkOf('lo')}`)
      if (free === 1) say(`link: ${native.linkOf('lo')?.state}`)
      try {
        await (await startVmnet(OPTIONS, new AbortController().signal, { start: 1, stop: 5 })).stop()
        isStarted = true
      } catch (error) {
        codes.add(String((error as NodeJS.ErrnoException).code))
      }
    }
    for (const fd of taken) closeSync(fd)
    // Longer than the limit of a start: a timer that was left behind has its say.
    await new Promise(resolve => setTimeout(resolve, 1500))
    await until(() => descriptors() === before)
    say([...codes].sort().join(' '))
  },
  /** startVmnet: what it says of a start and a stop that do not come, and that it leaves no timer behind. */
  async limits() {
    const start = (faults: string, limit = 60, signal = new AbortController().signal) => {
      double(`clear,${faults}`)
      // Of no subnet: an interface that does not stop would keep it.
      return startVmnet({ mode: 'host' }, signal, { start: limit, stop: faults === 'stop=never' ? 0.2 : 60 })
    }
    const check = (what: string) => {
      const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
      say(timers === 0 ? what : `${what}, and ${timers} timers`)
    }
    const abort = new AbortController()
    const lasting = await start('start=ok', 60, abort.signal)
    check('it runs')
    abort.abort()
    check(`after the abort: ${lasting.native.parameters() !== undefined}`)
    check(`stop: ${await lasting.stop()}`)
    for (const faults of ['stop=1001', 'stop=return:1004', 'stop=never']) {
      const { native: made, stop } = await start(faults)
      check(`${faults}: ${await stop()}, ${made.parameters()}`)
    }
    for (const [faults, limit] of [
      ['start=1009', 60],
      ['start=never', 0.2],
      ['start=delay:400', 0.2],
    ] as const)
      await start(faults, limit).catch(({ code }) => check(`${faults}: ${code}`))
    await until(() => stats()['stops'] === 4)
    await start('start=ok', 60, AbortSignal.abort()).catch(({ code }) => check(`aborted: ${code}`))
    await until(() => stats()['stops'] === 5)
  },
  async 'options-that-throw'() {
    const { VmnetInterface } = native as unknown as { VmnetInterface: new (...args: unknown[]) => unknown }
    const tries: unknown[][] = [[], [{}], [null, () => {}], [OPTIONS, {}], [OPTIONS, () => {}, 1]]
    for (const args of tries) {
      try {
        new VmnetInterface(...args)
        say('taken')
      } catch (error) {
        if (!(error instanceof TypeError)) say(String(error))
      }
    }
    try {
      new VmnetInterface({ get mode() { throw new Error('no mode') } }, () => {}) // prettier-ignore
    } catch (error) {
      say((error as Error).message)
    }
    const { made } = await running()
    const joined = join(made)
    for (const source of [made, {}, 3, undefined]) {
      try {
        join(source as VmnetInterface)
        say('taken')
      } catch (error) {
        if (!(error instanceof TypeError)) say(String(error))
      }
    }
    joined.io.close()
    made.stop()
    await until(() => stats()['liveInterfaces'] === 0)
    say(`${stats()['starts']} started`)
  },
  async 'traffic-for-ever'() {
    await flooded()
    parentPort?.postMessage('running')
  },
  'starting-for-ever'() {
    double('start=delay:50')
    begin()
    parentPort?.postMessage('running')
  },
  async 'stopping-for-ever'() {
    const { made, io } = await flooded()
    io.close()
    made.stop()
    parentPort?.postMessage('running')
  },
  async 'terminate-workers'() {
    for (let i = 0; i < 9; i++) {
      const worker = startWorker(['traffic-for-ever', 'starting-for-ever', 'stopping-for-ever'][i % 3])
      await new Promise(resolve => worker.once('message', resolve))
      await worker.terminate()
      double('clear')
      await until(() => stats()['liveInterfaces'] === 0)
    }
    const { liveQueues, liveXpcObjects } = stats()
    await until(() => stats()['liveQueues'] === 0)
    if (liveQueues > 2 || liveXpcObjects > 0) say(JSON.stringify(stats()))
  },
}

const startWorker = (stage: string) => new Worker(SELF, { argv: [stage] })

const [stage, where] = process.argv.slice(2)
if (isMainThread && where === 'worker') {
  const worker = startWorker(stage)
  worker.on('error', (error: Error) => say(`error: ${error.message}`))
  say(`the worker ended with ${await new Promise<number>(resolve => worker.once('exit', resolve))}`)
} else {
  await stages[stage]()
}
