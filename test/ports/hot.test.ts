// Ports that talk much are waited for in another way than those that do not (native/poller_linux.cc): a port that
// becomes one of these, is one no longer, or leaves while it is one, does not lose a frame.

import t from 'tap'
import { frame, runOf, station } from '../helpers/frames.js'
import { Bench, type Peer } from './bench.js'

/** More events in a row than a port needs to become hot, and more waits than it needs to cool down. */
const MANY = 600

async function exchange(bench: Bench, from: Peer, to: Peer, times: number, seed: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const run = runOf(frame({ from: station(seed), seed: i }))
    await bench.deliver(from, run)
    const got = await to.read(run.length)
    if (Buffer.compare(got, run) !== 0) throw new Error(`frame ${i} is another one`)
  }
}

t.test('a port that talked much, kept silent, and talks again is heard each time', async t => {
  const bench = new Bench(t)
  const [a, b, c] = [await bench.plug(), await bench.plug(), await bench.plug()]
  await exchange(bench, a, b, MANY, 1)
  c.readSome()
  await exchange(bench, c, b, MANY, 3)
  a.readSome()
  await exchange(bench, a, b, 3, 1)
  t.equal(a.ended ?? b.ended ?? c.ended, undefined)
})

t.test('more ports than can be hot all talk much', async t => {
  const bench = new Bench(t)
  const peers = await Promise.resolve([]).then(async (made: Peer[]) => {
    for (let i = 0; i < 12; i++) made.push(await bench.plug())
    return made
  })
  const listening = bench.tester()
  for (let round = 0; round < 50; round++) {
    for (const [n, peer] of peers.entries()) {
      await bench.deliver(peer, runOf(frame({ from: station(n + 1), seed: round })))
      for (const other of peers) other.readSome()
    }
  }
  t.equal(listening.take().length, 50 * 12)
})

t.test('a hot port that leaves, by either side, is gone, and the others go on', async t => {
  const bench = new Bench(t)
  const [a, b, c] = [await bench.plug(), await bench.plug(), await bench.plug()]
  await exchange(bench, a, b, 100, 1)
  await exchange(bench, c, b, 100, 3)
  a.stream.close()
  await exchange(bench, c, b, 10, 3)
  c.close()
  const d = await bench.plug()
  await exchange(bench, d, b, 100, 4)
  t.equal(c.ended, 'reset')
  t.equal(b.ended, undefined)
})
