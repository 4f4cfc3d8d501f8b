// The switch against one that does the same the slow way: a list of ports and a Map, a frame at a time. Random
// runs of random frames from random ports, whole, cut or broken, while ports come and go and time passes.

import fc from 'fast-check'
import t from 'tap'
import {
  DROP_RX_RUNT,
  DROP_RX_SAME_PORT,
  DROP_TX_TOO_BIG,
  FDB_MOVES,
  RX_BYTES,
  RX_FRAMES,
} from '../../src/switch/counters.js'
import { BROKEN_EMPTY, BROKEN_TOO_LONG } from '../../src/switch/switch.js'
import { isStationMac, type Mac } from '../../src/wire/mac.js'
import { frame, runOf, station } from '../helpers/frames.js'
import { Segment, type Tester } from './segment.js'

const MAX_AGE = 1000

interface Sent {
  to: Mac
  from: Mac
  length: number
  seed: number
}

class NaivePort {
  readonly received: Buffer[] = []
  readonly counts = new Map<number, number>()
  readonly maxFrame: number

  constructor(maxFrame: number) {
    this.maxFrame = maxFrame
  }

  count(cell: number, amount = 1): void {
    this.counts.set(cell, (this.counts.get(cell) ?? 0) + amount)
  }
}

class NaiveSwitch {
  readonly ports = new Set<NaivePort>()
  readonly known = new Map<string, { port: NaivePort; seen: number }>()

  forward(from: NaivePort, { to, from: source, length }: Sent, bytes: Uint8Array, now: number): void {
    from.count(RX_FRAMES)
    from.count(RX_BYTES, length)
    if (length < 14) return from.count(DROP_RX_RUNT)
    if (isStationMac(source.hi, source.lo)) {
      const key = JSON.stringify(source)
      const before = this.known.get(key)
      if (before && before.port !== from && now - before.seen < MAX_AGE) from.count(FDB_MOVES)
      this.known.set(key, { port: from, seen: now })
    }
    const entry = (to.hi & 0x0100) === 0 ? this.known.get(JSON.stringify(to)) : undefined
    const target = entry && now - entry.seen < MAX_AGE ? entry.port : undefined
    if (target === from) return from.count(DROP_RX_SAME_PORT)
    for (const port of target ? [target] : this.ports) {
      if (port === from) continue
      if (length > port.maxFrame) port.count(DROP_TX_TOO_BIG)
      else port.received.push(Buffer.from(bytes))
    }
  }

  detach(port: NaivePort): void {
    this.ports.delete(port)
    for (const [key, entry] of this.known) if (entry.port === port) this.known.delete(key)
  }
}

// Few stations, so that they meet; some with all bits of their low half set, or the highest one alone.
const mac = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 6 }).map(station) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      { hi: 0xffff, lo: 0xffffffff },
      { hi: 0x3333, lo: 1 },
      { hi: 0, lo: 0 },
      { hi: 0, lo: 1 },
      { hi: 0x5254, lo: 0 },
      { hi: 0x5254, lo: 0xffffffff },
      { hi: 0x5255, lo: 1 },
      { hi: 0xfeff, lo: 0x80000000 },
    ),
  },
)
const sent: fc.Arbitrary<Sent> = fc.record({
  to: mac,
  from: mac,
  length: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 14, max: 120 }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 13 }) },
    { weight: 1, arbitrary: fc.integer({ min: 121, max: 9018 }) },
  ),
  seed: fc.nat(255),
})
// Frames of one flow follow each other in life: each is sent a few times over.
const flows = fc
  .array(fc.tuple(sent, fc.integer({ min: 1, max: 3 })), { maxLength: 12 })
  .map(list =>
    list.flatMap(([each, times]) =>
      Array.from({ length: times }, (_, i) => ({ ...each, seed: each.seed + i })),
    ),
  )

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      port: fc.nat(3),
      frames: flows,
      // In slots of the longest frame's length, as vmnet's reader lays them.
      inSlots: fc.boolean(),
      tail: fc.oneof(
        { weight: 3, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: fc.constantFrom(0, 65_537, 0xffffffff) },
        // The beginning of a frame: so many bytes of it, its length included.
        { weight: 2, arbitrary: fc.record({ cut: fc.integer({ min: 1, max: 63 }) }) },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(MAX_AGE) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('replug' as const),
      port: fc.nat(3),
      maxFrame: fc.integer({ min: 60, max: 9018 }),
    }),
  },
)

function tailOf(tail: undefined | number | { cut: number }): Buffer {
  if (tail === undefined) return Buffer.alloc(0)
  if (typeof tail === 'object') return runOf(frame({ length: 60 })).subarray(0, tail.cut)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(tail)
  return header
}

/** A frame with its length in a slot, and what was there before behind it. */
function slotOf(one: Uint8Array, slotBytes: number): Buffer {
  const slot = Buffer.alloc(slotBytes, 0xa5)
  runOf(one).copy(slot)
  return slot
}

t.test('whatever is sent, cut, broken, replugged and aged, the slow switch would do the same', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), steps => {
      const segment = new Segment({ maxAge: MAX_AGE })
      const naive = new NaiveSwitch()
      const ports: { real: Tester; slow: NaivePort }[] = []
      const plug = (at: number, maxFrame: number) => {
        const slow = new NaivePort(maxFrame)
        naive.ports.add(slow)
        ports[at] = { real: segment.plug({ maxFrame }), slow }
      }
      for (let at = 0; at < 4; at++) plug(at, 9018)

      for (const each of steps) {
        if (each.do === 'wait') segment.clock.time += each.ms
        else if (each.do === 'replug') {
          segment.switch.detach(ports[each.port].real.port)
          naive.detach(ports[each.port].slow)
          plug(each.port, each.maxFrame)
        } else {
          const { real, slow } = ports[each.port]
          const frames = each.frames.map(fields => frame(fields))
          const slotBytes = each.inSlots ? 4 + Math.max(0, ...frames.map(({ length }) => length)) : 0
          const whole = each.inSlots
            ? Buffer.concat(frames.map(one => slotOf(one, slotBytes)))
            : runOf(...frames)
          real.port.slotBytes = slotBytes
          const used = segment.sendBytes(real, Buffer.concat([whole, tailOf(each.tail)]))
          const wanted =
            typeof each.tail !== 'number' ? whole.length : each.tail === 0 ? BROKEN_EMPTY : BROKEN_TOO_LONG
          if (used !== wanted) throw new Error(`used ${used}, not ${wanted}`)
          for (const [i, fields] of each.frames.entries()) {
            naive.forward(slow, fields, frames[i], segment.clock.time)
          }
        }
        for (const [at, { real, slow }] of ports.entries()) {
          const [got, wanted] = [real.take(), slow.received.splice(0)]
          if (Buffer.compare(runOf(...got), runOf(...wanted)) !== 0) {
            throw new Error(
              `port ${at} got ${got.length} frames that differ from the ${wanted.length} it should`,
            )
          }
          for (const [cell, count] of real.port.counters.entries()) {
            if (count !== (slow.counts.get(cell) ?? 0))
              throw new Error(`port ${at}: counter ${cell} is ${count}`)
          }
        }
      }
    }),
    { numRuns: 500 },
  )
})
