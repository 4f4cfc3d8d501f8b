// VMs of a datagram socket that go, and come again: there is no connection that ends, only a send that fails or a look
// that finds nobody. And the path that they know, which leads to a socket of ours at every moment.

import fs, {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import t from 'tap'
import { DROP_TX_DOWN, TX_FRAMES } from '../../src/switch/counters.js'
import { frame, runOf, station, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { DGRAM_NEEDS, DgramBench, descriptors, numberOf, numbered } from './dgram-bench.js'

const skip = requires(DGRAM_NEEDS)
const KINDS = ['free', 'tied'] as const
const same = (got: readonly Uint8Array[], wanted: readonly Uint8Array[]) =>
  runOf(...got).equals(runOf(...wanted))

for (const kind of KINDS) {
  for (const unlink of [true, false]) {
    const what = `a ${kind} VM that goes and ${unlink ? 'takes its file along' : 'leaves its file'}`

    t.test(`${what} shows when something is sent to it`, { skip }, async t => {
      const bench = new DgramBench(t).start()
      const sender = bench.tester()
      const { peer, made } = await bench.plug(kind)
      await peer.close({ unlink })
      bench.inject(sender, numbered(1), numbered(2))
      t.equal(made.port.counters[DROP_TX_DOWN], 2)
      t.equal(made.port.counters[TX_FRAMES], 0)
      await until(() => bench.ended.length > 0)
      t.same(bench.ended, [`${peer.path} gone`])
      t.same(bench.switch.ports, [sender.port])
    })

    t.test(`${what} shows when it is looked for`, { skip }, async t => {
      const bench = new DgramBench(t).start()
      const [gone, stays] = [await bench.plug(kind), await bench.plug(kind)]
      bench.listener.look()
      t.same(bench.ended, [], 'both are there')
      await gone.peer.close({ unlink })
      bench.listener.look()
      t.same(bench.ended, [`${gone.peer.path} gone`])
      t.same(bench.switch.ports, [stays.made.port])
    })
  }

  t.test(`a ${kind} VM that goes with frames in its queue: those are counted as lost`, { skip }, async t => {
    const bench = new DgramBench(t).start()
    const sender = bench.tester()
    const { peer, made } = await bench.plug(kind)
    bench.inject(sender, ...Array.from({ length: 60 }, (_, n) => numbered(n)))
    await peer.close()
    bench.inject(sender, numbered(60))
    await until(() => bench.ended.length > 0)
    t.equal(made.io.queuedBytes(), 0)
    bench.listener.look()
    t.equal(bench.ended.length, 1)
  })

  t.test(`a ${kind} VM that is started anew at its address keeps its port, and hears`, { skip }, async t => {
    const bench = new DgramBench(t).start()
    const sender = bench.tester()
    const { peer, made } = await bench.plug(kind, 'vm')
    const open = descriptors()
    for (let life = 0; life < 5; life++) {
      const { path } = peer
      await bench.process.ask({ do: 'close', peer: peer.name, unlink: path })
      await bench.process.ask({ do: 'bind', peer: peer.name, path })
      if (kind === 'tied') await peer.tie(bench.path)
      const hello = frame({ from: station(life), seed: life })
      await peer.send([hello], kind === 'tied' ? undefined : bench.path)
      await until(() => sender.received.length > 0)
      t.ok(same(sender.take(), [hello]), 'it is heard')
      bench.inject(sender, numbered(life))
      t.same((await peer.receive(1)).map(numberOf), [life], 'and answered')
    }
    t.equal(bench.ports.get(peer.path!), made)
    t.equal(bench.met.length, 1)
    t.ok(descriptors() <= open, 'its old sockets are gone')
    t.same(bench.ended, [])
  })

  t.test(`a ${kind} VM that went comes back as a new port`, { skip }, async t => {
    const bench = new DgramBench(t).start()
    const sender = bench.tester()
    const first = await bench.plug(kind, 'vm')
    await first.peer.close({ unlink: true })
    bench.listener.look()
    bench.ports.clear()
    const second = await bench.plug(kind, 'vm')
    t.not(second.made, first.made)
    bench.inject(sender, numbered(3))
    t.same((await second.peer.receive(1)).map(numberOf), [3])
  })

  t.test(`a symbolic link in place of a ${kind} VM's socket is not followed`, { skip }, async t => {
    const bench = new DgramBench(t).start()
    const sender = bench.tester()
    const [victim, user] = [await bench.bind('victim'), await bench.plug(kind, 'user')]
    await user.peer.close({ unlink: true })
    symlinkSync(victim.path!, user.peer.path!)
    bench.inject(sender, numbered(1))
    bench.listener.look()
    await until(() => bench.ended.length > 0)
    t.same(bench.ended, [`${user.peer.path} gone`])
    t.same(await victim.drain(), [], 'who is behind it hears nothing')
  })
}

t.test(
  'VMs that start in one moment: who comes by the fresh socket and is silent yet is not cut off',
  { skip },
  async t => {
    const bench = new DgramBench(t)
    const sender = bench.tester()
    const [first, second] = [await bench.bind(), await bench.bind()]
    // Both wait at the same socket for the first reading.
    for (const peer of [first, second]) {
      await peer.tie(bench.path)
      await peer.send([Buffer.from('VFKT')])
    }
    const inodes = new Set([lstatSync(bench.path).ino])
    const table = fs as unknown as Record<string, (...args: unknown[]) => unknown>
    const original = table['renameSync']
    table['renameSync'] = (...args) => {
      const result = original(...args)
      inodes.add(lstatSync(bench.path).ino)
      return result
    }
    syncBuiltinESMExports()
    t.teardown(() => {
      table['renameSync'] = original
      syncBuiltinESMExports()
    })
    bench.start()
    for (const peer of [first, second]) await bench.portOf(peer)
    t.equal(inodes.size, 2, 'the first has a fresh one put there, and the second, by the older one, none')
    bench.inject(sender, numbered(1))
    for (const peer of [first, second]) t.same((await peer.receive(1)).map(numberOf), [1])
  },
)

t.test('the path leads to a socket at every moment, and nothing else stays beside it', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const table = fs as unknown as Record<string, (...args: unknown[]) => unknown>
  const names = ['renameSync', 'unlinkSync', 'lstatSync'] as const
  const originals = names.map(name => table[name])
  let looks = 0
  let missing = 0
  const look = () => {
    looks++
    if (!existsSync(bench.path)) missing++
  }
  for (const [n, name] of names.entries()) {
    table[name] = (...args) => {
      look()
      const result = originals[n](...args)
      look()
      return result
    }
  }
  syncBuiltinESMExports()
  const inodes = new Set<number>()
  try {
    for (let i = 0; i < 10; i++) {
      await bench.plug('tied', `vm${i}`)
      inodes.add(lstatSync(bench.path).ino)
      if (readdirSync(bench.folder).includes('s.new')) t.fail('s.new stays')
    }
  } finally {
    for (const [n, name] of names.entries()) table[name] = originals[n]
    syncBuiltinESMExports()
  }
  t.ok(looks > 40, `${looks} looks`)
  t.equal(missing, 0)
  t.ok(inodes.size > 1, 'the socket is another')
  t.equal(lstatSync(bench.path).mode & 0o777, 0o600, 'its rights are the same')
  t.same(bench.refused, [])
})

t.test('sockets whose VMs are gone are closed, as are the ways to them', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const open = descriptors()
  for (let round = 0; round < 3; round++) {
    const peers = []
    for (let i = 0; i < 8; i++) peers.push(await bench.plug(i % 2 ? 'tied' : 'free', `vm${round}.${i}`))
    t.ok(descriptors() >= open + 8)
    for (const { peer } of peers) await peer.close({ unlink: true })
    bench.listener.look()
    t.equal(descriptors(), open, `round ${round}`)
  }
  t.equal(bench.switch.ports.length, 0)
})

