// What the switch does with frames: to whom they go, in which order, and what becomes of those that go nowhere.

import t from 'tap'
import {
  DROP_RX_RUNT,
  DROP_RX_SAME_PORT,
  DROP_TX_TOO_BIG,
  FDB_MOVES,
  FDB_REFUSED,
  RX_BYTES,
  RX_FRAMES,
} from '../../src/switch/counters.js'
import { PASS } from '../../src/switch/inspector.js'
import { MAX_STRETCHES, type Port } from '../../src/switch/port.js'
import { BROKEN_EMPTY, BROKEN_TOO_LONG, MAX_PORTS } from '../../src/switch/switch.js'
import { MAC_BROADCAST } from '../../src/wire/mac.js'
import { frame, runOf, station } from '../helpers/frames.js'
import { Segment, Tester } from './segment.js'

const MULTICAST = { hi: 0x0100, lo: 0x5e0000fb }
const A = station(1)
const B = station(2)
const C = station(3)

/** Three VMs and an uplink, with A, B and C already heard on their ports. */
function heard() {
  const segment = new Segment()
  const [a, b, c] = [segment.plug(), segment.plug(), segment.plug()]
  const uplink = segment.plug({ role: 'uplink' })
  for (const [tester, from] of [[a, A] as const, [b, B] as const, [c, C] as const]) {
    segment.send(tester, frame({ from }))
  }
  for (const tester of [a, b, c, uplink]) tester.take()
  return { segment, a, b, c, uplink, all: [a, b, c, uplink] }
}

for (const [what, to] of [
  ['the broadcast address', MAC_BROADCAST],
  ['a multicast address', MULTICAST],
  ['an unknown unicast address', station(99)],
] as const) {
  t.test(`a frame to ${what} floods every port but its own`, async t => {
    const { segment, a, b, c, uplink } = heard()
    const sent = frame({ to, from: A })
    segment.send(a, sent)
    for (const tester of [b, c, uplink]) t.same(tester.take(), [Buffer.from(sent)])
    t.same(a.take(), [])
  })
}

t.test('a frame to a known station goes to its port alone', async t => {
  const { segment, a, b, c, uplink } = heard()
  const sent = frame({ to: B, from: A })
  segment.send(a, sent)
  t.same(b.take(), [Buffer.from(sent)])
  for (const tester of [a, c, uplink]) t.same(tester.take(), [])
})

t.test('a frame for a station behind the port that it came from goes nowhere, and is counted', async t => {
  const { segment, all, a } = heard()
  segment.send(a, frame({ to: A, from: station(4) }), frame({ to: station(4), from: A }))
  for (const tester of all) t.same(tester.take(), [])
  t.equal(a.port.counters[DROP_RX_SAME_PORT], 2)
})

t.test(
  'two stations behind one port that speak for the first time in one run: the answer stays there',
  async t => {
    const segment = new Segment()
    const [a, b] = [segment.plug(), segment.plug()]
    segment.send(a, frame({ to: B, from: A }), frame({ to: A, from: B }), frame({ to: B, from: A, seed: 1 }))
    t.equal(b.take().length, 1, 'only the first, sent before B was heard')
    t.equal(a.port.counters[DROP_RX_SAME_PORT], 2)
  },
)

t.test('a multicast source and the zero address are never learnt, their frames are forwarded', async t => {
  const { segment, a, b, c } = heard()
  const known = segment.switch.fdbEntries().length
  for (const from of [MULTICAST, MAC_BROADCAST, { hi: 0, lo: 0 }]) {
    const sent = frame({ to: B, from })
    segment.send(a, sent)
    t.same(b.take(), [Buffer.from(sent)])
  }
  t.equal(segment.switch.fdbEntries().length, known)
  segment.send(c, frame({ to: { hi: 0, lo: 0 }, from: C }))
  t.equal(a.take().length + b.take().length, 2, 'the zero address is unknown, hence flooded')
})

t.test('a station that moves is followed with its first frame, and the move is counted', async t => {
  const { segment, a, b, c } = heard()
  segment.send(c, frame({ to: A, from: B }))
  t.equal(c.port.counters[FDB_MOVES], 1)
  a.take()
  segment.send(a, frame({ to: B, from: A }))
  t.equal(b.take().length, 0)
  t.equal(c.take().length, 1)
  t.equal(segment.switch.locate(B.hi, B.lo), c.port)
  segment.send(c, frame({ to: A, from: B }))
  t.equal(c.port.counters[FDB_MOVES], 1, 'it has moved once')
})

