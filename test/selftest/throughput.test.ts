// The window, over ways that the test makes: what is lost, what is late, and what never comes.

import t from 'tap'
import { measure, WINDOW } from '../../src/selftest/throughput.js'

/** A clock that goes on by a tenth of a ms whenever it is read. */
function clock(): () => number {
  let now = 0
  return () => (now += 0.1)
}
const signal = new AbortController().signal

t.test('what arrives at once is counted, and none is lost', async t => {
  let frames = 0
  const sizes = new Set<number>()
  const send = (n: number) => {
    sizes.add(n)
    frames += n
  }
  const { sent, received, framesPerSecond } = await measure(
    { send, received: () => frames },
    100,
    clock(),
    signal,
  )
  t.equal(received, sent)
  t.equal(sent % WINDOW, 0)
  t.same([...sizes], [WINDOW])
  t.ok(framesPerSecond > 0)
})

t.test('what came before does not count', async t => {
  let frames = 1000
  const { sent, received } = await measure(
    { send: n => void (frames += n), received: () => frames },
    20,
    clock(),
    signal,
  )
  t.equal(received, sent)
})

t.test('no more is on the way than the window has', async t => {
  let sent = 0
  let arrived = 0
  let most = 0
  const way = {
    send(n: number) {
      sent += n
      most = Math.max(most, sent - arrived)
    },
    // One at a time.
    received: () => (arrived < sent ? ++arrived : arrived),
  }
  await measure(way, 200, clock(), signal)
  t.equal(most, WINDOW)
})

t.test('a way that loses half loses half, and goes on', async t => {
  let arrived = 0
  const way = { send: (n: number) => void (arrived += n / 2), received: () => Math.floor(arrived) }
  const { sent, received } = await measure(way, 5000, clock(), signal)
  t.ok(sent > 4 * WINDOW, `${sent} were sent, though the window stood full`)
  t.equal(received, Math.floor(sent / 2))
})

t.test('a way that carries nothing ends, with nothing', async t => {
  const { sent, received, framesPerSecond } = await measure(
    { send: () => {}, received: () => 0 },
    100,
    clock(),
    signal,
  )
  t.same([sent, received, framesPerSecond], [WINDOW, 0, 0])
})

t.test('Ctrl-C ends it', async t => {
  const abort = new AbortController()
  const way = { send: () => abort.abort(), received: () => 0 }
  await t.rejects(measure(way, 1e9, clock(), abort.signal), { message: 'interrupted' })
})
