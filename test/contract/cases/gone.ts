// What happens from outside: a start that fails, and an uplink that is taken away under its owner. It is said, VMs
// do not notice, and what can come back does so by itself.

import type { Test } from 'tap'
import { BridgeError } from '../../../src/errors.js'
import { frame, turn } from '../../helpers/frames.js'
import type { Tester } from '../../switch/segment.js'
import { type Break, type Kind, type Scene, start } from '../kind.js'
import { descriptors, Network } from '../network.js'
import { eventually } from '../patience.js'
import { difference, SAME } from '../traffic.js'
import { Babble } from './babble.js'
import { exchange, FAR, OTHER_VM, series, VM } from './common.js'

/** Timers that keep the process alive. */
const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length

function amongThemselves({ network }: Scene, one: Tester, other: Tester): string {
  network.say(other, frame({ from: OTHER_VM }))
  one.take()
  other.take()
  const said = series(30, { from: VM, to: OTHER_VM, length: 500 })
  network.say(one, ...said)
  return difference(other.take(), said)
}

/** Takes the uplink away, and looks at what is left. */
async function takeAway(t: Test, scene: Scene, way: Break): Promise<void> {
  const { network, uplink, port } = scene
  const from = network.entries.length
  await way.act(scene)
  const entry = await network.logged('uplink.down', from)
  t.match(entry['reason'], way.reason)
  t.match(uplink.status(), { state: 'down', detail: /./ })
  t.notOk(network.switch.ports.includes(port), 'it is no port any more')
  t.notOk(network.remembers(FAR), 'and nothing is known to be behind it')
}

export function gone(t: Test, kind: Kind): void {
  for (const failure of kind.failures) {
    t.test(`it cannot start, as ${failure.name}: a code, a hint, and nothing left`, async t => {
      const ground = await kind.lay(t)
      const network = new Network(t)
      const undo = failure.provoke()
      const [before, traces] = [descriptors(), ground.traces()]
      const error: unknown = await network.open(ground.choice).catch((error: unknown) => error)
      t.ok(error instanceof BridgeError, String(error))
      t.match(error, { code: failure.code, hint: failure.hint })
      t.strictSame(network.switch.ports, [])
      t.strictSame(ground.traces(), traces)
      t.equal(descriptors(), before, 'descriptors')
      undo()
      const uplink = await network.open(ground.choice)
      await ground.join()
      const far = ground.far
      const scene = { ground, network, uplink, port: uplink.port!, far }
      t.equal(await exchange(scene, network.tester()), SAME, 'and it starts when that is over')
    })
  }

  for (const way of kind.breaks) {
    t.test(`${way.name}: it is said, VMs go on${kind.returns ? ', and it comes back' : ''}`, async t => {
      const scene = await start(t, kind)
      const { network, uplink, ground, port } = scene
      const [one, other] = [network.tester(), network.tester()]
      for (let round = 0; round < 3; round++) {
        t.equal(await exchange(scene, one, round), SAME)
        await takeAway(t, scene, way)
        t.equal(amongThemselves(scene, one, other), SAME, 'VMs among themselves')
        if (!kind.returns) {
          t.equal(network.entries.filter(({ event }) => event === 'uplink.down').length, 1, 'said once')
          break
        }
        const from = network.entries.length
        ground.part()
        await way.mend!(scene)
        await network.logged('uplink.up', from)
        await ground.join()
        t.match(uplink.status(), { state: 'up' })
        t.ok(network.switch.ports.includes(port), 'by the same port')
        one.take()
      }
      await uplink.close()
      t.strictSame(network.switch.ports, [one.port, other.port])
      t.strictSame(ground.traces(), [])
    })

    t.test(`${way.name} under traffic both ways`, async t => {
      const scene = await start(t, kind)
      const { network, uplink, ground, far } = scene
      const [one, other, vm] = [network.tester(), network.tester(), await network.plug()]
      const [outward, inward] = [new Babble(vm.end, VM), new Babble(far, FAR)]
      let [out, into] = [0, 0]
      await eventually(
        () => `traffic both ways, not ${out} frames out and ${into} in`,
        () => {
          outward.push()
          inward.push()
          out += far.take(200, () => {})
          into += vm.end.take(200, () => {})
          return out > 2000 && into > 2000
        },
      )
      // In the middle of a frame of a stream there is no saying more.
      await inward.finish()
      outward.push()
      await takeAway(t, scene, way)
      for (let i = 0; i < 20; i++) {
        outward.push()
        await turn()
      }
      await outward.finish()
      t.equal(amongThemselves(scene, one, other), SAME, 'VMs among themselves')
      if (kind.returns) {
        const from = network.entries.length
        ground.part()
        await way.mend!(scene)
        await network.logged('uplink.up', from)
        await ground.join()
        vm.close()
        one.take()
        t.equal(await exchange(scene, one), SAME, 'and it works again')
      }
      await uplink.close()
    })

    t.test(`${way.name}, and it is closed then: nothing is left`, async t => {
      const ground = await kind.lay(t)
      const network = new Network(t)
      const [before, waiting] = [descriptors(), timers()]
      const uplink = await network.open(ground.choice)
      await ground.join()
      const scene = { ground, network, uplink, port: uplink.port!, far: ground.far }
      await takeAway(t, scene, way)
      await uplink.close()
      await uplink.close()
      ground.part()
      t.strictSame(network.switch.ports, [])
      t.strictSame(ground.traces(), [])
      t.equal(timers(), waiting, 'no timer')
      await way.mend?.(scene)
      t.equal(descriptors(), before, 'descriptors')
    })
  }
}