t.test('a station not heard for 300 s is flooded again, and one that speaks is not forgotten', async t => {
  const { segment, a, b, c } = heard()
  segment.clock.time = 200_000
  segment.send(c, frame({ to: A, from: C }))
  a.take()
  segment.clock.time = 299_999
  segment.send(a, frame({ to: B, from: A }))
  t.same([b.take().length, c.take().length], [1, 0])
  segment.clock.time = 300_000
  segment.send(a, frame({ to: B, from: A }), frame({ to: C, from: A }))
  t.same([b.take().length, c.take().length], [1, 2], 'B is flooded, C is known')
  t.same(
    segment.switch
      .fdbEntries()
      .map(({ low }) => low)
      .sort(),
    [A.lo, C.lo],
  )
})

t.test('frames of every length from 14 to 9018 bytes come out byte for byte', async t => {
  const { segment, a, b } = heard()
  const lengths = Array.from({ length: 9018 - 13 }, (_, i) => 14 + i)
  for (let first = 0; first < lengths.length; first += 20) {
    const sent = lengths
      .slice(first, first + 20)
      .map(length => frame({ to: B, from: A, length, seed: length }))
    const run = runOf(...sent)
    if (segment.sendBytes(a, run) !== run.length) t.fail('not all was used')
    const got = b.take()
    if (Buffer.compare(runOf(...got), run) !== 0) t.fail(`frames from ${lengths[first]} bytes on differ`)
  }
})

t.test('a runt is dropped and counted; the frames around it are unharmed', async t => {
  const { segment, a, b } = heard()
  const before = [a.port.counters[RX_FRAMES], a.port.counters[RX_BYTES]]
  const [first, last] = [frame({ to: B, from: A, seed: 1 }), frame({ to: B, from: A, seed: 2 })]
  const runts = Array.from({ length: 13 }, (_, i) => frame({ to: B, from: A, length: 1 + i }))
  segment.send(a, first, ...runts, last)
  t.same(b.take(), [Buffer.from(first), Buffer.from(last)])
  t.equal(b.calls, 1 + 2, 'one call for the run: two for the broadcasts before')
  t.equal(a.port.counters[DROP_RX_RUNT], 13)
  t.equal(a.port.counters[RX_FRAMES] - before[0], 15)
  t.equal(a.port.counters[RX_BYTES] - before[1], 120 + 91)
})

for (const [length, code] of [
  [0, BROKEN_EMPTY],
  [65_537, BROKEN_TOO_LONG],
  [0x7fffffff, BROKEN_TOO_LONG],
  [0x80000000, BROKEN_TOO_LONG],
  [0xffffffff, BROKEN_TOO_LONG],
] as const) {
  t.test(
    `a length of ${length} breaks the framing; the frames before it are forwarded, none after`,
    async t => {
      const { segment, a, b } = heard()
      const [good, after] = [frame({ to: B, from: A }), frame({ to: B, from: A, seed: 9 })]
      const header = Buffer.alloc(4)
      header.writeUInt32BE(length)
      t.equal(segment.sendBytes(a, Buffer.concat([runOf(good), header, runOf(after)])), code)
      t.same(b.take(), [Buffer.from(good)])
      segment.send(a, after)
      t.same(b.take(), [Buffer.from(after)], 'and no list is left over')
    },
  )
}

t.test('the longest frame of the framing, 65536 bytes, is a frame', async t => {
  const segment = new Segment()
  const [a, b] = [segment.plug(), segment.plug({ maxFrame: 65_536 })]
  const sent = frame({ length: 65_536 })
  t.equal(segment.send(a, sent), 65_540)
  t.same(b.take(), [Buffer.from(sent)])
})

t.test('wherever a run ends inside a frame, the whole frames go and the rest is left over', async t => {
  const { segment, a, b } = heard()
  const frames = [14, 42, 60].map(length => frame({ to: B, from: A, length }))
  const run = runOf(...frames)
  const starts = [0, 18, 64, 128]
  for (let end = 0; end <= run.length; end++) {
    const whole = starts.filter(start => start <= end).length - 1
    if (segment.sendBytes(a, run.subarray(0, end)) !== starts[whole]) t.fail(`${end} bytes: used`)
    if (b.take().length !== whole) t.fail(`${end} bytes: frames`)
  }
})

