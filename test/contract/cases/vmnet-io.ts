// What vmnet alone has in its reads and writes: batches as the framework sees them, full buffers, refusals. The
// double (native/double) counts them and misbehaves.

import type { Test } from 'tap'
import { TX_FRAMES } from '../../../src/switch/counters.js'
import { frame, runOf, turn } from '../../helpers/frames.js'
import { start } from '../kind.js'
import { carry, difference, putAll, receive, SAME } from '../traffic.js'
import { eventually } from '../patience.js'
import { double, startVmnet, stats, vmnet } from '../vmnet.js'
import { counted, drops, type Effort, exchange, FAR, given, series, VM } from './common.js'

/** What a call takes at most, and how often full buffers are tried again while one list is sent. */
const BATCH = 128
const RETRIES = 10

/** Packets that the framework says it takes at once. */
const LIMITS = [200, 16, 1]

export function vmnetIo(t: Test, effort: Effort): void {
  const some = Math.ceil(effort.frames / 50)
  const stream = { seed: 5, from: VM, to: FAR, longest: 1510 }

  for (const limit of LIMITS) {
    const most = Math.min(limit, BATCH)
    t.test(`the framework takes ${limit} packets at once: no call has more than ${most}`, async t => {
      const { network, far } = await startVmnet(t, { faults: `write_max=${limit},read_max=${limit}` })
      const vm = network.tester()
      for (const count of [1, 127, 128, 129, 256, 257, 1000]) {
        const batch = series(count, { from: VM, length: 60 })
        const before = stats()
        network.sayRun(vm, runOf(...batch))
        const after = stats()
        t.equal(after.packetsWritten - before.packetsWritten, count)
        t.equal(after.writes - before.writes, Math.ceil(count / most), `writes of ${count} packets`)
        t.equal(difference(await receive(far, count), batch), SAME)
      }
      const batch = series(1000, { from: FAR, length: 60 })
      const before = stats()
      await putAll(far, runOf(...batch))
      t.equal(difference(await given(vm, 1000), batch), SAME)
      const reads = stats().reads - before.reads
      t.ok(reads >= Math.ceil(1000 / most), `${reads} reads of 1000 packets`)
      t.ok(stats().largestRead <= BATCH)
      t.equal(stats().largestWrite, BATCH)
    })
  }

  t.test('big packets: no call carries more than 256 KB', async t => {
    const { network, far } = await start(t, vmnet, 9000)
    const vm = network.tester()
    const [out, into] = [series(80, { from: VM, length: 9014 }), series(80, { from: FAR, length: 9014 })]
    network.sayRun(vm, runOf(...out))
    t.equal(difference(await receive(far, 80), out), SAME)
    await putAll(far, runOf(...into))
    t.equal(difference(await given(vm, 80), into), SAME)
  })

  t.test('what is no packet, straight to the driver, costs itself alone', async t => {
    const { far, port } = await start(t, vmnet)
    const mix = [60, 13, 61, 1, 14, 1515, 1514].map(length => frame({ from: VM, length }))
    const run = runOf(...mix)
    port.stretches.set([0, run.length])
    port.driver.transmit(run, 1, mix.length)
    t.equal(difference(await receive(far, 4), [mix[0], mix[2], mix[4], mix[6]]), SAME)
    t.match(counted(port), { tx: 4, 'tx-error': 3 })
  })

  t.test('buffers that are full for a moment lose nothing', async t => {
    const { network, far, port } = await start(t, vmnet)
    const vm = network.tester()
    for (const writes of [1, 2, 5, RETRIES]) {
      const batch = series(300, { from: VM, length: 100 })
      double(`exhausted=${writes}`)
      network.sayRun(vm, runOf(...batch))
      t.equal(difference(await receive(far, 300), batch), SAME, `full for ${writes} writes`)
    }
    t.strictSame(counted(port), { tx: 1200, 'tx-bytes': 120_000 })
  })

  t.test('buffers that stay full: few retries, then drops, and the rest goes on', async t => {
    const scene = await start(t, vmnet)
    const { network, port } = scene
    const vm = network.tester()
    const [runs, batches] = [50, Math.ceil(1000 / BATCH)]
    const run = runOf(...series(1000, { from: VM, to: FAR, length: 60 }))
    const { writes } = stats()
    double('write=1007')
    for (let i = 0; i < runs; i++) network.sayRun(vm, run)
    const tries = stats().writes - writes
    t.equal(drops(port, 'tx-queue-full'), 1000 * runs)
    t.equal(port.counters[TX_FRAMES], 0)
    t.ok(
      tries >= runs && tries <= RETRIES + runs * batches,
      `${tries} calls for ${runs} x ${batches} batches`,
    )
    double('clear')
    t.equal(await exchange(scene, vm), SAME, 'and it works again')
  })

  for (const most of [1, 7, 127]) {
    t.test(`writes that take ${most} packets at most lose nothing`, async t => {
      const { network, far, port } = await start(t, vmnet)
      const vm = await network.plug()
      double(`short=${most}`)
      t.equal((await carry(vm.end, far, some, stream)).fault, SAME)
      t.match(counted(port), { tx: some })
    })
  }

  t.test('an event with nothing to read is nothing', async t => {
    const scene = await startVmnet(t, { faults: 'event=spurious' })
    const vm = scene.network.tester()
    for (let i = 0; i < 20; i++) {
      const { events } = stats()
      double('event=spurious')
      // It comes from another thread, when that gets its turn.
      await eventually(
        () => 'an event',
        () => stats().events > events,
      )
      t.equal(await exchange(scene, vm, i), SAME)
    }
    t.match(scene.uplink.status(), { state: 'up' })
  })

  t.test('full, short and spurious by turns, under traffic both ways', async t => {
    const { network, far, port } = await start(t, vmnet)
    const vm = await network.plug()
    let over = false
    const trouble = async () => {
      for (let i = 0; !over; i++) {
        double(['exhausted=3', 'event=spurious', 'short=5', 'clear'][i % 4])
        await turn()
      }
    }
    const traffic = async () => {
      const both = await Promise.all([
        carry(vm.end, far, some, stream),
        carry(far, vm.end, some, { ...stream, seed: 6, from: FAR, to: VM }),
      ])
      over = true
      return both
    }
    const [[out, into]] = await Promise.all([traffic(), trouble()])
    t.equal(out.fault, SAME)
    t.equal(into.fault, SAME)
    t.match(counted(port), { tx: some, rx: some })
  })

  for (const [status, name] of [
    [1002, 'lack of memory'],
    [1003, 'an invalid argument'],
    [1006, 'a packet too big'],
    [1008, 'too many packets'],
  ] as const) {
    t.test(`a write that is refused for ${name} costs its batch, not the uplink`, async t => {
      const scene = await start(t, vmnet)
      const { network, port, uplink } = scene
      const vm = network.tester()
      double(`write=${status}`)
      network.say(vm, ...series(300, { from: VM, length: 60 }))
      for (let i = 0; i < 10; i++) await turn()
      t.match(uplink.status(), { state: 'up' })
      t.strictSame(counted(port), { 'tx-error': 300 })
      double('clear')
      t.equal(await exchange(scene, vm), SAME)
    })
  }
}
