// socket_vmnet's command line as its users write it. Every flag, in every form that getopt_long takes, and every refusal.

import t from 'tap'
import {
  readSocketVmnet,
  SocketVmnetError,
  type SocketVmnetOptions,
} from '../../src/compat/socket-vmnet-options.js'
import { settingsOf } from '../../src/compat/socket-vmnet-daemon.js'
import { formatCidr, formatIpv4, formatIpv4Range } from '../../src/wire/ipv4.js'

const UUID = '550e8400-e29b-41d4-a716-446655440000'

function options(...args: string[]): SocketVmnetOptions {
  const command = readSocketVmnet(args)
  if (command.do !== 'run') throw new Error(`${args.join(' ')} is not to be run`)
  return command.options
}

t.test('Lima, Colima, launchd and Homebrew start it by these words', async t => {
  const lima = options(
    '--pidfile=/private/var/run/lima/shared_socket_vmnet.pid',
    '--socket-group=admin',
    '--vmnet-mode=shared',
    '--vmnet-gateway=192.168.105.1',
    '--vmnet-dhcp-end=192.168.105.254',
    '--vmnet-mask=255.255.255.0',
    '/private/var/run/lima/socket_vmnet.shared',
  )
  t.match(lima, {
    socket: '/private/var/run/lima/socket_vmnet.shared',
    pidfile: '/private/var/run/lima/shared_socket_vmnet.pid',
    group: 'admin',
    mode: 'shared',
  })
  t.equal(formatCidr(lima.gateway!), '192.168.105.1/24')
  t.equal(formatIpv4(lima.dhcpEnd!), '192.168.105.254')
  const colima = options(
    ...'--vmnet-mode shared --socket-group staff --vmnet-gateway 192.168.106.1'.split(' '),
    ...'--vmnet-dhcp-end 192.168.106.254 --pidfile /tmp/p /tmp/s'.split(' '),
  )
  t.match(colima, { socket: '/tmp/s', pidfile: '/tmp/p', group: 'staff' })
  t.match(options('--vmnet-mode=bridged', '--vmnet-interface=en0', '/s'), {
    mode: 'bridged',
    interface: 'en0',
  })
  t.match(options('--vmnet-gateway=192.168.105.1', '/var/run/socket_vmnet'), {
    mode: 'shared',
    group: 'staff',
  })
})

t.test('the socket may stand first; names may be cut; a value may stand apart', async t => {
  t.match(options('/s', '--vmnet-mode', 'host'), { socket: '/s', mode: 'host' })
  t.match(options('--vmnet-mo=host', '--socket-g', 'wheel', '/s'), { mode: 'host', group: 'wheel' })
  t.match(options('-p', '/p', '/s'), { pidfile: '/p' })
  t.match(options('-p/p', '/s'), { pidfile: '/p' })
  t.match(options('--', '/s'), { socket: '/s' })
  t.match(options('--vmnet-interface-id', UUID.toUpperCase(), '/s'), { interfaceId: UUID })
  t.match(options('--vmnet-disable-dhcp', '/s'), { disableDhcp: true })
})

t.test("the end of the DHCP range is the gateway's /24's .254, whatever the mask", async t => {
  const { gateway, dhcpEnd } = options('--vmnet-gateway=10.1.2.7', '--vmnet-mask=255.255.0.0', '/s')
  t.equal(formatCidr(gateway!), '10.1.2.7/16')
  t.equal(formatIpv4(dhcpEnd!), '10.1.2.254')
})

t.test('not one socket: the usage on stdout, status 1; help and version: status 0', async t => {
  t.strictSame(readSocketVmnet([]), { do: 'print', what: 'usage', status: 1 })
  t.strictSame(readSocketVmnet(['/a', '/b']), { do: 'print', what: 'usage', status: 1 })
  for (const word of ['-h', '--help', '--he'])
    t.strictSame(readSocketVmnet([word]), { do: 'print', what: 'usage', status: 0 })
  for (const word of ['-v', '--version'])
    t.strictSame(readSocketVmnet([word, '/s']), { do: 'print', what: 'version', status: 0 })
})

t.test('shared without a gateway: a warning', async t => {
  t.match(readSocketVmnet(['/s']), { warnings: [/--vmnet-gateway/] })
  t.match(readSocketVmnet(['--vmnet-mode=host', '/s']), { warnings: { length: 0 } })
})

for (const [args, ignored] of [
  [['--vmnet-network-identifier', UUID], 'networkId'],
  [['--vmnet-interface', 'en0'], 'interface'],
  [['--vmnet-mode=host', '--vmnet-nat66-prefix', 'fd00::'], 'nat66Prefix'],
  [['--vmnet-disable-dhcp', '--vmnet-interface-id', UUID], 'interfaceId'],
] as const) {
  t.test(`of no use, and said so: ${args.join(' ')}`, async t => {
    const command = readSocketVmnet([...args, '/s'])
    if (command.do !== 'run') return t.fail('it is to be run')
    t.notOk(ignored in command.options)
    const option = args.at(-2)
    t.ok(
      command.warnings.some(text => text.startsWith(`${option} is ignored `)),
      command.warnings.join(),
    )
  })
}

