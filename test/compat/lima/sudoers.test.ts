// The fragment, to the byte as `limactl sudoers` prints it, and who is refused one.

import t from 'tap'
import { sudoersFragment } from '../../../src/compat/lima/commands.js'
import { defaultConfig, readConfig } from '../../../src/compat/lima/config.js'
import { printSudoers } from '../../../src/compat/lima/print-sudoers.js'
import { execute } from '../../helpers/child.js'
import { requires } from '../../helpers/requires.js'
import { FakeMac, FILE, PROGRAM } from './mac.js'

const DEFAULT = String.raw`%admin ALL=(root:wheel) NOPASSWD:NOSETENV: /bin/mkdir -m 775 -p /private/var/run/lima

# Manage "bridged" network daemons

%admin ALL=(root:wheel) NOPASSWD:NOSETENV: \
    /opt/socket_vmnet/bin/socket_vmnet --pidfile=/private/var/run/lima/bridged_socket_vmnet.pid --socket-group=admin --vmnet-mode=bridged --vmnet-interface=en0 /private/var/run/lima/socket_vmnet.bridged, \
    /usr/bin/pkill -F /private/var/run/lima/bridged_socket_vmnet.pid

# Manage "host" network daemons

%admin ALL=(root:wheel) NOPASSWD:NOSETENV: \
    /opt/socket_vmnet/bin/socket_vmnet --pidfile=/private/var/run/lima/host_socket_vmnet.pid --socket-group=admin --vmnet-mode=host --vmnet-gateway=192.168.106.1 --vmnet-dhcp-end=192.168.106.254 --vmnet-mask=255.255.255.0 /private/var/run/lima/socket_vmnet.host, \
    /usr/bin/pkill -F /private/var/run/lima/host_socket_vmnet.pid

# Manage "shared" network daemons

%admin ALL=(root:wheel) NOPASSWD:NOSETENV: \
    /opt/socket_vmnet/bin/socket_vmnet --pidfile=/private/var/run/lima/shared_socket_vmnet.pid --socket-group=admin --vmnet-mode=shared --vmnet-gateway=192.168.105.1 --vmnet-dhcp-end=192.168.105.254 --vmnet-mask=255.255.255.0 /private/var/run/lima/socket_vmnet.shared, \
    /usr/bin/pkill -F /private/var/run/lima/shared_socket_vmnet.pid
`

t.test("Lima's defaults, where there is no networks.yaml", async t => {
  t.strictSame(printSudoers(new FakeMac(), FILE), { text: DEFAULT, warnings: [] })
})

