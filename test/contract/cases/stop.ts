// Stopped in the middle of traffic both ways, at every kind of moment: no crash, nothing left, and no frame
// afterwards.

import type { Test } from 'tap'
import type { Uplink } from '../../../src/uplink/uplink.js'
import { turn } from '../../helpers/frames.js'
import type { Tester } from '../../switch/segment.js'
import { type Kind, start } from '../kind.js'
import { descriptors, type Network } from '../network.js'
import { eventually } from '../patience.js'
import { SAME } from '../traffic.js'
import { Babble } from './babble.js'
import { drain, type Effort, exchange, FAR, VM } from './common.js'

type Stop = () => void

/** When `stop` is called: each sets a trap that the traffic springs. */
const MOMENTS: Record<string, (network: Network, uplink: Uplink, witness: Tester, stop: Stop) => void> = {
  'between two runs': (_network, _uplink, _witness, stop) => void setImmediate(stop),
  'from a timer': (_network, _uplink, _witness, stop) => void setTimeout(stop, 1),
  'at once': (_network, _uplink, _witness, stop) => stop(),
  'in a run of its own': (network, uplink, _witness, stop) => {
    network.switch.onRun = from => from === uplink.port && stop()
  },
  'in a run of a VM': (network, uplink, _witness, stop) => {
    network.switch.onRun = from => from !== uplink.port && stop()
  },
  'while another port is sent its frames': (_network, _uplink, witness, stop) => {
    witness.port.driver = { transmit: stop }
  },
}

export function stop(t: Test, kind: Kind, effort: Effort): void {
  const rounds = Math.max(3, effort.restarts / 10)
  for (const [name, set] of Object.entries(MOMENTS)) {
    t.test(`stopped under traffic ${name}, ${rounds} times`, async t => {
      const scene = await start(t, kind)
      const { network, ground, far } = scene
      const [witness, vm] = [network.tester(), await network.plug()]
      const outward = new Babble(vm.end, VM)
      let { uplink } = scene
      let before = 0
      for (let round = 0; round < rounds; round++) {
        const inward = new Babble(far, FAR)
        let [out, into] = [0, 0]
        const step = () => {
          outward.push()
          inward.push()
          out += far.take(200, () => {})
          into += vm.end.take(200, () => {})
        }
        await eventually(
          () => `traffic both ways, not ${out} frames out and ${into} in`,
          () => {
            step()
            return Math.min(out, into) > 500 + 37 * round
          },
        )
        witness.take()
        let closing: Promise<void> | undefined
        set(network, uplink, witness, () => {
          closing ??= (async () => uplink.close())()
        })
        await eventually(
          () => 'the moment',
          () => {
            step()
            return closing !== undefined
          },
        )
        await closing
        network.switch.onRun = () => {}
        witness.port.driver = witness
        ground.part()
        t.strictSame(ground.traces(), [])
        t.strictSame(network.switch.ports, [witness.port, vm.port])

        // All that was on its way is over, and what is said now goes no way.
        witness.take()
        while (far.take(1000, () => {}) > 0);
        inward.push()
        await outward.finish()
        for (let i = 0; i < 5; i++) await turn()
        await eventually(
          () => 'frames between VMs',
          () => {
            outward.push()
            return witness.received.length >= 100
          },
        )
        await outward.finish()
        t.notOk(
          witness.take().some(each => each.readUInt32BE(8) === FAR.lo),
          'nothing comes in',
        )
        t.equal(
          far.take(1, () => {}),
          0,
          'nothing goes out',
        )
        if (round === 0) before = descriptors()
        t.equal(descriptors(), before)
        while (vm.end.take(1000, () => {}) > 0);
        uplink = await network.open(ground.choice)
        await ground.join()
      }
      vm.close()
      await drain(scene, witness)
      witness.take()
      t.equal(await exchange({ ...scene, uplink, port: uplink.port! }, witness), SAME, 'and it starts again')
    })
  }
}
