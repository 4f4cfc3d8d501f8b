// Floods: what a side that does not take its frames costs, which is those frames and nothing else.

import type { Test } from 'tap'
import { Run } from '../../../src/switch/run.js'
import { frame, runOf, station, turn } from '../../helpers/frames.js'
import { MAC_BROADCAST } from '../../../src/wire/mac.js'
import type { Tester } from '../../switch/segment.js'
import { type Kind, type Scene, start } from '../kind.js'
import { carry, difference, putAll, receive, SAME } from '../traffic.js'
import { counted, drain, drops, type Effort, exchange, FAR, OTHER_VM, series, VM } from './common.js'

/** Frames of a flood that are handed over at once, and the bytes of each. */
const RUN = 64
const LENGTH = 1514
/** Frames that no port's queue holds. */
const FEWEST = 5000
/** How much the process may grow while a flood passes that is some times larger. */
const GROWTH = 48 * 1024 * 1024

/** Frames that carry their number, from `count` on, in a buffer that is used again and again. */
class Flood {
  count = 0
  readonly run: Run
  readonly end: number

  constructor() {
    const bytes = runOf(...series(RUN, { from: VM, to: FAR, length: LENGTH }))
    this.run = new Run(bytes)
    this.end = bytes.length
  }

  /** The next RUN frames. */
  next(): Run {
    for (let i = 0; i < RUN; i++) this.run.view.setUint32(i * (LENGTH + 4) + 4 + 14, this.count++)
    return this.run
  }
}

/** Reads what is left of a flood, and says what is wrong with it. */
async function rest(scene: Scene, vm: Tester): Promise<{ frames: number; fault: string }> {
  let frames = 0
  let last = -1
  let fault = ''
  await drain(scene, vm, (bytes, at, length) => {
    const number = bytes.readUInt32BE(at + 14)
    if (length !== LENGTH) fault ||= `a frame of ${length} bytes`
    else if (number <= last) fault ||= `${number} after ${last}`
    last = number
    frames++
  })
  return { frames, fault }
}

export function floods(t: Test, kind: Kind, effort: Effort): void {
  const runs = Math.ceil(effort.frames / 10 / RUN)

  for (const [name, stalls] of [
    ['the far side does not read', false],
    ['the way out takes nothing', true],
  ] as const) {
    t.test(`a flood from a VM while ${name}: bounded, counted, and nobody else notices`, async t => {
      const scene = await start(t, kind)
      const { network, port, ground } = scene
      const [vm, one] = [network.tester(), network.tester()]
      const other = await network.plug()
      t.equal(await exchange(scene, vm), SAME)
      one.take()
      await putAll(other.end, runOf(frame({ from: OTHER_VM, to: FAR })))
      await receive(scene.far, 1)
      await receive(other.end, 1)
      const before = counted(port)
      const rss = process.memoryUsage.rss()

      const release = stalls ? kind.stall(ground) : () => {}
      const flood = new Flood()
      const bystanders = series(10, { from: station(3), to: OTHER_VM, length: 700 })
      let fault = SAME
      for (let i = 0; i < runs; i++) {
        network.switch.ingress(vm.port, flood.next(), flood.end)
        if (i % 16 > 0) continue
        // Between VMs, by a real socket, while the flood goes on.
        network.say(one, ...bystanders)
        const heard = difference(await receive(other.end, 10), bystanders)
        if (fault === SAME) fault = heard
      }
      t.equal(fault, SAME, 'frames between VMs')
      const grown = process.memoryUsage.rss() - rss
      t.ok(grown < GROWTH, `grown by ${grown} bytes, while ${runs * RUN * LENGTH} were sent`)
      const accepted = port.counters[0] - (before['tx'] ?? 0)
      const dropped = kind.stallsAs === '' ? 0 : drops(port, kind.stallsAs)
      t.equal(accepted + dropped, runs * RUN, 'each is sent or dropped')
      if (stalls) t.ok(dropped > 0, `${dropped} under ${kind.stallsAs}`)

      await release()
      const { frames, fault: wrong } = await rest(scene, vm)
      t.equal(wrong, '', 'what came is whole and in order')
      t.ok(frames <= accepted, `${frames} of ${accepted} that were sent`)
      t.equal(await exchange(scene, vm, 1), SAME, 'and it works again')
    })
  }

  t.test('a flood from the far side that one VM does not read reaches the others whole', async t => {
    const { network, far } = await start(t, kind)
    const [stalled, reader] = [await network.plug(), await network.plug()]
    const { fault } = await carry(far, reader.end, Math.max(FEWEST, Math.ceil(effort.frames / 20)), {
      seed: 77,
      from: FAR,
      to: MAC_BROADCAST,
      longest: LENGTH - 4,
    })
    t.equal(fault, SAME)
    t.match(counted(reader.port)['tx-queue-full'], undefined)
    t.ok(drops(stalled.port, 'tx-queue-full') > 0, 'its own are lost')
    await turn()
  })
}
