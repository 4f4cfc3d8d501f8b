// Frames towards a VM's stream socket that takes a part of them, or none: framing is never broken, what is held
// back is bounded, what does not fit is dropped whole and counted, and nobody else notices.

import t from 'tap'
import { DROP_REASONS, DROP_TX_FULL, TX_BYTES, TX_FRAMES } from '../../src/switch/counters.js'
import { frame, framesOf, runOf, station, until } from '../helpers/frames.js'
import { Bench } from './bench.js'

const QUEUE_LIMIT = 512 * 1024

/** A broadcast that carries a number behind its header. */
function numbered(n: number, length: number): Uint8Array {
  const bytes = frame({ from: station(7), length, seed: n })
  Buffer.from(bytes.buffer).writeUInt32BE(n, 14)
  return bytes
}
const numberOf = (each: Buffer) => each.readUInt32BE(14)

// The socket takes the same number of bytes before it is full each time it was empty, so a first frame that
// grows by a byte moves the cut through the frames behind it.
for (const { what, length, count, between } of [
  { what: 'in one stretch', length: 60, count: 6000, between: [] },
  // Runts that are dropped stand between the frames: each is a stretch of its own.
  { what: 'in a stretch each', length: 400, count: 1000, between: [new Uint8Array(1)] },
]) {
  t.test(`frames ${what} that a full socket cuts at every byte arrive whole and in order`, async t => {
    const bench = new Bench(t)
    const sender = bench.tester()
    const vm = await bench.plug()
    const small = Array.from({ length: count }, (_, n) => numbered(n, length))
    const step = length + 4
    const cuts = new Set<number>()
    for (let shift = 0; shift < step; shift++) {
      const frames = [frame({ from: station(7), length: 14 + shift }), ...small]
      const wanted = runOf(...frames)
      bench.inject(sender, runOf(...frames.flatMap(each => [each, ...between])))
      const queued = vm.stream.io.queuedBytes()
      cuts.add((wanted.length - queued - 18 - shift) % step)
      const got = await vm.read(wanted.length, 7919 + shift)
      if (Buffer.compare(got, wanted) !== 0) t.fail(`shifted by ${shift}`)
      if (vm.stream.io.queuedBytes() > 0) t.fail('something is left over')
    }
    t.equal(cuts.size, step, 'every offset of a frame was a cut')
    t.equal(vm.port.counters[DROP_TX_FULL], 0)
    t.equal(vm.port.counters[TX_FRAMES], step * (count + 1))
    t.equal(vm.readSome().length, 0)
  })
}

t.test(
  'a VM that reads slowly and in odd sizes gets whole frames in order, and what it lost is counted',
  async t => {
    const bench = new Bench(t)
    const sender = bench.tester()
    const vm = await bench.plug()
    const { counters } = vm.port
    const pieces: Buffer[] = []
    /** Bytes that the port has taken, lengths included, and that are not read yet. */
    const waiting = () =>
      counters[TX_BYTES] + 4 * counters[TX_FRAMES] - pieces.reduce((sum, piece) => sum + piece.length, 0)
    let sent = 0
    for (let round = 0; round < 400; round++) {
      const frames = Array.from({ length: 1 + (round % 31) }, () =>
        numbered(sent++, 18 + ((sent * 7919) % 9001)),
      )
      bench.inject(sender, runOf(...frames))
      pieces.push(await vm.read(Math.min(waiting(), (round * 104_729) % 60_000), 1 + ((round * 31) % 4093)))
    }
    t.equal(counters[TX_FRAMES] + counters[DROP_TX_FULL], sent)
    t.ok(counters[DROP_TX_FULL] > 0, 'more was sent than it read')
    pieces.push(await vm.read(waiting()))
    const got = framesOf(Buffer.concat(pieces))
    t.equal(got.length, counters[TX_FRAMES])
    let last = -1
    for (const each of got) {
      const n = numberOf(each)
      if (n <= last) t.fail(`${n} after ${last}`)
      if (Buffer.compare(each, numbered(n, each.length)) !== 0) t.fail(`frame ${n} differs`)
      last = n
    }
  },
)

t.test('a VM that never reads loses its own frames alone, and works again when it reads', async t => {
  const bench = new Bench(t)
  const sender = bench.tester()
  const [stalled, reader] = [await bench.plug(), await bench.plug()]
  const { counters } = stalled.port
  const total = 4000
  for (let n = 0; n < total; n += 20) {
    const run = runOf(...Array.from({ length: 20 }, (_, i) => numbered(n + i, 1514)))
    bench.inject(sender, run)
    if (stalled.stream.io.queuedBytes() > QUEUE_LIMIT) t.fail('the queue is over its limit')
    if (Buffer.compare(await reader.read(run.length), run) !== 0) t.fail(`run ${n} differs`)
  }
  t.equal(reader.port.counters[TX_FRAMES], total)
  t.equal(reader.port.counters[DROP_TX_FULL], 0)
  t.equal(counters[TX_FRAMES] + counters[DROP_TX_FULL], total)
  t.ok(stalled.stream.io.queuedBytes() > QUEUE_LIMIT - 1518, 'the queue is full to the last frame that fits')
  t.equal(new Map(DROP_REASONS).get(DROP_TX_FULL), 'tx-queue-full')

  // It may still send.
  const hello = frame({ from: station(8) })
  await bench.deliver(stalled, runOf(hello))
  t.same(sender.take(), [Buffer.from(hello)])

  const kept = framesOf(await stalled.read(counters[TX_FRAMES] * 1518, 65_537))
  t.same(
    kept.map(numberOf),
    Array.from({ length: kept.length }, (_, n) => n),
    'tail drop: the first ones are there',
  )
  t.equal(stalled.readSome().length, 0)
  t.equal(stalled.stream.io.queuedBytes(), 0)
  const after = runOf(numbered(total, 9018))
  bench.inject(sender, after)
  t.same(await stalled.read(after.length), after)
})

t.test('a VM that reads half of its queue and stops again keeps its framing', async t => {
  const bench = new Bench(t)
  const sender = bench.tester()
  const vm = await bench.plug()
  const { counters } = vm.port
  const pieces: Buffer[] = []
  let n = 0
  let got = 0
  // The ring of the queue wraps at another place each time.
  for (let round = 0; round < 40; round++) {
    const before = counters[DROP_TX_FULL]
    while (counters[DROP_TX_FULL] === before)
      bench.inject(sender, runOf(numbered(n++, 1000 + ((n * 37) % 900))))
    const piece = await vm.read(200_001 + 1009 * round)
    pieces.push(piece)
    got += piece.length
  }
  pieces.push(await vm.read(counters[TX_BYTES] + 4 * counters[TX_FRAMES] - got))
  const frames = framesOf(Buffer.concat(pieces))
  t.equal(frames.length, counters[TX_FRAMES])
  const numbers = frames.map(numberOf)
  t.same(
    numbers,
    numbers.toSorted((a, b) => a - b),
  )
  t.equal(new Set(numbers).size, numbers.length)
  t.ok(frames.every(each => Buffer.compare(each, numbered(numberOf(each), each.length)) === 0))
  await until(() => vm.stream.io.queuedBytes() === 0)
})
