// The words for the vmnet uplink: what each mode takes, what it refuses and why, and how they bear on the DHCP server.

import t from 'tap'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { command } from '../../src/cli/daemon.js'
import { parseCommand } from '../../src/cli/options.js'
import { UsageError } from '../../src/errors.js'
import { formatIpv4Range } from '../../src/wire/ipv4.js'

const UUID = '550e8400-e29b-41d4-a716-446655440000'

const read = (args: string[], env: NodeJS.ProcessEnv = {}) =>
  readDaemonSettings(parseCommand(command, args, env)!).networks[0]!

const vmnet = (...args: string[]) => read(['--uplink', 'vmnet', ...args])

function refusal(args: string[]): UsageError {
  try {
    read(args)
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
  throw new Error(`${args.join(' ')} was taken`)
}

t.test('shared is the default, with our DHCP server and a pool of the same end for Apple’s', async t => {
  const { uplink, dhcp } = vmnet()
  t.strictSame(uplink, {
    kind: 'vmnet',
    mode: 'shared',
    isolate: false,
    appleDhcp: 'unheard',
    dhcpEnd: 0xc0a869c7, // 192.168.105.199
  })
  t.ok(dhcp)
  t.strictSame(vmnet('--mode', 'shared').uplink, uplink)
})

t.test('--dhcp-end ends our range as well; a range of its own wins', async t => {
  const { uplink, dhcp } = vmnet('--gateway', '10.1.2.7/16', '--dhcp-end', '10.1.2.254')
  t.match(uplink, { dhcpEnd: 0x0a0102fe })
  t.equal(formatIpv4Range(dhcp!.range!), '10.1.2.8-10.1.2.254')
  const both = vmnet('--dhcp-end', '192.168.105.100', '--dhcp-range', '192.168.105.50-192.168.105.60')
  t.match(both.uplink, { dhcpEnd: 0xc0a86964 })
  t.equal(formatIpv4Range(both.dhcp!.range!), '192.168.105.50-192.168.105.60')
  t.match(vmnet('--dhcp-range', '192.168.105.50-192.168.105.60').uplink, { dhcpEnd: 0xc0a8693c })
})

t.test('a gateway behind our range: the pool of Apple’s server is what is behind the gateway', async t => {
  const range = ['--dhcp-range', '192.168.105.10-192.168.105.50']
  for (const args of [[], range]) {
    const { uplink } = vmnet('--gateway', '192.168.105.250/24', ...args)
    t.notOk('dhcpEnd' in uplink, 'it ends with the subnet')
  }
  const { uplink } = vmnet('--mode', 'host', '--gateway', '192.168.105.254/24')
  t.match(uplink, { mode: 'host', appleDhcp: 'unheard' }, 'no pool, no rule')
})

t.test('host and its identifiers', async t => {
  t.match(vmnet('--mode', 'host', '--network-id', UUID.toUpperCase(), '--isolate').uplink, {
    mode: 'host',
    networkId: UUID,
    isolate: true,
    appleDhcp: 'unheard',
  })
  t.match(vmnet('--mode', 'host', '--interface-id', UUID).uplink, { interfaceId: UUID })
  t.match(vmnet('--mode', 'host', '--no-dhcp').uplink, { appleDhcp: 'on' })
  t.match(vmnet('--mode', 'host', '--no-dhcp', '--network-id', UUID).uplink, { appleDhcp: 'off' })
})

t.test("Apple's DHCP server: on without ours, off when that is said", async t => {
  t.match(vmnet('--no-dhcp').uplink, { appleDhcp: 'on' })
  t.equal(vmnet('--no-dhcp').dhcp, undefined)
  t.match(vmnet('--no-dhcp', '--vmnet-dhcp', 'off').uplink, { appleDhcp: 'off' })
  t.match(vmnet('--vmnet-dhcp', 'off').uplink, { appleDhcp: 'off' })
})

t.test('bridged: no DHCP server of ours unless the LAN is named', async t => {
  const { uplink, dhcp } = vmnet('--mode', 'bridged', '--interface', 'en0')
  t.strictSame(uplink, { kind: 'vmnet', mode: 'bridged', interface: 'en0', isolate: false, appleDhcp: 'off' })
  t.equal(dhcp, undefined)
  const range = '192.168.1.200-192.168.1.220'
  const lan = ['--dhcp-on-lan', '--gateway', '192.168.1.1/24', '--dhcp-range', range]
  const served = vmnet('--mode', 'bridged', '--interface', 'en0', ...lan)
  t.equal(formatIpv4Range(served.dhcp!.range!), range)
})

t.test('without a word about the uplink a Mac has vmnet in shared mode, and Linux a TAP', async t => {
  const uplink = (platform: NodeJS.Platform, ...args: string[]) =>
    readDaemonSettings(parseCommand(command, args, {})!, platform).networks[0]!.uplink
  t.strictSame(uplink('darwin'), { kind: 'auto', vmnet: vmnet().uplink })
  t.match(uplink('darwin', '--no-dhcp'), { vmnet: { appleDhcp: 'on' } }, "somebody leases: Apple's server")
  t.strictSame(uplink('linux'), { kind: 'auto', vmnet: undefined })
})

t.test('a ULA prefix, with its length or without', async t => {
  t.match(vmnet('--nat66-prefix', 'fd00:1234::').uplink, { nat66Prefix: 'fd00:1234::' })
  t.match(vmnet('--nat66-prefix', 'FD00:1234::/64').uplink, { nat66Prefix: 'fd00:1234::' })
})

const BRIDGED = ['--uplink', 'vmnet', '--mode', 'bridged', '--interface', 'en0']
const SHARED = ['--uplink', 'vmnet', '--mode', 'shared']
const HOST = ['--uplink', 'vmnet', '--mode', 'host']

const REFUSALS: [string[], RegExp][] = [
  [['--uplink', 'vmnet', '--mode', 'nat'], /nat is not one of shared, host, bridged/],
  [['--uplink', 'vmnet', '--mode', 'bridged'], /needs --interface/],
  [[...SHARED, '--interface', 'en0'], /--interface with --mode shared/],
  [[...HOST, '--interface', 'en0'], /--interface with --mode host/],
  [[...SHARED, '--network-id', UUID], /only --mode host/],
  [[...HOST, '--nat66-prefix', 'fd00::'], /only --mode shared/],
  [[...SHARED, '--dhcp-on-lan'], /only --mode bridged/],
  [[...HOST, '--dhcp-on-lan'], /only --mode bridged/],
  [[...BRIDGED, '--dhcp-end', '192.168.105.9'], /LAN's own DHCP/],
  [[...BRIDGED, '--network-id', UUID], /is the LAN/],
  [[...BRIDGED, '--nat66-prefix', 'fd00::'], /no NAT/],
  [[...BRIDGED, '--vmnet-dhcp', 'off'], /never serves/],
  [[...BRIDGED, '--mtu', '9000'], /that of the interface/],
  [[...BRIDGED, '--gateway', '192.168.1.1/24'], /--gateway with --mode bridged/],
  [[...BRIDGED, '--dhcp-range', '192.168.105.5-192.168.105.9'], /--dhcp-range with --mode bridged/],
  [[...BRIDGED, '--dns', '1.1.1.1'], /--dns with --mode bridged/],
  [[...BRIDGED, '--dhcp-on-lan'], /needs --gateway and --dhcp-range/],
  [[...BRIDGED, '--dhcp-on-lan', '--gateway', '192.168.1.1/24'], /needs --gateway and --dhcp-range/],
  [[...SHARED, '--gateway', '8.8.8.1/24'], /not a private network/],
  [[...SHARED, '--gateway', '172.32.0.1/24'], /not a private network/],
  [[...SHARED, '--gateway', '192.168.0.1/15'], /not a private network/],
  [[...SHARED, '--dhcp-end', '192.168.105.1'], /not behind the gateway/],
  [[...SHARED, '--dhcp-end', '192.168.105.255'], /not behind the gateway/],
  [[...SHARED, '--dhcp-end', '10.0.0.1'], /not behind the gateway/],
  [[...SHARED, '--dhcp-end', 'x'], /not an IPv4 address/],
  [[...SHARED, '--interface-id', 'x'], /not a UUID/],
  [[...HOST, '--network-id', 'x'], /not a UUID/],
  [[...SHARED, '--nat66-prefix', '2001:db8::'], /not a unique local prefix/],
  [[...SHARED, '--nat66-prefix', 'fc00:1234::'], /not a unique local prefix/],
  [[...SHARED, '--gateway', '192.168.105.254/24'], /the last address of its subnet/],
  [[...HOST, '--no-dhcp', '--gateway', '192.168.105.2/30'], /the last address of its subnet/],
  [[...SHARED, '--nat66-prefix', 'fd00::1'], /not a unique local prefix/],
  [[...SHARED, '--nat66-prefix', 'fd00:1:2:3:4::'], /not a unique local prefix/],
  [[...SHARED, '--vmnet-dhcp', 'maybe'], /maybe is not one of on, off/],
  [[...SHARED, '--vmnet-dhcp', 'on'], /two DHCP servers/],
  [[...HOST, '--no-dhcp', '--vmnet-dhcp', 'on', '--network-id', UUID], /does not serve/],
  [['--uplink', 'none', '--mode', 'shared'], /--mode is of no use with --uplink none/],
  [['--isolate'], /--isolate is of no use without --uplink vmnet/],
  [['--uplink', 'tap:x', '--dhcp-on-lan'], /only --mode bridged has a LAN/],
  [['--uplink', 'vmnet:x'], /vmnet:x is not/],
  [['--user', 'root'], /is root/],
  [['--user', '0'], /is root/],
  [['--user', 'no-such-user'], /no such user/],
]

for (const [args, reason] of REFUSALS) {
  t.test(`refused: ${args.join(' ')}`, async t => {
    const { message, hint } = refusal(args)
    t.match(message, reason)
    t.ok(hint, 'with what to do')
  })
}

t.test('the environment speaks for the flags', async t => {
  const { uplink } = read([], { VMBRIDGE_UPLINK: 'vmnet', VMBRIDGE_MODE: 'host', VMBRIDGE_ISOLATE: '1' })
  t.match(uplink, { kind: 'vmnet', mode: 'host', isolate: true })
})

t.test('a user to become is known by name and by number', async t => {
  const user = (name: string) =>
    readDaemonSettings(parseCommand(command, ['--uplink', 'none', '--user', name], {})!).user
  t.match(user('daemon'), { name: 'daemon', uid: Number })
  t.strictSame(user(String(user('daemon')!.uid)), user('daemon'))
})