t.test('each sender is heard in order by each receiver, through runs that interleave', async t => {
  const { segment, a, b, c, uplink } = heard()
  const order = (tester: Tester, from: number) =>
    tester.received.filter(each => each[11] === from).map(each => each.readUInt32BE(14))
  const numbered = (to: typeof A, from: typeof A, n: number) => {
    const bytes = frame({ to, from, length: 14 + 4 + (n % 700) })
    Buffer.from(bytes.buffer).writeUInt32BE(n, 14)
    return bytes
  }
  const destinations = [C, MAC_BROADCAST, station(99), MULTICAST, C]
  for (let round = 0; round < 50; round++) {
    for (const [tester, from] of [[a, A] as const, [b, B] as const]) {
      const numbers = Array.from({ length: 20 }, (_, i) => round * 20 + i)
      segment.send(tester, ...numbers.map(n => numbered(destinations[n % 5], from, n)))
    }
  }
  const all = Array.from({ length: 1000 }, (_, n) => n)
  for (const from of [A.lo, B.lo]) {
    t.same(order(c, from), all)
    t.same(
      order(uplink, from),
      all.filter(n => n % 5 !== 0 && n % 5 !== 4),
      'what was not for C alone',
    )
  }
})

t.test('a run of more stretches than a list holds loses nothing', async t => {
  const { segment, a, b, c } = heard()
  const frames = Array.from({ length: 2 * (2 * MAX_STRETCHES + 3) }, (_, i) =>
    frame({ to: i % 2 ? B : C, from: A, length: 18 + (i % 5), seed: i }),
  )
  const calls = b.calls
  segment.send(a, ...frames)
  const kept = (odd: number) => frames.filter((_, i) => i % 2 === odd).map(each => Buffer.from(each))
  t.same(b.take(), kept(1))
  t.same(c.take(), kept(0))
  t.equal(b.calls - calls, 3, 'two full lists and the rest')
  segment.send(a, frames[0])
  t.equal(c.take().length, 1, 'and the next run is as ever')
})

t.test('a run to one port is one stretch: frames that touch grow it', async t => {
  const { segment, a, b } = heard()
  segment.send(a, ...Array.from({ length: 100 }, (_, seed) => frame({ to: B, from: A, seed })))
  t.equal(b.port.stretches[0], 0)
  t.equal(b.port.stretches[1], 100 * 64)
})

t.test('a frame longer than a port takes is dropped for that port alone', async t => {
  const segment = new Segment()
  const a = segment.plug()
  const small = segment.plug({ maxFrame: 1518 })
  const large = segment.plug({ maxFrame: 9018 })
  const frames = [1518, 1519, 60].map((length, seed) => frame({ length, seed }))
  segment.send(a, ...frames)
  t.same(
    small.take().map(each => each.length),
    [1518, 60],
  )
  t.equal(small.port.counters[DROP_TX_TOO_BIG], 1)
  t.same(
    large.take().map(each => each.length),
    [1518, 1519, 60],
  )
  t.equal(large.port.counters[DROP_TX_TOO_BIG], 0)
})

t.test(
  'a port that is unplugged takes its addresses along; its id is given to the next one, its FDB share too',
  async t => {
    const { segment, a, b, c } = heard()
    const forgotten: number[] = []
    const plugged: Port[] = []
    segment.switch.inspector = {
      inspect: () => PASS,
      addPort: port => plugged.push(port),
      forgetPort: id => forgotten.push(id),
    }
    const { id } = b.port
    segment.switch.detach(b.port)
    segment.switch.detach(b.port)
    t.same(forgotten, [id], 'once')
    t.equal(segment.switch.locate(B.hi, B.lo), undefined)
    t.equal(segment.switch.portById(id), undefined)
    segment.send(a, frame({ to: B, from: A }))
    t.same([b.take().length, c.take().length], [0, 1], 'flooded, and nothing to who left')
    const d = segment.plug()
    t.equal(d.port.id, id)
    t.same(plugged, [d.port], 'the inspector hears of it')
    segment.send(a, frame({ to: B, from: A }))
    t.equal(d.take().length, 1, 'flooded still')
    t.equal(segment.switch.locate(A.hi, A.lo), a.port, 'the others are remembered')
  },
)

t.test('addresses beyond the share of a port are counted, and flooded', async t => {
  const { segment, a, b, c } = heard()
  const strangers = Array.from({ length: 1100 }, (_, n) => frame({ to: A, from: station(1000 + n) }))
  segment.send(b, ...strangers)
  t.equal(b.port.counters[FDB_REFUSED], 1100 - 1023, 'B itself has a place')
  t.equal(a.take().length, 1100)
  segment.send(a, frame({ to: station(2099), from: A }))
  t.same([b.take().length, c.take().length], [1, 1])
})

t.test('a switch takes so many ports and no more', async t => {
  const segment = new Segment()
  for (let n = 0; n < MAX_PORTS; n++) segment.plug()
  const late = new Tester()
  t.equal(segment.switch.attach(late.port), false)
  t.equal(late.port.id, -1)
  segment.switch.detach(segment.switch.ports[17])
  t.equal(segment.switch.attach(late.port), true)
})