t.test(
  'networks.yaml decides: the path, the folder, the group, and which networks in which order',
  async t => {
    const mac = new FakeMac()
    mac.put('/opt/vb/bin/socket_vmnet', { mode: 0o755 })
    const text = `
paths: {socketVMNet: /opt/vb/bin/socket_vmnet, varRun: /private/var/run/l}
group: staff
networks:
  zeta: {mode: host, gateway: 10.0.0.1, dhcpEnd: 10.0.0.9, netmask: 255.255.0.0}
  mine: {mode: user-v2, gateway: 10.9.0.1}
  Alpha: {mode: bridged, interface: en7}
  10: {mode: shared, gateway: 10.8.0.1}
`
    mac.put(FILE, { text })
    const { text: fragment, warnings } = printSudoers(mac, FILE)
    t.strictSame(warnings, [])
    t.match(
      fragment,
      /^%staff ALL=\(root:wheel\) NOPASSWD:NOSETENV: \/bin\/mkdir -m 775 -p \/private\/var\/run\/l\n/,
    )
    t.strictSame(fragment.match(/(?<=# Manage ).*(?= network)/g), ['"10"', '"Alpha"', '"zeta"'])
    t.match(
      fragment,
      ' --socket-group=staff --vmnet-mode=bridged --vmnet-interface=en7 /private/var/run/l/socket_vmnet.Alpha, ',
    )
    t.match(fragment, ' --vmnet-gateway=10.0.0.1 --vmnet-dhcp-end=10.0.0.9 --vmnet-mask=255.255.0.0 ')
    // Lima has no defaults for these.
    t.match(fragment, ' --vmnet-gateway=10.8.0.1 --vmnet-dhcp-end=<nil> --vmnet-mask=<nil> ')
  },
)

t.test("the group of root's is the system's, but for mkdir, where it is wheel", async t => {
  const fragment = sudoersFragment(defaultConfig(PROGRAM), 'root')
  t.equal(
    fragment,
    DEFAULT.replaceAll('(root:wheel) NOPASSWD:NOSETENV: \\', '(root:root) NOPASSWD:NOSETENV: \\'),
  )
})

t.test(
  'a network of mode user-v2 needs no sudo, and one without a gateway is replaced by that of Lima',
  async t => {
    const { config } = readConfig('networks: {user-v2: {mode: shared, gateway: 9.9.9.1}}', FILE)
    t.equal(config.networks.get('user-v2')?.mode, 'user-v2')
    t.notMatch(sudoersFragment(config, 'wheel'), 'user-v2')
  },
)

t.test('visudo takes it', { skip: requires(['visudo']) }, async t => {
  const taken = await execute(['visudo', '-cf', '-'], { input: DEFAULT })
  t.equal(taken.status, 0, taken.stderr)
  const refused = await execute(['visudo', '-cf', '-'], { input: DEFAULT.replaceAll('%admin', '%') })
  t.not(refused.status, 0, 'and refuses what it should')
})

t.test('a program that is named, and may be yet to be installed', async t => {
  const mac = new FakeMac()
  const { text, warnings } = printSudoers(mac, FILE, '/opt/new/bin/socket_vmnet')
  t.equal(text, DEFAULT.replaceAll('/opt/socket_vmnet/bin', '/opt/new/bin'))
  t.strictSame(warnings, [
    `Lima takes ${PROGRAM}: Lima will ask for another fragment until paths.socketVMNet is /opt/new/bin/socket_vmnet`,
    '/opt/new/bin/socket_vmnet is not there yet: sudo vmbridge install --prefix /opt/new',
  ])
})

t.test('nothing is printed that would hand out root', async t => {
  const refusals: [spoil: (mac: FakeMac) => void, code: string, says: RegExp][] = [
    [mac => mac.remove(PROGRAM), 'ERR_LIMA_PATH', /no program "\/opt\/socket_vmnet\/bin\/socket_vmnet"/],
    [mac => mac.put('/opt', { uid: 501 }), 'ERR_LIMA_PATH', /^\/opt is of the user 501/],
    [
      mac => mac.put('/private/var', { mode: 0o777 }),
      'ERR_LIMA_PATH',
      /^\/private\/var can be written by everybody/,
    ],
    [
      mac =>
        mac.put(FILE, {
          text: `paths: {socketVMNet: ${PROGRAM}, varRun: /v}\ngroup: "a ALL=(ALL) ALL\\n%b"`,
        }),
      'ERR_LIMA_CONFIG',
      /group "a ALL=\(ALL\) ALL\\n%b" is no name/,
    ],
    [
      mac =>
        mac.put(FILE, {
          text: `paths: {socketVMNet: ${PROGRAM}, varRun: /v}\ngroup: a\nnetworks: {"a\\nb": {}}`,
        }),
      'ERR_LIMA_CONFIG',
      /the name of a network "a\\nb" is no name/,
    ],
    [
      mac => mac.put(FILE, { text: `paths: {socketVMNet: ${PROGRAM}, varRun: "/v,/bin/sh"}\ngroup: a` }),
      'ERR_LIMA_PATH',
      /^"\/v,\/bin\/sh" has a sign in it/,
    ],
    [
      // Below what is not there nothing could be looked at, and the fragment would name /tmp/v.
      mac => mac.put(FILE, { text: `paths: {socketVMNet: ${PROGRAM}, varRun: /none/../tmp/v}\ngroup: a` }),
      'ERR_LIMA_PATH',
      /^"\/none\/\.\.\/tmp\/v" has \.\. in it/,
    ],
    [
      mac => {
        mac.put('/private/link', { kind: 'link' })
        // lstat follows it there.
        mac.put('/private/link/', { kind: 'folder', mode: 0o755 })
        mac.put(FILE, { text: `paths: {socketVMNet: ${PROGRAM}, varRun: /private/link/}\ngroup: a` })
      },
      'ERR_LIMA_PATH',
      /^\/private\/link is a symbolic link/,
    ],
    [
      mac => mac.put(FILE, { text: `paths: {socketVMNet: ${PROGRAM}, varRun: /v}` }),
      'ERR_LIMA_CONFIG',
      /group "" is/,
    ],
  ]
  for (const [spoil, code, message] of refusals) {
    const mac = new FakeMac()
    spoil(mac)
    t.throws(() => printSudoers(mac, FILE), { code, message }, String(message))
  }
  const mac = new FakeMac()
  mac.put('/opt', { uid: 501 })
  t.throws(() => printSudoers(mac, FILE, '/opt/new/bin/socket_vmnet'), { code: 'ERR_LIMA_PATH' })
  // Folders, and what sudo reads as all that is in one.
  for (const folder of ['/private/var', '/private/var/', '/none/bin/'])
    t.throws(() => printSudoers(new FakeMac(), FILE, folder), { message: /no program/ }, folder)
})
