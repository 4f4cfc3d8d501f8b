// Who is behind a datagram pair is looked after: with a frame for nobody, to those who may be gone, and to no others.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Listener } from '../../src/ports/listener.js'
import { PairWatch } from '../../src/ports/pair-watch.js'
import { dgramPort, streamPort, type DgramPort } from '../../src/ports/run-port.js'
import { DROP_TX_DOWN, RX_FRAMES, TX_FRAMES } from '../../src/switch/counters.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { DatagramProcess, type PassingPeer } from '../helpers/datagrams.js'
import { frame, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { scratch } from './bench.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'python3'])
const NOBODY = 2 ** 30 // above every PID

/** A VM that asked for a pair, and the port of our end. */
async function pair(
  t: Test,
): Promise<{ vm: PassingPeer; made: DgramPort; ended: string[]; heard: () => number }> {
  const path = join(scratch(t), 's')
  const vms = new DatagramProcess(t)
  const context = { switch: new Switch({ clock: performance, random32: () => 1 }), run: Run.allocate() }
  const ended: string[] = []
  let made: DgramPort | undefined
  const listener = new Listener({
    path,
    mode: 0o600,
    onRefused: reason => t.fail(reason),
    onConnection: fd => {
      const stream = streamPort({
        ...context,
        fd,
        port: new Port({ name: 'stream', role: 'vm' }),
        onEnd: () => {
          const port = new Port({ name: 'pair', role: 'vm' })
          const source = { longest: 1514, fd: stream.io.passed()! }
          made = dgramPort(source, { ...context, port, onEnd: reason => ended.push(reason) })
        },
      })
      stream.io.offerDatagrams()
    },
  })
  listener.start()
  t.teardown(() => listener.close())
  const vm = await vms.give(path, [], [Buffer.from('DGRM')])
  await vm.hear(100)
  await until(() => made !== undefined)
  t.teardown(() => made!.io.close())
  return { vm, made: made!, ended, heard: () => made!.port.counters[RX_FRAMES] }
}

t.test(
  'a VM that said nothing yet is sent a frame for nobody, of 60 bytes and not one more',
  { skip },
  async t => {
    const { vm, made } = await pair(t)
    const watch = new PairWatch()
    t.teardown(() => watch.close())
    const transmit = made.io.transmit.bind(made.io)
    const value: typeof transmit = (run, ...rest) => {
      t.equal(made.port.stretches[0] + made.port.stretches[1], run.length, 'nothing behind the run goes out')
      transmit(run, ...rest)
    }
    Object.defineProperty(made.io, 'transmit', { value })
    watch.add(made, process.pid)
    watch.look()
    const wanted = Buffer.from('0180c2000001' + '000000000000' + '88b5' + '00'.repeat(46), 'hex')
    t.equal(wanted.length, 60)
    t.strictSame(await vm.receive(1), [wanted])
    t.equal(made.port.counters[TX_FRAMES], 1)
  },
)

t.test(
  'a VM that was heard is left alone while its process lives, and looked for after that',
  { skip },
  async t => {
    const { vm, made, heard, ended } = await pair(t)
    const watch = new PairWatch()
    t.teardown(() => watch.close())
    await vm.send([frame()])
    await until(() => heard() === 1)
    watch.add(made, process.pid)
    watch.look()
    t.equal(made.port.counters[TX_FRAMES], 0)
    // Another process may have inherited the socket, so the end of the one that asked is not the VM's.
    for (const pid of [NOBODY, 0]) {
      watch.add(made, pid)
      watch.look()
    }
    t.equal(made.port.counters[TX_FRAMES], 2)
    t.equal((await vm.receive(2)).length, 2)
    t.strictSame(ended, [])
    await vm.close()
    watch.look()
    await until(() => ended.length > 0)
    t.strictSame(ended, ['gone'])
    const lost = made.port.counters[DROP_TX_DOWN]
    watch.look()
    t.equal(made.port.counters[DROP_TX_DOWN], lost, 'who has left is not sent to')
  },
)
