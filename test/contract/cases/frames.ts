// Frames: each way, in batches, of every size, to one and to all; and the counters that must agree.

import type { Test } from 'tap'
import { PLAIN_TYPE, frame, runOf, station } from '../../helpers/frames.js'
import { type Kind, start } from '../kind.js'
import { carry, difference, putAll, receive, SAME } from '../traffic.js'
import { bytesOf, counted, type Effort, exchange, FAR, given, OTHER_VM, series, VM } from './common.js'

const BATCHES = [1, 2, 64, 65, 127, 128, 129, 199, 200, 201, 256, 257, 1000]

/** A frame with an IEEE 802.1Q tag: four bytes longer than it would be. */
function tagged(length: number): Uint8Array {
  const bytes = frame({ from: VM, type: 0x8100, length })
  new DataView(bytes.buffer).setUint32(14, (0x6123 << 16) | PLAIN_TYPE)
  return bytes
}

export function frames(t: Test, kind: Kind, effort: Effort): void {
  t.test('a frame goes out, and its answer comes back', async t => {
    const scene = await start(t, kind)
    t.equal(await exchange(scene, scene.network.tester()), SAME)
    t.equal(scene.network.knows(FAR), scene.port, 'the far station was learnt')
  })

  t.test('batches out: every frame, in order, byte for byte, once', async t => {
    const { network, far, port } = await start(t, kind)
    const [tester, vm] = [network.tester(), await network.plug()]
    const handedOver: number[] = []
    network.switch.onRun = (_, frames) => void handedOver.push(frames)
    for (const count of BATCHES) {
      // A last frame behind each batch: what came before it is all that comes of the batch.
      const batch = series(count, { from: VM, length: 120 })
      const last = frame({ from: VM, seed: count })
      network.sayRun(tester, runOf(...batch))
      network.say(tester, last)
      t.equal(difference(await receive(far, count + 1), [...batch, last]), SAME, `${count} from memory`)

      await putAll(vm.end, runOf(...batch))
      const came = await receive(far, count)
      await putAll(vm.end, runOf(last))
      came.push(...(await receive(far, 1)))
      t.equal(difference(came, [...batch, last]), SAME, `${count} from a socket`)
      t.strictSame(handedOver.splice(0), [count, 1], 'which were one run')
      tester.take()
    }
    t.match(counted(port), { tx: 2 * BATCHES.reduce((sum, count) => sum + count + 1, 0) })
  })

  t.test('batches in: every frame, in order, byte for byte, once', async t => {
    const { network, far, port } = await start(t, kind)
    const tester = network.tester()
    for (const count of BATCHES) {
      const batch = series(count, { from: FAR, to: VM, length: 120 })
      const last = frame({ from: FAR, seed: count })
      await putAll(far, runOf(...batch, last))
      t.equal(difference(await given(tester, count + 1), [...batch, last]), SAME, `${count} frames`)
    }
    t.match(counted(port), { rx: BATCHES.reduce((sum, count) => sum + count + 1, 0) })
  })

  for (const mtu of kind.mtus) {
    t.test(
      `sizes at MTU ${mtu}: from the bare header to the longest, one by one and all at once`,
      async t => {
        const { network, far, port } = await start(t, kind, mtu)
        const vm = network.tester()
        const [out, into] = [kind.longestOut(mtu), kind.longestIn(mtu)]
        const around = (longest: number) =>
          [14, 15, 17, 18, 41, 42, 59, 60, 61, 64, mtu + 13, mtu + 14, longest - 1, longest].filter(
            length => length <= longest,
          )
        const outward = around(out).map(length => frame({ from: VM, length }))
        if (mtu + 18 <= out) outward.push(tagged(mtu + 18))
        for (const each of outward) {
          network.say(vm, each)
          t.equal(difference(await receive(far, 1), [each]), SAME, `${each.length} bytes out`)
        }
        network.say(vm, ...outward)
        t.equal(difference(await receive(far, outward.length), outward), SAME, 'a mix in one run')

        const inward = around(into).map(length => frame({ from: FAR, length }))
        for (const each of inward) {
          await putAll(far, runOf(each))
          t.equal(difference(await given(vm, 1), [each]), SAME, `${each.length} bytes in`)
        }
        await putAll(far, runOf(...inward))
        t.equal(difference(await given(vm, inward.length), inward), SAME, 'a mix at once')
        t.strictSame(counted(port), {
          tx: 2 * outward.length,
          'tx-bytes': 2 * bytesOf(outward),
          rx: 2 * inward.length,
          'rx-bytes': 2 * bytesOf(inward),
        })
      },
    )

    t.test(
      `too short and too long at MTU ${mtu}: they stay, the others go, and they are counted`,
      async t => {
        const { network, far, port } = await start(t, kind, mtu)
        const vm = network.tester()
        const longest = kind.longestOut(mtu)
        const lengths = [13, 60, longest + 1, 14, 1, longest + 1, 13, longest, 2, 61]
        const said = lengths.map(length => frame({ from: VM, length }))
        const good = said.filter(({ length }) => length >= 14 && length <= longest)
        network.say(vm, ...said)
        t.equal(difference(await receive(far, good.length), good), SAME)
        t.strictSame(counted(port), { tx: good.length, 'tx-bytes': bytesOf(good), 'tx-too-big': 2 })
        t.match(counted(vm.port), { 'rx-runt': 4 })
        if (!kind.sendsRunts) return
        const shorts = [13, 60, 1, 14, 12].map(length => frame({ from: FAR, length }))
        await putAll(far, runOf(...shorts))
        t.equal(difference(await given(vm, 2), [shorts[1], shorts[3]]), SAME)
        t.match(counted(port), { rx: 5, 'rx-runt': 3 })
      },
    )
  }

  t.test('broadcast, multicast and the unknown go to all, the known to one alone', async t => {
    const { network, far } = await start(t, kind)
    const [vm, other] = [network.tester(), network.tester()]
    const multicast = { hi: 0x0100, lo: 0x5e000012 }
    const toAll = [
      frame({ from: VM }),
      frame({ from: VM, to: multicast }),
      frame({ from: VM, to: station(77) }),
    ]
    network.say(vm, ...toAll)
    t.equal(difference(await receive(far, 3), toAll), SAME, 'out')
    t.equal(difference(other.take(), toAll), SAME, 'and to the other VM')

    const fromFar = [
      frame({ from: FAR }),
      frame({ from: FAR, to: multicast }),
      frame({ from: FAR, to: station(78) }),
    ]
    await putAll(far, runOf(...fromFar))
    t.equal(difference(await given(vm, 3), fromFar), SAME, 'in')
    t.equal(difference(other.take(), fromFar), SAME, 'in, to the other VM')

    network.say(other, frame({ from: OTHER_VM }))
    await receive(far, 1)
    vm.take()
    // Known to be elsewhere: the frame behind it is the next that comes out.
    const last = frame({ from: VM, to: FAR, seed: 9 })
    network.say(vm, frame({ from: VM, to: OTHER_VM }), last)
    t.equal(difference(await receive(far, 1), [last]), SAME, 'between VMs stays between VMs')
    t.equal(other.take().length, 1, 'and what goes out is not for VMs')
    await putAll(far, runOf(frame({ from: FAR, to: VM }), frame({ from: FAR, to: OTHER_VM })))
    t.equal((await given(other, 1)).length, 1)
    t.equal(vm.take().length, 1, 'one station each')
  })

  t.test('frames from elsewhere for its own side do not come back out', async t => {
    const { network, far, port } = await start(t, kind)
    const vm = network.tester()
    const [one, two] = [frame({ from: FAR }), frame({ from: station(0x0f01), to: FAR })]
    await putAll(far, runOf(one, two, frame({ from: FAR, to: VM })))
    await given(vm, 2)
    network.say(vm, frame({ from: VM, seed: 3 }))
    t.equal(difference(await receive(far, 1), [frame({ from: VM, seed: 3 })]), SAME)
    t.match(counted(port), { rx: 3, 'rx-same-port': 1, tx: 1 })
  })

  t.test(`${effort.frames} frames each way, of all sizes, byte for byte and in order`, async t => {
    const { network, far, port } = await start(t, kind)
    const vm = await network.plug()
    const half = Math.ceil(effort.frames / 2)
    const longest = Math.min(kind.longestOut(1500), kind.longestIn(1500), 1518)
    const room = { longest: longest - 4 }
    const [out, into] = [
      { ...room, from: VM, to: FAR },
      { ...room, from: FAR, to: VM },
    ]
    // Learnt first, so that the streams are unicast where they say so.
    await putAll(vm.end, runOf(frame({ from: VM })))
    await receive(far, 1)
    await putAll(far, runOf(frame({ from: FAR })))
    await receive(vm.end, 1)

    const sent = [await carry(vm.end, far, half, { ...out, seed: 0x2545f491 })]
    t.equal(sent[0].fault, SAME, 'out')
    const came = [await carry(far, vm.end, half, { ...into, seed: 0x9e3779b9 })]
    t.equal(came[0].fault, SAME, 'in')
    const [both, ways] = await Promise.all([
      carry(vm.end, far, half, { ...out, seed: 0x85ebca6b }),
      carry(far, vm.end, half, { ...into, seed: 0xc2b2ae35 }),
    ])
    t.equal(both.fault, SAME, 'out, while others come in')
    t.equal(ways.fault, SAME, 'in, while others go out')
    sent.push(both)
    came.push(ways)

    const last = frame({ seed: 1 })
    await putAll(vm.end, runOf(last))
    t.equal(difference(await receive(far, 1), [last]), SAME, 'nothing was left on the way out')
    await putAll(far, runOf(last))
    t.equal(difference(await receive(vm.end, 1), [last]), SAME, 'nothing was left on the way in')
    const bytes = (parts: { bytes: number }[]) => parts.reduce((sum, part) => sum + part.bytes, 120)
    t.strictSame(counted(port), {
      rx: 2 * half + 2,
      'rx-bytes': bytes(came),
      tx: 2 * half + 2,
      'tx-bytes': bytes(sent),
    })
  })
}
