// An unmodified talosctl on top of networks on demand, in both generations of its macOS provisioner, by a stand-in for
// it (talosctl/): its command lines, its order of things, its signals. A cluster comes up at the addresses that were
// planned, a VIP moves when its node is killed, and a cluster that is destroyed leaves nothing.

import { readdirSync, readlinkSync } from 'node:fs'
import t, { type Test } from 'tap'
import { becomesMacBehind, macBehind } from '../helpers/host.js'
import { requires } from '../helpers/requires.js'
import { type Cluster, TALOS_LAB, TalosHost, whoIs } from '../helpers/talos.js'
import { eventually, type TalosNode } from '../helpers/talos-node.js'

t.setTimeout(600_000)

const GATEWAY = '10.5.0.1'
const VIP = '10.5.0.50'
const REBOOTS = 20
const NODE_MAY_TAKE = 30_000
const MEMORY_MAY_GROW = 32 * 2 ** 20

const claim = (node: TalosNode) =>
  node.sh(`ip addr add ${VIP}/32 dev eth0; arping -q -U -c 1 -w 1 -I eth0 -s ${VIP} ${VIP}`)

const tell = (host: TalosHost, node: TalosNode, path: string) =>
  host.netns.sh('curl', '--silent', '--fail', '-X', 'POST', `http://127.0.0.1:${node.apiPort}${path}`)

async function hasItsAddresses(t: Test, host: TalosHost, cluster: Cluster, output: string): Promise<void> {
  const { nodes } = cluster
  t.same(
    nodes.map(({ ip }) => ip),
    nodes.map((_, i) => `10.5.0.${2 + i}`),
    'control planes first, from the second address on',
  )
  const taken = [...output.matchAll(/^(\S+) at (\S+) took its config after (\d+) ms$/gm)]
  t.same(
    taken.map(([, name, ip]) => `${name} ${ip}`).sort(),
    nodes.map(({ name, ip }) => `${name} ${ip}`).sort(),
    'each node answered the host by TCP at its planned address',
  )
  for (const [, name, , ms] of taken) t.ok(Number(ms) < NODE_MAY_TAKE, `${name} within 30 s: ${ms} ms`)
  const network = (await host.network())!
  for (const node of nodes) {
    const { ip, router, lease, serverid, dns, mtu, hostname } = await node.lease()
    t.same(
      { ip, router, lease, serverid, dns, mtu, hostname },
      {
        ip: node.ip,
        router: GATEWAY,
        lease: '300',
        serverid: GATEWAY,
        dns: '8.8.8.8 1.1.1.1',
        mtu: '1500',
        hostname: node.name,
      },
      `${node.name} was told what talosctl's own DHCP server would have said`,
    )
    const port = network.ports.find(({ macs }) => macs.includes(node.mac))
    t.equal(
      port?.peer?.pid,
      node.qemu,
      'its port is that of the QEMU that is the direct child of its launcher',
    )
    t.same(
      [0, 1, 2].map(fd => readlinkSync(`/proc/${node.qemu}/fd/${fd}`)),
      ['/dev/null', node.logPath, node.logPath],
      'whose input and output are those that talosctl gave',
    )
    t.equal(
      await node.sh(`wget -q -O - http://${GATEWAY}:${node.apiPort}/config.yaml`),
      `machine:\n  network:\n    hostname: ${node.name}\n`,
      'and it gets its machine config from the host, at the address of the gateway',
    )
  }
  t.equal(
    cluster.read('dhcpd.log'),
    'Ready to handle requests\n',
    'the DHCP server on the host heard nothing',
  )
}

async function vipMoves(t: Test, host: TalosHost, from: TalosNode, to: TalosNode): Promise<void> {
  await claim(from)
  t.equal(await whoIs(host, VIP), from.name, 'the node that claims the VIP answers the host')
  t.equal(await macBehind(host.netns, VIP), from.mac)
  const qemu = from.qemu!
  // As talosctl does it: SIGTERM for the launcher, which has SIGKILL for its direct child.
  process.kill(from.launcher, 'SIGTERM')
  const gone = async () => !(await host.network())!.ports.some(({ peer }) => peer?.pid === qemu)
  t.ok(await eventually(gone, `the port of ${from.name} is gone`), 'the node is killed: its port goes')
  await claim(to)
  t.ok(await becomesMacBehind(host.netns, VIP, to.mac), 'another node claims the VIP: the host knows at once')
  t.equal(await whoIs(host, VIP), to.name, 'and is answered by that one')
}

async function leavesNothing(t: Test, host: TalosHost, cluster: Cluster, before: string[]): Promise<void> {
  t.same(await cluster.destroy(), { code: 0, signal: null }, 'destroy is through')
  await host.isAsBefore(t, before)
}

