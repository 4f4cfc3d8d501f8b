// What the contract asks of a socket that VMs plug into, whoever listens at it: acceptance points 6, 8 and 9, at a real
// process and by bare stream connections. test/ports has the same in one process, where every cut is at the test's
// command, and test/e2e with guests.

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { formatMac, type Mac } from '../../src/wire/mac.js'
import { Station } from '../daemon/station.js'
import { execute } from '../helpers/child.js'
import type { Scope, Status } from '../helpers/daemon.js'
import { type FrameFields, frame, PLAIN_TYPE, runOf, station } from '../helpers/frames.js'
import { VMBRIDGE } from '../helpers/root.js'

export interface Switch {
  socket: string
  control: string
  pid: number
}

const MIB = 2 ** 20
const PATIENCE_MS = 30_000
/** The other of IEEE 802's numbers for experiments. */
const HELLO_TYPE = 0x88b6

const typeOf = (bytes: Buffer) => bytes.readUInt16BE(12)

/** A connection that stands for a VM. Of what it hears only the tests' own frames count: a TAP's kernel talks, too. */
class Peer {
  readonly mac: Mac
  readonly station: Station
  #taken = 0

  constructor(mac: Mac, from: Station) {
    this.mac = mac
    this.station = from
  }

  frame(fields: FrameFields): Uint8Array {
    return frame({ from: this.mac, ...fields })
  }

  write(bytes: Uint8Array): void {
    this.station.write(bytes)
  }

  /** The next `count` frames, as they came. */
  async take(count: number): Promise<Buffer[]> {
    let seen = 0
    const isLast = (bytes: Buffer) => typeOf(bytes) === PLAIN_TYPE && ++seen === this.#taken + count
    await this.station.receive(isLast, PATIENCE_MS)
    this.#taken += count
    return this.#heard().slice(this.#taken - count, this.#taken)
  }

  /** How many came that were not taken. */
  get left(): number {
    return this.#heard().length - this.#taken
  }

  #heard(): Buffer[] {
    return this.station.frames.filter(bytes => typeOf(bytes) === PLAIN_TYPE)
  }
}

/** The ports of a test. The first one hears the others' first word: who was heard is a port, and its MAC is learnt. */
class Segment {
  readonly at: Switch
  readonly #t: Scope
  #first: Peer | undefined
  #peers = 0

  constructor(t: Scope, at: Switch) {
    this.#t = t
    this.at = at
  }

