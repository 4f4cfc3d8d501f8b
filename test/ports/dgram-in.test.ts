// Frames from VMs' datagram sockets: each datagram is a frame, whatever its length, and whose it is shows by the
// address that it comes from.

import t from 'tap'
import { native } from '../../src/native.js'
import { DROP_RX_RUNT, DROP_RX_TOO_BIG, RX_FRAMES } from '../../src/switch/counters.js'
import { MAX_PORTS } from '../../src/switch/switch.js'
import { frame, runOf, station, turn, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { DGRAM_NEEDS, DgramBench, IS_DOUBLE } from './dgram-bench.js'

const skip = requires(DGRAM_NEEDS)
const GREETING = Buffer.from('VFKT')
const same = (got: readonly Uint8Array[], wanted: readonly Uint8Array[]) =>
  runOf(...got).equals(runOf(...wanted))

for (const kind of ['free', 'tied'] as const) {
  t.test(`frames of 14 to 1514 bytes arrive byte-exact, both ways (${kind})`, { skip }, async t => {
    const bench = new DgramBench(t).start()
    const listening = bench.tester()
    const { peer } = await bench.plug(kind)
    const lengths = Array.from({ length: 1501 }, (_, n) => 14 + n)
    const frames = lengths.map(length => frame({ length, seed: length }))
    await peer.send(frames, kind === 'tied' ? undefined : bench.path)
    await until(() => listening.received.length === frames.length)
    t.ok(same(listening.take(), frames), 'from it')
    for (let at = 0; at < frames.length; at += 10) {
      const some = frames.slice(at, at + 10)
      bench.inject(listening, ...some)
      if (!same(await peer.receive(some.length), some)) t.fail(`${some[0].length} bytes and more, to it`)
    }
    t.same(await peer.drain(), [])
  })
}

t.test(
  'frames that are longer than a slot arrive whole, between others in their order',
  { skip },
  async t => {
    const bench = new DgramBench(t).start()
    const listening = bench.tester()
    const { peer, made } = await bench.plug('free')
    const frames = [60, 1515, 1514, 1518, 9000, 14, 32_768, 65_535, 65_536, 60].map((length, seed) =>
      frame({ length, seed }),
    )
    for (let round = 0; round < 5; round++) {
      await peer.send(frames, bench.path)
      await until(() => listening.received.length === frames.length)
      if (!same(listening.take(), frames)) t.fail(`round ${round}`)
    }
    t.equal(made.port.counters[DROP_RX_TOO_BIG], 0)
  },
)

t.test(
  'a datagram of more than 65536 bytes is counted and dropped, those around it are not',
  { skip },
  async t => {
    const bench = new DgramBench(t).start()
    const listening = bench.tester()
    const { peer, made } = await bench.plug('free')
    const [before, between, after] = [1, 2, 3].map(seed => frame({ seed }))
    // One that fits neither piece, and one that fits both by what they hold together.
    await peer.send([before, new Uint8Array(70_000), between, new Uint8Array(65_537), after], bench.path)
    await until(() => listening.received.length === 3)
    t.ok(same(listening.take(), [before, between, after]))
    t.equal(made.port.counters[DROP_RX_TOO_BIG], 2)
    t.same(bench.ended, [])
  },
)

t.test('an empty datagram and runts are counted as runts', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const listening = bench.tester()
  const { peer, made } = await bench.plug('free')
  const last = frame()
  await peer.send([new Uint8Array(0), new Uint8Array(1), new Uint8Array(13), last], bench.path)
  await until(() => listening.received.length === 1)
  t.ok(same(listening.take(), [last]))
  t.equal(made.port.counters[DROP_RX_RUNT], 3)
})

t.test('what is no frame makes no port', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const [mumbling, other] = [await bench.bind(), await bench.bind()]
  await mumbling.send([new Uint8Array(0), new Uint8Array(13), Buffer.from('VFKX')], bench.path)
  await other.send([frame()], bench.path)
  await bench.portOf(other)
  t.same(bench.met, [other.path])
})

t.test('VFKT makes a port and is no frame, also from one who has a port', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const listening = bench.tester()
  const { peer, made } = await bench.plug('free')
  t.equal(bench.switch.ports.length, 2)
  const frames = [1, 2, 3].map(seed => frame({ seed }))
  await peer.send([GREETING, frames[0], GREETING, frames[1], frames[2], GREETING], bench.path)
  await until(() => listening.received.length === 3)
  await turn()
  t.ok(same(listening.take(), frames))
  t.equal(made.port.counters[RX_FRAMES], 3)
  t.equal(bench.met.length, 1)
})

