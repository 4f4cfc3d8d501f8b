// What a person meets who asks for help or gets a command line wrong: help goes to stdout with status 0; what is
// wrong is said on stderr, with what to try and status 2, before anything was started or touched.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { execute } from '../helpers/child.js'
import { ROOT } from '../helpers/root.js'
import { scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

const COMMANDS =
  'daemon run plug interfaces selftest status leases reservations install uninstall lima service talos'.split(
    ' ',
  )

for (const command of COMMANDS) {
  t.test(`vmbridge ${command} --help shows the options with examples`, async t => {
    const asked = await vmbridge([command, '--help'])
    t.equal(asked.status, 0)
    t.equal(asked.stderr, '')
    t.match(asked.stdout, new RegExp(`^usage: vmbridge ${command} `, 'm'))
    t.match(asked.stdout, /\nexamples:\n {2}\S/)
    for (const words of [
      [command, '-h'],
      ['help', command],
    ])
      t.strictSame(await vmbridge(words), asked, words.join(' '))
  })
}

t.test('vmbridge --help lists the commands', async t => {
  const asked = await vmbridge(['--help'])
  t.equal(asked.status, 0)
  t.equal(asked.stderr, '')
  for (const command of COMMANDS) t.match(asked.stdout, new RegExp(`^ {2}${command} `, 'm'))
  for (const word of ['-h', 'help']) t.strictSame(await vmbridge([word]), asked, word)
})

t.test('vmbridge --version prints the version of the package', async t => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  for (const word of ['--version', '-v'])
    t.strictSame(await vmbridge([word]), { status: 0, stdout: `${version}\n`, stderr: '' }, word)
})

t.test('a relative path in a folder that is gone', async t => {
  const command = 'mkdir "$1" && cd "$1" && rmdir "$1" && exec "$0" lima check --networks x'
  const bin = join(ROOT, 'bin/vmbridge')
  const { status, stdout, stderr } = await execute(['sh', '-c', command, bin, join(scratch(t), 'gone')])
  t.strictSame({ status, stdout }, { status: 1, stdout: '' })
  t.match(stderr, /^vmbridge: the current folder has no path: ENOENT[^\n]*\n {2}try: cd to another[^\n]*\n$/m)
})

/** `says`: what the message must hold, mostly the option and what was given. */
type Wrong = [args: string[], says: RegExp, env?: Record<string, string>]

const WRONG_COMMANDS: Wrong[] = [
  [[], /no command/],
  [['nonsense'], /"nonsense"/],
  [['--nonsense'], /"--nonsense"/],
  [['help', 'nonsense'], /"nonsense"/],
  // Names that every JavaScript object answers to.
  [['constructor'], /"constructor"/],
  [['__proto__'], /"__proto__"/],
  [['help', 'toString'], /"toString"/],
  [['status', '--nonsense'], /--nonsense/],
  [['status', 'nonsense'], /"nonsense"/],
  [['run'], /program/],
  [['run', '--'], /program/],
  [['run', '--nonsense', 'true'], /--nonsense/],
  [['run', '--socket'], /--socket/],
  [['plug'], /name/],
  [['plug', 'a', 'b'], /name/],
  [['plug', 'a', '--mac', 'nonsense'], /--mac nonsense/],
  [['plug', 'a', '--mac', '01:00:5e:00:00:01'], /--mac 01:00:5e:00:00:01/],
  [['plug', 'a', '--mtu', '10'], /--mtu 10/],
  [['lima'], /verb/],
  [['lima', 'nonsense'], /"nonsense"/],
  [['lima', 'check', 'nonsense'], /"nonsense"/],
  [['lima', 'check', '--socket-vmnet', '/s'], /--socket-vmnet/],
  [['lima', 'print-sudoers', '--json'], /--json/],
  [['lima', 'print-sudoers', '--socket-vmnet', 'bin/socket_vmnet'], /--socket-vmnet bin\/socket_vmnet/],
  [['lima', 'check', '--networks', ''], /--networks/],
]

