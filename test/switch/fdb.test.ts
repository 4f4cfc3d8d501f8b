// The forwarding database against a Map that does the same the slow way, and the corners of its hash table.

import fc from 'fast-check'
import t from 'tap'
import { Fdb, LEARN_KNOWN, LEARN_MOVED, LEARN_NEW, LEARN_REFUSED } from '../../src/switch/fdb.js'

const SWEEP_INTERVAL = 1000

class NaiveFdb {
  readonly known = new Map<string, { high: number; low: number; port: number; seen: number }>()
  readonly shares = new Map<number, number>()
  readonly maxEntries: number
  readonly maxAge: number
  nextSweep = 0

  constructor(maxEntries: number, maxAge: number) {
    this.maxEntries = maxEntries
    this.maxAge = maxAge
  }

  held(port: number): number {
    return [...this.known.values()].filter(entry => entry.port === port).length
  }

  roomFor(port: number): boolean {
    return this.known.size < this.maxEntries && this.held(port) < this.shares.get(port)!
  }

  lookup(high: number, low: number, now: number): number {
    const entry = this.known.get(`${high} ${low}`)
    return entry !== undefined && now - entry.seen < this.maxAge ? entry.port : -1
  }

  learn(high: number, low: number, port: number, now: number): number {
    const key = `${high} ${low}`
    const entry = this.known.get(key)
    if (entry?.port === port) {
      entry.seen = now
      return LEARN_KNOWN
    }
    if (entry !== undefined) {
      const aged = now - entry.seen >= this.maxAge
      this.known.delete(key)
      if (this.held(port) >= this.shares.get(port)!) return LEARN_REFUSED
      this.known.set(key, { high, low, port, seen: now })
      return aged ? LEARN_NEW : LEARN_MOVED
    }
    if (!this.roomFor(port) && now >= this.nextSweep) {
      this.nextSweep = now + SWEEP_INTERVAL
      this.sweep(now)
    }
    if (!this.roomFor(port)) return LEARN_REFUSED
    this.known.set(key, { high, low, port, seen: now })
    return LEARN_NEW
  }

  sweep(now: number): void {
    for (const [key, entry] of this.known) if (now - entry.seen >= this.maxAge) this.known.delete(key)
  }

  flushPort(port: number): void {
    for (const [key, entry] of this.known) if (entry.port === port) this.known.delete(key)
  }

  entries(now: number) {
    return [...this.known.values()].filter(entry => now - entry.seen < this.maxAge)
  }
}

const byAddress = (a: { high: number; low: number }, b: { high: number; low: number }) =>
  a.high - b.high || a.low - b.low

// With multipliers of 1 these lie at both ends of the table, so that clusters wrap around its end.
const address = fc.record({
  high: fc.constantFrom(0, 0xfeff),
  low: fc.oneof(fc.integer({ min: -4, max: 4 }), fc.constantFrom(-0x80000000, 0x7fffffff)),
})
const port = fc.nat(3)
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('learn' as const), address, port }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('lookup' as const), address }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1500 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('replug' as const), port, share: fc.integer({ min: 0, max: 6 }) }),
  },
)

t.test('whatever is learnt, moved, aged, refused and flushed, a Map would have it the same', async () => {
  fc.assert(
    fc.property(
      fc.record({
        maxEntries: fc.integer({ min: 1, max: 16 }),
        maxAge: fc.integer({ min: 1, max: 3000 }),
        multiplier: fc.oneof(fc.constantFrom(0, 1, 0xffffffff), fc.integer({ min: 0, max: 0xffffffff })),
        shares: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 4, maxLength: 4 }),
        steps: fc.array(step, { maxLength: 120 }),
      }),
      ({ maxEntries, maxAge, multiplier, shares, steps }) => {
        const fdb = new Fdb({ maxEntries, maxAge, random32: () => multiplier })
        const naive = new NaiveFdb(maxEntries, maxAge)
        const open = (id: number, share: number) => {
          fdb.flushPort(id)
          naive.flushPort(id)
          fdb.addPort(id, share)
          naive.shares.set(id, share)
        }
        for (const [id, share] of shares.entries()) open(id, share)
        let now = 0
        for (const each of steps) {
          if (each.do === 'wait') now += each.ms
          else if (each.do === 'replug') open(each.port, each.share)
          else if (each.do === 'sweep') {
            fdb.sweep(now)
            naive.sweep(now)
          } else {
            const { high, low } = each.address
            const [got, wanted] =
              each.do === 'learn'
                ? [fdb.learn(high, low, each.port, now), naive.learn(high, low, each.port, now)]
                : [fdb.lookup(high, low, now), naive.lookup(high, low, now)]
            if (got !== wanted) throw new Error(`${JSON.stringify(each)} gave ${got}, not ${wanted}`)
          }
          if (fdb.size !== naive.known.size) throw new Error(`${fdb.size} entries, not ${naive.known.size}`)
          const entries = [...fdb.entries(now)].sort(byAddress)
          if (JSON.stringify(entries) !== JSON.stringify(naive.entries(now).sort(byAddress))) {
            throw new Error(`the entries differ after ${JSON.stringify(each)}`)
          }
        }
      },
    ),
    { numRuns: 600 },
  )
})

