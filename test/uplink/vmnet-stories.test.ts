// What the vmnet uplink means to VMs, to the LAN and to who runs the daemon, on the stand-in for vmnet.framework: the
// MTU that VMs are told, DHCP on a LAN that has its own, and an uplink that breaks when root is given up.

import t, { type Test } from 'tap'
import type { NetworkStatus } from '../../src/control/api.js'
import * as option from '../../src/dhcp/options.js'
import { namespace } from '../clients/host.js'
import { acquire } from '../clients/raw.js'
import { execute } from '../helpers/child.js'
import { scratch } from '../cli/command.js'
import { announcement, BROADCAST, Station, textFrame } from '../daemon/station.js'
import { Client, ip } from '../dhcp/segment.js'
import { startDaemon, type Daemon } from '../helpers/daemon.js'
import type { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'
import { serveLan } from './lan.js'

t.setTimeout(1_200_000)

const skip = requires([...VARIANT_NEEDS, 'busybox', 'dnsmasq'])
const DOUBLE: Record<string, string> = skip ? {} : variantEnv('double')
const DEVICE = 'vbtstory0'
const YIADDR = 42 + 16

interface Settings {
  args?: readonly string[]
  macOS?: number
  stateDir?: string
}

function start(t: Test, netns: NetNs, { args = [], macOS = 15, stateDir }: Settings): Promise<Daemon> {
  const env = { VMNET_DOUBLE_TAP: DEVICE, VMNET_DOUBLE_MACOS: String(macOS) }
  const place = stateDir === undefined ? {} : { stateDir }
  return startDaemon(t, { netns, args: ['--uplink', 'vmnet', ...args], env: { ...DOUBLE, ...env }, ...place })
}

const network = async (daemon: Daemon) => (await daemon.status()).networks[0] as unknown as NetworkStatus

/** An answer of a DHCP server to this client: with its options, the magic cookie behind us. */
const isReplyTo = (client: Client, type: number) => (frame: Buffer) =>
  isDhcp(frame) && frame.readUInt32BE(42 + 28 + 2) === client.mac.lo && frame[284] === type

const isDhcp = (frame: Buffer) =>
  frame.length > 284 && frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67

/** The value of a DHCP option in a reply. */
function optionOf(frame: Buffer, code: number): Buffer | undefined {
  for (let at = 282; at < frame.length && frame[at] !== 255; at += 2 + frame[at + 1])
    if (frame[at] === code) return frame.subarray(at + 2, at + 2 + frame[at + 1])
  return undefined
}

async function offerTo(vm: Station, client: Client): Promise<Buffer> {
  vm.send(client.frame())
  return vm.receive(isReplyTo(client, option.OFFER), 15_000)
}

async function lan(t: Test, mtu = 1500): Promise<NetNs> {
  const host = await namespace(t)
  await host.sh('ip', 'link', 'add', 'br0', 'mtu', String(mtu), 'type', 'bridge')
  await host.sh('ip', 'addr', 'add', '10.8.0.1/24', 'dev', 'br0')
  await host.sh('ip', 'link', 'set', 'br0', 'up')
  return host
}

const ON_LAN = ['--mode', 'bridged', '--interface', 'br0', '--dhcp-on-lan', '--gateway', '10.8.0.1/24']
const RANGE = ['--dhcp-range', '10.8.0.200-10.8.0.220']

t.test('the MTU that VMs are told is that of the interface', { skip }, async t => {
  const host = await namespace(t)
  for (const [mtu, args, macOS] of [
    [1400, ['--mtu', '1400'], 15],
    [9000, ['--mode', 'host', '--mtu', '9000'], 15],
    [1300, ['--mtu', '1300'], 26],
  ] as const) {
    const daemon = await start(t, host, { args, macOS })
    const vm = await Station.plug(t, daemon)
    const offer = await offerTo(vm, new Client(10))
    t.equal(optionOf(offer, 26)?.readUInt16BE(), mtu, args.join(' '))
    const { mtu: said, ports } = await network(daemon)
    t.equal(said, mtu)
    const uplink = ports.find(({ role }) => role === 'uplink')!
    t.equal(uplink.name, `vmnet:${args[0] === '--mode' ? 'host' : 'shared'}`)
    // The longest frame passes, one byte more is counted.
    for (const length of [mtu + 14, mtu + 15])
      vm.send(Buffer.concat([textFrame(BROADCAST, '52:54:00:00:00:0a', 'x'), Buffer.alloc(length - 60)]))
    let drops: Record<string, number> = {}
    while (drops['tx-too-big'] === undefined)
      drops = (await network(daemon)).ports.find(({ role }) => role === 'uplink')!.drops
    t.strictSame(drops, { 'tx-too-big': 1 })
    await daemon.stop()
  }

  const narrow = await lan(t, 1280)
  const daemon = await start(t, narrow, { args: [...ON_LAN, ...RANGE] })
  const offer = await offerTo(await Station.plug(t, daemon), new Client(10))
  t.equal(optionOf(offer, 26)?.readUInt16BE(), 1280, 'bridged: the interface’s')
  t.equal((await network(daemon)).mtu, 1280)
  await daemon.stop()
})

t.test('--dhcp-on-lan: the LAN hears nothing of our server, and VMs nothing of its', { skip }, async t => {
  const host = await lan(t)
  // A station on the LAN, and the LAN's own server.
  const neighbour = await namespace(t)
  await host.sh('ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', neighbour.name)
  await host.sh('ip', 'link', 'set', 'lan0', 'master', 'br0', 'up')
  await neighbour.sh('ip', 'link', 'set', 'eth0', 'up')
  const daemon = await start(t, host, { args: [...ON_LAN, ...RANGE] })
  const vm = await Station.plug(t, daemon)

  // A client on the LAN asks, and nobody answers: ours must not.
  const udhcpc = ['busybox', 'udhcpc', '-i', 'eth0', '-n', '-q', '-t', '3', '-T', '1', '-s', '/bin/true']
  const asked = await neighbour.exec(udhcpc, { timeoutMs: 30_000 })
  t.not(asked.status, 0, 'no lease on the LAN')
  t.match(asked.stderr + asked.stdout, /no lease/)
  t.ok((await network(daemon)).ports.find(({ role }) => role === 'uplink')!.drops['rx-dhcp-guard'] >= 3)

  // The LAN's own server, now: its client gets an address of it, and the VM one of ours.
  const server = await serveLan(t, host)
  const before = server.lines.length
  const client = new Client(11)
  const offer = await offerTo(vm, client)
  const address = offer.readUInt32BE(YIADDR)
  t.equal(offer.subarray(YIADDR, YIADDR + 3).join('.'), '10.8.0')
  t.ok(address >= ip('10.8.0.200') && address <= ip('10.8.0.220'))
  vm.send(
    client.frame({
      type: option.REQUEST,
      options: [
        [option.SERVER_ID, ip('10.8.0.1')],
        [option.REQUESTED_IP, address],
      ],
    }),
  )
  await vm.receive(isReplyTo(client, option.ACK))
  // A renewal by unicast, to the router's own station, which is on the LAN and would hear it.
  const router = (await host.sh('cat', '/sys/class/net/br0/address')).trim()
  vm.send(announcement('52:54:00:00:00:0b', '10.8.0.211'))
  const renewal = Buffer.from(client.frame({ type: option.REQUEST, ciaddr: address }))
  Buffer.from(router.replaceAll(':', ''), 'hex').copy(renewal, 0)
  const from = vm.frames.length
  vm.send(renewal)
  await vm.receive(frame => vm.frames.indexOf(frame) >= from && isReplyTo(client, option.ACK)(frame))
  t.notOk(
    server.lines.slice(before).some(({ text }) => /52:54:00:00:00:0b/.test(text)),
    "the LAN's server heard no word of the VM",
  )
  const served = await neighbour.exec(udhcpc, { timeoutMs: 30_000 })
  t.equal(served.status, 0, served.stderr)
  t.match(served.stderr + served.stdout, /10\.8\.0\.(5\d|60)/)
  t.strictSame(
    [...new Set(vm.frames.filter(isDhcp).map(frame => frame.toString('hex', 6, 12)))],
    ['02766d080001'],
    'the VM heard no other server',
  )
  await daemon.stop()
})

t.test(
  '--user: an uplink that breaks then needs root, which is said; all else goes on',
  { skip },
  async t => {
    for (const [macOS, status] of [
      [15, /VMNET_FAILURE/],
      [26, /VMNET_NOT_AUTHORIZED/],
    ] as const) {
      const host = await namespace(t)
      const stateDir = scratch(t)
      const daemon = await start(t, host, { macOS, stateDir, args: ['--user', 'daemon'] })
      const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
      await host.sh('ip', 'link', 'delete', DEVICE)
      const { reason } = await daemon.waitForLog(({ event }) => event === 'uplink.retry')
      t.match(reason, status)
      t.match(reason, /root|does not let/)
      t.match((await network(daemon)).uplink, { state: 'down', detail: /vmnet/ })
      const line = daemon.log.find(({ event }) => event === 'uplink.retry')!
      t.match(line.msg, /--user/, 'and what to do about it')
      a.send(textFrame(BROADCAST, '52:54:00:00:00:0a', 'is anybody there'))
      await b.receive('is anybody there')
      t.ok(await acquire(b, new Client(12)), 'leases go on')
      const shown = await execute([VMBRIDGE, 'status', '--control', daemon.control])
      t.match(shown.stdout, /uplink.*vmnet.*down/i)
      t.equal(daemon.log.filter(({ event }) => event === 'uplink.retry').length, 1, 'said once')
      t.equal((await daemon.stop()).status, 0)
    }
  },
)