const WRONG_DAEMON: Wrong[] = [
  [['--nonsense'], /--nonsense/],
  [['nonsense'], /"nonsense"/],
  [['--uplink', 'nonsense'], /--uplink nonsense/],
  [['--uplink', 'tap:'], /--uplink tap:/],
  [['--uplink', 'socket'], /--uplink socket/],
  [['--uplink', 'socket:'], /--uplink socket:/],
  [['--uplink', 'none:x'], /--uplink none:x/],
  [['--uplink'], /--uplink/],
  [['--gateway', 'nonsense'], /--gateway nonsense/],
  [['--gateway', '10.0.0.1'], /--gateway 10\.0\.0\.1/],
  [['--gateway', '10.0.0.256/24'], /--gateway 10\.0\.0\.256\/24/],
  [['--gateway', '10.0.0.0/24'], /network address/],
  [['--gateway', '10.0.0.255/24'], /broadcast address/],
  [['--gateway', '10.0.0.1/31'], /prefix/],
  [['--gateway', '10.0.0.1/7'], /prefix/],
  [['--gateway', '10.0.0.1/33'], /--gateway/],
  [['--dhcp-range', 'nonsense'], /--dhcp-range nonsense/],
  [['--dhcp-range', '192.168.105.9-192.168.105.3'], /--dhcp-range/],
  [['--dhcp-range', '10.0.0.2-10.0.0.9'], /not inside 192\.168\.105\.1\/24/],
  [['--dhcp-range', '192.168.105.2-192.168.106.9'], /not inside/],
  [['--gateway', '10.1.1.1/24', '--dhcp-range', '192.168.105.2-192.168.105.9'], /not inside 10\.1\.1\.1\/24/],
  [['--dhcp-exclude', 'nonsense'], /--dhcp-exclude nonsense/],
  [['--dhcp-exclude', '10.0.0.2-10.0.0.9'], /--dhcp-exclude/],
  [['--dns', 'nonsense'], /--dns nonsense/],
  [['--domain', 'two words'], /--domain two words/],
  [['--domain', ''], /--domain/],
  [['--lease-time', 'nonsense'], /--lease-time nonsense/],
  [['--lease-time', '59'], /--lease-time 59/],
  [['--lease-time', '400d'], /--lease-time 400d/],
  [['--lease-time', '-5'], /--lease-time/],
  [['--mtu', 'nonsense'], /--mtu nonsense/],
  [['--mtu', '575'], /--mtu 575/],
  [['--mtu', '65536'], /--mtu 65536/],
  [['--mtu', '1500.5'], /--mtu 1500\.5/],
  [['--socket-mode', '0999'], /--socket-mode 0999/],
  [['--socket-mode', 'rw'], /--socket-mode rw/],
  [['--socket-group', 'no-such-group'], /--socket-group no-such-group/],
  // What chown(2) reads as "leave the group alone", and more than a gid holds.
  [['--socket-group', '4294967295'], /--socket-group 4294967295/],
  [['--socket-group', '4294967296'], /--socket-group 4294967296/],
  [['--log-level', 'loud'], /--log-level loud/],
  [['--log-format', 'xml'], /--log-format xml/],
  [['--no-dhcp', '--dhcp-range', '192.168.105.2-192.168.105.9'], /--no-dhcp and --dhcp-range/],
  [['--no-dhcp', '--dhcp-exclude', '192.168.105.2'], /--no-dhcp and --dhcp-exclude/],
  [['--no-dhcp', '--lease-time', '1h'], /--no-dhcp and --lease-time/],
  [['--no-dhcp', '--domain', 'lab'], /--no-dhcp and --domain/],
  [['--no-dhcp', '--dns', '1.1.1.1'], /--no-dhcp and --dns/],
  [[], /--mtu 1/, { VMBRIDGE_MTU: '1' }],
  [[], /--uplink nonsense/, { VMBRIDGE_UPLINK: 'nonsense' }],
]

// A daemon that took what it should refuse has started, and was ended by the time limit.
const started = (error: Error) => ({ status: -1, stdout: '', stderr: error.message })

const isRefused = async (t: Test, args: string[], says: RegExp, env: Record<string, string> = {}) => {
  const { status, stdout, stderr } = await vmbridge(args, { env, timeoutMs: 20_000 }).catch(started)
  const name = JSON.stringify(args.join(' '))
  t.equal(status, 2, `${name} exits 2`)
  t.equal(stdout, '', 'nothing on stdout')
  t.match(stderr, /^vmbridge: [^\n]+\n {2}try: [^\n]+\n$/, 'what is wrong and what to try')
  t.match(stderr.split('\n')[0], says, 'the wrong word is named')
}

for (const [args, says] of WRONG_COMMANDS) {
  t.test(`"vmbridge ${args.join(' ')}" is refused`, t => isRefused(t, args, says))
}

t.test('a wrong setting of the daemon is refused before anything is made', async t => {
  const folder = scratch(t)
  const socket = join(folder, 's')
  const places = ['--socket', socket, '--control', join(folder, 'c'), '--state-dir', join(folder, 'd')]
  for (const [args, says, env] of WRONG_DAEMON) {
    const none = args.includes('--uplink') || env?.['VMBRIDGE_UPLINK'] ? [] : ['--uplink', 'none']
    await isRefused(t, ['daemon', ...places, ...none, ...args], says, env)
  }
  t.notOk(existsSync(socket), 'no socket was made')
})

t.test('a daemon whose uplink is its own socket is refused: a frame would circle for ever', async t => {
  const folder = scratch(t)
  const socket = join(folder, 's')
  const places = ['--socket', socket, '--control', join(folder, 'c'), '--state-dir', join(folder, 'd')]
  const argv = ['daemon', ...places, '--uplink', `socket:${socket}`]
  const { status, stderr } = await vmbridge(argv, { timeoutMs: 5000 }).catch(started)
  t.equal(status, 2, stderr)
})
