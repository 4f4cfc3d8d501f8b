// Two clusters of talosctl side by side, each on a network of its own: no frame of one is seen in the other. Whatever
// a switch does not know goes to every port of its network, the host's included, so the host's captures would have it.

import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Child } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { type Cluster, TALOS_LAB, TalosHost, whoIs } from '../helpers/talos.js'
import { eventually, type TalosNode } from '../helpers/talos-node.js'
import { planCluster } from './talosctl/cluster.js'
import { keepaliveArguments } from './talosctl/command-line.js'
import { QEMU_NAME } from './talosctl/qemu.js'

t.setTimeout(300_000)

const MAC = /(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g

/** All frames of an interface from now on, their headers as text. */
async function capture(t: Test, host: TalosHost, device: string): Promise<Child> {
  const dump = host.netns.spawn(['tcpdump', '--immediate-mode', '-l', '-e', '-n', '-i', device])
  t.teardown(() => dump.close())
  await dump.waitForLine(/listening on/)
  return dump
}

/** The addresses in the Ethernet headers of a capture. */
const macsIn = (dump: Child): Set<string> =>
  new Set(dump.lines.flatMap(({ text }) => text.split(', ethertype', 1)[0].match(MAC) ?? []))

/** The addresses of a cluster's stations. */
async function macsOf(host: TalosHost, cluster: Cluster): Promise<string[]> {
  const bridge = await host.netns.sh('cat', `/sys/class/net/${cluster.plan.bridge}/address`)
  return [bridge.trim(), ...cluster.nodes.map(({ mac }) => mac)]
}

/** Broadcast, multicast, unicast to stations and to nobody, of every node of a cluster. */
async function talk(host: TalosHost, { nodes }: Cluster): Promise<void> {
  const subnet = nodes[0].ip.replace(/\d+$/, '')
  await nodes[0].reboot()
  const others = nodes.map(({ ip }) => ip).join(' ')
  const speak = async (node: TalosNode) => {
    await node.sh(`
      arp -s ${subnet}99 02:00:00:00:00:99
      for ip in ${subnet}99 255.255.255.255; do ping -q -c 1 -W 1 $ip; done
      arping -q -U -c 1 -w 1 -I eth0 -s ${subnet}77 ${subnet}77
      for ip in ${subnet}1 ${others}; do ping -q -c 1 -W 10 $ip || exit 1; done
    `)
    await whoIs(host, node.ip)
  }
  await Promise.all(nodes.map(speak))
}

t.test('two clusters', { skip: requires([...TALOS_LAB, 'tcpdump']) }, async t => {
  const host = await TalosHost.start(t)
  const before = await host.traces()
  const size = { version: 'v1.14', controlplanes: 1, workers: 1 } as const
  const [{ cluster: one }, { cluster: two }] = await Promise.all([
    host.create({ ...size, name: 'one', cidr: '10.5.0.0/24' }),
    host.create({ ...size, name: 'two', cidr: '10.6.0.0/24', mtu: 9000 }),
  ])

  await t.test('each has its own network, with its own addresses', async t => {
    t.not(one.plan.bridge, two.plan.bridge)
    for (const [cluster, subnet] of [
      [one, '10.5.0'],
      [two, '10.6.0'],
    ] as const) {
      t.same(
        cluster.nodes.map(({ ip }) => ip),
        [`${subnet}.2`, `${subnet}.3`],
      )
      const { ports, fdb } = (await host.network(`${subnet}.1/24`))!
      t.equal(ports.filter(({ role }) => role === 'vm').length, 3, 'two nodes and a keepalive')
      const other = cluster === one ? two : one
      t.notOk(
        fdb.some(({ mac }) => other.nodes.some(node => node.mac === mac)),
        'it knows no station of the other',
      )
    }
  })

  await t.test('nodes with a larger MTU are on the network that their keepalive has made', async t => {
    const [a, b] = two.nodes
    t.match(
      readFileSync(a.logPath, 'utf8'),
      /the network 10\.6\.0\.1\/24 was made with another MTU than 9000/,
    )
    t.equal((await a.lease()).mtu, '9000')
    t.match(await a.sh(`ping -q -c 3 -W 10 -s 8000 ${b.ip}`), / 0% packet loss/, 'large frames between them')
    t.equal(await whoIs(host, a.ip), a.name, 'and TCP with the host')
    t.notMatch(readFileSync(one.nodes[0].logPath, 'utf8'), /another MTU/)
  })

  await t.test('a third whose subnet overlaps one of them is refused by the name of that one', async t => {
    const stateDirectory = host.clusters
    const third = planCluster({ ...size, name: 'third', stateDirectory, cidr: '10.5.0.0/16', mtu: 1500 })
    const keepalive = host.spawn([QEMU_NAME, ...keepaliveArguments(third)])
    t.same(await keepalive.exited, { code: 1, signal: null })
    t.equal(keepalive.lines.length, 1, keepalive.text())
    t.match(keepalive.lines[0], { stream: 2, text: '10.5.0.1-24' })
  })

  await t.test('no frame is between them', async t => {
    const dumps = [await capture(t, host, one.plan.bridge), await capture(t, host, two.plan.bridge)]
    const macs = [await macsOf(host, one), await macsOf(host, two)]
    await Promise.all([talk(host, one), talk(host, two)])
    const seen = dumps.map(macsIn)
    for (const [i, other] of [1, 0].entries()) {
      t.same(
        macs[i].filter(mac => !seen[i].has(mac)),
        [],
        'the capture of a cluster has all its stations',
      )
      t.same(
        macs[other].filter(mac => seen[i].has(mac)),
        [],
        'and none of the other',
      )
    }

    // A station of `two` by the address of one of `one`.
    const [{ mac }] = one.nodes
    const from = dumps[1].lines.length
    await two.nodes[1].sh(
      `ip link set eth0 address ${mac}; arping -q -U -c 1 -w 1 -I eth0 -s 10.6.0.77 10.6.0.77; true`,
    )
    await dumps[1].waitForLine(line => line.includes(mac), { from })
    t.ok(
      macsIn(dumps[1]).has(mac),
      'the control: a frame with an address of the other cluster would be found',
    )
    t.equal(
      await whoIs(host, one.nodes[0].ip),
      one.nodes[0].name,
      'and whose address that is does not notice',
    )
  })

  await t.test('one is destroyed: the other goes on', async t => {
    t.same(await one.destroy(), { code: 0, signal: null })
    const isAlone = async () => (await host.network('10.5.0.1/24')) === undefined
    t.ok(await eventually(isAlone, 'its network is gone'))
    t.same(await host.interfaces(), ['lo', two.plan.bridge])
    t.equal(await whoIs(host, two.nodes[0].ip), two.nodes[0].name)
    t.same(await two.destroy(), { code: 0, signal: null })
    await host.isAsBefore(t, before)
  })
})
