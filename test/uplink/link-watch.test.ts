// Sleep, and the carrier of the bridged interface: noticed by looking, on a system and at moments that the test sets.

import t, { type Test } from 'tap'
import { native } from '../../src/native.js'
import { LinkWatch, type LinkState } from '../../src/uplink/link-watch.js'

function watching(t: Test, name?: string) {
  let look: (() => void) | undefined
  const clock = {
    advance(ms: number) {
      for (let passed = 0; passed < ms; passed += 2000) look?.()
    },
  }
  const system = {
    slept: 1_000_000,
    state: 'up' as LinkState | undefined,
    asked: [] as string[],
    looks: 0,
    sleptFor: () => system.slept,
    linkOf(which: string) {
      system.asked.push(which)
      return system.state === undefined ? undefined : { state: system.state }
    },
    every(ms: number, call: () => void) {
      t.equal(ms, 2000)
      look = call
      return () => (look = undefined)
    },
  }
  const events: string[] = []
  const watch = new LinkWatch({
    ...(name === undefined ? {} : { interface: name }),
    system,
    onLook: () => system.looks++,
    onWake: ms => events.push(`slept ${ms}`),
    onLink: (state, before) => events.push(`${before} to ${state}`),
  })
  t.teardown(() => watch.close())
  return { clock, system, events, watch }
}

t.test('a sleep is told once, with its length', async t => {
  const { clock, system, events } = watching(t)
  clock.advance(2000)
  system.slept += 60_000
  clock.advance(2000)
  clock.advance(2000)
  t.strictSame(events, ['slept 60000'])
  t.equal(system.looks, 2, 'who was told of a sleep has nothing else to look at')
  t.strictSame(system.asked, [], 'no interface was looked at')
})

t.test('naps add up to nothing', async t => {
  const { clock, system, events } = watching(t)
  for (let i = 0; i < 5; i++) {
    system.slept += 4000
    clock.advance(2000)
  }
  t.strictSame(events, [])
})

t.test('every change of the carrier is told once', async t => {
  const { clock, system, events } = watching(t, 'en0')
  for (const state of ['up', 'down', 'down', 'missing', 'up', 'up'] as const) {
    system.state = state
    clock.advance(2000)
  }
  t.strictSame(events, ['up to down', 'down to missing', 'missing to up'])
  t.ok(system.asked.every(name => name === 'en0'))
})

t.test('nothing is looked at once it is closed', async t => {
  const { clock, system, watch, events } = watching(t, 'en0')
  watch.close()
  system.state = 'missing'
  system.slept += 60_000
  clock.advance(10_000)
  t.strictSame(events, [])
})

t.test('an interface that cannot be asked is as it was', async t => {
  const { clock, system, events } = watching(t, 'en0')
  for (const state of [undefined, 'down', undefined, 'down', undefined, 'up'] as const) {
    system.state = state
    clock.advance(2000)
  }
  t.strictSame(events, ['up to down', 'down to up'])
})

t.test('the system itself: time asleep does not go back, and the loopback interface is no radio', async t => {
  const before = native.sleptFor()
  t.ok(before >= 0 && native.sleptFor() >= before)
  const loopback = process.platform === 'linux' ? 'lo' : 'lo0'
  t.equal(native.linkOf(loopback)?.wireless, false)
  t.strictSame(native.linkOf('no-such-if0'), { state: 'missing', wireless: false })
  t.strictSame(native.linkOf('a-name-far-longer-than-any'), { state: 'missing', wireless: false })
})
