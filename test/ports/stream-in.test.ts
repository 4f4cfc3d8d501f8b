// Frames from a VM's stream socket, cut wherever a stream can cut them, and what breaks a stream for good.

import { closeSync, fstatSync, openSync } from 'node:fs'
import t from 'tap'
import { streamPort } from '../../src/ports/run-port.js'
import { DROP_TX_ERROR } from '../../src/switch/counters.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { frame, runOf, station, turn, until } from '../helpers/frames.js'
import { Bench } from './bench.js'

const LENGTHS = [14, 42, 60, 1514, 9018]
const RUN = runOf(...LENGTHS.map((length, seed) => frame({ length, seed })))

t.test('a run that is cut in two at any byte arrives byte for byte', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  for (let cut = 1; cut < RUN.length; cut++) {
    await bench.deliver(vm, RUN.subarray(0, cut))
    await bench.deliver(vm, RUN.subarray(cut))
    if (Buffer.compare(runOf(...listening.take()), RUN) !== 0) t.fail(`cut at ${cut}`)
  }
  t.equal(vm.ended, undefined)
})

t.test('a run that comes one byte at a time arrives byte for byte', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  for (const byte of RUN) await bench.deliver(vm, Uint8Array.of(byte))
  t.equal(Buffer.compare(runOf(...listening.take()), RUN), 0)
})

t.test('thousands of frames in one write arrive byte for byte and in order', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  const run = runOf(
    ...Array.from({ length: 3000 }, (_, seed) => frame({ length: 14 + ((seed * 7919) % 9005), seed })),
  )
  await vm.write(run)
  await until(() => listening.received.length === 3000)
  t.equal(Buffer.compare(runOf(...listening.take()), run), 0)
})

t.test('a frame from one VM reaches the socket of another, and not its own', async t => {
  const bench = new Bench(t)
  const [a, b] = [await bench.plug(), await bench.plug()]
  const hello = runOf(frame({ from: station(1) }))
  await bench.deliver(a, hello)
  t.same(await b.read(hello.length), hello)
  const answer = runOf(frame({ to: station(1), from: station(2) }))
  await bench.deliver(b, answer)
  t.same(await a.read(answer.length), answer)
  t.same([a.readSome().length, b.readSome().length], [0, 0])
})

t.test('frames from one VM that alternate between two others reach each whole and in order', async t => {
  const bench = new Bench(t)
  const [a, b, c] = [await bench.plug(), await bench.plug(), await bench.plug()]
  for (const [peer, n] of [[b, 2] as const, [c, 3] as const]) {
    await bench.deliver(peer, runOf(frame({ from: station(n), length: 14 })))
  }
  for (const peer of [a, b, c]) {
    while (peer.readSome().length > 0);
  }
  // More of them than a list has stretches, and in one read.
  const frames = Array.from({ length: 4000 }, (_, seed) =>
    frame({ to: station(2 + (seed % 2)), from: station(1), length: 16 + (seed % 3), seed }),
  )
  await bench.deliver(a, runOf(...frames))
  for (const [parity, peer] of [b, c].entries()) {
    const wanted = runOf(...frames.filter((_, seed) => seed % 2 === parity))
    t.equal(Buffer.compare(await peer.read(wanted.length), wanted), 0)
    t.equal(peer.readSome().length, 0)
  }
})

const lengthOf = (length: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}

for (const [what, tail, close, reason] of [
  ['a length of 0', lengthOf(0), false, 'empty-frame'],
  ['a length of 65537', lengthOf(65_537), false, 'frame-too-long'],
  ['a length of 0xffffffff', lengthOf(0xffffffff), false, 'frame-too-long'],
  ['the end inside a frame', RUN.subarray(18, 40), true, 'truncated'],
  ['the end inside a length', RUN.subarray(0, 3), true, 'truncated'],
  ['the end behind a frame', Buffer.alloc(0), true, 'eof'],
] as const) {
  t.test(`${what} closes that port alone (${reason}), after the frames before it`, async t => {
    const bench = new Bench(t)
    const [bad, good] = [await bench.plug(), await bench.plug()]
    const listening = bench.tester()
    const last = frame({ from: station(1), seed: 1 })
    await bad.write(Buffer.concat([runOf(last), tail]))
    if (close) bad.close()
    await until(() => bad.ended !== undefined)
    t.equal(bad.ended, reason)
    t.same(listening.take(), [Buffer.from(last)])
    t.notOk(bench.switch.ports.includes(bad.port), 'it is unplugged')
    t.equal(bench.switch.locate(0x5254, 1), undefined, 'its addresses are forgotten')

    const still = runOf(frame({ from: station(2) }))
    await bench.deliver(good, still)
    t.same(runOf(...listening.take()), still, 'the other port sends')
    t.same(await good.read(runOf(last).length), runOf(last), 'and has received')
    t.equal(good.ended, undefined)
    if (close) return
    t.throws(() => bad.writeSome(still), { code: 'EPIPE' }, 'the peer finds its socket closed')
  })
}

