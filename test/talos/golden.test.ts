// Golden command lines: what talosctl of each kind starts, what QEMU gets of it, and what the daemon is asked.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ReservationRecord } from '../../src/control/api.js'
import { requires } from '../helpers/requires.js'
import { ISO, KERNEL, keepaliveLine, MAC, NETDEV, nodeLine, record, TPM } from './lines.js'
import { place, QEMU_10, QEMU_7, QEMU_9, QEMU_ENDED, seenBy, startStandIn, type Place } from './place.js'
import { FakeDaemon } from './stand-in-daemon.js'

t.setTimeout(600_000)

const skip = requires(['linux', 'cc', 'perl', 'unshare'])

const SOCKET = '/run/vmbridge/networks/10.5.0.1-24/vm.sock'
const stream = (id: string, path = SOCKET, again = ',reconnect-ms=1000') =>
  `stream,id=${id},server=off,addr.type=unix,addr.path=${path}${again}`

/** The same with another netdev. */
const changed = (line: readonly string[], netdev: string): string[] =>
  line.map((word, i) => (line[i - 1] === '-netdev' ? netdev : word))

async function lab(t: Test, options: Parameters<typeof place>[1] = {}) {
  const where = await place(t, options)
  const daemon = await new FakeDaemon(t, where.control).start()
  return { where, daemon }
}

async function qemuGets(t: Test, where: Place, args: readonly string[], name?: string): Promise<string[]> {
  const child = startStandIn(where, args, name === undefined ? {} : { name })
  const { code } = await child.exited
  t.equal(code, QEMU_ENDED, child.text())
  t.equal(child.text(), '')
  return seenBy(where) ?? []
}

const ensured = (daemon: FakeDaemon) =>
  daemon.asked
    .filter(({ method, path }) => method === 'POST' && path === '/v1/networks')
    .map(({ body }) => body)
const reserved = (daemon: FakeDaemon): ReservationRecord[] => daemon.reservations.get('10.5.0.1-24') ?? []

/** What every node of these lines reserves. */
const RESERVATION = {
  ip: '10.5.0.2',
  mac: MAC,
  hostname: 'talos-default-controlplane-1',
  options: ['router=10.5.0.1', 'dns=8.8.8.8,1.1.1.1', 'mtu=1500'],
}
const WANTED = { gateway: '10.5.0.1/24', mode: 'shared', dhcp: 'answer', wait: 30 }

type Golden = [what: string, line: (state: string) => string[], name?: string]

const NODES: Golden[] = [
  ['v1.12', state => nodeLine({ talosctl: '1.12', state, boot: ISO })],
  ['v1.13', state => nodeLine({ talosctl: '1.13', state, boot: ISO })],
  ['v1.14', state => nodeLine({ talosctl: '1.14', state, boot: ISO })],
  ['v1.14 on x86', state => nodeLine({ talosctl: '1.14', state, arch: 'amd64' }), 'qemu-system-x86_64'],
  ['v1.14 with a TPM', state => nodeLine({ talosctl: '1.14', state, boot: [...TPM, ...ISO] })],
  ['v1.13 by PXE', state => nodeLine({ talosctl: '1.13', state, order: 'nc' })],
  ['v1.14 with a kernel', state => nodeLine({ talosctl: '1.14', state, boot: KERNEL })],
  [
    'v1.14 with extra arguments',
    state =>
      nodeLine({
        talosctl: '1.14',
        state,
        extra: [
          '-device',
          'ipmi-bmc-sim,id=bmc0',
          '-rtc',
          'base=2011-11-11T11:11:00,clock=rt',
          '',
          'a b\n"c"',
        ],
      }),
  ],
]

for (const [what, line, name = 'qemu-system-aarch64'] of NODES) {
  t.test(`a node of ${what}: only the netdev's value differs`, { skip }, async t => {
    const { where, daemon } = await lab(t)
    writeFileSync(join(where.state, 'ipam.db'), record())
    const given = line(where.state)
    const got = await qemuGets(t, where, given, name)
    t.strictSame(got, [join(where.bin, name), ...changed(given, stream('net0'))])
    t.strictSame(ensured(daemon), [WANTED])
    t.strictSame(reserved(daemon), [RESERVATION])
  })
}

