// "Daemon command line" of the contract, on the program: exit status, stream and message of each rule. What the words
// mean is in socket-vmnet-options.test.ts.

import { lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { asNobody, NOBODY } from '../cli/command.js'
import { namespace } from '../clients/host.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'
import {
  COMPAT_NEEDS,
  place,
  refusedSocketVmnet,
  SOCKET_VMNET,
  startSocketVmnet,
  withMounts,
} from './socket-vmnet.js'

t.setTimeout(300_000)

const skip = requires(COMPAT_NEEDS)
const GATEWAY = '--vmnet-gateway=192.168.105.1'
const UUID = '550e8400-e29b-41d4-a716-446655440000'

t.test('not exactly one positional: usage on stdout, exit 1', async t => {
  for (const args of [[], ['/a', '/b'], ['/a', '--', '/b'], ['--vmnet-mode=host']]) {
    const { status, stdout, stderr } = await execute([SOCKET_VMNET, ...args])
    t.equal(status, 1)
    t.match(stdout, /^Usage: socket_vmnet \[OPTION\]\.\.\. SOCKET\n/)
    t.equal(stderr, '')
  }
})

t.test('-h, -v: stdout, exit 0', async t => {
  for (const [flag, expected] of [
    ['-h', /^Usage: socket_vmnet /],
    ['--help', /--vmnet-disable-dhcp/],
    ['-v', /^\d+\.\d+\.\d+\S*\n$/],
    ['--version', /^\d+\.\d+\.\d+\S*\n$/],
  ] as const) {
    const { status, stdout, stderr } = await execute([SOCKET_VMNET, flag])
    t.strictSame({ status, stderr }, { status: 0, stderr: '' })
    t.match(stdout, expected, flag)
  }
})

t.test('a wrong word: one ERROR line, the usage on stdout, exit 1', async t => {
  for (const [args, message] of [
    [['--vmnet-mode=nat'], 'unknown vmnet mode "nat": it is host, shared or bridged'],
    [['--vmnet-mode=bridged'], 'vmnet mode "bridged" requires --vmnet-interface to be specified'],
    [
      ['--vmnet-mode=bridged', '--vmnet-interface=en0', GATEWAY],
      'vmnet mode "bridged" conflicts with --vmnet-gateway',
    ],
    [['--vmnet-dhcp-end=192.168.105.9'], '--vmnet-dhcp-end requires --vmnet-gateway to be specified'],
    [['--vmnet-mask=255.255.255.0'], '--vmnet-mask requires --vmnet-gateway to be specified'],
    [['--vmnet-interface-id=1'], '--vmnet-interface-id: "1" is not a UUID'],
    [['--nope'], "unrecognized option '--nope'"],
  ] as const) {
    const { status, stdout, stderr } = await execute([SOCKET_VMNET, ...args, '/tmp/never'])
    t.equal(status, 1)
    t.match(stdout, /^Usage: socket_vmnet /)
    t.equal(stderr, `ERROR| ${message}\n`)
  }
})

t.test('--socket-group: unknown group: exit 1', { skip }, async t => {
  const folder = place(t)
  const args = [GATEWAY, '--socket-group=no such group', join(folder, 's')]
  const { status, stdout, stderr } = await refusedSocketVmnet({ netns: await namespace(t), folder, args })
  t.strictSame({ status, stdout }, { status: 1, stdout: '' })
  t.match(stderr, /^ERROR\| unknown group name "no such group"\nERROR\| try: [^\n]+\n$/)
  t.strictSame(readdirSync(folder), [])
})

t.test("Homebrew's formula test: bind: Address already in use, exit 1", { skip }, async t => {
  const user = asNobody(['env', `HOME=${place(t)}`, SOCKET_VMNET, '/dev/null', '--socket-group=nogroup'])
  for (const argv of [[SOCKET_VMNET, '/dev/null'], user]) {
    const { status, stdout, stderr } = await execute(argv)
    t.strictSame({ status, stdout }, { status: 1, stdout: '' })
    t.match(stderr, /^ERROR\| bind: Address already in use(: |$)/m)
    t.ok(lstatSync('/dev/null').isCharacterDevice(), 'which is never deleted')
  }
})

t.test('not root: a warning, and then why there is no uplink', { skip }, async t => {
  const folder = place(t)
  const own = join(folder, 'own')
  mkdirSync(own)
  await execute(['chown', '-R', `${NOBODY}:${NOBODY}`, folder])
  const { status, stdout, stderr } = await execute(
    asNobody(['env', `HOME=${own}`, SOCKET_VMNET, GATEWAY, '--socket-group=nogroup', join(folder, 's')]),
  )
  t.strictSame({ status, stdout }, { status: 1, stdout: '' })
  const [warning, mode, ...errors] = stderr.trimEnd().split('\n')
  t.match(warning, /^WARN \| Running without root/)
  t.match(mode, /^INFO \| Initializing/)
  t.match(errors, [/^ERROR\| making a TAP needs root/, /^ERROR\| try: start it with sudo$/])
  t.strictSame(readdirSync(folder), ['own'], 'no socket is left')
})

t.test('setuid: a warning', { skip }, async t => {
  // Without the shell of a checkout, which gives such rights up.
  const launcher = join(ROOT, 'build/Release/launcher')
  const script = join(ROOT, 'dist/src/compat/socket-vmnet.js')
  const argv = ['setpriv', `--ruid=${NOBODY}`, '--', launcher, process.execPath, script, GATEWAY, '/dev/null']
  const { status, stderr } = await execute(argv)
  t.equal(status, 1)
  t.match(stderr, /^WARN \| Seems running with SETUID/)
  t.notMatch(stderr, /without root/)
})

t.test('a warning if --vmnet-gateway is absent in shared, and nowhere else', { skip }, async t => {
  const netns = await namespace(t)
  const warned = await startSocketVmnet(t, { netns })
  t.match(warned.child.lines[0].text, /^WARN \| --vmnet-gateway is unset/)
  await warned.child.close('SIGTERM')
  for (const args of [[GATEWAY], ['--vmnet-mode=host']]) {
    const { child } = await startSocketVmnet(t, { netns, args })
    t.notMatch(child.text(2), /WARN/)
    await child.close('SIGTERM')
  }
})

t.test('bridged needs macOS: exit 1', { skip }, async t => {
  const folder = place(t)
  const args = ['--vmnet-mode', 'bridged', '--vmnet-interface', 'en0', join(folder, 's')]
  const { status, stderr } = await refusedSocketVmnet({ netns: await namespace(t), folder, args })
  t.equal(status, 1)
  t.match(stderr, /^ERROR\| vmnet mode "bridged" needs macOS\nERROR\| try: /)
})

t.test('path too long: a clear error', { skip }, async t => {
  const folder = place(t)
  const netns = await namespace(t)
  const long = join(folder, 'x'.repeat(108 - folder.length))
  const { status, stderr } = await refusedSocketVmnet({ netns, folder, args: [GATEWAY, long] })
  t.equal(status, 1)
  t.match(stderr, new RegExp(`^ERROR\\| ${long} is longer than the 107 bytes`))
})

t.test('a relative path in a folder that is gone: a clear error, exit 1', async t => {
  const command = 'mkdir "$1" && cd "$1" && rmdir "$1" && exec "$0" --socket-group=root s'
  const { status, stdout, stderr } = await execute([
    'sh',
    '-c',
    command,
    SOCKET_VMNET,
    join(t.testdir(), 'gone'),
  ])
  t.equal(status, 1)
  t.equal(stdout, '')
  t.match(
    stderr,
    /^ERROR\| s: no path to the current folder: ENOENT[^\n]*\nERROR\| try: an absolute path\n$/m,
  )
})

t.test('the longest path that a Mac takes has room for what stands beside it', { skip }, async t => {
  const folder = place(t)
  const netns = await namespace(t)
  const socket = join(folder, 'x'.repeat(102 - folder.length))
  t.equal(socket.length, 103)
  const mounts = { '/var/lib': folder, '/run': folder }
  const child = Child.launch(netns.wrap(withMounts(mounts, [SOCKET_VMNET, socket, GATEWAY])))
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/^INFO \| ready: /)
  t.ok(lstatSync(socket).isSocket())
  await child.close('SIGTERM')
})

