// What vmbridge.yaml means: settings as of the command line, and all that is wrong with it, each with its place.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import {
  configFileOf,
  NO_FLAGS,
  passedOver,
  readConfigText,
  type ConfigReading,
} from '../../src/cli/daemon-config.js'
import { shownYaml } from '../../src/cli/daemon-shown.js'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { command } from '../../src/cli/daemon.js'
import { EXAMPLE } from '../../src/cli/config-example.js'
import { parseCommand, type Parsed } from '../../src/cli/options.js'
import { faultLine } from '../../src/config/faults.js'
import { scratch } from './command.js'
import { ownConfig, ownPlace } from '../../src/config/paths.js'
import type { DaemonSettings } from '../../src/daemon/settings.js'
import { MAX_SOCKET_PATH } from '../../src/socket-path.js'
import { defaultRange } from '../../src/dhcp/range.js'
import { formatCidr, formatIpv4, formatIpv4Range } from '../../src/wire/ipv4.js'

const FILE = '/etc/x/vmbridge.yaml'

const flagsOf = (args: string[], env: NodeJS.ProcessEnv = {}): Parsed => parseCommand(command, args, env)!

const read = (text: string, flags = NO_FLAGS, platform: NodeJS.Platform = 'linux'): ConfigReading =>
  readConfigText(text, { options: command.options, file: FILE, flags, platform })

const settingsOf = (text: string, flags = NO_FLAGS, platform?: NodeJS.Platform): DaemonSettings => {
  const { config, faults } = read(text, flags, platform)
  if (config === undefined) throw new Error(faults.map(fault => faultLine('F', fault)).join('\n'))
  return config.settings
}

const faultsOf = (text: string, platform?: NodeJS.Platform): string[] =>
  read(text, NO_FLAGS, platform).faults.map(fault => faultLine('F', fault))

/** One network `a` with those keys, in one line: its first key is in column 18. */
const network = (keys: string): string => `networks: { a: { ${keys} } }\n`

t.test('a network of the file is what the command line would make of its words', async t => {
  const [fromFile] = settingsOf(`
networks:
  default:
    socket: [/tmp/a, /tmp/b]
    dgram: /tmp/d
    uplink: none
    gateway: 10.9.8.1/24
    dhcp-range: 10.9.8.50-10.9.8.60
    dhcp-exclude: 10.9.8.51-10.9.8.52
    dns: [1.1.1.1, 9.9.9.9]
    domain: lab.internal
    dhcp-option: [ntp=10.9.8.1, mtu=1400]
    dhcp-boot: a.efi
    lease-time: 90m
    leases-file: /tmp/leases
    mtu: 1450
    state-dir: /tmp/state
`).networks
  const [fromFlags] = readDaemonSettings(
    flagsOf(
      [
        '--socket /tmp/a --socket /tmp/b --dgram /tmp/d --uplink none --gateway 10.9.8.1/24',
        '--dhcp-range 10.9.8.50-10.9.8.60 --dhcp-exclude 10.9.8.51-10.9.8.52 --dns 1.1.1.1 --dns 9.9.9.9',
        '--domain lab.internal --dhcp-option ntp=10.9.8.1 --dhcp-option mtu=1400 --dhcp-boot a.efi',
        '--lease-time 90m --leases-file /tmp/leases --mtu 1450 --state-dir /tmp/state',
      ].flatMap(line => line.split(' ')),
    ),
  ).networks
  t.strictSame(fromFile, fromFlags)
})

t.test('so it is with vmnet', async t => {
  const keys =
    'uplink: vmnet, mode: host, gateway: 10.0.0.1/24, isolate: true, vmnet-dhcp: off, socket: /tmp/a, state-dir: /s'
  const [fromFile] = settingsOf(`networks: { default: { ${keys} } }`, NO_FLAGS, 'darwin').networks
  const args =
    '--uplink vmnet --mode host --gateway 10.0.0.1/24 --isolate --vmnet-dhcp off --socket /tmp/a --state-dir /s'
  t.strictSame(fromFile, readDaemonSettings(flagsOf(args.split(' ')), 'darwin').networks[0])
})

