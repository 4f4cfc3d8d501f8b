// A bridged network on Linux: the TAP is a port of a bridge of the host, and the VMs are on the LAN behind it.
//
//   VM -- switch -- TAP in br0 | host -- eth0 in br0 -- lan

import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import { startDaemon, type DaemonOptions, type Scope } from '../helpers/daemon.js'
import { answers, becomesMacBehind } from '../helpers/host.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'

t.setTimeout(180_000)

const skip = requires(['linux', 'root', 'tap', 'ip', 'busybox', 'dnsmasq', 'ping'])
const BRIDGED = ['--uplink', 'tap', '--mode', 'bridged', '--interface', 'br0']
const MTU = 1400
const VIP = '192.0.2.50'
const UDHCPC = join(ROOT, 'test/uplink/udhcpc')

interface Lan {
  host: NetNs
  /** The LAN beyond the bridge's other port. */
  lan: NetNs
}

async function namespace(t: Scope): Promise<NetNs> {
  const ns = await NetNs.create()
  t.teardown(() => ns.delete())
  return ns
}

async function layLan(t: Scope): Promise<Lan> {
  const [host, lan] = [await namespace(t), await namespace(t)]
  await host.sh('ip', 'link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0')
  await host.sh(
    'ip',
    'link',
    'add',
    'eth0',
    'mtu',
    String(MTU),
    'type',
    'veth',
    'peer',
    'eth0',
    'netns',
    lan.name,
  )
  await host.sh('ip', 'link', 'set', 'eth0', 'master', 'br0')
  await lan.sh('ip', 'link', 'set', 'eth0', 'mtu', String(MTU), 'up')
  await host.sh('ip', 'link', 'set', 'eth0', 'up')
  await host.sh('ip', 'link', 'set', 'br0', 'up')
  await lan.sh('ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'eth0')
  await host.sh('ip', 'addr', 'add', '192.0.2.2/24', 'dev', 'br0')
  return { host, lan }
}

const start = (t: Scope, netns: NetNs, options: DaemonOptions = {}) =>
  startDaemon(t, { netns, args: BRIDGED, ...options })

async function plug(t: Scope, socket: string): Promise<NetNs> {
  const vm = await namespace(t)
  const plug = vm.spawn([VMBRIDGE, 'plug', 'eth0', '--socket', socket, '--mtu', String(MTU)])
  t.teardown(() => plug.close('SIGTERM'))
  await plug.waitForLine(/on the segment/)
  return vm
}

type Link = { mtu: number; address: string; master?: string; addr_info: { family: string }[] }
const show = async (ns: NetNs, device: string): Promise<Link> =>
  (JSON.parse(await ns.sh('ip', '-j', 'addr', 'show', device)) as Link[])[0]

type Shown = { mtu: number; gateway?: string; uplink: { name: string; state: string; detail?: string } }
const shown = async (daemon: { status(): Promise<unknown> }) =>
  ((await daemon.status()) as { networks: Shown[] }).networks[0]

t.test(
  "a VM has its lease from the LAN's DHCP server, and what it announces is heard there",
  { skip },
  async t => {
    const { host, lan } = await layLan(t)
    const folder = scratch(t)
    const serve = ['--dhcp-range=192.0.2.100,192.0.2.120,1h', `--dhcp-leasefile=${folder}/leases`, '--port=0']
    const dnsmasq = lan.spawn(['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--user=root', ...serve])
    t.teardown(() => dnsmasq.close())
    await dnsmasq.waitForLine(/DHCP, IP range/)
    const daemon = await start(t, host)
    t.match(await shown(daemon), { uplink: { name: 'vmbridge0 (bridged br0)', state: 'up' }, mtu: MTU })
    t.notOk('gateway' in (await shown(daemon)), 'the gateway is the LAN’s')
    const vm = await plug(t, daemon.socket)
    const ask = ['busybox', 'udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-t', '10', '-T', '1', '-s', UDHCPC]
    t.match((await vm.exec(ask)).stdout, /^leased 192\.0\.2\.1[012]\d$/m)
    t.ok(await answers(vm, '192.0.2.1'), 'the LAN')
    t.ok(await answers(vm, '192.0.2.2'), 'and the host itself')
    // The host and the LAN have the VIP at one station, and hear without asking that it is at the VM.
    await lan.sh('ip', 'neigh', 'replace', VIP, 'lladdr', '52:54:00:00:00:99', 'dev', 'eth0', 'nud', 'stale')
    await vm.sh('ip', 'addr', 'add', `${VIP}/32`, 'dev', 'eth0')
    await vm.sh('busybox', 'arping', '-U', '-c', '1', '-I', 'eth0', '-s', VIP, VIP)
    t.ok(await becomesMacBehind(lan, VIP, (await show(vm, 'eth0')).address), 'the gratuitous ARP crossed')
    t.ok(await answers(lan, VIP))
  },
)

t.test('the bridge keeps its MTU and its MAC address, and the device has no address', { skip }, async t => {
  const { host } = await layLan(t)
  // As high as an address of another virtual device may come to be: the bridge has it, as the lowest of its ports'.
  await host.sh('ip', 'link', 'set', 'eth0', 'address', 'fe:fe:ff:ff:ff:ff')
  const before = await show(host, 'br0')
  t.match(before, { mtu: MTU, address: 'fe:fe:ff:ff:ff:ff' })
  // A state folder each, so an address each: by chance, one alone may be above the bridge's.
  for (let i = 0; i < 4; i++) {
    const daemon = await start(t, host, { args: [...BRIDGED, '--uplink', 'tap:vbt0'] })
    const [bridge, tap] = [await show(host, 'br0'), await show(host, 'vbt0')]
    t.match(bridge, { mtu: MTU, address: before.address })
    t.match(tap, { mtu: MTU, master: 'br0', addr_info: [] })
    await daemon.stop()
  }
  t.notMatch(await host.sh('ip', '-br', 'link'), /vbt0/)
  t.match(await show(host, 'br0'), { mtu: MTU, address: before.address })
})

t.test('full frames of the bridge’s MTU pass', { skip }, async t => {
  const { host, lan } = await layLan(t)
  const vm = await plug(t, (await start(t, host)).socket)
  await vm.sh('ip', 'addr', 'add', '192.0.2.9/24', 'dev', 'eth0')
  t.ok(await answers(vm, '192.0.2.1'))
  const { status } = await lan.exec([
    'ping',
    '-M',
    'do',
    '-s',
    String(MTU - 28),
    '-c',
    '1',
    '-W',
    '10',
    '192.0.2.9',
  ])
  t.equal(status, 0)
})

t.test(
  'ours serves on a LAN when that is said: it is warned of, and the subnet is the host’s, too',
  { skip },
  async t => {
    const { host } = await layLan(t)
    const lan = ['--dhcp-on-lan', '--gateway', '192.0.2.1/24', '--dhcp-range', '192.0.2.200-192.0.2.210']
    const daemon = await start(t, host, { args: [...BRIDGED, ...lan] })
    t.match(
      daemon.log.find(({ event }) => event === 'dhcp.lan'),
      { interface: 'br0' },
    )
    const vm = await plug(t, daemon.socket)
    const ask = ['busybox', 'udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-t', '10', '-T', '1', '-s', UDHCPC]
    t.match((await vm.exec(ask)).stdout, /^leased 192\.0\.2\.20\d$/m)
  },
)

t.test('no bridge, and what is none, are refused with what to do; nothing is left', { skip }, async t => {
  const { host } = await layLan(t)
  const folder = scratch(t)
  const places = ['--socket', `${folder}/s`, '--control', `${folder}/c`, '--state-dir', `${folder}/d`]
  for (const [name, said] of [
    [
      'br9',
      /there is no bridge br9\n {2}try: .*vmbridge interfaces.*ip link add br9 type bridge.*master br9/,
    ],
    ['eth0', /eth0 is no bridge\n {2}try: .*ip link add br0 type bridge .*ip link set eth0 master br0/],
    ['lo', /lo is no bridge\n {2}try: /],
    ['a-name-of-17-char', /there is no bridge a-name-of-17-char\n {2}try: /],
  ] as const) {
    const args = ['--uplink', 'tap', '--mode', 'bridged', '--interface', name]
    const { status, stderr } = await host.exec([VMBRIDGE, 'daemon', ...places, ...args])
    t.equal(status, 1)
    t.match(stderr, said)
  }
  t.notMatch(await host.sh('ip', '-br', 'link'), /vmbridge/)
})

t.test('a bridge that is switched off, or goes, is said to; the VMs go on', { skip }, async t => {
  const { host } = await layLan(t)
  const daemon = await start(t, host)
  const [a, b] = [await plug(t, daemon.socket), await plug(t, daemon.socket)]
  await a.sh('ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'eth0')
  await b.sh('ip', 'addr', 'add', '198.51.100.2/24', 'dev', 'eth0')
  const told = (event: string, reason?: RegExp) =>
    daemon.waitForLog(entry => entry.event === event && (reason?.test(entry.msg ?? '') ?? true))
  await host.sh('ip', 'link', 'set', 'br0', 'down')
  await told('uplink.down', /br0 is down.*ip link set br0 up/)
  t.match((await shown(daemon)).uplink, { state: 'down', detail: 'the bridge br0 is down' })
  await host.sh('ip', 'link', 'set', 'br0', 'up')
  await told('uplink.up')
  t.match((await shown(daemon)).uplink, { state: 'up' })
  await host.sh('ip', 'link', 'delete', 'br0')
  await told('uplink.down', /br0 is gone.*restart the daemon/)
  t.match((await shown(daemon)).uplink, { state: 'down', detail: 'the bridge br0 is gone' })
  t.ok(await answers(a, '198.51.100.2'))
  t.equal((await daemon.stop()).status, 0)
})

t.test('vmbridge interfaces lists the bridges, with what is in them', { skip }, async t => {
  const { host } = await layLan(t)
  await host.sh('ip', 'link', 'add', 'br1', 'type', 'bridge')
  const { interfaces } = JSON.parse(await host.sh(VMBRIDGE, 'interfaces', '--json')) as {
    interfaces: object[]
  }
  t.strictSame(interfaces, [
    { ...interfaces[0], name: 'br0', link: 'up', wireless: false, ports: ['eth0'] },
    { name: 'br1', link: 'down', wireless: false, addresses: [], ports: [] },
  ])
  const table = await host.sh(VMBRIDGE, 'interfaces')
  t.match(table, /^ *NAME +LINK +PORTS +ADDRESSES\n *br0 +up +eth0 +192\.0\.2\.2\/24.*\n *br1 +down +- +-\n$/)
  const bare = await namespace(t)
  t.match(await bare.sh(VMBRIDGE, 'interfaces'), /no bridge.*\n.*ip link add br0 type bridge/)
})
