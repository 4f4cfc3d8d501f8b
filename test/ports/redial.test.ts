// A socket that is dialled until it answers: it is never waited for, its pauses have a limit, and what goes wrong is said
// once. (With a real daemon: test/uplink/socket.test.ts and test/daemon/dial.test.ts.)

import { closeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hasCode } from '../../src/errors.js'
import { native } from '../../src/native.js'
import { Redial, type RedialClock } from '../../src/ports/redial.js'
import { scratch } from './bench.js'

/** Has one timer at a time, and goes where that is due. */
class FakeClock implements RedialClock {
  time = 0
  /** Every pause that was asked for. */
  readonly pauses: number[] = []
  #due: { at: number; call: () => void } | undefined

  now(): number {
    return this.time
  }

  after(ms: number, call: () => void): () => void {
    this.pauses.push(ms)
    this.#due = { at: this.time + ms, call }
    return () => (this.#due = undefined)
  }

  /** The next timer; false where there is none. */
  next(): boolean {
    const due = this.#due
    if (due === undefined) return false
    this.#due = undefined
    this.time = due.at
    due.call()
    return true
  }
}

function setUp(t: Test, plug: (fd: number) => void = () => {}) {
  const path = join(scratch(t), 's')
  const clock = new FakeClock()
  const downs: [reason: string, wasUp: boolean][] = []
  const fds: number[] = []
  t.teardown(() => fds.forEach(closeSync))
  const redial = new Redial({
    path,
    clock,
    lastPause: 1000,
    onConnected: fd => {
      fds.push(fd)
      plug(fd)
    },
    onDown: (...words) => downs.push(words),
  })
  const listen = () => fds.push(native.listen(path, 0o600, -1))
  return { path, clock, downs, fds, redial, listen }
}

t.test('a socket that is not there is said once, and dialled with pauses that have a limit', async t => {
  const { clock, downs, redial, listen } = setUp(t)
  t.equal(redial.down, 'not connected yet')
  redial.dial()
  t.match(redial.down, /No such file/)
  for (let i = 0; i < 6; i++) clock.next()
  t.same(clock.pauses, [100, 200, 400, 800, 1000, 1000, 1000])
  t.match(downs, [[/No such file/, false]])
  t.equal(downs.length, 1)
  listen()
  clock.next()
  t.equal(redial.down, undefined)
  t.notOk(clock.next(), 'and now it waits for nothing')
})

t.test('a connection that goes is said each time; one that lived begins with a short pause', async t => {
  const { clock, downs, redial, listen } = setUp(t)
  listen()
  redial.dial()
  for (let i = 0; i < 5; i++) {
    clock.time += 9_999
    redial.lost('eof')
    t.equal(redial.down, 'eof')
    clock.next()
  }
  t.same(
    clock.pauses,
    [100, 200, 400, 800, 1000],
    'a server that closes each is no place to be in a hurry for',
  )
  clock.time += 10_000
  redial.lost('reset')
  t.equal(clock.pauses.at(-1), 100)
  t.same(downs, [...Array.from({ length: 5 }, () => ['eof', true]), ['reset', true]])
})

t.test('a socket whose backlog is full is not waited for', async t => {
  const { path, clock, fds, downs, redial, listen } = setUp(t)
  listen()
  for (;;) {
    try {
      fds.push(native.dial(path, true))
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) throw error
      break
    }
  }
  const before = fds.length
  redial.dial()
  t.equal(redial.down, 'it has a connection, and no room for another')
  clock.next()
  t.equal(fds.length, before)
  t.equal(downs.length, 1)
})

t.test('a connection of which no port can be made is dialled again', async t => {
  let attempts = 0
  const { clock, downs, redial, listen } = setUp(t, () => {
    if (++attempts < 3) throw new Error('the switch has its ports')
  })
  listen()
  redial.dial()
  t.equal(redial.down, 'the switch has its ports')
  while (clock.next());
  t.equal(attempts, 3)
  t.same(downs, [['the switch has its ports', false]])
  t.equal(redial.down, undefined)
})

t.test('once closed it dials no more', async t => {
  const { clock, fds, redial, listen } = setUp(t)
  redial.dial()
  redial.close()
  t.equal(redial.down, 'closed')
  listen()
  t.notOk(clock.next())
  t.equal(fds.length, 1, 'the listening one alone')
})

t.test('a connection that goes after that is not dialled again', async t => {
  const { clock, downs, fds, redial, listen } = setUp(t)
  listen()
  redial.dial()
  redial.close()
  redial.lost('eof')
  t.notOk(clock.next())
  t.equal(fds.length, 2, 'the listening one, and the one that was connected')
  t.same(downs, [])
  t.equal(redial.down, 'closed')
})
