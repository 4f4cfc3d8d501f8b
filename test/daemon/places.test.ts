// Where a daemon puts its things, with which rights, and what it says where it cannot: as root, as a user without
// rights, and with another daemon in its default place.

import { chmodSync, chownSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { NOBODY, asNobody, scratch, socketsIn, vmbridge } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import { startDaemon, type Scope } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(90_000)

const A = '52:54:00:00:00:0a'
const NO_UPLINK = ['--uplink', 'none']
const skip = requires(['linux', 'root', 'setpriv'])

/** A folder of the user without rights, as XDG_RUNTIME_DIR and for its state. */
function homeOfNobody(t: Scope): { folder: string; env: Record<string, string> } {
  const folder = scratch(t)
  chownSync(folder, NOBODY, NOBODY)
  return { folder, env: { HOME: folder, XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: join(folder, 'state') } }
}

/** A daemon of that user, ready. */
async function startAsNobody(t: Scope, env: Record<string, string>, args: readonly string[]): Promise<Child> {
  const child = Child.launch(asNobody([VMBRIDGE, 'daemon', '--log-format', 'json', ...args]), { env })
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/daemon\.ready/)
  return child
}

t.test('--socket-mode and --socket-group are applied', { skip }, async t => {
  for (const [args, mode, gid] of [
    [[], 0o660, 0],
    [['--socket-mode', '0666'], 0o666, 0],
    [['--socket-group', 'nogroup'], 0o660, 65534],
    [['--socket-group', '12345', '--socket-mode', '0600'], 0o600, 12345],
  ] as const) {
    const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--no-dhcp', ...args] })
    for (const path of [daemon.socket, daemon.control]) {
      const found = statSync(path)
      t.equal(found.mode & 0o7777, mode, args.join(' '))
      t.equal(found.gid, gid)
    }
  }
})

t.test('a user outside of the group is told what to do', { skip }, async t => {
  const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--no-dhcp'] })
  chmodSync(daemon.directory, 0o755)
  const run = await execute(asNobody([VMBRIDGE, 'run', '--socket', daemon.socket, 'true']))
  t.equal(run.status, 1)
  t.match(run.stderr, /^vmbridge: no right to connect to \S+\n {2}try: use sudo/)
  const status = await execute(asNobody([VMBRIDGE, 'status', '--control', daemon.control]))
  t.equal(status.status, 1)
  t.match(status.stderr, /^vmbridge: no right to connect to \S+\n {2}try: use sudo/)
})

t.test('settings come from the environment, and flags win', async t => {
  const folder = scratch(t)
  const env = {
    VMBRIDGE_SOCKET: `${join(folder, 'a')},${join(folder, 'b')}`,
    VMBRIDGE_CONTROL: join(folder, 'c'),
    VMBRIDGE_STATE_DIR: join(folder, 'd'),
    VMBRIDGE_UPLINK: 'none',
    VMBRIDGE_GATEWAY: '10.9.8.1/24',
    VMBRIDGE_DHCP_RANGE: '10.9.8.50-10.9.8.60',
    VMBRIDGE_LOG_FORMAT: 'json',
    VMBRIDGE_SOCKET_MODE: '0600',
  }
  const child = Child.launch([VMBRIDGE, 'daemon', '--dhcp-range', '10.9.8.70-10.9.8.80'], { env })
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/daemon\.ready/)
  for (const name of ['a', 'b', 'c']) t.equal(statSync(join(folder, name)).mode & 0o7777, 0o600, name)
  const { stdout } = await vmbridge(['status'], { env })
  t.match(stdout, /gateway 10\.9\.8\.1\/24/)
  t.match(stdout, /DHCP 10\.9\.8\.70-10\.9\.8\.80/)
  t.ok(existsSync(join(folder, 'd')))
})

t.test(
  'a user without rights gets a switch without an uplink, and is told what is missing',
  { skip },
  async t => {
    const { folder, env } = homeOfNobody(t)
    const child = await startAsNobody(t, env, [])
    const warning = child.lines.map(({ text }) => text).find(text => text.includes('"event":"uplink.none"'))
    t.match(warning, /CAP_NET_ADMIN/)
    t.match(warning, /sudo/)
    const socket = join(folder, 'vmbridge/vmbridge.sock')
    t.ok(existsSync(join(folder, 'vmbridge/control.sock')))
    const from = child.lines.length
    const [a, b] = [await Station.connect(t, socket), await Station.connect(t, socket)]
    await child.waitForLine(/port\.up/, { from, count: 2 })
    a.send(textFrame(BROADCAST, A, 'among ourselves'))
    await b.receive('among ourselves')
    const { stdout } = await execute(asNobody([VMBRIDGE, 'status']), { env })
    t.match(stdout, /^uplink none: up \(.*CAP_NET_ADMIN.*\)$/m)
    const ran = await execute(asNobody([VMBRIDGE, 'run', 'echo', 'plugged']), { env })
    t.equal(ran.stdout, 'plugged\n', 'run finds the socket of its user')
  },
)

t.test('a user without rights who asks for a TAP is refused', { skip }, async t => {
  const { env } = homeOfNobody(t)
  const { status, stderr } = await execute(asNobody([VMBRIDGE, 'daemon', '--uplink', 'tap']), { env })
  t.equal(status, 1)
  t.match(stderr, /^vmbridge: making a TAP needs root \(CAP_NET_ADMIN\)\n {2}try: start it with sudo/m)
})

