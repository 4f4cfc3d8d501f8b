// DHCP from end to end: real programs in network namespaces ask the daemon for addresses, across its uplinks and its
// restarts, and the guard keeps DHCP where it belongs. (That renewals and every option's bytes are right is in
// test/dhcp.)

import t from 'tap'
import { scratch } from '../cli/command.js'
import { namespace, plug, recorder, type Told } from '../clients/host.js'
import { Client, ip, station, udpFrame, type Fields } from '../dhcp/segment.js'
import * as option from '../../src/dhcp/options.js'
import { startDaemon, type Daemon, type Scope } from '../helpers/daemon.js'
import type { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { Station } from './station.js'

t.setTimeout(180_000)

const NEEDS = ['linux', 'root', 'tap', 'ip', 'busybox']
const TAP = 'vbt0'
const MAC = '52:54:00:00:00:0a'

const ASK = ['broadcast', 'lease', 'mtu', 'domain', 'hostname', '58', '59'].flatMap(name => ['-O', name])

/** Leases by udhcpc; undefined when nobody answers. */
async function udhcpc(t: Scope, ns: NetNs, device = 'eth0', tries = 10): Promise<Told | undefined> {
  const { script, told } = recorder(t)
  const timing = ['-n', '-q', '-f', '-t', String(tries), '-T', '1']
  const { status } = await ns.exec(['busybox', 'udhcpc', '-i', device, '-s', script, ...timing, ...ASK])
  return status === 0 ? told() : undefined
}

const seconds = (hex: string | undefined) => parseInt(hex ?? '', 16)

t.test(
  'udhcpc gets what the daemon was told to give, without an uplink',
  { skip: requires(NEEDS) },
  async t => {
    const subnet = ['--gateway', '10.5.0.1/22', '--mtu', '1400']
    const pool = ['--dhcp-range', '10.5.1.20-10.5.1.22', '--dhcp-exclude', '10.5.1.20-10.5.1.21']
    const more = ['--lease-time', '2h', '--domain', 'lab.internal', '--dns', '1.1.1.1', '--dns', '9.9.9.9']
    const daemon = await startDaemon(t, { args: ['--uplink', 'none', ...subnet, ...pool, ...more] })
    const ns = await plug(t, daemon, MAC)
    const lease = await udhcpc(t, ns)
    t.match(lease, {
      ip: '10.5.1.22',
      subnet: '255.255.252.0',
      router: '10.5.0.1',
      serverid: '10.5.0.1',
      dns: '1.1.1.1 9.9.9.9',
      broadcast: '10.5.3.255',
      lease: '7200',
      mtu: '1400',
      domain: 'lab.internal',
    })
    t.equal(seconds(lease?.['opt58']), 3600, 'T1')
    t.equal(seconds(lease?.['opt59']), 6300, 'T2')
    const { leases } = (await daemon.status()).networks[0]
    t.match(leases, [{ ip: '10.5.1.22', mac: MAC, state: 'bound' }])
    const other = await plug(t, daemon, '52:54:00:00:00:0b')
    t.equal(await udhcpc(t, other, 'eth0', 2), undefined, 'no address is left for another')
  },
)

t.test(
  'udhcpc gets the defaults across the TAP, and reaches the host',
  { skip: requires(NEEDS) },
  async t => {
    const host = await namespace(t)
    const daemon = await startDaemon(t, { netns: host, args: ['--uplink', `tap:${TAP}`] })
    const ns = await plug(t, daemon, MAC)
    const lease = await udhcpc(t, ns)
    t.match(lease, {
      subnet: '255.255.255.0',
      router: '192.168.105.1',
      dns: '192.168.105.1',
      broadcast: '192.168.105.255',
      lease: '3600',
      mtu: '1500',
    })
    t.match(lease?.['ip'], /^192\.168\.105\.([2-9]|\d\d|1\d\d)$/)
    t.match(await ns.sh('ping', '-c', '1', '-W', '5', '192.168.105.1'), / 0% packet loss/)
  },
)

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(
    `after ${signal} to the daemon, a MAC gets its address again`,
    { skip: requires(NEEDS) },
    async t => {
      const stateDir = scratch(t)
      const args = ['--uplink', 'none', '--dhcp-range', '192.168.105.50-192.168.105.60']
      const macs = ['52:54:00:00:00:0a', '52:54:00:00:00:0b', '52:54:00:00:00:0c']
      const leaseAll = async (daemon: Daemon, order: readonly string[]) => {
        const addresses = new Map<string, string | undefined>()
        for (const mac of order) addresses.set(mac, (await udhcpc(t, await plug(t, daemon, mac)))?.['ip'])
        return macs.map(mac => addresses.get(mac))
      }
      const first = await startDaemon(t, { stateDir, args })
      const before = await leaseAll(first, macs)
      t.equal(new Set(before).size, 3)
      await first.stop(signal)
      const second = await startDaemon(t, { stateDir, args })
      t.strictSame((await second.status()).networks[0].leases.map(({ ip }) => ip).sort(), [...before].sort())
      t.strictSame(await leaseAll(second, macs.toReversed()), before)
    },
  )
}

