// Acceptance points 6, 8 and 9 where they can be asked of datagrams, at a real daemon's --dgram socket: frames are never
// cut there, but ports come and go, stall, and send at once. test/compat/acceptance.ts has the same for streams.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { scratch } from '../cli/command.js'
import { type Daemon, startDaemon } from '../helpers/daemon.js'
import { type DatagramPeer, DatagramProcess } from '../helpers/datagrams.js'
import { frame, runOf, station } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'

t.setTimeout(240_000)

const skip = requires(['linux', 'python3'])
const MIB = 2 ** 20
const same = (got: readonly Uint8Array[], wanted: readonly Uint8Array[]) =>
  runOf(...got).equals(runOf(...wanted))

interface Vm {
  peer: DatagramPeer
  n: number
}

class Segment {
  readonly path: string
  readonly folder: string
  readonly daemon: Daemon
  readonly process: DatagramProcess
  readonly #vms: Vm[] = []

  constructor(t: Test, daemon: Daemon, path: string) {
    this.daemon = daemon
    this.path = path
    this.folder = scratch(t)
    this.process = new DatagramProcess(t)
  }

  /** Says hello, which those before it hear. */
  async plug(kind: 'free' | 'tied' = 'free'): Promise<Vm> {
    const n = this.#vms.length + 1
    const peer = await this.process.bind(join(this.folder, `vm${n}`))
    if (kind === 'tied') await peer.tie(this.path)
    const hello = frame({ from: station(n), length: 14 })
    await peer.send([hello], kind === 'tied' ? undefined : this.path)
    for (const other of this.#vms) await other.peer.receive(1)
    const vm = { peer, n }
    this.#vms.push(vm)
    return vm
  }

  from({ peer }: Vm, frames: readonly Uint8Array[]): Promise<void> {
    return peer.send(frames, this.path)
  }

  async dropsOf({ n }: Vm): Promise<Record<string, number> | undefined> {
    const mac = `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`
    const { ports } = (await this.daemon.status()).networks[0]
    return ports.find(({ macs }) => macs.includes(mac))?.drops
  }
}

async function startSegment(t: Test): Promise<Segment> {
  const path = join(scratch(t), 'd')
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp', '--dgram', path] })
  return new Segment(t, daemon, path)
}

t.test(
  '6: bind, send a frame and go, 1000 times: no descriptor, memory or port is left',
  { skip },
  async t => {
    const segment = await startSegment(t)
    const [a, b] = [await segment.plug(), await segment.plug()]
    const descriptors = () => readdirSync(`/proc/${segment.daemon.pid}/fd`).length
    const [before, memory] = [descriptors(), segment.daemon.residentBytes()]
    for (let round = 0; round < 20; round++) {
      const passing = frame({ from: station(200), to: station(a.n), length: 60, seed: round })
      await segment.process.visit(join(segment.folder, 'passing'), passing, 50, segment.path)
      // A broadcast finds out who is gone.
      const last = frame({ from: station(b.n), seed: round })
      await segment.from(b, [last])
      for (let heard = passing; !last.every((byte, i) => byte === heard[i]);)
        [heard] = await a.peer.receive(1)
    }
    const ports = async () => (await segment.daemon.status()).networks[0].ports.length
    const deadline = performance.now() + 30_000
    while ((await ports()) > 2 && performance.now() < deadline);
    t.equal(await ports(), 2, 'the ports are gone')
    t.equal(descriptors(), before, 'and their descriptors')
    const grown = (segment.daemon.residentBytes() - memory) / MIB
    t.ok(grown < 32, `memory grew by ${grown.toFixed(1)} MiB`)
  },
)

for (const kind of ['free', 'tied'] as const) {
  const title = `8: 64 idle ports and a stalled ${kind} one: two others hear every frame, and only what is theirs`
  t.test(title, { skip }, async t => {
    const segment = await startSegment(t)
    const [b, a] = [await segment.plug(), await segment.plug()]
    const idle: Vm[] = []
    for (let i = 0; i < 64; i++) idle.push(await segment.plug(i % 2 ? 'tied' : 'free'))
    const stalled = await segment.plug(kind)
    let faults = 0
    for (let round = 0; round < 50; round++) {
      const frames = Array.from({ length: 10 }, (_, n) =>
        frame({ from: station(a.n), ...(n > 0 && { to: station(b.n) }), length: 1514, seed: 10 * round + n }),
      )
      const flood = Array.from({ length: 20 }, (_, seed) =>
        frame({ from: station(a.n), to: station(stalled.n), length: 1514, seed }),
      )
      await segment.from(a, [...frames, ...flood])
      if (!same(await b.peer.receive(10), frames)) faults++
      const answer = frame({ from: station(b.n), to: station(a.n), seed: round })
      await segment.from(b, [answer])
      if (!same(await a.peer.receive(1), [answer])) faults++
    }
    t.equal(faults, 0)
    for (const { peer } of idle) await peer.receive(50)
    const left = await Promise.all([...idle, a, b].map(({ peer }) => peer.drain()))
    t.ok(
      left.every(({ length }) => length === 0),
      'an idle port heard the broadcasts alone',
    )
    const drops = await segment.dropsOf(stalled)
    t.ok(drops!['tx-queue-full'] > 0, `${drops!['tx-queue-full']} drops of the stalled one`)
    for (const each of [a, b, ...idle]) t.strictSame(await segment.dropsOf(each), {}, 'the others have none')
  })
}

t.test('9: many senders at once: the order of each is kept, and every frame is whole', { skip }, async t => {
  const segment = await startSegment(t)
  const b = await segment.plug()
  // Two processes of senders, each at its own pace.
  const others = [new DatagramProcess(t), new DatagramProcess(t)]
  const peers = await Promise.all(others.map((each, n) => each.bind(join(segment.folder, `other${n}`))))
  const sent = peers.map(() => [] as Uint8Array[])
  const heard: Buffer[] = []
  // No more at once than the queue of a slow reader holds.
  for (let round = 0; round < 20; round++) {
    const sending = peers.map((peer, n) => {
      const frames = Array.from({ length: 100 }, (_, i) => {
        const seed = 100 * round + i
        const length = 14 + ((seed * 7919 + n) % 1501)
        return frame({ from: station(100 + n), to: station(b.n), length, seed })
      })
      sent[n].push(...frames)
      return peer.send(frames, segment.path)
    })
    heard.push(...(await b.peer.receive(200)))
    await Promise.all(sending)
  }
  for (const [n, frames] of sent.entries()) {
    const own = heard.filter(bytes => bytes.readUInt32BE(8) === 100 + n)
    t.ok(same(own, frames), `${own.length} frames of sender ${n}`)
  }
  t.strictSame(await segment.dropsOf(b), {})
})
