// The calls of vmnet that start and stop an interface: late, never, refused, in every mode; and the interface that is
// bridged. The double (native/double) plays the framework.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Test } from 'tap'
import { BridgeError } from '../../../src/errors.js'
import { turn } from '../../helpers/frames.js'
import { BRIDGE, ip } from '../host.js'
import { start } from '../kind.js'
import { Network } from '../network.js'
import { eventually } from '../patience.js'
import { SAME } from '../traffic.js'
import { double, layVmnet, startVmnet, stats, vmnet, type VmnetSettings } from '../vmnet.js'
import { exchange } from './common.js'

const MODES: Record<string, VmnetSettings> = {
  "shared, with Apple's DHCP": { mode: 'shared', appleDhcp: 'on' },
  'shared, by a network object': { mode: 'shared', appleDhcp: 'off' },
  "host, with Apple's DHCP": { mode: 'host', appleDhcp: 'on' },
  'host, by a network identifier': { mode: 'host', appleDhcp: 'off' },
  bridged: { mode: 'bridged', interface: BRIDGE },
  isolated: { mode: 'host', appleDhcp: 'on', isolate: true },
}

/** What the double has alive, once JavaScript has let go of what it can. */
function alive(gc: () => void): string {
  gc()
  const { liveInterfaces, liveNetworks, liveQueues, liveXpcObjects } = stats()
  return JSON.stringify({ liveInterfaces, liveNetworks, liveQueues, liveXpcObjects })
}

export function vmnetCalls(t: Test): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void

  for (const [name, settings] of Object.entries(MODES)) {
    t.test(`${name}: frames pass, and nothing of it stays alive`, async t => {
      await turn()
      const before = alive(gc)
      for (let i = 0; i < 3; i++) {
        await t.test(`start ${i}`, async t => {
          const scene = await startVmnet(t, settings)
          t.equal(await exchange(scene, scene.network.tester()), SAME)
          await scene.uplink.close()
          t.strictSame(scene.ground.traces(), [])
        })
      }
      await eventually(
        () => `${before}, not ${alive(gc)}`,
        () => alive(gc) === before,
      )
      t.equal(alive(gc), before)
    })
  }

  t.test('what a start is told in vain: an error with a code and a hint each', async t => {
    const cases: [settings: VmnetSettings, code: string, hint: RegExp][] = [
      [{ mode: 'bridged', interface: 'en9' }, 'ERR_VMNET_INTERFACE', new RegExp(BRIDGE)],
      [
        { mode: 'bridged', interface: 'en9', faults: 'list=null' },
        'ERR_VMNET_INTERFACE',
        /vmbridge interfaces/,
      ],
    ]
    for (const [settings, code, hint] of cases) {
      await t.test(JSON.stringify(settings), async t => {
        const { choice } = await layVmnet(t, settings)
        await t.rejects(new Network(t).open(choice), { code, hint })
      })
    }
  })

  t.test('a start that takes a second is waited for', async t => {
    const scene = await startVmnet(t, { faults: 'start=delay:1000' })
    t.equal(await exchange(scene, scene.network.tester()), SAME)
  })

  t.test('a start that says nothing within 10 s is given up; what comes later is stopped', async t => {
    const ground = await layVmnet(t, { faults: 'start=never/delay:10500' })
    const before = stats()
    const network = new Network(t)
    const results = await Promise.allSettled([network.open(ground.choice), network.open(ground.choice)])
    for (const result of results) {
      const { reason } = result as PromiseRejectedResult
      t.ok(reason instanceof BridgeError, String(reason))
      t.match(reason, { code: 'ERR_VMNET_TIMEOUT', hint: /./ })
    }
    t.strictSame(network.switch.ports, [])
    await eventually(
      () => 'the stop of an interface that came too late',
      () => stats().stops > before.stops && ground.traces().length === 0,
    )
    t.equal(stats().stops, before.stops + 1)
  })

  for (const [fault, problem] of [
    ['never', /5 s/],
    ['1001', /VMNET_FAILURE/],
    ['return:1004', /VMNET_SETUP_INCOMPLETE/],
  ] as const) {
    t.test(`a stop that answers ${fault}: it is said, and the end is not held up`, async t => {
      // Bridged: an interface that stays for good owns no subnet that others need.
      const { network, uplink } = await startVmnet(t, {
        mode: 'bridged',
        interface: BRIDGE,
        faults: `stop=${fault}`,
      })
      await uplink.close()
      t.match(
        network.entries.find(({ event }) => event === 'uplink.stop'),
        { problem },
      )
      t.strictSame(network.switch.ports, [])
      await uplink.close()
    })
  }

  t.test(
    'starts that fail after a break: tried again with pauses, and said once for each reason',
    async t => {
      const scene = await start(t, vmnet)
      const { network, ground, uplink } = scene
      const vm = network.tester()
      const { starts } = stats()
      double('gone,start=1009/1009/late:1001/ok,event=spurious')
      await network.logged('uplink.up', network.entries.length)
      t.equal(stats().starts - starts, 4)
      const events = network.entries.map(({ event }) => event)
      t.strictSame(events, ['uplink.up', 'uplink.down', 'uplink.retry', 'uplink.retry', 'uplink.up'])
      t.match(network.entries[2], { reason: /VMNET_SHARING_SERVICE_BUSY/ })
      t.match(uplink.status(), { state: 'up' })
      await ground.join()
      t.equal(await exchange(scene, vm), SAME)
    },
  )

  t.test('closed while it is started anew: nothing is left of that start', async t => {
    const { network, ground, uplink } = await start(t, vmnet)
    const before = stats()
    double('gone,start=delay:1500,event=spurious')
    await eventually(
      () => 'the next start',
      () => stats().starts > before.starts,
    )
    await uplink.close()
    t.strictSame(network.switch.ports, [])
    await eventually(
      () => 'the end of both interfaces',
      () => stats().liveInterfaces < before.liveInterfaces && ground.traces().length === 0,
    )
    t.equal(stats().stops - before.stops, 2)
    t.notOk(network.entries.slice(1).some(({ event }) => event === 'uplink.up'))
  })

  t.test('the interface that is bridged loses its carrier, goes, and comes back', async t => {
    const scene = await startVmnet(t, { mode: 'bridged', interface: BRIDGE })
    const { network, ground, uplink } = scene
    const vm = network.tester()
    ip('link', 'set', BRIDGE, 'down')
    await network.logged('uplink.link')
    t.match(uplink.status(), { state: 'down', detail: /no carrier/ })
    const away = network.entries.length
    ip('link', 'set', BRIDGE, 'name', 'vbtaway')
    t.match((await network.logged('uplink.down', away))['reason'], /is gone/)
    t.match((await network.logged('uplink.retry', away))['reason'], /cannot be bridged/)
    ip('link', 'set', 'vbtaway', 'name', BRIDGE)
    ip('link', 'set', BRIDGE, 'up')
    await network.logged('uplink.up', away)
    await ground.join()
    t.match(uplink.status(), { state: 'up' })
    t.equal(await exchange(scene, vm), SAME)
  })
}