t.test('clusters of talosctl', { skip: requires(TALOS_LAB) }, async t => {
  const host = await TalosHost.start(t)
  const before = await host.traces()
  t.ok(before.includes('interface lo') && before.length > 3, before.join(', '))

  await t.test('v1.14: a keepalive holds the network, then three nodes at once', async t => {
    const { cluster, output } = await host.create({ version: 'v1.14' })
    const { ports } = (await host.network())!
    const vms = ports.filter(({ role }) => role === 'vm')
    t.equal(vms.length, 4, 'the network has four VMs')
    t.equal(vms[0].peer?.pid, cluster.keepalive, 'and the keepalive came first')
    t.match(await host.netns.sh('ip', 'addr', 'show', cluster.plan.bridge), `inet ${GATEWAY}/24 `)

    const [a, b, c] = cluster.nodes
    await t.test('each node has its address', t => hasItsAddresses(t, host, cluster, output))
    await t.test('a VIP moves when its node is killed', t => vipMoves(t, host, b, a))

    await t.test('a node that talosctl switches off and on is back at its address', async t => {
      const qemu = c.qemu
      await tell(host, c, '/poweroff?grace-period=500')
      // system_powerdown on its monitor, and SIGKILL at the end of its grace.
      t.ok(await eventually(() => c.qemu === undefined, `${c.name} is off`), 'it is off')
      await tell(host, c, '/poweron')
      t.equal((await c.lease()).ip, c.ip)
      t.not(c.qemu, qemu)
      t.equal(await whoIs(host, c.ip), c.name)
    })

    await t.test('destroy leaves nothing', t => leavesNothing(t, host, cluster, before))
  })

  await t.test('v1.13: the name of the interface is predicted, since the first node makes it', async t => {
    const { cluster, output } = await host.create({ version: 'v1.13' })
    t.same(await host.interfaces(), ['lo', cluster.plan.bridge], 'it has the first name that is free')
    const [a, , c] = cluster.nodes
    await t.test('each node has its address', t => hasItsAddresses(t, host, cluster, output))
    await t.test('a VIP moves when its node is killed', t => vipMoves(t, host, a, c))
    await t.test('destroy leaves nothing', t => leavesNothing(t, host, cluster, before))
  })

  await t.test(
    'v1.14: a keepalive that outlives its cluster holds the network for the next ones',
    async t => {
      const { cluster: aborted } = await host.create({ name: 'aborted', controlplanes: 0, workers: 0 })
      for (const name of ['second', 'third']) {
        const { cluster } = await host.create({ name, controlplanes: 1, workers: 0 })
        const [node] = cluster.nodes
        t.equal(cluster.plan.bridge, aborted.plan.bridge, `${name} is on the network that is there`)
        t.equal(
          (await node.lease()).ip,
          '10.5.0.2',
          'and its node has the address, by another MAC than the one before',
        )
        t.equal(await whoIs(host, node.ip), node.name)
        t.same(await cluster.destroy(), { code: 0, signal: null })
      }
      t.ok(await host.network(), 'while it lives, the network does')
      await t.test('destroy leaves nothing', t => leavesNothing(t, host, aborted, before))
    },
  )

  await t.test(`v1.12: a node that is alone reboots ${REBOOTS} times, and nothing leaks`, async t => {
    const { cluster } = await host.create({ version: 'v1.12', workers: 0 })
    const [node] = cluster.nodes
    const descriptors = () => readdirSync(`/proc/${host.daemon.pid}/fd`).length
    const boots = new Set<string>()
    const addresses = new Set<string>()
    const round = async () => {
      addresses.add((await node.reboot()).ip)
      boots.add(await node.sh('cat /proc/sys/kernel/random/boot_id'))
    }
    const state = async () => ({
      descriptors: descriptors(),
      traces: (await host.traces()).map(withoutNumbers).sort(),
    })
    // The first rounds fill what is filled once.
    for (let i = 0; i < 3; i++) await round()
    const [then, memory] = [await state(), host.daemon.residentBytes()]
    for (let i = 3; i < REBOOTS; i++) await round()
    const grown = host.daemon.residentBytes() - memory
    t.equal(boots.size, REBOOTS, `it booted ${REBOOTS} times`)
    t.same([...addresses], [node.ip], 'always with its address')
    t.equal(await whoIs(host, node.ip), node.name, 'at which the host reaches it')
    t.same(await state(), then, 'interfaces, processes, networks, files and descriptors are those of before')
    t.ok(grown < MEMORY_MAY_GROW, `the daemon's memory grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
    await t.test('destroy leaves nothing', t => leavesNothing(t, host, cluster, before))
  })
})

/** A process has another PID after a reboot, and an interface may have another number. */
const withoutNumbers = (trace: string) => trace.replace(/^process \d+/, 'process')
