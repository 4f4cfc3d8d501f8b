// Random frames of random peers through a real datagram socket, against a model of what each of them hears.

import fc from 'fast-check'
import t from 'tap'
import { DROP_RX_RUNT } from '../../src/switch/counters.js'
import { frame, runOf, station, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { DGRAM_NEEDS, DgramBench, type Plugged } from './dgram-bench.js'

t.setTimeout(120_000)

const PEERS = 5
const peer = fc.nat(PEERS - 1)
const length = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 14, max: 1514 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1515, max: 65_536 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 13 }) },
  { weight: 1, arbitrary: fc.constantFrom(1513, 1514, 1515, 65_536) },
)
/** `to`: one of the peers, or everybody. */
const sent = fc.record({ from: peer, to: fc.oneof(peer, fc.constant(-1)), length, seed: fc.nat(255) })

t.test('every peer hears what the model says, in that order', { skip: requires(DGRAM_NEEDS) }, async t => {
  const bench = new DgramBench(t).start()
  const listening = bench.tester()
  const vms: Plugged[] = []
  const way = (n: number) => (n % 2 ? undefined : bench.path)
  for (let n = 0; n < PEERS; n++) {
    const vm = await bench.plug(n % 2 ? 'tied' : 'free')
    await vm.peer.send([frame({ from: station(n), length: 14 })], way(n))
    await until(() => listening.received.length === n + 1)
    vms.push(vm)
  }
  for (const { peer } of vms) await peer.drain()
  const runts = () => vms.reduce((sum, { made }) => sum + made.port.counters[DROP_RX_RUNT], 0)

  await fc.assert(
    fc.asyncProperty(fc.array(sent, { minLength: 1, maxLength: 40 }), async list => {
      listening.take()
      const before = runts()
      const heard = vms.map(() => [] as Uint8Array[])
      let flooded = 0
      let short = 0
      const frames = list.map(({ from, to, length, seed }) => {
        const bytes = frame({ from: station(from), ...(to >= 0 && { to: station(to) }), length, seed })
        if (length < 14) short++
        else {
          if (to < 0) flooded++
          const hears = (n: number) => n !== from && (to < 0 || to === n)
          heard.forEach((frames, n) => hears(n) && frames.push(bytes))
        }
        return bytes
      })
      await bench.process.mix(list.map(({ from }, i) => [vms[from].peer, frames[i], way(from)] as const))
      await until(() => runts() - before === short && listening.received.length === flooded)
      for (const [n, { peer }] of vms.entries()) {
        const got = await peer.receive(heard[n].length)
        // A socket keeps the order, but the tied ones have one each: the order is that of each sender.
        for (let from = 0; from < PEERS; from++) {
          const of = (frames: readonly Uint8Array[]) => runOf(...frames.filter(each => each[11] === from))
          if (!of(got).equals(of(heard[n]))) return false
        }
      }
      for (const { peer } of vms) if ((await peer.drain()).length > 0) return false
      return true
    }),
    { numRuns: 60 },
  )
})