for (const arch of ['arm64', 'amd64'] as const) {
  t.test(`the keepalive (${arch}): its network is made, nothing reserved`, { skip }, async t => {
    const { where, daemon } = await lab(t)
    const name = arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64'
    const got = await qemuGets(t, where, keepaliveLine(arch), name)
    t.strictSame(got, [join(where.bin, name), ...changed(keepaliveLine(arch), stream('n0'))])
    t.strictSame(
      daemon.asked.map(({ method, path, body }) => [method, path, body]),
      [['POST', '/v1/networks', WANTED]],
    )
  })
}

t.test('a node by PXE: what talosctl has for it is reserved with it', { skip }, async t => {
  const { where, daemon } = await lab(t)
  const fields = {
    TFTPServer: '10.5.0.1',
    IPXEBootFilename: 'ipxe/arm64/snp.efi',
    Nameservers: [],
    MTU: 1450,
  }
  writeFileSync(join(where.state, 'ipam.db'), record(fields))
  await qemuGets(t, where, nodeLine({ talosctl: '1.14', state: where.state, order: 'nc' }))
  const options = [
    'router=10.5.0.1',
    'mtu=1450',
    'next-server=10.5.0.1',
    'tftp-server=10.5.0.1',
    'boot-file=ipxe/arm64/snp.efi',
  ]
  t.strictSame(reserved(daemon), [{ ...RESERVATION, options }])
})

t.test('what is not ours to change comes through untouched, and needs no daemon', { skip }, async t => {
  const where = await place(t)
  const lines: [string, string[]][] = [
    ['-version', ['-version']],
    ['no arguments', []],
    ['tap', nodeLine({ talosctl: '1.14', netdev: 'tap,id=net0,ifname=vmtap0,script=no,downscript=no' })],
    ['no addresses', changed(keepaliveLine(), 'vmnet-shared,id=n0')],
    ['no mask', changed(keepaliveLine(), 'vmnet-shared,id=n0,start-address=10.5.0.1,end-address=10.5.0.4')],
    ['a mask with a hole', changed(keepaliveLine(), NETDEV.replace('255.255.255.0', '255.0.255.0'))],
    ['a mask of no form', changed(keepaliveLine(), NETDEV.replace('255.255.255.0', '24'))],
    ['a start of no form', changed(keepaliveLine(), NETDEV.replace('10.5.0.1', '10.5.0'))],
    ['no id', changed(keepaliveLine(), NETDEV.replace('id=net0,', ''))],
    ['vmnet-host', changed(keepaliveLine(), NETDEV.replace('shared', 'host'))],
    ['vmnet-bridged', changed(keepaliveLine(), 'vmnet-bridged,id=n0,ifname=en0')],
    ['isolated', changed(keepaliveLine(), `${NETDEV},isolated=on`)],
    ['isolated without a value', changed(keepaliveLine(), `${NETDEV},isolated`)],
    ['IPv6', changed(keepaliveLine(), `${NETDEV},nat66-prefix=fd00::`)],
    ['what nobody knows', changed(keepaliveLine(), `${NETDEV},more=1`)],
    ['JSON', changed(keepaliveLine(), '{"type":"vmnet-shared","id":"n0"}')],
    ['a netdev at the end', ['-nographic', '-netdev']],
    ['a netdev that is no option', ['-append', `netdev ${NETDEV}`, NETDEV, `-netdev=${NETDEV}`]],
    ['a value that looks like the option', ['-netdev', '-netdev', NETDEV]],
  ]
  for (const [what, line] of lines) {
    if (what === '-version') {
      const child = startStandIn(where, line)
      t.strictSame(
        [(await child.exited).code, child.text(1)],
        [0, 'QEMU emulator version 10.0.2 (made for a test)\n'],
      )
      continue
    }
    t.strictSame(await qemuGets(t, where, line), [join(where.bin, 'qemu-system-aarch64'), ...line], what)
  }
})