t.test('each network has a socket and a folder of its name', async t => {
  const { run, state } = ownPlace()
  const places = (text: string, flags?: Parsed): [string, string, string][] =>
    settingsOf(text, flags).networks.map(({ name, sockets, stateDir }) => [name, sockets.join(), stateDir])
  const two = 'networks:\n  default: {}\n  lab: { gateway: 10.0.0.1/24 }\n'
  t.same(places(two), [
    ['default', join(run, 'vmbridge.sock'), join(state, 'default')],
    ['lab', join(run, 'lab.sock'), join(state, 'lab')],
  ])
  t.same(
    places(`state-dir: /srv/s\n${two}`).map(([, , folder]) => folder),
    ['/srv/s/default', '/srv/s/lab'],
  )
  t.same(
    places(`state-dir: /srv/s\n${two}`, flagsOf(['--state-dir', '/srv/flag'])).map(([, , folder]) => folder),
    ['/srv/flag/default', '/srv/flag/lab'],
  )
})

t.test(
  'a file that does not speak of networks has the one of a plain command line; an empty list has none',
  async t => {
    t.match(settingsOf('').networks, [{ name: 'default', sockets: [join(ownPlace().run, 'vmbridge.sock')] }])
    t.same(settingsOf('networks: {}\n').networks, [])
  },
)

t.test('what is the daemon’s: from the file, and the command line wins', async t => {
  const text =
    'control: /c\nsocket-mode: 0600\nsocket-group: 7\npidfile: /p\nlog-level: debug\nlog-file: /l\nlog-format: json\nuser: nobody\n'
  const settings = settingsOf(text)
  t.match(settings, {
    control: '/c',
    rights: { mode: 0o600, gid: 7 },
    pidfile: '/p',
    logLevel: 'debug',
    logFile: '/l',
    logFormat: 'json',
    user: { uid: 65534 },
    demandUplink: undefined,
  })
  t.same(settings.networks[0]?.rights, { mode: 0o600, gid: 7 })
  const flags = flagsOf(['--control', '/c2', '--log-level', 'warn'], { VMBRIDGE_SOCKET_MODE: '0666' })
  t.match(settingsOf(text, flags), {
    control: '/c2',
    rights: { mode: 0o666, gid: 7 },
    logLevel: 'warn',
    logFormat: 'json',
  })
  t.throws(() => read(text, flagsOf(['--log-level', 'loud'])), {
    code: 'ERR_USAGE',
    message: /^--log-level loud/,
  })
  t.equal(settingsOf('').demandUplink, 'tap')
  t.equal(settingsOf('', NO_FLAGS, 'darwin').demandUplink, 'vmnet')
})

t.test('who answers DHCP', async t => {
  const [pool, answer, off] = [
    { dhcp: {}, answers: undefined },
    { dhcp: undefined, answers: true },
    { dhcp: undefined, answers: undefined },
  ]
  for (const [word, wanted] of [
    ['', pool],
    ['dhcp: true', pool],
    ['dhcp: pool', pool],
    ['dhcp: answer', answer],
    ['dhcp: passthrough', off],
    ['dhcp: false', off],
    ['no-dhcp: true', off],
    ['no-dhcp: false', pool],
  ] as const)
    t.match(settingsOf(network(word)).networks[0], wanted, word)
  t.match(
    settingsOf(network('dhcp: answer, uplink: vmnet'), NO_FLAGS, 'darwin').networks[0]?.uplink,
    { appleDhcp: 'unheard' },
    "Apple's server would answer as well",
  )
})

t.test('reservations stand, with where they are written', async t => {
  const [{ reservations = [] }] = settingsOf(`
networks:
  default:
    reservations:
      - { ip: 192.168.105.7, mac: "52:54:00:12:34:56", hostname: web, options: [mtu=1450] }
      - { ip: 192.168.105.8, client-id: "01:52:54:00:12:34:56" }
      - { ip: 192.168.105.9, name: talos-1 }
`).networks as [DaemonSettings['networks'][0]]
  t.match(reservations, [
    {
      reservation: { match: { mac: { hi: 0x5254, lo: 0x00123456 } }, hostname: 'web' },
      origin: `${FILE}, line 5`,
    },
    { reservation: { match: { clientId: { length: 7 } } }, origin: `${FILE}, line 6` },
    { reservation: { match: { name: 'talos-1' } }, origin: `${FILE}, line 7` },
  ])
  t.same(
    reservations.map(({ reservation }) => formatIpv4(reservation.ip)),
    ['192.168.105.7', '192.168.105.8', '192.168.105.9'],
  )
})