t.test('a path that is no socket is never deleted', { skip }, async t => {
  const folder = place(t)
  const netns = await namespace(t)
  const file = join(folder, 'file')
  writeFileSync(file, 'precious')
  for (const path of [file, folder]) {
    const { status, stderr } = await refusedSocketVmnet({ netns, folder, args: [GATEWAY, path] })
    t.equal(status, 1)
    t.match(stderr, `ERROR| bind: Address already in use: ${path} exists and is not a socket`)
  }
  t.equal(statSync(file).size, 8)
})

t.test('every argv of the contract starts, with what stands for vmnet here', { skip }, async t => {
  const netns = await namespace(t)
  for (const args of [
    '--vmnet-gateway=192.168.105.1',
    '--socket-group=staff --vmnet-mode=shared --vmnet-gateway=192.168.105.1 --vmnet-dhcp-end=192.168.105.254 --vmnet-mask=255.255.255.0',
    '--vmnet-mode=host --vmnet-gateway=192.168.106.1 --vmnet-dhcp-end=192.168.106.254 --vmnet-mask=255.255.255.0',
    '--vmnet-mode shared --socket-group staff --vmnet-gateway 192.168.106.1 --vmnet-dhcp-end 192.168.106.254',
    `--vmnet-mo host --vmnet-net ${UUID} --vmnet-interface-id ${UUID}`,
    '--vmnet-gateway=192.168.105.1 --vmnet-nat66-prefix=fd00:1234:: --vmnet-dis',
  ]) {
    const { child } = await startSocketVmnet(t, { netns, args: args.split(' ') })
    t.equal(child.text(1), '', 'nothing on stdout')
    t.strictSame(await child.close('SIGTERM'), { code: 0, signal: null }, args)
  }
})