t.test(
  'the word for datagrams is answered where that was offered, and is a broken length elsewhere',
  async t => {
    const bench = new Bench(t)
    const word = Buffer.from('DGRM')
    const [plain, offering] = [await bench.plug(), await bench.plug()]
    offering.stream.io.offerDatagrams()
    for (const vm of [plain, offering]) {
      await vm.write(word)
      await until(() => vm.ended !== undefined)
    }
    t.equal(plain.ended, 'frame-too-long')
    t.equal(plain.stream.io.passed(), undefined, 'no pair was made')
    t.equal(plain.readSome().length, 0, 'and nothing said')
    t.equal(offering.ended, 'datagrams')
    t.same(offering.readSome(), word)
    const ours = offering.stream.io.passed()
    t.type(ours, 'number')
    closeSync(ours!)
    t.equal(offering.stream.io.passed(), undefined, 'it is given once')
  },
)

t.test('the word for datagrams behind a frame is a broken length', async t => {
  const bench = new Bench(t)
  const vm = await bench.plug()
  vm.stream.io.offerDatagrams()
  await bench.deliver(vm, runOf(frame()))
  await vm.write(Buffer.from('DGRM'))
  await until(() => vm.ended !== undefined)
  t.equal(vm.ended, 'frame-too-long')
  t.equal(vm.stream.io.passed(), undefined)
})

t.test('the longest frame that the framing allows comes through, whole and in pieces', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  const run = runOf(frame({ length: 65_536 }))
  await vm.write(run)
  await until(() => listening.received.length === 1)
  t.equal(Buffer.compare(runOf(...listening.take()), run), 0)
  for (let at = 0; at < run.length; at += 999) await bench.deliver(vm, run.subarray(at, at + 999))
  t.equal(Buffer.compare(runOf(...listening.take()), run), 0)
})

t.test('a VM that sends its last frames and closes with ours unread is heard to the end', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  bench.inject(listening, runOf(frame({ from: station(7) })))
  const last = runOf(...Array.from({ length: 100 }, (_, seed) => frame({ length: 1514, seed })))
  t.equal(vm.writeSome(last), last.length)
  vm.close()
  await until(() => vm.ended !== undefined)
  t.equal(Buffer.compare(runOf(...listening.take()), last), 0)
  t.equal(vm.ended, 'reset')
})

t.test('… also when a frame for it fails in between, which is counted', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  const ours = runOf(frame({ from: station(7) }))
  bench.inject(listening, ours)
  const last = runOf(...Array.from({ length: 100 }, (_, seed) => frame({ length: 1514, seed })))
  t.equal(vm.writeSome(last), last.length)
  vm.close()
  bench.inject(listening, ours)
  t.equal(vm.port.counters[DROP_TX_ERROR], 1)
  await until(() => vm.ended !== undefined)
  t.equal(Buffer.compare(runOf(...listening.take()), last), 0)
})

t.test('… also when frames for it wait in its queue', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  const ours = runOf(...Array.from({ length: 300 }, (_, seed) => frame({ length: 1514, seed })))
  bench.inject(listening, ours)
  t.ok(vm.stream.io.queuedBytes() > 0)
  const last = runOf(frame({ seed: 5 }))
  vm.writeSome(Buffer.concat([last, last.subarray(0, 30)]))
  vm.close()
  await until(() => vm.ended !== undefined)
  t.same(runOf(...listening.take()), last)
  t.equal(vm.stream.io.queuedBytes(), 0, 'which are let go')
})

t.test('a port that is closed by us is gone at once, for both sides', async t => {
  const bench = new Bench(t)
  const listening = bench.tester()
  const vm = await bench.plug()
  vm.writeSome(runOf(frame()))
  vm.stream.close()
  vm.stream.close()
  t.notOk(bench.switch.ports.includes(vm.port))
  t.throws(() => vm.readSome(), { code: 'ECONNRESET' }, 'what the peer wrote was not read')
  await turn()
  t.same(listening.take(), [])
  t.equal(vm.ended, undefined, 'nobody is told what he did himself')
})

t.test('a descriptor that cannot be a port leaves none behind', async t => {
  const bench = new Bench(t)
  const fd = openSync(process.execPath, 'r')
  const port = new Port({ name: 'file', role: 'vm' })
  t.throws(() => streamPort({ switch: bench.switch, run: Run.allocate(), port, fd, onEnd() {} }), {
    code: 'EPERM',
  })
  t.equal(bench.switch.ports.length, 0)
  t.equal(port.id, -1)
  t.throws(() => fstatSync(fd), { code: 'EBADF' }, 'nor the descriptor')
})