t.test('--vmnet-dhcp-end with --vmnet-disable-dhcp: of no use, and said so', async t => {
  const args = ['--vmnet-gateway=10.0.0.1', '--vmnet-dhcp-end=10.0.0.9', '--vmnet-disable-dhcp', '/s']
  t.match(readSocketVmnet(args), { warnings: [/^--vmnet-dhcp-end is ignored /] })
  t.match(readSocketVmnet(args.slice(0, 2).concat('/s')), { warnings: { length: 0 } })
})

t.test('what the mode has a use for is not said to be ignored', async t => {
  for (const args of [
    ['--vmnet-mode=host', '--vmnet-network-identifier', UUID],
    ['--vmnet-mode=bridged', '--vmnet-interface=en0', '--vmnet-interface-id', UUID],
    ['--vmnet-gateway=10.0.0.1', '--vmnet-nat66-prefix=fd00::', '--vmnet-interface-id', UUID],
    ['--vmnet-mode=host', '--vmnet-disable-dhcp', '--vmnet-interface-id', UUID],
  ])
    t.match(readSocketVmnet([...args, '/s']), { do: 'run', warnings: { length: 0 } }, args.join(' '))
})

for (const [args, reason] of [
  [['--vmnet-mode=nat', '/s'], /unknown vmnet mode "nat"/],
  [['--vmnet-mode=bridged', '/s'], /requires --vmnet-interface/],
  [['--vmnet-mode=bridged', '--vmnet-interface=en0', '--vmnet-gateway=10.0.0.1', '/s'], /conflicts/],
  [['--vmnet-dhcp-end=10.0.0.9', '/s'], /requires --vmnet-gateway/],
  [['--vmnet-mask=255.0.0.0', '/s'], /requires --vmnet-gateway/],
  [['--vmnet-gateway=10.0.0', '/s'], /not an IPv4 address/],
  [['--vmnet-gateway=10.0.0.1', '--vmnet-mask=255.0.255.0', '/s'], /not a subnet mask/],
  [['--vmnet-gateway=10.0.0.1', '--vmnet-dhcp-end=x', '/s'], /not an IPv4 address/],
  [['--vmnet-gateway=10.0.0.9', '--vmnet-dhcp-end=10.0.0.2', '/s'], /10\.0\.0\.2 is not behind the gateway/],
  [['--vmnet-gateway=10.0.0.1', '--vmnet-dhcp-end=10.0.0.255', '/s'], /10\.0\.0\.255 is not behind/],
  [['--vmnet-gateway=10.0.0.0', '/s'], /10\.0\.0\.0 is no host's address, mask 255\.255\.255\.0/],
  [['--vmnet-gateway=10.0.0.254', '/s'], /10\.0\.0\.254 \(the default\) is not behind the gateway/],
  [
    ['--vmnet-gateway=10.0.0.1', '--vmnet-mask=255.255.255.240', '/s'],
    /\.254 \(the default\) is not .*\.240/,
  ],
  [['--vmnet-interface-id=x', '/s'], /not a UUID/],
  [['--vmnet', '/s'], /ambiguous/],
  [['--nope', '/s'], /unrecognized option '--nope'/],
  [['-x', '/s'], /invalid option -- 'x'/],
  [['/s', '--pidfile'], /requires an argument/],
  [['--vmnet-disable-dhcp=1', '/s'], /doesn't allow an argument/],
  [['--help=1'], /option '--help' doesn't allow an argument/],
  [['--vers=', '/s'], /option '--version' doesn't allow an argument/],
] as const) {
  t.test(`refused: ${args.join(' ')}`, async t => {
    t.throws(() => readSocketVmnet(args), { constructor: SocketVmnetError, message: reason })
  })
}

t.test("on a Mac vmnet's own DHCP server serves, unless it is told not to", async t => {
  const uplink = (...args: string[]) => settingsOf(options(...args, '/s'), 20, true).networks[0]!
  t.match(uplink('--vmnet-gateway=192.168.105.1'), {
    uplink: { kind: 'vmnet', mode: 'shared', appleDhcp: 'on' },
  })
  t.equal(uplink('--vmnet-gateway=192.168.105.1').dhcp, undefined)
  t.match(uplink(), { uplink: { subnet: 'macos' } })
  t.match(uplink('--vmnet-disable-dhcp'), { uplink: { appleDhcp: 'off' } })
  t.match(uplink('--vmnet-mode=host', `--vmnet-network-identifier=${UUID}`), { uplink: { appleDhcp: 'off' } })
  t.match(uplink(), { rights: { mode: 0o770, gid: 20 } })
})

t.test('elsewhere a TAP and our DHCP server with the same range', async t => {
  const network = (...args: string[]) => settingsOf(options(...args, '/s'), 20, false).networks[0]!
  const { uplink, gateway, dhcp } = network(
    '--vmnet-gateway=192.168.106.1',
    '--vmnet-dhcp-end=192.168.106.99',
  )
  t.strictSame(uplink, { kind: 'tap' })
  t.equal(formatCidr(gateway), '192.168.106.1/24')
  t.equal(formatIpv4Range(dhcp!.range!), '192.168.106.2-192.168.106.99')
  t.equal(formatCidr(network().gateway), '192.168.105.1/24')
  t.equal(network('--vmnet-disable-dhcp').dhcp, undefined)
  t.throws(() => network('--vmnet-mode=bridged', '--vmnet-interface=en0'), { message: /needs macOS/ })
})