t.test('a netdev is read as QEMU reads it', { skip }, async t => {
  const { where, daemon } = await lab(t)
  const addresses = 'start-address=10.5.0.1,end-address=10.5.0.4,subnet-mask=255.255.255.0'
  const written: [string, string][] = [
    [`vmnet-shared,${addresses},id=net0`, 'net0'],
    [`type=vmnet-shared,id=net0,${addresses}`, 'net0'],
    [`id=net0,${addresses},type=vmnet-shared`, 'net0'],
    [`vmnet-shared,id=first,${addresses},id=last`, 'last'],
    [`vmnet-shared,id=a,,b,${addresses}`, 'a,,b'],
    [`vmnet-shared,id=a,,,${addresses}`, 'a,,'],
    [`vmnet-shared,id=a,,,,b,${addresses}`, 'a,,,,b'],
    [`vmnet-shared,id=\xff\xfe,${addresses}`, '\xff\xfe'],
    [`vmnet-shared,id=net0,isolated=off,${addresses}`, 'net0'],
    [`vmnet-shared,id=net0,${addresses},`, 'net0'],
  ]
  for (const [netdev, id] of written) {
    for (const option of ['-netdev', '--netdev']) {
      const got = await qemuGets(t, where, ['-S', option, netdev, '-m', '32'])
      t.strictSame(got.slice(1), ['-S', option, stream(id), '-m', '32'], netdev)
    }
  }
  t.equal(daemon.networks.size, 1)
})

t.test('an id with a comma is still the one that its device names', { skip }, async t => {
  const { where, daemon } = await lab(t)
  const state = join(where.state, 'a,b')
  mkdirSync(state)
  writeFileSync(join(state, 'ipam.db'), record())
  const netdev = NETDEV.replace('net0', 'a,,b')
  const device = `virtio-net-pci,netdev=a,,b,mac=${MAC.toUpperCase()}`
  const monitor = `unix:${where.state}/a,,b/n.monitor,server,nowait`
  await qemuGets(t, where, ['--monitor', monitor, '--device', device, '--netdev', netdev])
  t.strictSame(reserved(daemon), [RESERVATION])
})

t.test('several netdevs: each has its own network', { skip }, async t => {
  const { where, daemon } = await lab(t)
  const other = NETDEV.replaceAll('10.5', '10.6').replace('net0', 'net1')
  const tap = ['-netdev', 'tap,id=net2']
  const got = await qemuGets(t, where, ['-netdev', NETDEV, ...tap, '-netdev', other])
  const path = SOCKET.replace('10.5', '10.6')
  t.strictSame(got.slice(1), ['-netdev', stream('net0'), ...tap, '-netdev', stream('net1', path)])
  t.strictSame(ensured(daemon), [WANTED, { ...WANTED, gateway: '10.6.0.1/24' }])
})

t.test('the network is told by start address and mask, whatever the end and the MTU', { skip }, async t => {
  const { where, daemon } = await lab(t)
  writeFileSync(join(where.state, 'ipam.db'), record())
  const { state } = where
  const netdev = NETDEV.replace('255.255.255.0', '255.255.240.0').replace('10.5.0.4', '10.5.3.9')
  for (const hostMtu of [1450, 9000]) {
    daemon.networks.clear()
    await qemuGets(t, where, nodeLine({ talosctl: '1.14', state, netdev, hostMtu }))
  }
  const wanted = { ...WANTED, gateway: '10.5.0.1/20' }
  t.strictSame(ensured(daemon), [wanted, { ...wanted, mtu: 9000 }], 'more than usual is asked for, less fits')
})

t.test('commas in the path of the socket are doubled', { skip }, async t => {
  const { where, daemon } = await lab(t)
  daemon.socketOf = () => '/run/v,b/\u00e9,,x.sock'
  const got = await qemuGets(t, where, ['-netdev', NETDEV])
  t.equal(got[2], stream('net0', '/run/v,,b/\xc3\xa9,,,,x.sock'))
})

for (const [version, again] of [
  [QEMU_10, ',reconnect-ms=1000'],
  [QEMU_9, ',reconnect=1'],
  [QEMU_7, ''],
]) {
  t.test(`QEMU ${version.split(' ')[0]} comes back as it can: "${again}"`, { skip }, async t => {
    const { where } = await lab(t, { version })
    for (const time of ['asked', 'remembered'])
      t.equal((await qemuGets(t, where, ['-netdev', NETDEV]))[2], stream('net0', SOCKET, again), time)
  })
}

t.test('in passthrough the network has no answers from us, and no reservation', { skip }, async t => {
  const { where, daemon } = await lab(t, { dhcp: 'passthrough' })
  writeFileSync(join(where.state, 'ipam.db'), record())
  await qemuGets(t, where, nodeLine({ talosctl: '1.14', state: where.state }))
  t.strictSame(
    daemon.asked.map(({ body }) => body),
    [{ ...WANTED, dhcp: 'passthrough' }],
  )
})