t.test('every fault of the values has its line and column, and says what was meant', async t => {
  const run = ownPlace().run
  const LONG = `/tmp/${'x'.repeat(120)}`
  const table: [text: string, ...says: (string | RegExp)[]][] = [
    [
      network('gateway: 10.0.0.0/24'),
      'F:1:27: gateway 10.0.0.0/24 is the network address of its subnet; try gateway: 10.0.0.1/24',
    ],
    [
      network('gateway: x'),
      'F:1:27: gateway x is not an address with a prefix length; try gateway: 192.168.105.1/24',
    ],
    [network('uplink: tpa'), /^F:1:26: uplink tpa is not none, tap/],
    [network('uplink: none, mode: shared'), /^F:1:32: mode is of no use with uplink none/],
    [
      network('uplink: vmnet, mode: sharde'),
      'F:1:39: mode sharde is not one of shared, host, bridged; try mode: shared',
    ],
    [network('uplink: vmnet, mode: bridged'), 'F:1:39: mode bridged needs interface; vmbridge interfaces'],
    [
      network('dhcp-range: 10.0.0.2-10.0.0.9'),
      /^F:1:30: dhcp-range 10\.0\.0\.2-10\.0\.0\.9 is not inside 192\.168\.105\.1\/24; try dhcp-range: /,
    ],
    [
      network('dhcp-exclude: 192.168.105.0-192.168.105.255'),
      'F:1:18: dhcp-exclude: nothing of the DHCP range 192.168.105.2-192.168.105.199 is left to lease; widen dhcp-range, or take back a dhcp-exclude',
    ],
    [
      network('gateway: 10.0.0.1/8, dhcp-range: 10.0.0.2-10.9.0.2'),
      /^F:1:39: dhcp-range: the DHCP range .* over 65536; set a smaller dhcp-range$/,
    ],
    [
      network('dns: [1.1.1.1, 1.1.1, 1.1]'),
      'F:1:33: dns 1.1.1 is not an IPv4 address; try dns: 1.1.1.1',
      'F:1:40: dns 1.1 is not an IPv4 address; try dns: 1.1.1.1',
    ],
    [
      network('mtu: 12, lease-time: 1s, domain: "a b"'),
      /^F:1:23: mtu 12 /,
      /^F:1:39: lease-time 1s /,
      /^F:1:51: domain a b /,
    ],
    [network('dhcp-option: [mtu=1400, mtuu=1]'), /^F:1:42: dhcp-option mtuu=1: there is no option "mtuu"/],
    [network('dhcp-boot: "efi-x86:a"'), /^F:1:29: dhcp-boot .*"efi-x86" is not ipxe/],
    [
      network('dns: 1.1.1.1, dhcp-option: dns=9.9.9.9'),
      /^F:1:18: dns and dhcp-option dns= say the same; leave one/,
    ],
    [
      network('dhcp: maybe'),
      'F:1:24: dhcp maybe is not one of true, pool, answer, passthrough, false; try dhcp: pool',
    ],
    [
      network('dhcp: false, dhcp-range: 192.168.105.2-192.168.105.9'),
      /^F:1:18: dhcp: false and dhcp-range contradict each other/,
    ],
    [network('no-dhcp: true, dns: 1.1.1.1'), /^F:1:18: no-dhcp and dns contradict each other/],
    [
      network('no-dhcp: true, dhcp: pool'),
      'F:1:18: no-dhcp beside dhcp: one of them says it; leave one of them out',
    ],
    [
      network('dhcp: answer, dns: 1.1.1.1'),
      'F:1:32: dns with dhcp: answer, which answers for reservations alone; leave it out',
    ],
    [
      network('dhcp: pool, uplink: "socket:/tmp/o"'),
      /^F:1:18: dhcp: pool: behind this uplink there is a DHCP server of others/,
    ],
    [
      network('leases-file: /tmp/l, dhcp: false'),
      /^F:1:31: leases-file \/tmp\/l: there is no DHCP server of ours/,
    ],
    [network('socket: vm.sock'), 'F:1:26: socket vm.sock is no absolute path; try socket: /etc/x/vm.sock'],
    [
      network('uplink: socket:vm.sock'),
      'F:1:26: uplink socket:vm.sock is no absolute path; try uplink: socket:/etc/x/vm.sock',
    ],
    ['control: ./c\n', 'F:1:10: control ./c is no absolute path; try control: /etc/x/c'],
    [network('dgram: [/tmp/a, /tmp/a]'), /^F:1:26: dgram \/tmp\/a is given twice/],
    [network('socket: /tmp/a, dial: /tmp/a'), /^F:1:40: dial \/tmp\/a is this daemon's own socket/],
    [
      network(`socket: ${LONG}`),
      `F:1:26: socket ${LONG} has over ${MAX_SOCKET_PATH} bytes; try socket: /run/vm.sock`,
    ],
    [
      'log-level: loud\n',
      'F:1:12: log-level loud is not one of trace, debug, info, warn, error, fatal, silent; try log-level: trace',
    ],
    [
      'socket-mode: 99\nuser: nobody-of-that-name\nlog-format: xml\n',
      /^F:1:14: socket-mode 99 is not an octal mode/,
      /^F:2:7: user nobody-of-that-name: there is no such user/,
      /^F:3:13: log-format xml/,
    ],
    [
      'socket-group: group-of-nobody\n',
      /^F:1:15: socket-group group-of-nobody: there is no such group; another socket-group: /,
    ],
    [
      'networks:\n  control: {}\n',
      `F:2:3: ${run}/control.sock is the control of the daemon already, and now the socket of the network control (line 2); each has its own`,
    ],
  ]
  for (const [text, ...says] of table) {
    const faults = faultsOf(text)
    t.equal(faults.length, says.length, `${text}${faults.join('\n')}`)
    says.forEach((each, i) =>
      typeof each === 'string' ? t.equal(faults[i], each) : t.match(faults[i], each),
    )
  }
})

t.test('what two networks cannot share', async t => {
  const two = (a: string, b: string): string[] =>
    faultsOf(`networks:\n  a: { gateway: 10.0.0.1/24, ${a} }\n  b: { ${b} }\n`)
  const own = 'gateway: 10.0.1.1/24'
  t.same(two('', 'gateway: 10.0.0.200/25'), [
    'F:3:17: the subnet 10.0.0.128/25 overlaps 10.0.0.0/24 of the network a in line 2; give it another gateway',
  ])
  t.match(two('', 'gateway: 10.1.0.1/8'), [/^F:3:17: the subnet 10\.0\.0\.0\/8 overlaps 10\.0\.0\.0\/24/])
  t.same(faultsOf('networks:\n  a: {}\n  b: {}\n'), [
    'F:3:3: the subnet 192.168.105.0/24, which it has without a gateway of its own, overlaps 192.168.105.0/24 of the network a in line 2; give it another gateway',
  ])
  t.match(two('socket: /tmp/s', `${own}, socket: [/tmp/t, /tmp/x/../s]`), [
    /^F:3:47: \/tmp\/s is the socket of the network a \(line 2\) already, and now the socket of the network b \(line 3\)/,
  ])
  t.match(two('dgram: /tmp/s', `${own}, dial: /tmp/s`), [
    /^F:3:36: \/tmp\/s is the dgram of .* now the dial of/,
  ])
  t.match(two('state-dir: /tmp/s', `${own}, state-dir: /tmp/s`), [/^F:3:41: \/tmp\/s is the state-dir of/])
  t.match(two('uplink: tap:vm0', `${own}, uplink: tap:vm0`), [/^F:3:38: tap:vm0 is the uplink of/])
  t.match(faultsOf('pidfile: /tmp/s\nlog-file: /tmp/s\n'), [
    /^F:2:11: \/tmp\/s is the pidfile of the daemon already/,
  ])
  t.same(two('', own), [])
  t.same(
    faultsOf('networks:\n  a: { uplink: "socket:/tmp/o" }\n  b: { uplink: "socket:/tmp/p" }\n'),
    [],
    'behind the servers of others, addresses are theirs',
  )
  t.same(
    faultsOf(
      'networks:\n  a: {}\n  b: { uplink: vmnet, mode: bridged, interface: en0 }\n  c: { uplink: vmnet, mode: bridged, interface: en1 }\n',
      'darwin',
    ),
    [],
    'nor has a LAN one of ours',
  )
})

t.test('what no reservation can be', async t => {
  const one = (keys: string, more = ''): string[] => faultsOf(network(`${more}reservations: [ { ${keys} } ]`))
  const MAC = 'mac: "52:54:00:12:34:56"'
  t.same(one(MAC), ['F:1:34: a reservation without ip; try ip: 192.168.105.7'])
  t.same(one('ip: x'), ['F:1:40: ip x is not an IPv4 address; try ip: 192.168.105.7'])
  t.match(one('ip: 192.168.105.7'), [/^F:1:34: a reservation for nobody; one of mac, client-id, name/])
  t.match(one(`ip: 192.168.105.7, ${MAC}, name: a`), [/^F:1:34: a reservation with mac and name/])
  t.match(one('ip: 192.168.105.7, mac: "01:00:00:00:00:01"'), [
    /^F:1:60: mac 01:00.* is not the MAC of one station/,
  ])
  t.match(one('ip: 192.168.105.7, client-id: xyz'), [/^F:1:66: client-id xyz is not 2 to 255 octets/])
  t.match(one('ip: 192.168.105.7, name: a b'), [/^F:1:61: name a b is not a host name/])
  t.match(one(`ip: 192.168.105.7, name: a, hostname: a.b, options: [mtu=1, mtu=1400]`), [
    /^F:1:74: hostname a\.b is not a host name/,
    /^F:1:89: dhcp-option mtu=1: /,
  ])
  t.match(one(`ip: 10.0.0.7, ${MAC}`), [/^F:1:40: 10\.0\.0\.7 is not in 192\.168\.105\.1\/24/])
  t.match(one(`ip: 192.168.105.1, ${MAC}`), [/^F:1:40: 192\.168\.105\.1 is the address of the gateway/])
  t.match(one(`ip: 192.168.105.7, ${MAC}`, 'dhcp: false, '), [
    /^F:1:47: a reservation where no DHCP server of ours answers/,
  ])
  t.same(one(`ip: 192.168.105.7, ${MAC}`, 'dhcp: answer, '), [])
  t.match(
    one('ip: 192.168.105.3, name: a', 'dhcp-option: router=192.168.105.3, '),
    [/^F:1:75: 192\.168\.105\.3 is the address of the gateway/],
    'nor the address of another router',
  )
  const two = (second: string): string[] =>
    faultsOf(
      `networks:\n  a:\n    reservations:\n    - { ip: 192.168.105.7, name: a }\n    - { ${second} }\n`,
    )
  t.match(two('ip: 192.168.105.7, name: b'), [
    `F:5:13: 192.168.105.7 is reserved already, for the name a (${FILE}, line 4); change it there`,
  ])
  t.match(two('ip: 192.168.105.8, name: A'), [/^F:5:13: the name A has 192\.168\.105\.7 reserved already/])
})

t.test('all faults of all networks at once, and no fault that only follows from another', async t => {
  const faults = faultsOf(
    'log-level: loud\nnetworks:\n  a:\n    gateway: x\n    dhcp-range: 10.0.0.2-10.0.0.9\n  b:\n    mtu: 1\n    dns: x\n    dhcp-range: 1\n    dhcp-exclude: 192.168.105.2-192.168.105.199\n',
  )
  t.same(
    faults.map(line => line.split(' ')[0]),
    ['F:1:12:', 'F:4:14:', 'F:7:10:', 'F:8:10:', 'F:9:17:'],
  )
})

t.test('a gateway that is none hides no fault but those of its subnet', async t => {
  const faults = faultsOf(
    network('gateway: 10.7.0.1, mtu: abc, dhcp-range: 10.7.0.5-10.7.0.9, lease-time: 5 minutes'),
  )
  t.match(faults, [/gateway 10\.7\.0\.1 is not/, /mtu abc/, /lease-time 5 minutes/])
  t.equal(faults.length, 3)
})

t.test('the words of other YAML for true and false', async t => {
  for (const [word, meant] of Object.entries({
    no: 'false',
    Off: 'false',
    False: 'false',
    yes: 'true',
    poll: 'pool',
  }))
    t.match(faultsOf(network(`dhcp: ${word}`)), [
      new RegExp(`dhcp ${word} is not one of .*; try dhcp: ${meant}$`),
    ])
})

t.test('which file a command line means', async t => {
  const own = { file: ownConfig(), isNamed: false }
  const fileOf = (args: string[], env?: NodeJS.ProcessEnv) =>
    configFileOf(flagsOf(args, env), command.options)
  t.same(fileOf([]), own)
  t.same(fileOf(['--log-level', 'debug', '--control', '/c', '--socket-group', '0', '--state-dir', '/s']), own)
  for (const args of [
    ['--gateway', '10.0.0.1/24'],
    ['--no-dhcp'],
    ['--socket', '/s'],
    ['--no-config'],
    ['--uplink', 'none'],
  ])
    t.equal(fileOf(args), undefined, args.join(' '))
  t.equal(fileOf([], { VMBRIDGE_GATEWAY: '10.0.0.1/24' }), undefined)
  t.same(fileOf(['--config', '/a.yaml', '--log-level', 'debug']), { file: '/a.yaml', isNamed: true })
  t.same(fileOf([], { VMBRIDGE_CONFIG: '/a.yaml' }), { file: '/a.yaml', isNamed: true })
  t.throws(() => fileOf(['--config', '/a', '--dns', '1.1.1.1']), {
    code: 'ERR_USAGE',
    message: '--dns with --config: the file says what its networks are',
    hint: 'leave --dns out',
  })
  t.throws(() => fileOf(['--config', '/a', '--isolate']), { message: /^--isolate with --config/ })
  t.throws(() => fileOf(['--config', '/a', '--no-config']), { message: /contradict/ })
  t.throws(() => fileOf(['--config', '']), { message: /takes a path/ })
  t.equal(ownConfig(0, { XDG_CONFIG_HOME: '/x' }), '/etc/vmbridge.yaml')
  t.equal(ownConfig(1000, { XDG_CONFIG_HOME: '/x' }), '/x/vmbridge.yaml')
})

t.test('a file that is there and not read is said', async t => {
  const folder = scratch(t)
  const file = join(folder, 'vmbridge.yaml')
  const passed = (args: string[], env?: NodeJS.ProcessEnv) =>
    passedOver(flagsOf(args, env), command.options, file)
  t.equal(passed(['--dns', '1.1.1.1']), undefined, 'it is not there')
  writeFileSync(file, '')
  t.equal(passed(['--dns', '1.1.1.1']), `${file} is not read: --dns says what the network is`)
  t.match(passed([], { VMBRIDGE_GATEWAY: '10.0.0.1/24' }), /--gateway/)
  t.equal(passed(['--log-level', 'debug']), undefined, 'it is read')
  t.equal(passed(['--no-config', '--dns', '1.1.1.1']), undefined, 'it was said')
})

const GOOD = `
log-level: debug
socket-mode: "0600"
state-dir: /srv/vmbridge
networks:
  default:
    gateway: 192.168.105.1/24
    uplink: none
    socket: [/tmp/a.sock, /tmp/b.sock]
    dhcp-range: 192.168.105.2-192.168.105.199
    dhcp-exclude: [192.168.105.9-192.168.105.9]
    dns: [1.1.1.1, 8.8.8.8]
    dhcp-option: [ntp=192.168.105.1, "224=dead"]
    lease-time: 2h
    reservations:
      - { ip: 192.168.105.7, mac: "52:54:00:12:34:56", hostname: web, options: [mtu=1450] }
      - { ip: 192.168.105.8, name: talos-1 }
  lab: { uplink: none, gateway: 10.7.0.1/24, dhcp: answer, reservations: [{ ip: 10.7.0.2, client-id: "0102" }] }
  lan: { uplink: "socket:/run/other.sock", mtu: 9000 }
`

t.test(
  'the example means what a command line without options does, and so it does with its comments taken away',
  async t => {
    for (const platform of ['linux', 'darwin'] as const) {
      const wanted = settingsOf('networks: { default: { } }', NO_FLAGS, platform)
      t.strictSame(settingsOf(EXAMPLE, NO_FLAGS, platform), wanted)
    }
    const uncommented = EXAMPLE.replaceAll(/^( *)#(?=[a-z-]+:)/gm, '$1')
      .replaceAll(/^( +)#(?= {2})/gm, '$1')
      .replace('socket-group: kvm', 'socket-group: 0')
    const { networks } = settingsOf(uncommented.replace('mode: shared', ''))
    t.same(
      networks.map(({ name, gateway }) => [name, formatCidr(gateway)]),
      [
        ['default', '192.168.105.1/24'],
        ['lab', '10.7.0.1/24'],
      ],
    )
    t.equal(formatIpv4Range(networks[0]!.dhcp!.range!), '192.168.105.2-192.168.105.199')
    t.equal(networks[0]?.reservations?.length, 2)
  },
)

/** What matters of settings: where a reservation is written changes nothing. */
const meaning = (settings: DaemonSettings): unknown => ({
  ...settings,
  networks: settings.networks.map(({ reservations, ...each }) => ({
    ...each,
    dhcp: each.dhcp && {
      ...each.dhcp,
      range: each.dhcp.range ?? defaultRange(each.gateway),
      dns: each.dhcp.dns.length > 0 || each.dhcp.options.has(6) ? each.dhcp.dns : [each.gateway.address],
      leaseSeconds: each.dhcp.leaseSeconds ?? 3600,
    },
    reservations: reservations?.map(({ reservation }) => reservation),
  })),
})

t.test('what is shown is a file that shows the same, with nothing left out', async t => {
  const shown = shownYaml(read(GOOD).config!)
  t.equal(shownYaml(read(shown).config!), shown)
  t.match(shown, /lease-time: 7200s\n[^]*dhcp: answer\n[^]*state-dir: \/srv\/vmbridge\/lan\n/)
  t.same(
    settingsOf(shown).networks.map(({ name, stateDir }) => [name, stateDir]),
    settingsOf(GOOD).networks.map(({ name, stateDir }) => [name, stateDir]),
  )
})

t.test(
  'any text has a meaning or faults with places; and what has a meaning is shown as it is meant',
  async t => {
    const keys = 'networks default lab gateway dhcp socket dns reservations ip mac uplink mode log-level'
    const values = '10.0.0.1/24 192.168.105.7 none true answer /tmp/a debug << *a &a !x'
    const signs = [
      ': ',
      ':',
      '- ',
      ', ',
      '\n',
      '\n  ',
      '\n    ',
      '\t',
      '? ',
      '---\n',
      '\0',
      '\u2028',
      ...'{}[]"\'|>#%',
    ]
    const words = fc.constantFrom(...keys.split(' '), ...values.split(' '), ...signs)
    const soup = fc.array(words, { maxLength: 60 }).map(all => all.join(''))
    const cut = fc.tuple(fc.nat(GOOD.length), fc.nat(30), fc.oneof(words, fc.string({ maxLength: 5 })))
    const mutated = fc
      .array(cut, { minLength: 1, maxLength: 3 })
      .map(cuts =>
        cuts.reduce((text, [at, gone, put]) => text.slice(0, at) + put + text.slice(at + gone), GOOD),
      )
    const anything = fc.oneof(
      mutated,
      soup,
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ maxLength: 200 }),
    )
    let good = 0
    fc.assert(
      fc.property(anything, fc.constantFrom<NodeJS.Platform>('linux', 'darwin'), (text, platform) => {
        const { config, faults } = read(text, NO_FLAGS, platform)
        if (config === undefined) {
          t.ok(faults.length > 0)
          const lines = text.split('\n').length + 1
          for (const { line, column, message } of faults) {
            if (line < 1 || line > lines || column < 1 || message === '' || /[\r\n]/.test(message))
              throw new Error(`${line}:${column}: ${message}`)
          }
          return
        }
        good++
        const again = read(shownYaml(config), NO_FLAGS, platform)
        if (again.config === undefined) throw new Error(JSON.stringify(again.faults))
        t.strictSame(meaning(again.config.settings), meaning(config.settings))
      }),
      {
        numRuns: 1500,
        examples: [
          [GOOD, 'linux'],
          [GOOD, 'darwin'],
          [EXAMPLE, 'darwin'],
        ],
      },
    )
    t.ok(good > 20, `${good} of them had a meaning`)
  },
)
