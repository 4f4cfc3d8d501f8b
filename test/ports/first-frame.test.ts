// The source of a port's first frame, which names the port: told once, before that frame is forwarded or anything is
// learnt of it, however the bytes are cut.

import { closeSync, writeSync } from 'node:fs'
import t from 'tap'
import { firstSource, streamPort } from '../../src/ports/run-port.js'
import { native } from '../../src/native.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { frame, runOf, station, until } from '../helpers/frames.js'
import { Bench } from './bench.js'

const sourceOf = (bytes: Uint8Array, end = bytes.length): number => {
  const run = new Run(new Uint8Array(bytes.length + 64).fill(0xa5))
  run.bytes.set(bytes)
  return firstSource(run, 0, end, 0)
}

const A = 0x5254_0000_0001

t.test('it is there with the last byte of the frame, and not before', async t => {
  const run = runOf(frame({ from: station(1) }), frame({ from: station(2) }))
  for (let end = 0; end < 64; end++) t.equal(sourceOf(run, end), -1, `${end} bytes`)
  for (let end = 64; end <= run.length; end++) t.equal(sourceOf(run, end), A, `${end} bytes`)
  t.equal(sourceOf(runOf(frame({ from: { hi: 0xfeff, lo: 0xffffffff } }))), 0xfeff_ffff_ffff)
  t.equal(sourceOf(runOf(frame({ from: station(1), length: 14 }))), A)
})

t.test(
  'runts do not count, a group address and zeros are nobody’s, and broken framing is no frame',
  async t => {
    const runt = frame({ from: station(9), length: 13 })
    t.equal(sourceOf(runOf(runt, runt, frame({ from: station(1) }))), A)
    t.equal(sourceOf(runOf(runt)), -1)
    t.equal(sourceOf(runOf(frame({ from: { hi: 0x0100, lo: 1 } }), frame({ from: station(1) }))), 0)
    t.equal(sourceOf(runOf(frame({ from: { hi: 0, lo: 0 } }))), 0)
    for (const length of [0, 65_537, 0xffffffff]) {
      const bytes = Buffer.alloc(100)
      bytes.writeUInt32BE(length)
      t.equal(sourceOf(bytes), -1, String(length))
      t.equal(sourceOf(Buffer.concat([runOf(runt), bytes])), -1)
    }
  },
)

t.test('the port is told once, before the switch learns or forwards', async t => {
  const bench = new Bench(t)
  const other = bench.tester()
  const told: unknown[] = []
  const fds = await new Promise<[number, number]>(resolve => {
    const listening = native.listen(`${bench.path}2`, 0o600, -1)
    const listener = new native.Listener(
      listening,
      theirs => resolve([mine, theirs]),
      () => {},
    )
    const mine = native.dial(`${bench.path}2`, true)
    t.teardown(() => listener.close())
  })
  const port = new Port({ name: 'before', role: 'vm' })
  const stream = streamPort({
    switch: bench.switch,
    run: Run.allocate(),
    port,
    fd: fds[1],
    onEnd: () => {},
    onFirstFrame: source => told.push([source, bench.switch.fdbEntries().length, other.received.length]),
  })
  t.teardown(() => {
    stream.close()
    closeSync(fds[0])
  })
  const [one, two] = [frame({ from: station(1) }), frame({ from: station(2) })]
  const run = runOf(frame({ from: station(9), length: 13 }), one, two)
  for (const byte of run) {
    const { runs } = bench.switch
    writeSync(fds[0], Buffer.of(byte))
    await until(() => bench.switch.runs > runs)
  }
  t.strictSame(told, [[A, 0, 0]])
  t.equal(other.take().length, 2)
})
