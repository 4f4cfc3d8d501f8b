// Start, stop and restart: what an uplink says of itself, and that nothing of it is left behind.

import type { Test } from 'tap'
import { MAX_PORTS } from '../../../src/switch/switch.js'
import { Port } from '../../../src/switch/port.js'
import { frame, runOf, turn } from '../../helpers/frames.js'
import { type Kind, start } from '../kind.js'
import { descriptors, Network } from '../network.js'
import { eventually } from '../patience.js'
import { difference, SAME } from '../traffic.js'
import { counted, drops, type Effort, exchange, FAR, given, OTHER_VM, VM } from './common.js'

export function lifecycle(t: Test, kind: Kind, { restarts }: Effort): void {
  t.test('started: it is up under its name, and a port like any other where it leads anywhere', async t => {
    for (const mtu of kind.mtus) {
      await t.test(`MTU ${mtu}`, async t => {
        const { ground, network, uplink, port } = await start(t, kind, mtu)
        const { name } = ground
        t.strictSame(uplink.status(), { kind: kind.name, ...(name && { name }), state: 'up' })
        t.equal(network.switch.ports.length, kind.reaches ? 1 : 0)
        t.equal(network.switch.ports[0], port)
        t.equal(uplink.mtu ?? mtu, mtu)
        if (!kind.reaches) return
        t.match(port, { role: 'uplink', isUplink: true, maxFrame: kind.longestOut(mtu) })
        t.strictSame(counted(port), {}, 'nothing was said yet')
      })
    }
  })

  t.test('VMs reach each other, before it is there, with it, and after it', async t => {
    const network = new Network(t)
    const [a, b] = [network.tester(), await network.plug()]
    const talk = async (seed: number) => {
      const question = frame({ from: VM, seed, length: 300 })
      const answer = frame({ from: OTHER_VM, to: VM, seed })
      network.say(a, question)
      const heard: Buffer[] = []
      await eventually(
        () => 'the question',
        () => b.end.take(1, (bytes, at, length) => heard.push(bytes.subarray(at, at + length))) > 0,
      )
      b.end.put(runOf(answer))
      return difference([...heard, ...(await given(a, 1))], [question, answer])
    }
    const ground = await kind.lay(t)
    t.equal(await talk(1), SAME)
    const uplink = await network.open(ground.choice)
    await ground.join()
    t.equal(await talk(2), SAME)
    await uplink.close()
    t.equal(await talk(3), SAME)
  })

  t.test('closed: nothing is left of it, and to close it again does no harm', async t => {
    const ground = await kind.lay(t)
    const network = new Network(t)
    await turn()
    const before = descriptors()
    const uplink = await network.open(ground.choice)
    const { port } = uplink
    await ground.join()
    if (kind.reaches) t.ok(descriptors() > before)
    await uplink.close()
    ground.part()
    t.strictSame(ground.traces(), [])
    t.strictSame(network.switch.ports, [])
    await Promise.all([uplink.close(), uplink.close()])
    await uplink.close()
    t.equal(descriptors(), before)
    if (port === undefined) return
    const run = runOf(frame(), frame())
    port.stretches.set([0, run.length])
    port.driver.transmit(run, 1, 2)
    t.equal(drops(port, 'tx-down'), 2, 'frames for it are counted, not sent')
  })

  t.test('closed before the loop has turned once', async t => {
    const { network, ground, uplink } = await start(t, kind)
    await uplink.close()
    for (let i = 0; i < 20; i++) {
      const fresh = await network.open(ground.choice)
      await fresh.close()
    }
    t.strictSame(ground.traces(), [])
    t.strictSame(network.switch.ports, [])
  })

  t.test('restarted again and again: it works each time, and nothing adds up', async t => {
    const scene = await start(t, kind)
    const { ground, network } = scene
    const vm = network.tester()
    let { uplink } = scene
    let before = 0
    for (let i = 0; i < restarts; i++) {
      if (kind.reaches) {
        const fault = await exchange(scene, vm, i)
        if (fault !== SAME) t.fail(`start ${i}: ${fault}`)
        if (network.knows(FAR) !== uplink.port) t.fail('the far station is not behind it')
      }
      await uplink.close()
      ground.part()
      if (network.remembers(FAR)) t.fail('what was behind it is still known')
      if (i === 0) before = descriptors()
      uplink = await network.open(ground.choice)
      await ground.join()
    }
    await uplink.close()
    ground.part()
    t.equal(descriptors(), before, `descriptors after ${restarts} restarts`)
    t.strictSame(network.switch.ports, [vm.port])
    t.strictSame(ground.traces(), [])
  })

  if (kind.reaches) {
    t.test('a switch that is full', async t => {
      const ground = await kind.lay(t)
      const network = new Network(t)
      const others = Array.from({ length: MAX_PORTS }, () => new Port({ name: 'other', role: 'vm' }))
      for (const port of others) network.switch.attach(port)
      const before = descriptors()
      if (kind.whenFull === 'fails') {
        await t.rejects(network.open(ground.choice), { name: 'BridgeError', code: 'ERR_SWITCH_FULL' })
      } else {
        const uplink = await network.open(ground.choice)
        t.match(uplink.status(), { state: 'down', detail: /ports/ })
        network.switch.detach(others.pop()!)
        await network.logged('uplink.up')
        t.match(uplink.status(), { state: 'up' })
        await uplink.close()
        ground.part()
      }
      t.strictSame(ground.traces(), [])
      t.equal(descriptors(), before, 'descriptors')
    })
  }
}
