// `vmbridge lima check` on a Mac where all is well, and then with one fault at a time: each is found by its own check,
// with what Lima demands and what to do, and nothing else is blamed.

import t from 'tap'
import { checkLima } from '../../../src/compat/lima/check.js'
import { sudoersFragment } from '../../../src/compat/lima/commands.js'
import { defaultConfig, readConfig } from '../../../src/compat/lima/config.js'
import type { Finding } from '../../../src/compat/lima/finding.js'
import { FakeMac, FILE, PROGRAM, SUDOERS, VAR_RUN } from './mac.js'

const PIDFILE = `${VAR_RUN}/shared_socket_vmnet.pid`
const SOCKET = `${VAR_RUN}/socket_vmnet.shared`
const INSTALL = 'sudo vmbridge install --prefix /opt/socket_vmnet'

function goodMac(): FakeMac {
  const mac = new FakeMac()
  mac.put(SUDOERS, { text: sudoersFragment(defaultConfig(PROGRAM), 'wheel') })
  return mac
}

/** Writes a networks.yaml, and the fragment that goes with it. */
function write(mac: FakeMac, text: string): void {
  const all = `paths: {socketVMNet: ${PROGRAM}, varRun: ${VAR_RUN}, sudoers: ${SUDOERS}}\n${text}`
  mac.put(FILE, { text: all })
  mac.put(SUDOERS, { text: sudoersFragment(readConfig(all, FILE).config, 'wheel') })
}

/** A pidfile in a folder as Lima makes it. */
function leave(mac: FakeMac, text: string): void {
  mac.put(VAR_RUN, { kind: 'folder', gid: 1, mode: 0o775 })
  mac.put(PIDFILE, { text })
}

const network = (name: string, fields: string) => `group: admin\nnetworks:\n  ${name}: {${fields}}\n`

t.test('where all is well, all is ok', async t => {
  const findings = await checkLima(goodMac(), FILE)
  t.ok(findings.every(({ status, rule, fix }) => status === 'ok' && rule === undefined && fix === undefined))
  t.strictSame(
    findings.map(({ name }) => name),
    'system,user,config,program,path,tree,varRun,group,sudoers,syntax,network bridged,network host,network shared,run bridged,run host,run shared'.split(
      ',',
    ),
  )
})

t.test('the same with a networks.yaml that says the same', async t => {
  const mac = goodMac()
  write(mac, network('shared', 'mode: shared, gateway: 10.1.2.1, dhcpEnd: 10.1.2.9, netmask: 255.255.255.0'))
  const findings = await checkLima(mac, FILE)
  t.strictSame(
    findings.filter(({ status }) => status !== 'ok'),
    [],
  )
})

type Fault = [what: string, spoil: (mac: FakeMac) => void, check: string, says: RegExp, fix: RegExp]

