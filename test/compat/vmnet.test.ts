// socket_vmnet with the code that a Mac runs, on the stand-in for vmnet.framework: each mode, and what vmnet is told for
// each flag. It proves how we handle the framework's contract; that macOS does the same, only a Mac can show.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { namespace } from '../clients/host.js'
import { Station } from '../daemon/station.js'
import { Client } from '../dhcp/segment.js'
import type { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'
import { makeLan } from '../uplink/lan.js'
import { COMPAT_NEEDS, place, refusedSocketVmnet, startSocketVmnet, type Running } from './socket-vmnet.js'

t.setTimeout(600_000)

const skip = requires([...VARIANT_NEEDS, ...COMPAT_NEEDS])
const DOUBLE: Record<string, string> = skip ? {} : variantEnv('double')
const DEVICE = 'vbtcompat0'
const GATEWAY = '--vmnet-gateway=192.168.105.1'
const UUID = '550e8400-e29b-41d4-a716-446655440000'

const environment = (macOS: number) => ({
  ...DOUBLE,
  VMNET_DOUBLE_TAP: DEVICE,
  VMNET_DOUBLE_MACOS: String(macOS),
})

interface Wish {
  macOS?: number
  folder?: string
}

const start = (t: Test, netns: NetNs, args: readonly string[], { macOS = 15, ...more }: Wish = {}) =>
  startSocketVmnet(t, { netns, args, env: environment(macOS), ...more })

const linesOf = ({ child }: Running) => child.lines.map(({ text }) => text)
const addressOf = (netns: NetNs) => netns.sh('ip', '-4', '-br', 'addr', 'show', 'dev', DEVICE)

const YIADDR = 42 + 16
const isReply = (frame: Buffer) =>
  frame.length > 282 && frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67

/** What the first server that answers offers to a new client; undefined when none does. */
async function offered(t: Test, { child, socket }: Running, ms = 10_000): Promise<string | undefined> {
  const vm = await Station.connect(t, socket)
  await child.waitForLine(/^INFO \| Accepted a connection/)
  vm.send(new Client(1).frame())
  const offer = await vm.receive(isReply, ms).catch(() => undefined)
  return offer?.subarray(YIADDR, YIADDR + 4).join('.')
}

t.test(
  "shared: the gateway is the host's, and vmnet's own DHCP serves from the next address on",
  { skip },
  async t => {
    const netns = await namespace(t)
    for (const macOS of [15, 26]) {
      const running = await start(t, netns, [GATEWAY], { macOS })
      t.ok(linesOf(running).includes('INFO | Initializing vmnet.framework (mode 1001)'))
      t.match(await addressOf(netns), '192.168.105.1/24')
      t.match(await offered(t, running), /^192\.168\.105\.\d+$/)
      t.notMatch(running.child.text(2), /DHCP leases/, 'ours does not')
      t.strictSame(await running.child.close('SIGTERM'), { code: 0, signal: null })
      t.notMatch(await netns.sh('ip', '-br', 'link'), DEVICE)
    }
  },
)

t.test('shared without a gateway: a warning, and macOS decides', { skip }, async t => {
  const netns = await namespace(t)
  const running = await start(t, netns, [])
  t.match(linesOf(running)[0], /^WARN \| --vmnet-gateway is unset/)
  t.match(await addressOf(netns), /\d+\.\d+\.\d+\.\d+\/\d+/)
  t.match(running.child.text(2), /^INFO \| ready: PID \d+, with a gateway of its own/m)
  t.match(await offered(t, running), /^\d/)
})

t.test('host: mode 1000, the gateway, and vmnet’s own DHCP', { skip }, async t => {
  const netns = await namespace(t)
  const args = ['--vmnet-mode=host', '--vmnet-gateway=192.168.106.1', '--vmnet-dhcp-end=192.168.106.254']
  const running = await start(t, netns, args)
  t.ok(linesOf(running).includes('INFO | Initializing vmnet.framework (mode 1000)'))
  t.notMatch(running.child.text(2), /WARN/)
  t.match(await addressOf(netns), '192.168.106.1/24')
  t.match(await offered(t, running), /^192\.168\.106\.\d+$/)
})

t.test("--vmnet-network-identifier: an isolated network without Apple's DHCP", { skip }, async t => {
  const netns = await namespace(t)
  const args = ['--vmnet-mode=host', `--vmnet-network-identifier=${UUID}`]
  for (const more of [[], ['--vmnet-gateway=192.168.106.1']]) {
    const running = await start(t, netns, [...args, ...more])
    t.equal(await offered(t, running, 2000), undefined)
    await running.child.close('SIGTERM')
  }
  const shared = await start(t, netns, [GATEWAY, `--vmnet-network-identifier=${UUID}`])
  t.match(
    linesOf(shared)[0],
    /^WARN \| --vmnet-network-identifier is ignored/,
    'as Apple does in other modes',
  )
  t.ok(await offered(t, shared))
})

t.test('--vmnet-disable-dhcp: macOS 26 only', { skip }, async t => {
  const netns = await namespace(t)
  const args = [GATEWAY, '--vmnet-disable-dhcp']
  const running = await start(t, netns, args, { macOS: 26 })
  t.match(await addressOf(netns), '192.168.105.1/24')
  t.equal(await offered(t, running, 2000), undefined)
  await running.child.close('SIGTERM')
  const prefixed = await start(t, netns, [...args, '--vmnet-nat66-prefix=fd00:1234::'], { macOS: 26 })
  await prefixed.child.close('SIGTERM')
  const picked = await start(t, netns, ['--vmnet-disable-dhcp'], { macOS: 26 })
  t.match(
    await addressOf(netns),
    /192\.168\.64\.1\/24/,
    'macOS, whose part the stand-in takes, picks a subnet',
  )
  t.equal(await offered(t, picked, 2000), undefined)
  await picked.child.close('SIGTERM')

  const folder = place(t)
  const socket = join(folder, 's')
  const refusal = { netns, folder, args: [...args, socket], env: environment(15) }
  const { status, stdout, stderr } = await refusedSocketVmnet(refusal)
  t.strictSame({ status, stdout }, { status: 1, stdout: '' })
  t.match(stderr, /^ERROR\| Apple's DHCP server cannot be turned off: that needs macOS 26$/m)
  t.match(stderr, /^ERROR\| try: [^\n]*--vmnet-disable-dhcp/m)
})

t.test('--vmnet-interface-id: the same one gives the same MAC', { skip }, async t => {
  const netns = await namespace(t)
  const macOf = async (...args: string[]) => {
    // A folder of its own each time: what is kept there is not what decides.
    const running = await start(t, netns, [GATEWAY, ...args])
    const line = linesOf(running).find(text => text.includes('mac='))
    await running.child.close('SIGTERM')
    return /mac=([0-9a-f:]{17})/.exec(line ?? '')?.[1]
  }
  const [one, same, other] = [
    await macOf('--vmnet-interface-id', UUID),
    await macOf('--vmnet-interface-id', UUID.toUpperCase()),
    await macOf(),
  ]
  t.match(one, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
  t.equal(same, one)
  t.not(other, one)
})

t.test('--vmnet-nat66-prefix: a ULA /64 is taken, and what is none is refused', { skip }, async t => {
  const netns = await namespace(t)
  const running = await start(t, netns, [GATEWAY, '--vmnet-nat66-prefix=fd00:1234::'])
  await running.child.close('SIGTERM')
  const folder = place(t)
  const args = [GATEWAY, '--vmnet-nat66-prefix=2001:db8::', join(folder, 's')]
  const { status, stderr } = await refusedSocketVmnet({ netns, folder, args, env: environment(15) })
  t.equal(status, 1)
  t.match(stderr, /^ERROR\| vmnet [^\n]*\(vmnet_start_interface: /m)
})

t.test('bridged: mode 1002, on the interface', { skip }, async t => {
  const netns = await namespace(t)
  await makeLan(netns)
  const args = ['--vmnet-mode=bridged', '--vmnet-interface=br0']
  const running = await start(t, netns, args)
  t.ok(linesOf(running).includes('INFO | Initializing vmnet.framework (mode 1002)'))
  t.notMatch(running.child.text(2), /WARN/)
  t.match(await netns.sh('ip', '-o', 'link', 'show', 'dev', DEVICE), / master br0 /)
  await running.child.close('SIGTERM')

  const folder = place(t)
  const refusal = ['--vmnet-mode=bridged', '--vmnet-interface=en9', join(folder, 's')]
  const { status, stderr } = await refusedSocketVmnet({ netns, folder, args: refusal, env: environment(15) })
  t.equal(status, 1)
  t.match(stderr, /^ERROR\| the interface en9 cannot be bridged/m)
  t.match(stderr, /^ERROR\| try: --vmnet-interface with one of: br0$/m)
})

t.test('vmnet that fails: exit 1, its status by name, and no socket is left', { skip }, async t => {
  const netns = await namespace(t)
  const folder = place(t)
  for (const [faults, message] of [
    ['start=1001', /^ERROR\| [^\n]*VMNET_FAILURE/m],
    ['start=1009', /^ERROR\| another sharing service/m],
  ] as const) {
    const env = { ...environment(15), VMNET_DOUBLE: faults }
    const args = [GATEWAY, '-p', join(folder, 'p'), join(folder, 's')]
    const { status, stdout, stderr } = await refusedSocketVmnet({ netns, folder, args, env })
    t.strictSame({ status, stdout }, { status: 1, stdout: '' })
    t.match(stderr, message)
  }
})
