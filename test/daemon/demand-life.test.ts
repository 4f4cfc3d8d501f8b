// How long a network on demand is there, by a clock that the test sets and timers that it fires.

import t from 'tap'
import { DemandLife } from '../../src/daemon/demand-life.js'
import type { Scope } from '../helpers/daemon.js'

function life(t: Scope): { life: DemandLife; at: (ms: number) => DemandLife } {
  let now = 5_000_000
  const start = now
  const made = new DemandLife({ clock: { now: () => now }, onOver: () => {} })
  t.teardown(() => made.end())
  return {
    life: made,
    at(ms) {
      now = start + ms
      return made
    },
  }
}

t.test('before the first VM it is there as long as somebody may come', async t => {
  const { life: it, at } = life(t)
  it.expect(30_000)
  t.equal(at(0).left, 30_000)
  it.expect(5000)
  t.equal(at(10_000).left, 20_000, 'the longest wait counts')
  t.notOk(at(29_999).isOver)
  t.ok(at(30_000).isOver)
})

t.test('who comes takes a wait with him, and a second is left after the last', async t => {
  const { life: it, at } = life(t)
  it.expect(30_000)
  it.portsAre(1)
  t.equal(it.left, undefined)
  t.notOk(at(90_000).isOver, 'while it is plugged in')
  it.portsAre(0)
  t.equal(it.left, 1000)
  t.ok(at(91_000).isOver)
})

t.test('three are waited for and one comes and goes: the other two may still come', async t => {
  const { life: it, at } = life(t)
  for (const wait of [10_000, 20_000, 30_000]) it.expect(wait)
  at(1000).portsAre(1)
  at(2000).portsAre(0)
  t.equal(it.left, 28_000)
})

t.test('a wait that is over is nobody’s: who comes later takes that of another', async t => {
  const { life: it, at } = life(t)
  it.expect(1000)
  it.expect(60_000)
  at(2000).portsAre(1)
  at(3000).portsAre(0)
  t.equal(it.left, 1000)
})

t.test('however many wishes are 256', async t => {
  const { life: it, at } = life(t)
  for (let i = 0; i < 10_000; i++) it.expect(1000 + (i % 1000))
  at(0).portsAre(256)
  it.portsAre(0)
  t.equal(it.left, 1000)
})

t.test('it is told when it is over, once; and nothing after its end', async t => {
  let told = 0
  const over = new Promise<void>(resolve => {
    const short = new DemandLife({
      clock: performance,
      onOver: () => {
        told++
        resolve()
      },
    })
    short.expect(1)
    short.expect(2)
  })
  const ended = new DemandLife({ clock: performance, onOver: () => t.fail('it has ended') })
  ended.expect(1)
  ended.end()
  ended.expect(1)
  ended.portsAre(0)
  await over
  t.equal(told, 1)
})
