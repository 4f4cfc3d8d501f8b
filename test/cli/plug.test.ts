// `vmbridge plug`: a network namespace as a host on the segment, for as long as the command, the device, the
// namespace and the daemon last, whichever goes first.

import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Child, execute, type Exit } from '../helpers/child.js'
import { startDaemon, type Daemon, type Scope } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { asNobody, scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'root', 'tap', 'ip', 'ping'])
const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

async function namespace(t: Scope): Promise<NetNs> {
  const ns = await NetNs.create()
  t.teardown(() => ns.delete())
  return ns
}

async function plug(t: Scope, daemon: Daemon, ns: NetNs, ...more: string[]): Promise<Child> {
  const argv = [VMBRIDGE, 'plug', 'eth0', '--socket', daemon.socket, '--netns', ns.name, ...more]
  const child = Child.launch(argv)
  t.teardown(() => child.close())
  await child.waitForLine(/^eth0 (\w\w:){5}\w\w is on the segment$/)
  return child
}

/** How the command ended, which it must do soon. */
const endOf = (child: Child): Promise<Exit | string> =>
  Promise.race([child.exited, pause(5000, 'it goes on', { ref: false })])

const ping = (ns: NetNs, address: string) => ns.sh('ping', '-c', '2', '-i', '0.1', '-W', '5', address)

t.test('two namespaces and the host are on one segment', { skip }, async t => {
  const host = await namespace(t)
  const daemon = await startDaemon(t, { netns: host, args: ['--uplink', 'tap:vbt0', '--no-dhcp'] })
  const [a, b] = [await namespace(t), await namespace(t)]
  await plug(t, daemon, a, '--mac', A)
  await plug(t, daemon, b, '--mac', B, '--mtu', '1400')
  t.match(await a.sh('ip', 'link', 'show', 'eth0'), /[<,]UP,.* mtu 1500 [^]*link\/ether 52:54:00:00:00:0a/)
  t.match(await b.sh('ip', 'link', 'show', 'eth0'), /mtu 1400 [^]*link\/ether 52:54:00:00:00:0b/)
  await a.sh('ip', 'addr', 'add', '192.168.105.10/24', 'dev', 'eth0')
  await b.sh('ip', 'addr', 'add', '192.168.105.11/24', 'dev', 'eth0')
  t.match(await ping(a, '192.168.105.11'), / 0% packet loss/)
  t.match(await ping(a, '192.168.105.1'), / 0% packet loss/)
  t.match(await ping(host, '192.168.105.11'), / 0% packet loss/)
  const { ports } = (await daemon.status()).networks[0]
  t.ok(ports.some(({ macs, ips }) => macs.includes(A) && ips.includes('192.168.105.10')))
})

/** The port of a plug that ended: the daemon has let it go. */
async function portIsGone(t: Test, daemon: Daemon, child: Child): Promise<void> {
  await daemon.waitForLog(entry => entry.event === 'port.down' && entry['pid'] === child.pid)
  const { ports } = (await daemon.status()).networks[0]
  t.notOk(
    ports.some(({ peer }) => peer?.pid === child.pid),
    'no port of it in the status',
  )
}

const devices = (ns: NetNs) => ns.sh('ip', '-br', 'link')

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGKILL'] as const) {
  t.test(`${signal} to the command takes the device and the port away`, { skip }, async t => {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
    const ns = await namespace(t)
    const child = await plug(t, daemon, ns)
    const { code } = await child.close(signal)
    t.equal(code, signal === 'SIGKILL' ? null : 0)
    t.notMatch(await devices(ns), /eth0/)
    await portIsGone(t, daemon, child)
  })
}

t.test('the command ends with its namespace', { skip }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const ns = await namespace(t)
  const child = await plug(t, daemon, ns)
  await ns.delete()
  t.strictSame(await endOf(child), { code: 0, signal: null })
  t.equal(child.text(2), 'vmbridge: eth0 is gone\n')
  await portIsGone(t, daemon, child)
})

t.test('the command ends with its device', { skip }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const ns = await namespace(t)
  const child = await plug(t, daemon, ns)
  await ns.sh('ip', 'link', 'del', 'eth0')
  t.strictSame(await endOf(child), { code: 0, signal: null })
  t.equal(child.text(2), 'vmbridge: eth0 is gone\n')
  await portIsGone(t, daemon, child)
})

t.test('a device that is set down and up again stays a port', { skip }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const [a, b] = [await namespace(t), await namespace(t)]
  await plug(t, daemon, a)
  await plug(t, daemon, b)
  await b.sh('ip', 'addr', 'add', '192.168.105.11/24', 'dev', 'eth0')
  await a.sh('ip', 'link', 'set', 'eth0', 'down')
  await pause(200)
  await a.sh('ip', 'link', 'set', 'eth0', 'up')
  await a.sh('ip', 'addr', 'add', '192.168.105.10/24', 'dev', 'eth0')
  t.match(await ping(a, '192.168.105.11'), / 0% packet loss/)
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`the command ends with the daemon, by ${signal}`, { skip }, async t => {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
    const ns = await namespace(t)
    const child = await plug(t, daemon, ns)
    await daemon.stop(signal)
    t.strictSame(await endOf(child), { code: 1, signal: null })
    t.match(child.text(2), /^vmbridge: the daemon closed the connection \(\w+\)\n$/)
    t.notMatch(await devices(ns), /eth0/)
  })
}

t.test('what cannot be is said in one line, and leaves neither device nor port', { skip }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp', '--socket-mode', '0666'] })
  const ns = await namespace(t)
  await plug(t, daemon, ns)
  const socket = ['--socket', daemon.socket]
  const nowhere = `${scratch(t)}/s`
  const inside = ['--netns', ns.name]
  const cases: [args: string[], says: RegExp][] = [
    [
      ['eth1', ...socket, '--netns', 'no-such-ns'],
      /no network namespace \S*no-such-ns\n {2}try: ip netns list/,
    ],
    [['eth1', ...socket, '--netns', '/nonexistent/ns'], /no network namespace \/nonexistent\/ns\n/],
    [['eth1', ...socket, '--netns', '/etc/hostname'], /cannot enter \/etc\/hostname/],
    [
      ['sixteen-letters-', ...socket, ...inside],
      /"sixteen-letters-" cannot name a network device\n {2}try: /,
    ],
    [['a b', ...socket, ...inside], /"a b" cannot name/],
    [['a/b', ...socket, ...inside], /"a\/b" cannot name/],
    [['.', ...socket, ...inside], /"\." cannot name/],
    [['..', ...socket, ...inside], /"\.\." cannot name/],
    [['eth0', ...socket, ...inside], /a network device eth0 exists already\n {2}try: /],
    [['lo', ...socket, ...inside], /a network device lo exists already\n {2}try: /],
    [
      ['eth1', '--socket', nowhere, ...inside],
      /no daemon answers at \S+ .*\n {2}try: vmbridge daemon --socket /,
    ],
  ]
  const before = await devices(ns)
  for (const [args, says] of cases) {
    const { status, stdout, stderr } = await vmbridge(['plug', ...args], { timeoutMs: 5000 })
    t.equal(status, 1, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^vmbridge: [^\n]+(\n {2}try: [^\n]+)?\n$/)
    t.match(stderr, says)
  }
  t.equal(await devices(ns), before)
  const { status, stderr } = await execute(asNobody([VMBRIDGE, 'plug', 'vbtx', ...socket]))
  t.equal(status, 1)
  t.match(stderr, /^vmbridge: making a TAP needs root \(CAP_NET_ADMIN\)\n/)
})
