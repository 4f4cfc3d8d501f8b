// Frames towards VMs' datagram sockets that take some of them, or none: a datagram is never cut, what is held back is
// bounded, what does not fit is dropped and counted, and nobody else notices.

import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { DROP_TX_FULL, TX_BYTES, TX_FRAMES } from '../../src/switch/counters.js'
import type { DatagramPeer } from '../helpers/datagrams.js'
import { frame, runOf, station, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import type { Tester } from '../switch/segment.js'
import {
  DGRAM_NEEDS,
  DgramBench,
  IS_DOUBLE,
  IS_SILENT,
  LONGEST,
  numberOf,
  numbered,
  type Plugged,
} from './dgram-bench.js'

const QUEUE_LIMIT = 512 * 1024
/** Frames of 1 KB: ten times the queue. */
const MORE_THAN_IT_HOLDS = 5000
const skip = requires(DGRAM_NEEDS)

const range = (count: number, from = 0) => Array.from({ length: count }, (_, n) => from + n)

/** Sends `total` numbered frames, which `reader` loses none of. */
async function flood(
  t: Test,
  bench: DgramBench,
  sender: Tester,
  reader: DatagramPeer,
  total: number,
  each: () => void = () => {},
): Promise<void> {
  let faults = 0
  for (let n = 0; n < total; n += 10) {
    const frames = range(10, n).map(n => numbered(n))
    bench.inject(sender, ...frames)
    each()
    if (!runOf(...(await reader.receive(10))).equals(runOf(...frames))) faults++
  }
  t.equal(faults, 0, 'the other got every frame in order')
}

/** What a stalled peer finds once it reads: the first frames, in order, and whole. */
async function readsItsQueue(t: Test, { peer, made }: Plugged): Promise<number> {
  const kept = await peer.receive(made.port.counters[TX_FRAMES])
  t.same(kept.map(numberOf), range(kept.length), 'tail drop: the first ones are there')
  t.ok(
    kept.every((each, n) => each.equals(numbered(n))),
    'and nothing was cut',
  )
  t.same(await peer.drain(), [])
  return kept.length
}

for (const [stalledKind, readerKind] of [
  ['free', 'free'],
  ['free', 'tied'],
  ['tied', 'free'],
  ['tied', 'tied'],
] as const) {
  const title = `a ${stalledKind} VM that never reads loses its own frames alone, not those of a ${readerKind} one`
  t.test(title, { skip }, async t => {
    const bench = new DgramBench(t).start()
    const sender = bench.tester()
    const [stalled, reader] = [await bench.plug(stalledKind), await bench.plug(readerKind)]
    const { io, port } = stalled.made
    let most = 0
    await flood(t, bench, sender, reader.peer, 1000, () => (most = Math.max(most, io.queuedBytes())))
    t.ok(most <= QUEUE_LIMIT, `${most} bytes at most in the queue`)
    t.equal(reader.made.port.counters[TX_FRAMES], 1000)
    t.equal(reader.made.port.counters[DROP_TX_FULL], 0)
    t.equal(port.counters[TX_FRAMES] + port.counters[DROP_TX_FULL], 1000, 'what it did not get is counted')
    t.equal(port.counters[TX_BYTES], port.counters[TX_FRAMES] * LONGEST)
    if (!IS_DOUBLE) t.ok(most > QUEUE_LIMIT - LONGEST - 4, 'the queue is full to the last frame that fits')

    const hello = frame({ from: station(8) })
    await stalled.peer.send([hello], stalledKind === 'free' ? bench.path : undefined)
    await until(() => sender.received.length > 0)
    t.same(sender.take(), [Buffer.from(hello)], 'it may still send')

    await readsItsQueue(t, stalled)
    t.equal(io.queuedBytes(), 0)
    await reader.peer.drain()
    const after = numbered(1, 60)
    bench.inject(sender, after)
    t.same(await stalled.peer.receive(1), [Buffer.from(after)], 'it works again')
    t.same(bench.ended, [])
  })
}

t.test('several tied VMs of one socket are stalled, and the last one loses nothing', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const sender = bench.tester()
  const stalled: Plugged[] = []
  for (let i = 0; i < 5; i++) stalled.push(await bench.plug('tied'))
  const last = await bench.plug('tied')
  // More than the widest buffers hold.
  await flood(t, bench, sender, last.peer, 2000)
  // The other way round: the first is read, and those that came later are not.
  for (const { made } of stalled) t.ok(made.port.counters[DROP_TX_FULL] > 0)
  for (const each of stalled) await readsItsQueue(t, each)
  await flood(t, bench, sender, stalled[0].peer, 500)
})