  async plug(): Promise<Peer> {
    const mac = station(0x5000 + this.#peers++)
    const peer = new Peer(mac, await Station.connect(this.#t, this.at.socket))
    const hello = peer.frame({ type: HELLO_TYPE })
    peer.write(runOf(hello))
    if (this.#first === undefined) this.#first = peer
    else await this.#first.station.receive(bytes => bytes.equals(hello), PATIENCE_MS)
    return peer
  }

  plugMany(count: number): Promise<Peer[]> {
    return Promise.all(Array.from({ length: count }, () => this.plug()))
  }

  /** What the status has of the peer's port. */
  async portOf({ mac }: Peer): Promise<Status['networks'][0]['ports'][0] | undefined> {
    const { stdout } = await execute([VMBRIDGE, 'status', '--json', '--control', this.at.control])
    const { networks } = JSON.parse(stdout) as Status
    return networks[0].ports.find(({ macs }) => macs.includes(formatMac(mac.hi, mac.lo)))
  }
}

const same = (got: readonly Uint8Array[], wanted: readonly Uint8Array[]) =>
  runOf(...got).equals(runOf(...wanted))

const lengthOf = (length: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}

async function point6(t: Test, at: Switch): Promise<void> {
  await t.test('6: frames of 14 to 1514 bytes, many a write, arrive byte-exact', async t => {
    const segment = new Segment(t, at)
    const [b, a] = [await segment.plug(), await segment.plug()]
    for (const to of [b.mac, undefined]) {
      const frames = Array.from({ length: 1501 }, (_, n) =>
        a.frame({ ...(to && { to }), length: 14 + n, seed: n }),
      )
      for (let from = 0; from < frames.length; from += 300) {
        const some = frames.slice(from, from + 300)
        a.write(runOf(...some))
        t.ok(
          same(await b.take(some.length), some),
          `${some[0].length} bytes and more, ${to ? 'uni' : 'broad'}cast`,
        )
      }
    }
  })

  await t.test('6: a frame that is split at every offset arrives byte-exact', async t => {
    const segment = new Segment(t, at)
    const [b, a] = [await segment.plug(), await segment.plug()]
    let faults = 0
    for (const length of [14, 1514]) {
      const split = a.frame({ to: b.mac, length, seed: length })
      const run = runOf(split)
      for (let cut = 1; cut < run.length; cut++) {
        // What stands before the cut in the same write has arrived: the switch has read up to the cut.
        const before = a.frame({ to: b.mac, length: 15, seed: cut })
        a.write(Buffer.concat([runOf(before), run.subarray(0, cut)]))
        if (!same(await b.take(1), [before])) faults++
        a.write(run.subarray(cut))
        if (!same(await b.take(1), [split])) faults++
      }
    }
    t.equal(faults, 0)
    t.equal(b.left, 0, 'nothing came twice')
  })

  const cut = runOf(frame({ length: 60 })).subarray(0, 40)
  for (const [what, bytes, ends] of [
    ['a length of 0', lengthOf(0), false],
    ['a length of 65537', lengthOf(65_537), false],
    ['a length of 0xffffffff', lengthOf(0xffff_ffff), false],
    ['EOF inside a frame', cut, true],
    ['EOF inside a length', cut.subarray(0, 2), true],
  ] as const) {
    await t.test(`6: ${what} closes that port alone`, async t => {
      const segment = new Segment(t, at)
      const [b, a, bad] = [await segment.plug(), await segment.plug(), await segment.plug()]
      bad.write(bytes)
      if (ends) await bad.station.close()
      t.ok(await comesTrue(async () => (await segment.portOf(bad)) === undefined), 'its port is gone')
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const frames = Array.from({ length: 20 }, (_, seed) => from.frame({ to: to.mac, seed }))
        from.write(runOf(...frames))
        t.ok(same(await to.take(20), frames), 'the others hear each other')
      }
      const isClosed = bad.station.closed.then(() => true)
      t.ok(await Promise.race([isClosed, pause(PATIENCE_MS, false, { ref: false })]), 'and its socket')
    })
  }

  await t.test('6: connect-and-close 1000 times leaves no descriptor and no memory behind', async t => {
    const segment = new Segment(t, at)
    const [b, a] = [await segment.plug(), await segment.plug()]
    const descriptors = () => readdirSync(`/proc/${at.pid}/fd`).length
    const [before, memory] = [descriptors(), residentBytes(at.pid)]
    for (let done = 0; done < 1000; done += 50) {
      const batch = await Promise.all(Array.from({ length: 50 }, () => Station.connect(t, at.socket)))
      await Promise.all(batch.map(each => each.close()))
      // Connections are taken in their order: those before this one have all been, and the backlog is empty.
      await (await segment.plug()).station.close()
    }
    t.ok(await comesTrue(() => descriptors() <= before), `${before} descriptors, as before`)
    // What no collector has looked at yet is there, too; test/ports/churn.test.ts has the finer measure.
    const grown = (residentBytes(at.pid) - memory) / MIB
    t.ok(grown < 32, `memory grew by ${grown.toFixed(1)} MiB`)
    const last = a.frame({ seed: 1 })
    a.write(runOf(last))
    t.ok(same(await b.take(1), [last]), 'and it goes on')
  })
}

async function point8(t: Test, at: Switch): Promise<void> {
  await t.test('8: a port that never reads: the others lose nothing, its drops are counted', async t => {
    const segment = new Segment(t, at)
    const [b, a, stalled] = [await segment.plug(), await segment.plug(), await segment.plug()]
    stalled.station.pause()
    let faults = 0
    for (let round = 0; round < 30; round++) {
      const frames = Array.from({ length: 100 }, (_, n) => a.frame({ length: 1514, seed: 100 * round + n }))
      a.write(runOf(...frames))
      if (!same(await b.take(100), frames)) faults++
    }
    t.equal(faults, 0, 'every broadcast reached the other')
    const { tx, drops } = (await segment.portOf(stalled))!
    t.ok(drops['tx-queue-full'] > 0, `${drops['tx-queue-full']} drops of it`)
    t.ok(tx.frames + drops['tx-queue-full'] >= 3000, 'what it did not get is all counted')
    t.strictSame((await segment.portOf(b))?.drops, {}, 'the other has none')
  })

  await t.test(
    '8: 64 idle ports and a stalled one: two others hear every frame, and only what is theirs',
    async t => {
      const segment = new Segment(t, at)
      const [b, a, stalled] = [await segment.plug(), await segment.plug(), await segment.plug()]
      const idle = await segment.plugMany(64)
      stalled.station.pause()
      let faults = 0
      for (let round = 0; round < 20; round++) {
        const frames = Array.from({ length: 100 }, (_, n) =>
          a.frame({ ...(n > 0 && { to: b.mac }), length: 1514, seed: 100 * round + n }),
        )
        const flood = Array.from({ length: 20 }, (_, n) =>
          a.frame({ to: stalled.mac, length: 1514, seed: n }),
        )
        a.write(runOf(...frames, ...flood))
        if (!same(await b.take(100), frames)) faults++
        const answer = b.frame({ to: a.mac, seed: round })
        b.write(runOf(answer))
        if (!same(await a.take(1), [answer])) faults++
      }
      t.equal(faults, 0)
      for (const peer of idle) await peer.take(20)
      t.ok(
        [...idle, a, b].every(({ left }) => left === 0),
        'an idle port heard the broadcasts alone',
      )
    },
  )
}

async function point9(t: Test, at: Switch): Promise<void> {
  await t.test('9: concurrent senders: the order of each is kept, and no frames interleave', async t => {
    const segment = new Segment(t, at)
    const b = await segment.plug()
    const senders = await segment.plugMany(4)
    const sent = senders.map(() => [] as Uint8Array[])
    const heard: Buffer[] = []
    for (let round = 0; round < 30; round++) {
      const runs = senders.map((sender, n) => {
        const frames = Array.from({ length: 40 }, (_, i) =>
          sender.frame({
            to: b.mac,
            length: 14 + ((round * 7919 + i * 104_729 + n) % 1501),
            seed: 40 * round + i,
          }),
        )
        sent[n].push(...frames)
        return runOf(...frames)
      })
      // In pieces that end inside of frames, of one and the other in turn.
      for (let piece = 0; piece < 16; piece++) {
        for (const [n, run] of runs.entries()) {
          const [from, to] = [piece, piece + 1].map(each => Math.floor((each * run.length) / 16))
          senders[n].write(run.subarray(from, to))
        }
        await pause(0)
      }
      heard.push(...(await b.take(160)))
    }
    for (const [n, { mac }] of senders.entries()) {
      const own = heard.filter(bytes => bytes.readUInt32BE(8) === mac.lo)
      t.ok(same(own, sent[n]), `${own.length} frames of sender ${n}`)
    }
  })
}

const residentBytes = (pid: number) =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024

/** Whether it comes true in the time that one waits for anything. */
async function comesTrue(ask: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS
  while (performance.now() < deadline) {
    if (await ask()) return true
    await pause(20)
  }
  return false
}

/** The three points, on a switch that nobody else uses. */
export async function acceptance(t: Test, at: Switch): Promise<void> {
  await point6(t, at)
  await point8(t, at)
  await point9(t, at)
}
