// `vmbridge daemon --uplink vmnet` from its start to its end, on the stand-in for vmnet.framework: every host here is a
// network namespace, and the interface is a TAP in it. This proves how we handle the framework's contract; it does not
// prove Apple's filtering, speed or privileges.

import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { NetworkStatus } from '../../src/control/api.js'
import { scratch, socketsIn, vmbridge } from '../cli/command.js'
import { namespace } from '../clients/host.js'
import { acquire } from '../clients/raw.js'
import { BROADCAST, Station, textFrame } from '../daemon/station.js'
import { Client } from '../dhcp/segment.js'
import { Child } from '../helpers/child.js'
import { startDaemon, type Daemon } from '../helpers/daemon.js'
import type { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'
import { makeLan, serveLan } from './lan.js'

t.setTimeout(1_200_000)

const skip = requires([...VARIANT_NEEDS, 'busybox', 'dnsmasq'])
const DOUBLE: Record<string, string> = skip ? {} : variantEnv('double')
const DEVICE = 'vbtvmnet0'
const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

interface Settings {
  args?: readonly string[]
  /** The version of macOS that the stand-in is. */
  macOS?: number
  faults?: string
  stateDir?: string
}

const environment = ({ macOS = 15, faults = '' }: Settings): Record<string, string> => ({
  ...DOUBLE,
  VMNET_DOUBLE_TAP: DEVICE,
  VMNET_DOUBLE_MACOS: String(macOS),
  VMNET_DOUBLE: faults,
})

const start = (t: Test, netns: NetNs, settings: Settings = {}): Promise<Daemon> =>
  startDaemon(t, {
    netns,
    args: ['--uplink', 'vmnet', ...(settings.args ?? [])],
    env: environment(settings),
    ...(settings.stateDir === undefined ? {} : { stateDir: settings.stateDir }),
  })

/** A daemon that must not start: its status and what it says. */
async function refused(t: Test, netns: NetNs, settings: Settings) {
  const folder = scratch(t)
  const argv = [VMBRIDGE, 'daemon', ...socketsIn(folder), '--state-dir', `${folder}/d`, '--uplink', 'vmnet']
  const child = Child.launch(netns.wrap([...argv, ...(settings.args ?? [])]), { env: environment(settings) })
  t.teardown(() => child.close('SIGKILL'))
  const { code } = await child.exited
  return { code, text: child.lines.map(({ text }) => text).join('\n') }
}

const uplinkOf = async (daemon: Daemon) =>
  ((await daemon.status()).networks[0] as unknown as NetworkStatus).uplink

const macOf = (daemon: Daemon) => daemon.log.find(({ event }) => event === 'uplink.up')?.mac

/**
 * Who offers an address to two new clients: the MACs of the servers. Everybody behind the uplink who was asked has
 * answered when the host there has, and our server is waited for if there is one.
 */
async function offers(vm: Station, gateway: string, ours?: string): Promise<string[]> {
  vm.send(new Client(7).frame())
  vm.send(new Client(8).frame())
  let count = 0
  if (ours !== undefined)
    await vm.receive(frame => frame.toString('hex', 6, 12) === ours && frame.length > 282 && ++count === 2)
  await arp(vm, gateway)
  return vm.frames
    .filter(frame => frame.length > 282 && frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67)
    .map(frame => frame.toString('hex', 6, 12))
}

/** Asks who has the address, and waits for the answer. */
async function arp(vm: Station, ip: string): Promise<void> {
  const address = Buffer.from(ip.split('.').map(Number))
  const question = textFrame(BROADCAST, A, '', 0x0806).subarray(0, 42)
  Buffer.from([0, 1, 8, 0, 6, 4, 0, 1]).copy(question, 14)
  question.copy(question, 22, 6, 12)
  Buffer.from([192, 168, 105, 240]).copy(question, 28)
  address.copy(question, 38)
  vm.send(question)
  await vm.receive(frame => frame.readUInt16BE(12) === 0x0806 && frame.subarray(28, 32).equals(address))
}

const OURS = '02766da86901'

t.test(
  'where there is no vmnet the daemon says so, and leaves nothing',
  { skip: requires(['linux']) },
  async t => {
    const folder = scratch(t)
    const argv = ['daemon', ...socketsIn(folder), '--state-dir', `${folder}/d`, '--uplink', 'vmnet']
    const stderr = 'vmbridge: vmnet exists on macOS only\n  try: use --uplink tap on Linux\n'
    t.strictSame(await vmbridge(argv), { status: 1, stdout: '', stderr })
    t.strictSame(readdirSync(folder), [])
  },
)

t.test(
  'shared: the host has the gateway, a VM leases of us, and all goes with the daemon',
  { skip },
  async t => {
    const host = await namespace(t)
    const daemon = await start(t, host, { args: ['--mode', 'shared'] })
    t.match(await host.sh('ip', '-br', 'addr'), new RegExp(`^${DEVICE} .*192\\.168\\.105\\.1/24`, 'm'))
    t.strictSame(await uplinkOf(daemon), { kind: 'vmnet', name: 'shared', state: 'up' })
    const vm = await Station.plug(t, daemon)
    const leased = await acquire(vm, new Client(10))
    t.match(leased, /^192\.168\.105\./)
    await arp(vm, '192.168.105.1')
    const { ms, status } = await daemon.stop()
    t.equal(status, 0)
    t.ok(ms < 5000, `stopped in ${Math.round(ms)} ms`)
    t.notMatch(await host.sh('ip', '-br', 'link'), DEVICE)
  },
)

t.test(
  "Apple's DHCP server: the guard keeps it from the VMs, and without ours it serves them",
  { skip },
  async t => {
    const host = await namespace(t)
    const guarded = await start(t, host)
    const heard = await offers(await Station.plug(t, guarded), '192.168.105.1', OURS)
    t.strictSame(heard, [OURS, OURS])
    await guarded.stop()

    const open = await start(t, host, { args: ['--no-dhcp'] })
    const foreign = await offers(await Station.plug(t, open), '192.168.105.1')
    t.equal(foreign.length, 2, 'the control: it is there, and hears what is not guarded')
    t.notOk(foreign.includes(OURS))
    await open.stop()
  },
)

t.test("Apple's DHCP server is off: macOS 26 by a network, every macOS in host mode", { skip }, async t => {
  const host = await namespace(t)
  for (const [macOS, args] of [
    [26, ['--no-dhcp', '--vmnet-dhcp', 'off']],
    [15, ['--mode', 'host', '--no-dhcp', '--vmnet-dhcp', 'off']],
    [11, ['--mode', 'host', '--no-dhcp', '--network-id', '550e8400-e29b-41d4-a716-446655440000']],
  ] as const) {
    const daemon = await start(t, host, { macOS, args })
    t.strictSame(
      await offers(await Station.plug(t, daemon), '192.168.105.1'),
      [],
      `${macOS} ${args.join(' ')}`,
    )
    await daemon.stop()
  }
  const { code, text } = await refused(t, host, { macOS: 15, args: ['--no-dhcp', '--vmnet-dhcp', 'off'] })
  t.equal(code, 1)
  t.match(text, /cannot be turned off: that needs macOS 26/)
  t.match(text, /--mode host/)
})

t.test(
  'macOS 26 serves with a network object; what refuses it is said, and the guard takes over',
  { skip },
  async t => {
    const host = await namespace(t)
    const modern = await start(t, host, { macOS: 26 })
    t.notOk(modern.log.some(({ event }) => event === 'uplink.fallback'))
    t.match(await host.sh('ip', '-br', 'addr'), new RegExp(`^${DEVICE} .*192\\.168\\.105\\.1/24`, 'm'))
    const vm = await Station.plug(t, modern)
    t.ok(await acquire(vm, new Client(10)))
    await modern.stop()

    const fallen = await start(t, host, { macOS: 26, faults: 'start=1001/ok' })
    t.ok(fallen.log.some(({ event }) => event === 'uplink.fallback'))
    t.ok(await acquire(await Station.plug(t, fallen), new Client(10)))
    await fallen.stop()
  },
)

t.test('host: the host and the VMs, with our leases', { skip }, async t => {
  const host = await namespace(t)
  const daemon = await start(t, host, { args: ['--mode', 'host', '--gateway', '10.7.0.1/22'] })
  t.match(await host.sh('ip', '-br', 'addr'), new RegExp(`^${DEVICE} .*10\\.7\\.0\\.1/22`, 'm'))
  t.strictSame(await uplinkOf(daemon), { kind: 'vmnet', name: 'host', state: 'up' })
  await arp(await Station.plug(t, daemon), '10.7.0.1')
  await daemon.stop()
})

t.test('bridged: the VMs are on the LAN, whose DHCP server serves them', { skip }, async t => {
  const lan = await namespace(t)
  await makeLan(lan)
  const server = await serveLan(t, lan)
  const bridged = ['--mode', 'bridged', '--interface', 'br0']
  const daemon = await start(t, lan, { args: bridged })
  t.strictSame(await uplinkOf(daemon), { kind: 'vmnet', name: 'bridged br0', state: 'up' })
  const status = (await daemon.status()).networks[0] as unknown as NetworkStatus
  t.notOk('gateway' in status || 'dhcp' in status, 'what is the LAN’s is not claimed')
  const vm = await Station.plug(t, daemon)
  vm.send(new Client(10).frame())
  await server.waitForLine(/DHCPOFFER\(br0\) 10\.8\.0\.\d+ 52:54:00:00:00:0a/i, { timeoutMs: 15_000 })
  await vm.receive(
    frame => frame.length > 282 && frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67,
  )
  t.pass("the LAN's server was asked, and its offer came back")
  const listing = await lan.exec([VMBRIDGE, 'interfaces', '--json'], { env: environment({}) })
  t.match(JSON.parse(listing.stdout), { interfaces: [{ name: 'br0', wireless: false }] })
  const table = await lan.exec([VMBRIDGE, 'interfaces'], { env: environment({}) })
  t.match(table.stdout, /br0 +(up|down) +wired +10\.8\.0\.1\/24/)
  await daemon.stop()

  const range = '10.8.0.200-10.8.0.220'
  const asked = ['--dhcp-on-lan', '--gateway', '10.8.0.1/24', '--dhcp-range', range]
  const serving = await start(t, lan, { args: [...bridged, ...asked] })
  t.ok(
    serving.log.some(({ event }) => event === 'dhcp.lan'),
    'said loudly',
  )
  const from = server.lines.length
  const guest = await Station.plug(t, serving)
  const heard = await offers(guest, '10.8.0.1', '02766d080001')
  t.strictSame(heard, ['02766d080001', '02766d080001'])
  t.notOk(
    server.lines.slice(from).some(({ text }) => /DHCPDISCOVER/.test(text)),
    "the LAN's server did not hear the VMs",
  )
  await serving.stop()

  const { code, text } = await refused(t, lan, { args: ['--mode', 'bridged', '--interface', 'en9'] })
  t.equal(code, 1)
  t.match(text, /en9 cannot be bridged/)
  t.match(text, /one of: br0/)
})

t.test(
  'the MAC of the interface stays across restarts, and is another in another state folder',
  { skip },
  async t => {
    const host = await namespace(t)
    const stateDir = scratch(t)
    const macs: unknown[] = []
    for (const folder of [stateDir, stateDir, scratch(t)]) {
      const daemon = await start(t, host, { stateDir: folder })
      macs.push(macOf(daemon))
      await daemon.stop()
    }
    t.match(macs[0], /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
    t.equal(macs[1], macs[0])
    t.not(macs[2], macs[0])
  },
)

t.test('the interface goes: VMs talk on, and it comes back', { skip }, async t => {
  const host = await namespace(t)
  const daemon = await start(t, host, { faults: 'start=ok/1001/1009/ok' })
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  await arp(a, '192.168.105.1')
  await host.sh('ip', 'link', 'delete', DEVICE)
  await daemon.waitForLog(({ event }) => event === 'uplink.down')
  a.send(textFrame(BROADCAST, A, 'is anybody there'))
  await b.receive('is anybody there')
  b.send(textFrame(A, B, 'I am'))
  await a.receive('I am')
  t.pass('VMs reach each other meanwhile')
  await daemon.child.waitForLine(/"event":"uplink\.up"/, { count: 2 })
  t.match(
    daemon.log.filter(({ event }) => event === 'uplink.retry').map(({ reason }) => reason),
    [/VMNET_FAILURE/, /sharing service/],
  )
  await arp(b, '192.168.105.1')
  t.strictSame(await uplinkOf(daemon), { kind: 'vmnet', name: 'shared', state: 'up' })
  t.equal((await daemon.stop()).status, 0)
})

const FAULTS: [string, RegExp, RegExp][] = [
  ['start=1001', /vmnet did not start the shared network/, /--gateway/],
  ['start=1003', /vmnet does not take the shared network/, /--dhcp-end/],
  ['start=1004', /VMNET_SETUP_INCOMPLETE/, /try again/],
  ['start=1009', /another sharing service/, /Internet Sharing/],
  ['start=1010', /does not let this program use vmnet/, /sudo/],
  ['start=late:1010', /does not let this program use vmnet/, /sudo/],
  ['start=null', /no status/, /--gateway/],
  ['start=tardy:1009', /another sharing service/, /Internet Sharing/],
]

for (const [faults, message, hint] of FAULTS) {
  t.test(`refused with ${faults}: status 1, a reason and what to do`, { skip }, async t => {
    const host = await namespace(t)
    const { code, text } = await refused(t, host, { faults })
    t.equal(code, 1)
    t.match(text, message)
    t.match(text, hint)
    t.notMatch(await host.sh('ip', '-br', 'link'), DEVICE, 'nothing is left')
  })
}

t.test('a start that is told of before its handle is there is a start', { skip }, async t => {
  const host = await namespace(t)
  const daemon = await start(t, host, { faults: 'start=early' })
  await arp(await Station.plug(t, daemon), '192.168.105.1')
  t.equal((await daemon.stop()).status, 0)
})

t.test('calls that never come back: the start fails after 10 s, the end takes 5', { skip }, async t => {
  const host = await namespace(t)
  const other = await namespace(t)
  const [{ code, text }, { status, log }] = await Promise.all([
    refused(t, host, { faults: 'start=never' }),
    start(t, other, { faults: 'stop=never' }).then(async daemon => ({
      status: (await daemon.stop()).status,
      log: daemon.log,
    })),
  ])
  t.equal(code, 1)
  t.match(text, /vmnet_start_interface did not answer within 10 s/)
  t.equal(status, 0)
  t.ok(
    log.some(({ event }) => event === 'uplink.stop'),
    'said',
  )
})
