// `vmbridge talos`: its verbs, what `run` demands before it becomes talosctl, and what `status` shows.

import { rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { nodeOf } from '../../src/cli/talos/status.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { MAC, nodeLine, record } from '../talos/lines.js'
import { environmentOf, inPlace, place, QEMU_ENDED, QEMU_6, seenBy, type Place } from '../talos/place.js'
import { FakeDaemon } from '../talos/stand-in-daemon.js'
import { vmbridge } from './command.js'

t.setTimeout(300_000)

const skip = requires(['linux', 'cc', 'unshare'])

/** The PATH of the caller has the real QEMU and no stand-in. */
const talos = (where: Place, args: readonly string[], path = `${where.bin}:${process.env['PATH']}`) =>
  execute(inPlace(where, ['env', `PATH=${path}`, process.execPath, VMBRIDGE, 'talos', ...args]), {
    env: environmentOf(where),
  })

t.test('every verb has its help', async t => {
  for (const verb of ['install', 'uninstall', 'run', 'status', 'plan', 'doctor']) {
    const { status, stdout } = await vmbridge(['talos', verb, '--help'])
    t.equal(status, 0)
    t.match(stdout, new RegExp(`^usage: vmbridge talos ${verb} \\[OPTION\\]`, 'm'))
    t.match(stdout, /\nexamples:\n {2}\S/)
  }
})

t.test('what is wrong is said, with status 2', async t => {
  const wrong: [string[], RegExp][] = [
    [[], /talos takes a verb/],
    [['nonsense'], /talos has no "nonsense"/],
    [['constructor'], /talos has no "constructor"/],
    [['--nonsense'], /--nonsense/],
    [['run'], /needs a program/],
    [['run', '--'], /needs a program/],
    [['status', 'x'], /no operand.*"x"/],
    [['install', 'x', '--dhcp', 'answer'], /no operand.*"x"/],
    [['install', '--dhcp', 'pool'], /--dhcp pool/],
    [['install', '--qemu', 'qemu-system-aarch64'], /--qemu qemu-system-aarch64/],
    [['install', '--qemu', '/usr/bin/qemu-kvm'], /--qemu \/usr\/bin\/qemu-kvm/],
    [['uninstall', '--nonsense'], /--nonsense/],
  ]
  for (const [args, says] of wrong) {
    const { status, stdout, stderr } = await vmbridge(['talos', ...args])
    t.strictSame([status, stdout], [2, ''], args.join(' '))
    t.match(stderr, says)
    t.match(stderr, /\n {2}try: /)
  }
})

t.test('run: talosctl in place, with the stand-ins first in its PATH', { skip }, async t => {
  const where = await place(t)
  await new FakeDaemon(t, where.control).start()
  writeFileSync(join(where.state, 'ipam.db'), record())
  const path = `${where.bin}:/usr/bin:/bin`
  const script = 'echo "$$ $PATH"; exec qemu-system-aarch64 "$@"'
  const line = nodeLine({ talosctl: '1.14', state: where.state })
  const argv = [VMBRIDGE, 'talos', 'run', '--prefix', where.prefix, '--control', where.control]
  const node = `VMBRIDGE_NODE=${process.execPath}`
  const child = Child.launch(
    inPlace(where, [
      'env',
      '-u',
      'VMBRIDGE_CONTROL',
      node,
      `PATH=${path}`,
      ...argv,
      '--',
      'sh',
      '-c',
      script,
      'sh',
      ...line,
    ]),
    { env: environmentOf(where) },
  )
  t.equal((await child.exited).code, QEMU_ENDED, child.text())
  t.equal(child.text(1), `${child.pid} ${where.standIns}:${path}\n`)
  t.match(seenBy(where)?.join(' '), /-netdev stream,id=net0,/)
})

t.test('run: places that are named from here are known everywhere', { skip }, async t => {
  const where = await place(t)
  await new FakeDaemon(t, where.control).start()
  const [prefix, control] = [where.prefix, where.control].map(path => relative(process.cwd(), path))
  const script = 'cd / && echo "$VMBRIDGE_CONTROL $PATH"'
  const run = ['run', '--prefix', prefix!, '--control', control!, '--', 'sh', '-c', script]
  const { status, stdout, stderr } = await talos(where, run)
  t.equal(status, 0, stderr)
  t.ok(stdout.startsWith(`${where.control} ${where.standIns}:`), stdout)
})

t.test('run says what is missing before it starts anything', { skip }, async t => {
  const where = await place(t)
  const run = ['run', '--prefix', where.prefix, '--', 'echo', 'started']
  const refused = async (says: RegExp, path?: string) => {
    const { status, stdout, stderr } = await talos(where, run, path)
    t.strictSame([status, stdout], [1, ''], stderr)
    t.match(stderr, says)
  }
  await refused(/no daemon answers at [^\n]*\n {2}try: sudo vmbridge service start/)
  const daemon = await new FakeDaemon(t, where.control).start()
  t.match(await talos(where, run), { status: 0, stdout: 'started\n' })
  daemon.instead = () => daemon.refuse(404, 'ERR_NOT_FOUND', 'there is no /v1/networks')
  await refused(/there is no \/v1\/networks\n {2}try: restart the daemon/)
  await refused(/no real qemu-system-aarch64 in PATH/, where.standIns)
  rmSync(join(where.standIns, 'settings.json'))
  await refused(
    /no stand-ins for QEMU in [^\n]*\n {2}try: sudo vmbridge install --prefix \S+ && sudo vmbridge talos install --prefix/,
  )
})

t.test('run: a program that is not there is told apart', { skip }, async t => {
  const where = await place(t)
  await new FakeDaemon(t, where.control).start()
  const run = (program: string) => talos(where, ['run', '--prefix', where.prefix, '--', program])
  t.match(await run('no-such-program'), { status: 127, stderr: /cannot start no-such-program/ })
  t.match(await run('/etc/passwd'), { status: 126, stderr: /cannot start \/etc\/passwd/ })
})

async function lab(t: Test) {
  const where = await place(t)
  const daemon = await new FakeDaemon(t, where.control).start()
  const network = {
    name: '10.5.0.1-24',
    kind: 'demand',
    sockets: ['/s'],
    gateway: '10.5.0.1/24',
    uplink: { kind: 'none', state: 'up' },
    dhcp: 'answer',
    ports: 1,
  } as const
  daemon.networks.set(network.name, { ...network, sockets: ['/s'] })
  daemon.networks.set('lab', { ...network, name: 'lab', kind: 'standing', sockets: ['/t'] })
  daemon.reservations.set(network.name, [
    { ip: '10.5.0.2', mac: MAC, hostname: 'cp-1', options: [] },
    { ip: '10.5.0.3', mac: '52:54:00:00:00:03', options: [] },
  ])
  const ports = [{ name: 'vm1', macs: [MAC] }]
  daemon.instead = ({ path }) =>
    path === '/v1/status'
      ? { status: 200, body: { version: '1.2.3', pid: 42, networks: [{ name: network.name, ports }] } }
      : undefined
  return { where, daemon }
}

t.test('status shows stand-ins, QEMUs, the daemon, and which nodes have a port', { skip }, async t => {
  const { where } = await lab(t)
  writeFileSync(join(where.bin, 'qemu-system-x86_64.version'), QEMU_6)
  const shown = await talos(where, ['status', '--prefix', where.prefix])
  t.equal(shown.status, 0, shown.stderr)
  const lines = [
    /qemu-system-aarch64 +\S+\/bin\/qemu-system-aarch64 +10\.0\.2 +VMs come back$/m,
    /qemu-system-x86_64 +\S+\/bin\/qemu-system-x86_64 +6\.2\.0 +too old: QEMU 7\.2/m,
    /^DHCP: the switch$/m,
    /^daemon: vmbridge 1\.2\.3, PID 42$/m,
    /^10\.5\.0\.1-24: gateway 10\.5\.0\.1\/24, uplink up, 1 VMs$/m,
    new RegExp(`^  cp-1 +10\\.5\\.0\\.2 +${MAC} +vm1$`, 'm'),
    /^ {2}- +10\.5\.0\.3 +52:54:00:00:00:03 +down$/m,
  ]
  for (const line of lines) t.match(shown.stdout, line)
  t.notMatch(shown.stdout, /^lab/m, 'a standing network is none of talosctl')
  const json = JSON.parse(
    (await talos(where, ['status', '--prefix', where.prefix, '--json'])).stdout,
  ) as object
  t.match(json, {
    dhcp: 'answer',
    standIns: [
      { isInstalled: true, qemu: { version: '10.0.2', reconnect: 'reconnect-ms' } },
      { isInstalled: true, qemu: { version: '6.2.0' } },
    ],
    daemon: { isUp: true },
    clusters: [
      { network: { name: '10.5.0.1-24' }, nodes: [{ name: 'cp-1', port: 'vm1' }, { ip: '10.5.0.3' }] },
    ],
  })
})

t.test('status of what is not installed, without a daemon: status 3', { skip }, async t => {
  const where = await place(t)
  const elsewhere = join(where.prefix, 'nowhere')
  const { status, stdout, stderr } = await talos(where, ['status', '--prefix', elsewhere], where.bin)
  t.equal(status, 3, stderr)
  t.match(stdout, /qemu-system-aarch64 \(not installed\)/)
  t.match(stdout, /^install them with: sudo vmbridge talos install$/m)
  t.match(stdout, /^daemon: no daemon answers at [^\n]*\nstart it with: sudo vmbridge service start$/m)
})

t.test('a network without DHCP, or that just went, has no nodes', { skip }, async t => {
  for (const code of ['ERR_NO_DHCP', 'ERR_NO_NETWORK']) {
    const { where, daemon } = await lab(t)
    const { instead } = daemon
    daemon.instead = asked =>
      asked.path.startsWith('/v1/reservations') ? daemon.refuse(409, code, 'none') : instead(asked)
    const { status, stdout } = await talos(where, ['status', '--prefix', where.prefix, '--json'])
    t.equal(status, 0)
    t.match(JSON.parse(stdout), { clusters: [{ nodes: [] }] })
  }
})

t.test('a node is up where a port has its MAC', async t => {
  t.strictSame(nodeOf({ ip: '10.5.0.2', mac: MAC }, undefined), { mac: MAC, ip: '10.5.0.2' })
  t.strictSame(nodeOf({ ip: '10.5.0.2', name: 'x' }, { ports: [] }), { ip: '10.5.0.2' })
})
