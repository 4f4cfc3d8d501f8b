// A talosctl whose nodes meet a daemon that is late, absent, or started again under them. QEMU dials again by itself
// where it can (`reconnect-ms` from 9.2 on, `reconnect` from 8.0 on); 7.2 cannot, and its nodes are back when they are
// started again.

import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { QEMU_10 } from '../helpers/guest.js'
import { requires } from '../helpers/requires.js'
import { type Cluster, TALOS_LAB, TalosHost, whoIs } from '../helpers/talos.js'
import { eventually } from '../helpers/talos-node.js'
import { planCluster } from './talosctl/cluster.js'
import { keepaliveArguments } from './talosctl/command-line.js'
import { QEMU_NAME } from './talosctl/qemu.js'

t.setTimeout(300_000)

const LATE = 5000
const PATIENCE = 15_000
const SMALL = { controlplanes: 1, workers: 1 } as const

/** Waits until exactly the VMs of a cluster are plugged in. */
async function arePlugged(host: TalosHost, vms: readonly (number | undefined)[]): Promise<void> {
  const look = async () => {
    const { ports = [] } = (await host.network()) ?? {}
    return vms.every(pid => ports.some(({ peer }) => peer?.pid === pid))
  }
  await eventually(look, `QEMUs ${vms.join(', ')} are plugged in`)
}

async function nodesAnswer(t: Test, host: TalosHost, { nodes }: Cluster): Promise<void> {
  for (const node of nodes) {
    t.equal(await whoIs(host, node.ip), node.name, `${node.name} answers the host by TCP at ${node.ip}`)
    t.equal((await node.renew()).ip, node.ip, 'and its address is renewed')
  }
}

t.test('a daemon that is late', { skip: requires(TALOS_LAB) }, async t => {
  const host = await TalosHost.start(t)
  await host.daemon.stop()
  // v1.13 starts each node's QEMU once, and never again if that fails.
  const { cluster, child } = host.creating({ version: 'v1.13' })
  await pause(LATE)
  t.same(await host.interfaces(), ['lo'], 'talosctl has started nodes, and there is no daemon')
  await host.startDaemonAgain()
  t.match(await child.exited, { code: 0 }, 'every node comes up at its planned address')
  t.equal(cluster.nodes.length, 3)
  await nodesAnswer(t, host, cluster)
})

t.test('a daemon that is absent', { skip: requires(TALOS_LAB) }, async t => {
  const host = await TalosHost.start(t)
  await host.daemon.stop()
  const wanted = {
    version: 'v1.14',
    name: 'c',
    stateDirectory: host.clusters,
    cidr: '10.5.0.0/24',
    mtu: 1500,
  } as const
  const args = keepaliveArguments(planCluster({ ...wanted, ...SMALL }))
  const started = performance.now()
  const shim = host.spawn([QEMU_NAME, ...args])
  t.same(await shim.exited, { code: 1, signal: null }, 'QEMU ends with status 1')
  t.ok(performance.now() - started > PATIENCE * 0.9, `after ${Math.round(performance.now() - started)} ms`)
  t.equal(shim.lines.length, 1, `with one line: ${shim.text()}`)
  t.match(shim.lines[0], { stream: 2, text: /no daemon/ })
})

t.test(
  'a daemon that is started again under running nodes',
  { skip: requires([...TALOS_LAB, 'qemu-10']) },
  async t => {
    const host = await TalosHost.start(t)
    const before = await host.traces()
    host.useQemu(QEMU_10)
    const { cluster } = await host.create(SMALL)
    const vms = cluster.nodes.map(({ qemu }) => qemu)
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await t.test(`by ${signal}: QEMU 10 comes back, and the nodes notice nothing`, async t => {
        await host.restartDaemon(signal)
        await arePlugged(host, vms)
        await nodesAnswer(t, host, cluster)
        t.same(
          cluster.nodes.map(({ qemu }) => qemu),
          vms,
          'no node was started again',
        )
      })
    }
    await t.test('the nodes alone hold the network now, and reboot at once: it is theirs again', async t => {
      // A QEMU that is paused stops to read at the first frame, so it saw no end of its connection: the keepalive is away.
      await Promise.all(cluster.nodes.map(node => node.reboot()))
      await nodesAnswer(t, host, cluster)
    })
    await t.test('and what is destroyed then leaves nothing', async t => {
      t.same(await cluster.destroy(), { code: 0, signal: null })
      await host.isAsBefore(t, before)
    })
  },
)

t.test(
  'the same under the installed QEMU: nodes that are started again are back',
  { skip: requires(TALOS_LAB) },
  async t => {
    const host = await TalosHost.start(t)
    const { cluster } = await host.create(SMALL)
    await host.restartDaemon('SIGTERM')
    await Promise.all(cluster.nodes.map(node => node.reboot()))
    await arePlugged(
      host,
      cluster.nodes.map(({ qemu }) => qemu),
    )
    await nodesAnswer(t, host, cluster)
  },
)