/** A table of 8 slots, whose hash is the sum of both numbers' top bits: `low` picks the slot. */
const eightSlots = () => {
  const fdb = new Fdb({ maxEntries: 4, random32: () => 1 })
  fdb.addPort(0, 4)
  return fdb
}
const atSlot = (slot: number, n: number) => ((slot << 29) | n) >> 0

t.test('addresses that all meet in the last slot wrap around, and each can go in any order', async t => {
  const orders = [0, 1, 2, 3].flatMap(a =>
    [0, 1, 2, 3].flatMap(b => [0, 1, 2, 3].flatMap(c => [0, 1, 2, 3].map(d => [a, b, c, d]))),
  )
  for (const order of orders.filter(each => new Set(each).size === 4)) {
    const fdb = eightSlots()
    fdb.addPort(1, 4)
    // The victim's entry moves to port 1, whose flush then takes it out of the cluster.
    for (let n = 0; n < 4; n++) fdb.learn(0, atSlot(7, n), 0, 0)
    const left = new Set([0, 1, 2, 3])
    for (const n of order) {
      fdb.learn(0, atSlot(7, n), 1, 0)
      fdb.flushPort(1)
      left.delete(n)
      for (let other = 0; other < 4; other++) {
        if (fdb.lookup(0, atSlot(7, other), 0) !== (left.has(other) ? 0 : -1)) t.fail(`${order}: ${other}`)
      }
    }
    if (fdb.size !== 0) t.fail(`${order}: ${fdb.size} left`)
  }
})

t.test('a deletion leaves an address alone that is at home behind the hole', async t => {
  const fdb = eightSlots()
  fdb.addPort(1, 4)
  fdb.learn(0, atSlot(7, 1), 1, 0)
  fdb.learn(0, atSlot(7, 2), 0, 0) // wraps to slot 0
  fdb.learn(0, atSlot(1, 3), 0, 0) // at home in slot 1, touching the cluster
  fdb.learn(0, atSlot(0, 4), 0, 0) // pushed on to slot 2
  fdb.flushPort(1)
  t.equal(fdb.lookup(0, atSlot(7, 1), 0), -1)
  for (const low of [atSlot(7, 2), atSlot(1, 3), atSlot(0, 4)]) t.equal(fdb.lookup(0, low, 0), 0)
  t.equal(fdb.size, 3)
})

t.test('addresses that differ in one half only are two addresses', async t => {
  const fdb = new Fdb({ random32: () => 0 })
  for (let id = 0; id < 4; id++) fdb.addPort(id, 10)
  fdb.learn(0, 0, 0, 0)
  fdb.learn(0, -1, 1, 0)
  fdb.learn(0xfeff, 0, 2, 0)
  fdb.learn(0xfeff, -1, 3, 0)
  t.same(
    [fdb.lookup(0, 0, 0), fdb.lookup(0, -1, 0), fdb.lookup(0xfeff, 0, 0), fdb.lookup(0xfeff, -1, 0)],
    [0, 1, 2, 3],
  )
})

t.test('one port that invents addresses fills its own share, and no other is forgotten for it', async t => {
  const fdb = new Fdb({ random32: () => 0x12345677 })
  fdb.addPort(0, 1024)
  fdb.addPort(1, 1024)
  fdb.learn(0x5254, 1, 1, 0)
  let refused = 0
  for (let n = 0; n < 100_000; n++) if (fdb.learn(0x0200, n, 0, 0) === LEARN_REFUSED) refused++
  t.equal(refused, 100_000 - 1024)
  t.equal(fdb.size, 1025)
  t.equal(fdb.lookup(0x5254, 1, 0), 1)
  t.equal(fdb.learn(0x5254, 2, 1, 0), LEARN_NEW, 'the other port still learns')
})

t.test('a full table makes room for a new address once the old ones have aged', async t => {
  const fdb = new Fdb({ maxEntries: 2, maxAge: 5000, random32: () => 0 })
  fdb.addPort(0, 2)
  fdb.learn(0, 1, 0, 0)
  fdb.learn(0, 2, 0, 4000)
  t.equal(fdb.learn(0, 3, 0, 4000), LEARN_REFUSED)
  t.equal(fdb.learn(0, 3, 0, 5000), LEARN_NEW)
  t.equal(fdb.lookup(0, 1, 5000), -1)
  t.equal(fdb.lookup(0, 2, 5000), 0)
})

t.test('however many ports fill the table, each keeps room for a few addresses', async t => {
  const fdb = new Fdb({ maxEntries: 4, reserved: 2, maxPorts: 3, random32: () => 1 })
  for (const port of [0, 1, 2]) fdb.addPort(port, 100)
  for (let i = 0; i < 10; i++) fdb.learn(2, i, 0, 0)
  t.equal(fdb.size, 4)
  t.equal(fdb.learn(3, 0, 1, 0), LEARN_NEW)
  t.equal(fdb.learn(3, 1, 1, 0), LEARN_NEW)
  t.equal(fdb.learn(3, 2, 1, 0), LEARN_REFUSED)
  t.equal(fdb.learn(4, 0, 2, 0), LEARN_NEW)
  t.equal(fdb.lookup(4, 0, 0), 2)
})