t.test(
  'a VM that reads a part of its queue again and again gets whole frames in order',
  { skip },
  async t => {
    const bench = new DgramBench(t).start()
    const sender = bench.tester()
    const { peer, made } = await bench.plug('free')
    const { counters } = made.port
    const got: Buffer[] = []
    let n = 0
    // The ring of the queue wraps at another place each time.
    for (let round = 0; round < 30; round++) {
      const before = counters[DROP_TX_FULL]
      for (let sent = 0; counters[DROP_TX_FULL] === before && sent < MORE_THAN_IT_HOLDS; sent++)
        bench.inject(sender, numbered(n++, 1000 + ((n * 37) % 515)))
      if (!t.ok(counters[DROP_TX_FULL] > before, 'it is full, and that is counted')) return
      got.push(...(await peer.receive(Math.min(100 + round, counters[TX_FRAMES] - got.length))))
    }
    got.push(...(await peer.receive(counters[TX_FRAMES] - got.length)))
    t.same(await peer.drain(), [])
    t.equal(counters[TX_FRAMES] + counters[DROP_TX_FULL], n)
    t.equal(
      counters[TX_BYTES],
      got.reduce((sum, { length }) => sum + length, 0),
    )
    t.ok(
      got.every((each, i) => i === 0 || numberOf(each) > numberOf(got[i - 1])),
      'in order, and none twice',
    )
    t.ok(
      got.every(each => each.equals(numbered(numberOf(each), each.length))),
      'and none was cut',
    )
  },
)

const throughTheQueue = async (t: Test) => {
  const bench = new DgramBench(t).start()
  const sender = bench.tester()
  const { peer, made } = await bench.plug('free')
  const frames = range(80).map(n => numbered(n, 18 + ((n * 7919) % 9000)))
  bench.inject(sender, ...frames)
  t.ok(made.io.queuedBytes() > 0)
  t.ok(runOf(...(await peer.receive(80))).equals(runOf(...frames)))
}

t.test('the longest frame passes out between others', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const sender = bench.tester()
  const { peer, made } = await bench.plug('free')
  const frames = [numbered(0, 60), numbered(1, 65_536), numbered(2, 60)]
  bench.inject(sender, ...frames)
  t.ok(runOf(...(await peer.receive(3))).equals(runOf(...frames)))
  t.equal(made.port.counters[TX_FRAMES], 3)
})

const pauses = async (t: Test) => {
  const bench = new DgramBench(t).start()
  const sender = bench.tester()
  const { peer, made } = await bench.plug('free')
  const { counters } = made.port
  /** How often this thread has waited: each pause is one time. */
  const waits = () =>
    Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1])
  const pausesOf = (send: () => void) => {
    const before = waits()
    send()
    return waits() - before
  }
  const fill = pausesOf(() => bench.inject(sender, ...range(30).map(n => numbered(n))))
  t.ok(counters[DROP_TX_FULL] > 0, 'it is full')
  t.ok(fill >= 10, `${fill} waits when it fills`)
  const stays = pausesOf(() => {
    for (let i = 0; i < 100; i++) bench.inject(sender, numbered(i))
  })
  t.ok(stays < 100, `${stays} waits in a hundred runs after that`)
  const kept = counters[TX_FRAMES]
  t.equal(kept + counters[DROP_TX_FULL], 130)
  t.same((await peer.receive(kept)).map(numberOf), range(kept))
  bench.inject(sender, numbered(7))
  t.same((await peer.receive(1)).map(numberOf), [7])
  const again = pausesOf(() => bench.inject(sender, ...range(30).map(n => numbered(n))))
  t.ok(again >= 10, `${again} waits when it fills again, since it had room in between`)
}

// Where the kernel does not say when there is room, there is no queue.
if (IS_SILENT) t.test('a full peer costs ten pauses, and none while it stays full', { skip }, pauses)
else t.test('frames of all lengths pass through the queue unchanged', { skip }, throughTheQueue)