t.test("without --control, another daemon's default place is left to it", { skip }, async t => {
  const { folder, env } = homeOfNobody(t)
  const first = await startAsNobody(t, env, NO_UPLINK)
  const socket = join(folder, 'second')
  const second = await startAsNobody(t, env, [...NO_UPLINK, '--socket', socket])
  await second.waitForLine(new RegExp(`control\\.fallback.*held by PID ${first.pid}.*${socket}\\.control`))
  const ask = async (...args: string[]) => {
    const { stdout, stderr } = await execute(asNobody([VMBRIDGE, 'status', '--json', ...args]), { env })
    return stdout === '' ? stderr : (JSON.parse(stdout) as { pid: number }).pid
  }
  t.equal(await ask(), first.pid)
  t.equal(await ask('--socket', socket), second.pid)
  await second.close('SIGTERM')
  t.notOk(existsSync(`${socket}.control`))
  t.equal(await ask(), first.pid)
  const same = [...NO_UPLINK, '--socket', socket, '--control', join(folder, 'vmbridge/control.sock')]
  const third = await execute(asNobody([VMBRIDGE, 'daemon', ...same]), { env })
  t.equal(third.status, 1, 'but not where --control asks for it')
})

t.test('two daemons never share a folder of leases', async t => {
  const first = await startDaemon(t, { args: NO_UPLINK })
  const folder = scratch(t)
  const places = [...socketsIn(folder), '--state-dir', first.stateDir]
  const second = await vmbridge(['daemon', ...places, ...NO_UPLINK])
  t.equal(second.status, 1)
  t.match(second.stderr, /^vmbridge: [^\n]+\n {2}try: [^\n]*--state-dir[^\n]*\n$/m)
  t.ok(second.stderr.includes(first.stateDir))
  t.notOk(existsSync(join(folder, 's')))
})

t.test('a folder that is not there is named, with the command that makes it', async t => {
  const folder = scratch(t)
  const missing = join(folder, 'no', 'such')
  const cases = [
    ['--socket', join(missing, 's'), '--control', join(folder, 'c')],
    ['--socket', join(folder, 's'), '--control', join(missing, 'c')],
    ['--socket', join(folder, 's'), '--control', join(folder, 'c'), '--pidfile', join(missing, 'p')],
  ]
  for (const places of cases) {
    const state = ['--state-dir', join(folder, 'd')]
    const { status, stderr } = await vmbridge(['daemon', ...places, ...state, ...NO_UPLINK, '--no-dhcp'])
    t.equal(status, 1)
    t.match(
      stderr,
      new RegExp(`vmbridge: the folder of ${missing}/. does not exist\\n {2}try: mkdir -p ${missing}\\n`),
    )
  }
})

t.test('a socket path longer than the system takes is refused', async t => {
  const folder = scratch(t)
  const path = join(folder, 'x'.repeat(120))
  const { status, stderr } = await vmbridge(['daemon', '--socket', path, ...NO_UPLINK, '--no-dhcp'])
  t.equal(status, 1)
  t.match(stderr, /is longer than the 10[37] bytes a socket path may have\n {2}try: /)
})

t.test(
  'a folder without the right to write is named: for the sockets, the leases, the pidfile',
  { skip },
  async t => {
    const { folder, env } = homeOfNobody(t)
    const rootsOwn = scratch(t)
    const mine = ['--socket', join(folder, 's'), '--control', join(folder, 'c'), ...NO_UPLINK]
    const cases: [args: string[], path: string, hint: RegExp][] = [
      [['--socket', join(rootsOwn, 's'), ...NO_UPLINK], join(rootsOwn, 's'), /--socket/],
      [[...mine, '--state-dir', join(rootsOwn, 'd')], join(rootsOwn, 'd'), /--state-dir/],
      [[...mine, '--pidfile', join(rootsOwn, 'p')], join(rootsOwn, 'p'), /--pidfile/],
    ]
    for (const [args, path, hint] of cases) {
      const { status, stderr } = await execute(asNobody([VMBRIDGE, 'daemon', ...args]), { env })
      t.equal(status, 1)
      t.ok(stderr.includes(path), stderr)
      t.match(/\n {2}try: (.*)/.exec(stderr)?.[1], hint, args.join(' '))
    }
    t.notOk(existsSync(join(folder, 's')))
  },
)

t.test('a default folder that cannot be made is named, without a stack', { skip }, async t => {
  const env = { XDG_RUNTIME_DIR: scratch(t), XDG_STATE_HOME: scratch(t) }
  const { status, stderr } = await execute(asNobody([VMBRIDGE, 'daemon', ...NO_UPLINK]), { env })
  t.equal(status, 1)
  t.ok(stderr.startsWith(`vmbridge: no right to make ${join(env.XDG_RUNTIME_DIR, 'vmbridge')}`), stderr)
  t.match(stderr, /\n {2}try: [^\n]*--socket[^\n]*\n$/)
})

t.test(
  'a folder of leases that exists without the right to write is refused at the start',
  { skip },
  async t => {
    const { folder, env } = homeOfNobody(t)
    const state = join(folder, 'state')
    mkdirSync(state)
    chmodSync(state, 0o755)
    const args = [...socketsIn(folder), ...NO_UPLINK, '--state-dir', state]
    const child = Child.launch(asNobody([VMBRIDGE, 'daemon', '--log-format', 'json', ...args]), { env })
    t.teardown(() => child.close('SIGTERM'))
    const fate = await Promise.race([
      child.exited.then(({ code }) => `exit ${code}`),
      child.waitForLine(/daemon\.ready/).catch(() => child.exited.then(({ code }) => `exit ${code}`)),
    ])
    t.equal(fate, 'exit 1')
    t.ok(child.text().includes(state))
  },
)