t.test('peers are told apart by address in one batch, and the order of each is kept', { skip }, async t => {
  const bench = new DgramBench(t)
  const listening = bench.tester()
  const names = [bench.at('x'), bench.at('xy'), `@${bench.at('x')}`]
  const peers = await Promise.all(names.map(name => bench.process.bind(name)))
  // Ten wait for the first reading: what a socket's queue holds at the least.
  const order = [0, 1, 1, 2, 0, 2, 2, 1, 0, 1]
  const frames = order.map((n, seed) => frame({ from: station(1 + n), length: seed % 3 ? 60 : 1514, seed }))
  await bench.process.mix(order.map((n, i) => [peers[n], frames[i], bench.path] as const))
  bench.start()
  await until(() => listening.received.length === order.length)
  t.ok(same(listening.take(), frames), 'the order of all')
  t.same(bench.met, names)
  for (const [n, name] of names.entries()) {
    const { port } = bench.ports.get(name)!
    t.equal(port.counters[RX_FRAMES], order.filter(each => each === n).length, name)
    t.equal(bench.switch.locate(0x5254, 1 + n), port, 'its address is behind its port')
  }
})

t.test('a frame from one VM reaches the sockets of others, and not its own', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const free = await bench.plug('free')
  const tied = await bench.plug('tied')
  const hello = frame({ from: station(1) })
  await free.peer.send([hello], bench.path)
  t.ok(same(await tied.peer.receive(1), [hello]))
  const answer = frame({ to: station(1), from: station(2), seed: 1 })
  await tied.peer.send([answer])
  t.ok(same(await free.peer.receive(1), [answer]))
  t.same([await free.peer.drain(), await tied.peer.drain()], [[], []])
})

t.test('a sender without an address is dropped, counted and told about', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const listening = bench.tester()
  const [unnamed, named] = [await bench.process.bind(), await bench.bind()]
  await unnamed.send([frame({ seed: 1 }), GREETING, frame({ seed: 2 })], bench.path)
  const heard = frame({ seed: 3 })
  await named.send([heard], bench.path)
  await until(() => listening.received.length > 0)
  t.ok(same(listening.take(), [heard]))
  bench.listener.look()
  bench.listener.look()
  t.equal(bench.refused.length, 1)
  t.match(bench.refused[0], /without an address/)
})

t.test('a stranger who is refused and floods costs a call now and then', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const listening = bench.tester()
  bench.refuses = address => address !== bench.at('wanted')
  const stranger = await bench.bind('stranger')
  const { peer } = await bench.plug('free', 'wanted')
  const began = native.now()
  await stranger.send(
    Array.from({ length: 5000 }, () => frame()),
    bench.path,
  )
  const heard = frame({ seed: 3 })
  await peer.send([heard], bench.path)
  await until(() => listening.received.length > 0)
  const calls = bench.met.filter(address => address.endsWith('stranger')).length
  t.ok(same(listening.take(), [heard]), 'who has a port is heard')
  t.ok(calls >= 1 && calls <= 1 + (native.now() - began) / 100, `${calls} calls`)
  t.equal(bench.refused.length, 1, 'it is said once')
})

t.test('more peers than a switch takes are refused, which is said once', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const listening = bench.tester()
  // All but two of the places are taken by ports that cost nothing.
  while (bench.switch.ports.length < MAX_PORTS - 2) bench.tester()
  const peers = []
  for (let i = 0; i < 4; i++) {
    const peer = await bench.bind()
    peers.push(peer)
    await peer.send([frame({ from: station(i) })], bench.path)
    if (i < 2) await bench.portOf(peer)
    else await until(() => bench.met.length > 2)
  }
  t.equal(bench.switch.ports.length, MAX_PORTS)
  t.equal(bench.refused.length, 1)
  t.match(bench.refused[0], /the switch has its \d+ ports/)
  listening.take()
  const last = frame({ from: station(0), seed: 9 })
  await peers[0].send([last], bench.path)
  await until(() => listening.received.length > 0)
  t.ok(same(listening.take(), [last]), 'who is in goes on')
})

t.test(
  `who sends is ${IS_DOUBLE ? 'not known where the system does not tell' : 'known'}`,
  { skip },
  async t => {
    const bench = new DgramBench(t).start()
    const { peer } = await bench.plug('free')
    t.equal(bench.senders.get(peer.path!)?.pid, IS_DOUBLE ? undefined : bench.process.child.pid)
  },
)