const DISCOVER = (n: number) => new Client(n).frame()
const MARKER = 4711
/** A broadcast that says: what came before me has passed. */
const marker = (n: number) =>
  udpFrame(station(n), Buffer.from('marker'), { sourceIp: ip('192.168.105.7'), destinationPort: MARKER })

t.test(
  'DHCP of VMs does not cross the uplink, nor the other way',
  { skip: requires([...NEEDS, 'tcpdump']) },
  async t => {
    const cases: [args: string[], crosses: boolean][] = [
      [[], false],
      // The control: without the guard it does cross, so this test can fail.
      [['--no-dhcp'], true],
    ]
    for (const [args, crosses] of cases) {
      const host = await namespace(t)
      const daemon = await startDaemon(t, { netns: host, args: ['--uplink', `tap:${TAP}`, ...args] })
      const vm = await Station.plug(t, daemon)
      const dump = host.spawn(['tcpdump', '--immediate-mode', '-l', '-n', '-i', TAP, 'udp'])
      t.teardown(() => dump.close())
      await dump.waitForLine(/listening on/)
      vm.send(DISCOVER(0x0a), marker(0x0a))
      await dump.waitForLine(new RegExp(`\\.${MARKER}:`))
      t.equal(/\.67:/.test(dump.text(1)), crosses, `on the host's TAP ${args.join(' ')}`)

      const lease = await udhcpc(t, host, TAP, 1)
      t.equal(lease, undefined)
      t.equal(
        vm.frames.some(frame => frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(36) === 67),
        crosses,
        "the host's DISCOVER at the VM",
      )
      const uplink = (await daemon.status()).networks[0].ports.find(({ role }) => role === 'uplink')
      t.equal((uplink?.drops['rx-dhcp-guard'] ?? 0) > 0, !crosses, 'and it is counted')
    }
  },
)

t.test('a VM that plays DHCP server is not heard, and counted', { skip: requires(['linux']) }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const [rogue, victim] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const reply: Fields = { op: 2, sourceIp: ip('192.168.105.66'), sourcePort: 67, destinationPort: 68 }
  const offers = [option.OFFER, option.ACK, option.NAK].map(type =>
    new Client(0x66).frame({ ...reply, type }),
  )
  rogue.send(...offers, marker(0x66))
  const isMarker = (frame: Buffer) => frame.readUInt16BE(36) === MARKER
  await victim.receive(isMarker)
  t.strictSame(
    victim.frames.filter(frame => !isMarker(frame)),
    [],
  )
  const ports = (await daemon.status()).networks[0].ports
  const drops = ports.map(port => port.drops['rx-rogue-dhcp']).filter(count => count !== undefined)
  t.strictSame(drops, [3])
})

t.test(
  'a renewal by unicast to the gateway is answered across the TAP',
  { skip: requires(NEEDS) },
  async t => {
    const host = await namespace(t)
    const daemon = await startDaemon(t, { netns: host, args: ['--uplink', `tap:${TAP}`] })
    const hostMac = Buffer.from(
      (await host.sh('cat', `/sys/class/net/${TAP}/address`)).trim().replaceAll(':', ''),
      'hex',
    )
    const vm = await Station.plug(t, daemon)
    const client = new Client(0x0a)
    const isReply = (frame: Buffer) => frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67
    const type = (frame: Buffer) => {
      const at = frame.indexOf(Buffer.from([53, 1]), 282)
      return at < 0 ? -1 : frame[at + 2]
    }
    vm.send(client.frame())
    const offered = (await vm.receive(isReply)).readUInt32BE(58)
    const serverId = [option.SERVER_ID, ip('192.168.105.1')] as [typeof option.SERVER_ID, number]
    vm.send(client.frame({ type: option.REQUEST, options: [serverId, [option.REQUESTED_IP, offered]] }))
    await vm.receive(frame => isReply(frame) && type(frame) === option.ACK)

    vm.frames.length = 0
    const renewal = Buffer.from(
      client.frame({
        type: option.REQUEST,
        ciaddr: offered,
        sourceIp: offered,
        destinationIp: ip('192.168.105.1'),
      }),
    )
    hostMac.copy(renewal)
    vm.send(renewal)
    const answer = await vm.receive(isReply)
    t.equal(type(answer), option.ACK)
    t.equal(answer.readUInt32BE(58), offered)
  },
)