const FAULTS: Fault[] = [
  ['root asks', mac => (mac.uid = 0), 'user', /this is root/, /without sudo/],
  [
    'networks.yaml is no YAML',
    mac => mac.put(FILE, { text: 'a: [' }),
    'config',
    /line 1, column /,
    /correct it/,
  ],
  [
    'networks.yaml cannot be read',
    mac => mac.put(FILE, { error: 'EACCES' }),
    'config',
    /cannot read .*EACCES/,
    /read/,
  ],
  [
    'a network has a name that Lima refuses',
    mac => write(mac, network('"a b"', 'mode: user-v2')),
    'config',
    /the name of a network "a b" is no name/,
    /another name in/,
  ],
  [
    'a name is too long',
    mac => write(mac, network('a'.repeat(77), 'mode: user-v2')),
    'config',
    /"a{77}" is no name/,
    /another name in/,
  ],
  [
    "the program is in a folder of Homebrew, which is a user's on purpose",
    mac => {
      const cellar = '/opt/homebrew/Cellar/socket_vmnet/1.2.2/bin/socket_vmnet'
      write(mac, 'group: admin\n')
      const text = mac.read(FILE).replace(PROGRAM, cellar)
      mac.put(FILE, { text })
      mac.put(SUDOERS, { text: sudoersFragment(readConfig(text, FILE).config, 'wheel') })
      mac.put(cellar, { mode: 0o755, uid: 501 })
      mac.trees.set(cellar, mac.tree(PROGRAM))
    },
    'path',
    /Cellar\S+ is of the user 501/,
    /^in \S+networks\.yaml: paths\.socketVMNet: \/opt\/socket_vmnet\/bin\/socket_vmnet$/,
  ],
  [
    'varRun has a space in it',
    mac => {
      write(mac, 'group: admin\nnetworks: {}\n')
      const text = mac.read(FILE).replace(VAR_RUN, "'/private/var/run/my lima'")
      mac.put(FILE, { text })
      mac.put(SUDOERS, { text: sudoersFragment(readConfig(text, FILE).config, 'wheel') })
    },
    'varRun',
    /^"\/private\/var\/run\/my lima" has a space in it$/,
    /paths\.varRun: \/private\/var\/run\/lima/,
  ],
  [
    'there is no socket_vmnet',
    mac => mac.remove('/opt/socket_vmnet'),
    'program',
    /is none \(no networks/,
    RegExp(INSTALL),
  ],
  [
    'networks.yaml names a program that is gone, and ours is where Lima looks first',
    mac => {
      write(mac, 'group: admin\n')
      const text = mac.read(FILE).replace(PROGRAM, '/opt/homebrew/Cellar/socket_vmnet/1.2.1/bin/socket_vmnet')
      mac.put(FILE, { text })
      mac.put(SUDOERS, { text: sudoersFragment(readConfig(text, FILE).config, 'wheel') })
    },
    'program',
    /Cellar\S+ is none \(\/Users/,
    /^in \S+networks\.yaml: paths\.socketVMNet: \/opt\/socket_vmnet\/bin\/socket_vmnet$/,
  ],
  [
    'the program is no program',
    mac => mac.put(PROGRAM, { mode: 0o644 }),
    'program',
    /is none/,
    RegExp(INSTALL),
  ],
  [
    'a component is a link',
    mac => mac.put('/opt/socket_vmnet', { kind: 'link' }),
    'path',
    /^\/opt\/socket_vmnet is a symbolic link/,
    RegExp(INSTALL),
  ],
  [
    "a component is not root's",
    mac => mac.put('/opt', { uid: 501 }),
    'path',
    /^\/opt is of the user 501/,
    /^sudo chown root \/opt$/,
  ],
  [
    "the program is not root's",
    mac => mac.put(PROGRAM, { uid: 501 }),
    'path',
    /socket_vmnet is of the user 501/,
    /^sudo chown root/,
  ],
  [
    'a group may write',
    mac => mac.put('/opt', { gid: 80, mode: 0o775 }),
    'path',
    /^\/opt can be written by the group 80/,
    /^sudo chmod g-w \/opt$/,
  ],
  [
    'everybody may write',
    mac => mac.put('/opt/socket_vmnet/bin', { mode: 0o757 }),
    'path',
    /bin can be written by everybody/,
    /^sudo chmod o-w/,
  ],
  [
    "the daemon's group may write",
    mac => mac.put('/opt', { gid: 1, mode: 0o775 }),
    'path',
    /by the group 1/,
    /chmod g-w/,
  ],
  [
    "the program is another's",
    mac => mac.trees.clear(),
    'tree',
    /is not vmbridge's/,
    /^move \/opt\/socket_vmnet away; then sudo vmbridge install/,
  ],
  [
    'the tree was changed',
    mac =>
      mac.trees.set(PROGRAM, { kind: 'ours', version: '1', folder: '/f', files: 1, wrong: '/f/node is bad' }),
    'tree',
    /^\/f\/node is bad$/,
    RegExp(`^${INSTALL}$`),
  ],
  [
    'varRun is of another group',
    mac => mac.put(VAR_RUN, { kind: 'folder', gid: 0, mode: 0o775 }),
    'varRun',
    /of the group 0, with the mode 0775/,
    /chgrp daemon/,
  ],
  [
    'varRun cannot be written by its group',
    mac => mac.put(VAR_RUN, { kind: 'folder', gid: 1, mode: 0o755 }),
    'varRun',
    /mode 0755/,
    /chmod g\+w/,
  ],
  [
    'varRun would get another group',
    mac => mac.put('/private/var/run', { gid: 0 }),
    'varRun',
    /would be of the group 0/,
    /^sudo mkdir -m 775 -p \/private\/var\/run\/lima && sudo chgrp daemon/,
  ],
  [
    "a component of varRun is not root's",
    mac => mac.put('/private/var', { uid: 5 }),
    'varRun',
    /^\/private\/var is of the user 5/,
    /^sudo chown root/,
  ],
  [
    'a component of varRun may be written by a group',
    mac => mac.put('/private/var', { gid: 20, mode: 0o775 }),
    'varRun',
    /^\/private\/var can be written by the group 20/,
    /chmod g-w/,
  ],
  [
    'daemon cannot enter a component of varRun',
    mac => mac.put('/private/var', { mode: 0o750 }),
    'varRun',
    /cannot be entered by the group daemon/,
    /chmod o\+x/,
  ],
  [
    'a component of varRun is a link',
    mac => mac.put('/private/var/run', { kind: 'link' }),
    'varRun',
    /run is a symbolic link/,
    /paths\.varRun: \/private/,
  ],
  ['there is no user daemon', mac => (mac.daemon = undefined), 'varRun', /no user daemon/, /make one/],
  ['there is no such group', mac => write(mac, 'group: nobodys\n'), 'group', /no group "nobodys"/, /group: /],
  [
    'the user is not in the group',
    mac => (mac.memberOf = [20]),
    'group',
    /you are not in the group admin/,
    /dseditgroup .* admin, and log in again/,
  ],
  [
    'the fragment is of an older program',
    mac => mac.put(SUDOERS, { text: mac.read(SUDOERS).replace('/opt/s', '/old/s') }),
    'sudoers',
    /differs from line 6 on: "    \/old\/socket_vmnet/,
    /print-sudoers >lima\.sudoers && sudo install/,
  ],
  [
    'the fragment ends too early',
    mac => mac.put(SUDOERS, { text: mac.read(SUDOERS).trimEnd() }),
    'sudoers',
    /differs from line 20 on: "its end"/,
    /print-sudoers/,
  ],
  [
    'the fragment has more',
    mac => mac.put(SUDOERS, { text: `${mac.read(SUDOERS)}# more\n` }),
    'sudoers',
    /differs from line 20 on: "# more"/,
    /print-sudoers/,
  ],
  [
    'the fragment cannot be read',
    mac => {
      const { read } = mac
      mac.read = path => {
        if (path === SUDOERS) throw Object.assign(new Error('EACCES'), { code: 'EACCES' })
        return read(path)
      }
    },
    'sudoers',
    /you may not read it/,
    /chmod 0644/,
  ],
  [
    "the fragment is not root's",
    mac => mac.put(SUDOERS, { uid: 501 }),
    'sudoers',
    /lima is of the user 501/,
    /chown root/,
  ],
  [
    'the folder of fragments cannot be looked into',
    mac => mac.put(SUDOERS, { error: 'EACCES' }),
    'sudoers',
    /cannot be looked at: EACCES/,
    /paths\.sudoers/,
  ],
  [
    'there is no fragment, and sudo asks for a password',
    mac => {
      mac.remove(SUDOERS)
      mac.answers.set('/usr/bin/sudo', { status: 1, stdout: '', stderr: 'sudo: a password is required\n' })
    },
    'sudoers',
    /is not there/,
    /print-sudoers >lima\.sudoers && sudo install -o root/,
  ],
  [
    'visudo does not take it',
    mac => mac.answers.set('/usr/sbin/visudo', { status: 1, stdout: '', stderr: 'x:1:2: syntax error\n' }),
    'syntax',
    /x:1:2: syntax error/,
    /print-sudoers/,
  ],
  [
    'a network has no mode',
    mac => write(mac, network('a', 'gateway: 1.1.1.1')),
    'network a',
    /no mode/,
    /networks\.a/,
  ],
  [
    'a network has a mode that is none',
    mac => write(mac, network('a', 'mode: wild')),
    'network a',
    /unknown vmnet mode "wild"/,
    /networks\.a/,
  ],
  [
    'a network has no gateway',
    mac => write(mac, network('a', 'mode: host, dhcpEnd: 1.1.1.9, netmask: 255.255.255.0')),
    'network a',
    /gateway is missing/,
    /networks\.a/,
  ],
  [
    'a network has no dhcpEnd',
    mac => write(mac, network('a', 'mode: host, gateway: 1.1.1.1, netmask: 255.255.255.0')),
    'network a',
    /dhcpEnd is missing/,
    /networks\.a/,
  ],
  [
    'a network has no netmask',
    mac => write(mac, network('a', 'mode: host, gateway: 1.1.1.1, dhcpEnd: 1.1.1.9')),
    'network a',
    /netmask is missing/,
    /networks\.a/,
  ],
  [
    'a netmask is none',
    mac => write(mac, network('a', 'mode: host, gateway: 1.1.1.1, dhcpEnd: 1.1.1.9, netmask: 255.0.255.0')),
    'network a',
    /"255\.0\.255\.0" is not a subnet mask/,
    /networks\.a/,
  ],
  [
    'dhcpEnd is outside',
    mac => write(mac, network('a', 'mode: host, gateway: 1.1.1.1, dhcpEnd: 1.1.2.9, netmask: 255.255.255.0')),
    'network a',
    /1\.1\.2\.9 is not behind the gateway/,
    /networks\.a/,
  ],
  [
    'a bridged network has no interface',
    mac => write(mac, network('a', 'mode: bridged')),
    'network a',
    /interface is missing/,
    /networks\.a/,
  ],
  [
    'an interface cannot be bridged',
    mac => (mac.interfaces = ['en7']),
    'network bridged',
    /en0 cannot be bridged/,
    /networks\.bridged/,
  ],
  [
    'two networks have one subnet',
    mac => {
      const fields = 'mode: host, gateway: 10.0.0.1, dhcpEnd: 10.0.0.9, netmask: 255.0.0.0'
      write(mac, `${network('a', fields)}  b: {${fields.replace('10.0.0.1', '10.0.0.2')}}\n`)
    },
    'network b',
    /its subnet is one with that of a/,
    /networks\.b/,
  ],
  [
    'a socket has too long a name',
    mac => write(mac, network('a'.repeat(76), 'mode: bridged, interface: en0')),
    `network ${'a'.repeat(76)}`,
    /is too long/,
    /networks\.a/,
  ],
  [
    'a pidfile is empty',
    mac => leave(mac, ''),
    'run shared',
    /holds ""/,
    /^sudo rm \S+shared_socket_vmnet\.pid$/,
  ],
  ['a pidfile is no number', mac => leave(mac, '12x'), 'run shared', /holds "12x"/, /^sudo rm/],
  ['a pidfile names no process there can be', mac => leave(mac, '0'), 'run shared', /holds "0"/, /^sudo rm/],
  [
    'a pidfile names a stranger',
    mac => (leave(mac, '77'), mac.living.add(77)),
    'run shared',
    /names process 77, but nobody listens/,
    /^sudo rm/,
  ],
  [
    'the socket does not let this user in',
    mac => (leave(mac, '77'), mac.living.add(77), mac.knocks.set(SOCKET, 'denied')),
    'run shared',
    /you may not connect/,
    /see group/,
  ],
  [
    'somebody else serves the socket',
    mac => mac.knocks.set(SOCKET, 'answered'),
    'run shared',
    /something else serves/,
    /lsof/,
  ],
]

for (const [what, spoil, check, says, fix] of FAULTS) {
  t.test(`found: ${what}`, async t => {
    const mac = goodMac()
    spoil(mac)
    const findings = await checkLima(mac, FILE)
    const failures = findings.filter(({ status }) => status === 'failed')
    const [found] = failures
    t.strictSame([...new Set(failures.map(({ name }) => name))], [check], JSON.stringify(failures))
    t.match(found?.detail, says)
    t.match(found?.fix, fix)
    t.match(found?.rule, /\w/)
  })
}

const only = async (mac: FakeMac, name: string): Promise<Finding | undefined> =>
  (await checkLima(mac, FILE)).find(each => each.name === name)

t.test('what is no fault', async t => {
  const cases: [spoil: (mac: FakeMac) => void, check: string, says: RegExp][] = [
    [mac => mac.put('/opt', { gid: 0, mode: 0o775 }), 'path', /root's alone/],
    [
      mac => mac.put(VAR_RUN, { kind: 'folder', gid: 1, mode: 0o775 }),
      'varRun',
      /root's, and of the group daemon/,
    ],
    [mac => mac.remove(SUDOERS), 'sudoers', /is not there, but sudo asks you for no password/],
    [mac => leave(mac, '77'), 'run shared', /a pidfile of the dead process 77/],
    [mac => mac.knocks.set(SOCKET, 'refused'), 'run shared', /an old socket, replaced/],
    [
      mac => (leave(mac, '77\n'), mac.living.add(77), mac.knocks.set(SOCKET, 'answered')),
      'run shared',
      /running, process 77/,
    ],
    [
      mac => write(mac, 'group: admin\nvdeSwitch: x\n'),
      'config',
      /Lima warns of .*: vdeSwitch \(line 3, column 1\)/,
    ],
  ]
  for (const [spoil, check, says] of cases) {
    const mac = goodMac()
    spoil(mac)
    t.match(await only(mac, check), { status: 'ok', detail: says }, String(says))
  }
})

t.test('sudo is asked only where there is no fragment, and what was typed before does not count', async t => {
  const mac = goodMac()
  await checkLima(mac, FILE)
  t.strictSame(mac.ran, [`/usr/sbin/visudo -cf ${SUDOERS}`])
  mac.remove(SUDOERS)
  await checkLima(mac, FILE)
  t.equal(mac.ran[1], '/usr/bin/sudo -k --user root --group wheel --non-interactive true')
})

t.test('what cannot be looked at here is skipped, with the reason', async t => {
  const mac = goodMac()
  mac.platform = 'linux'
  mac.interfaces = undefined
  mac.answers.set('/usr/sbin/visudo', { status: null, stdout: '', stderr: '' })
  const skips = (await checkLima(mac, FILE)).filter(({ status }) => status === 'skipped')
  t.strictSame(
    skips.map(({ name }) => name),
    ['system', 'syntax', 'network bridged'],
  )
  write(mac, 'group: admin\n')
  t.match(await only(mac, 'networks'), { status: 'skipped', detail: /has none/ })
})
