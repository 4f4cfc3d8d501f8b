// A port that takes leave of its VM: nothing more is taken, and the VM finds that out before its socket is closed. A
// QEMU that waits for room in a socket that is closed never transmits again on the next one (test/e2e/reconnect).

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { frame, runOf, station, turn } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { Bench } from './bench.js'

// What a shutdown for reading says to the other end is the system's own matter; on a Mac it has not been seen.
const skip = requires(['linux'])

t.test('a VM that is refused can send no more, and what it sent is let go', { skip }, async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  const run = runOf(frame({ from: station(1), length: 1514 }))
  // No turn of the loop in between: nothing is read.
  let written = 0
  for (let some = 1; some > 0; written += some) some = vm.writeSome(run)
  t.ok(written > 10 * run.length, 'the socket is full')
  vm.stream.io.refuse()
  t.throws(() => vm.writeSome(run), { code: 'EPIPE' })
  for (let i = 0; i < 5; i++) await turn()
  t.equal(vm.ended, undefined, 'the port is still there')
  t.same(listening.take(), [], 'what was on its way is dropped')

  const last = runOf(frame({ from: station(7) }))
  bench.inject(listening, last)
  t.same(await vm.read(last.length), last, 'what is for the VM still reaches it')
  vm.stream.io.refuse()
  vm.stream.close()
  vm.stream.io.refuse()
  t.throws(() => vm.writeSome(run), { code: 'EPIPE' }, 'twice, or on a closed port, is harmless')
})

t.test('a VM that waits for room in a full socket finds out that it has none any more', { skip }, async t => {
  const bench = new Bench(t)
  // It tries again when the system says that it may write, as QEMU does.
  const socket = connect(bench.path)
  t.teardown(() => socket.destroy())
  const connected = once(socket, 'connect')
  const vm = await bench.plug('vm', () => -1)
  await connected
  const ended = once(socket, 'error')
  // No turn of the loop in between: nothing is read.
  const run = runOf(frame({ from: station(1), length: 1514 }))
  let written = 0
  for (; socket.writableLength === 0; written += run.length) socket.write(run)
  t.ok(written > 10 * run.length, 'the socket is full')
  vm.stream.io.refuse()
  t.match(await ended, [{ code: 'EPIPE' }])
})
