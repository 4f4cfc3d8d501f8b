// Wrong arguments to the addon are errors in JavaScript, and a descriptor stays the caller's then.

import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { native } from '../../src/native.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { until } from '../helpers/frames.js'
import { scratch, type Scope } from '../ports/bench.js'

/** A dialled socket with nobody who accepts it, and what a port on it is made of. */
function parts(t: Scope) {
  const path = join(scratch(t), 's')
  const listening = native.listen(path, 0o600, -1)
  t.teardown(() => closeSync(listening))
  const run = Run.allocate()
  const { stretches, counters } = new Port({ name: 'test', role: 'vm' })
  const make = (): unknown[] => [
    native.dial(path, true),
    run.bytes,
    run.departures,
    stretches,
    counters,
    () => 0,
    () => {},
  ]
  return { path, listening, make }
}

const StreamIo = native.StreamIo as unknown as new (...args: unknown[]) => { close(): void }
const Listener = native.Listener as unknown as new (...args: unknown[]) => { close(): void }
const NAMES = ['fd', 'run', 'departures', 'stretches', 'counters', 'onRun', 'onEnd']

/** Makes a port of these; what it throws, after closing what it should not have opened. */
function thrownBy(args: unknown[], fd: number): unknown {
  try {
    new StreamIo(...args).close()
  } catch (error) {
    // It is still ours, and open.
    fstatSync(fd)
    closeSync(fd)
    return error
  }
  return undefined
}

t.test('a port of the right things opens and closes, twice even', async t => {
  const io = new StreamIo(...parts(t).make())
  io.close()
  io.close()
})

t.test('an argument of a wrong type, or a missing one, is a TypeError', async t => {
  const { make } = parts(t)
  for (const [at, name] of NAMES.entries()) {
    for (const wrong of [undefined, null, 'text', {}, [], new ArrayBuffer(8)]) {
      const args = make()
      const fd = args[0] as number
      args[at] = wrong
      t.type(thrownBy(args, fd), TypeError, `${name} is ${JSON.stringify(wrong)}`)
    }
  }
  const args = make()
  t.type(thrownBy(args.slice(0, -1), args[0] as number), TypeError, 'one too few')
})

t.test('an array of another kind is a TypeError: native code would write past its end', async t => {
  const { make } = parts(t)
  const kinds: [number, ArrayBufferView][] = [
    [1, new Float64Array(4096)],
    [2, new Uint8Array(4096)],
    [3, new Uint8Array(4096)],
    [4, new Uint8Array(14)],
    [4, new Float32Array(14)],
    [1, new DataView(new ArrayBuffer(4096))],
  ]
  for (const [at, wrong] of kinds) {
    const args = make()
    const fd = args[0] as number
    args[at] = wrong
    t.type(thrownBy(args, fd), TypeError, `${NAMES[at]} is a ${wrong.constructor.name}`)
  }
})

t.test('a descriptor that cannot be polled is a system error, and stays open', async t => {
  const [, ...rest] = parts(t).make()
  const file = openSync(process.execPath, 'r')
  t.match(thrownBy([file, ...rest], file), { code: 'EPERM' })
  t.throws(() => new StreamIo(-1, ...rest), { code: 'EBADF' })
})

t.test('a descriptor cannot be two ports', async t => {
  const args = parts(t).make()
  const io = new StreamIo(...args)
  t.throws(() => new StreamIo(...args), { code: 'EEXIST' })
  io.close()
})

t.test('a listener of wrong arguments is a TypeError, of a wrong descriptor a system error', async t => {
  const nothing = () => {}
  for (const args of [[], [3], [3, nothing], ['3', nothing, nothing], [3, nothing, {}]]) {
    t.throws(() => new Listener(...args), TypeError)
  }
  t.throws(() => new Listener(-1, nothing, nothing), { code: 'EBADF' })
  const { listening } = parts(t)
  const fd = native.dial(parts(t).path, true)
  const listener = new Listener(fd, nothing, nothing)
  listener.close()
  listener.close()
  t.doesNotThrow(() => fstatSync(listening))
})

t.test('methods of another object are a TypeError', async t => {
  const { make } = parts(t)
  const io = new StreamIo(...make())
  t.throws(() => io.close.call({} as never), TypeError)
  t.throws(() => (native.Listener.prototype as { pause(): void }).pause.call(io as never), TypeError)
  t.throws(() => (native.StreamIo as unknown as () => void)(), TypeError)
  io.close()
})

t.test('what native code cannot use as an answer of onRun ends the port as broken framing', async t => {
  for (const answer of [undefined, null, 'text', -1, 1e9, {}]) {
    const path = join(scratch(t), 's')
    const listening = native.listen(path, 0o600, -1)
    const run = Run.allocate()
    const { stretches, counters } = new Port({ name: 'test', role: 'vm' })
    const ended: string[] = []
    const peer = native.dial(path, true)
    const accepted = await new Promise<number>(resolve => {
      const listener = new native.Listener(
        listening,
        fd => {
          listener.close()
          resolve(fd)
        },
        () => {},
      )
    })
    const onRun = () => answer as number
    const io = new native.StreamIo(accepted, run.bytes, run.departures, stretches, counters, onRun, reason =>
      ended.push(reason),
    )
    writeSync(peer, Buffer.from([0, 0]))
    await until(() => ended.length > 0)
    closeSync(peer)
    t.same(ended, ['framing'], String(answer))
    io.close()
  }
})