for (const [what, put] of [
  ['a file', (path: string) => writeFileSync(path, 'theirs')],
  ['a link', (path: string) => symlinkSync('/nonexistent', path)],
] as const) {
  t.test(`${what} of another in the path's place is not overwritten by a fresh socket`, { skip }, async t => {
    const bench = new DgramBench(t)
    const sender = bench.tester()
    const peer = await bench.bind()
    await peer.tie(bench.path)
    await peer.send([frame({ seed: 5 })])
    unlinkSync(bench.path)
    put(bench.path)
    const { ino } = lstatSync(bench.path)
    bench.start()
    await bench.portOf(peer)
    t.match(bench.shared, [/another's by now/])
    t.equal(lstatSync(bench.path).ino, ino)
    bench.inject(sender, numbered(1))
    t.same((await peer.receive(1)).map(numberOf), [1], 'the VM is served all the same')
    bench.listener.close()
    t.equal(lstatSync(bench.path).ino, ino, 'nor is it removed at the end')
  })
}

t.test('what lies where the fresh socket would be made is not overwritten', { skip }, async t => {
  const bench = new DgramBench(t).start()
  const sender = bench.tester()
  writeFileSync(bench.at('s.new'), 'theirs')
  const [first, second] = [await bench.plug('tied'), await bench.plug('tied')]
  t.match(bench.shared, [/is not a socket/])
  t.equal(readFileSync(bench.at('s.new'), 'utf8'), 'theirs')
  bench.inject(sender, numbered(1))
  for (const { peer } of [first, second]) t.same((await peer.receive(1)).map(numberOf), [1])
})

t.test('a listener that is closed leaves no file and no descriptor', { skip }, async t => {
  const open = descriptors()
  // A first child's pipes come and go with it.
  const bench = new DgramBench(t).start()
  const pipes = descriptors()
  const { peer } = await bench.plug('tied')
  await bench.plug('free')
  bench.listener.close()
  bench.listener.close()
  t.notOk(existsSync(bench.path))
  t.same(readdirSync(bench.folder).sort(), ['vm0', 'vm1'], 'but for the VMs')
  for (const { io } of bench.ports.values()) io.close()
  t.ok(descriptors() < pipes && descriptors() >= open)
  await t.rejects(peer.send([frame()]), { code: 'ECONNREFUSED' })
})
