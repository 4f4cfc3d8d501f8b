// --dial: a VM that listens is connected to, and again whenever it goes; it keeps its port's name, and whatever it does,
// the others are served.

import { closeSync, existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { NetworkStatus } from '../../src/control/api.js'
import { native } from '../../src/native.js'
import { scratch, vmbridge } from '../cli/command.js'
import { startDaemon, type Daemon, type Scope } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(120_000)

const SKIP = { skip: requires(['linux']) }
const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

const statusOf = async (daemon: Daemon) => (await daemon.status()).networks[0] as unknown as NetworkStatus

const startOn = (t: Scope, paths: string[], options: { stateDir?: string; args?: string[] } = {}) =>
  startDaemon(t, {
    ...options,
    args: [
      '--uplink',
      'none',
      ...(options.args ?? ['--no-dhcp']),
      ...paths.flatMap(path => ['--dial', path]),
    ],
  })

const isUp = (daemon: Daemon, from = 0) =>
  daemon.child.waitForLine(/"event":"port\.up".*"key":"dial:/, { from, timeoutMs: 20_000 })

/** A VM that listens, as QEMU does with server=on: one connection at a time, the others wait in the backlog. */
class ListeningVm {
  readonly connections: Station[] = []
  readonly #server: Server
  readonly #sockets: Socket[] = []

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', socket => {
      this.#sockets.push(socket)
      this.connections.push(new Station(socket))
    })
  }

  static async listen(t: Scope, path: string): Promise<ListeningVm> {
    const server = createServer()
    const vm = new ListeningVm(server)
    await new Promise<void>(resolve => server.listen(path, resolve))
    t.teardown(() => vm.end())
    return vm
  }

  /** The station behind the latest connection. */
  get station(): Station {
    return this.connections.at(-1)!
  }

  hangUp(): void {
    this.#sockets.forEach(socket => socket.destroy())
  }

  /** The process ends: nobody listens, and node removes the path. */
  end(): void {
    this.hangUp()
    this.#server.close()
  }
}

/** Frames go from one station to the other and back. */
async function talk(t: Test, vm: Station, other: Station, text: string): Promise<void> {
  vm.send(textFrame(BROADCAST, A, `${text}, question`))
  await other.receive(`${text}, question`, 20_000)
  other.send(textFrame(A, B, `${text}, answer`))
  await vm.receive(`${text}, answer`, 20_000)
  t.pass(text)
}

t.test('a VM that listens is a port, absent at first, gone and back, under one name', SKIP, async t => {
  const path = join(scratch(t), 'vm')
  const daemon = await startOn(t, [path])
  const down = await daemon.waitForLog(({ event }) => event === 'dial.down')
  t.match(down, { path, reason: /No such file/ })
  t.match((await statusOf(daemon)).dials, [{ path, state: 'down', detail: /No such file/ }])
  const { stdout } = await vmbridge(['status', '--control', daemon.control])
  t.ok(stdout.includes(`\ndial ${path}: down (connect: No such file or directory)\n`), stdout)

  const other = await Station.plug(t, daemon)
  other.send(textFrame(BROADCAST, B, 'the other is vm1'))
  let vm: ListeningVm
  for (let round = 0; round < 3; round++) {
    const from = daemon.child.lines.length
    vm = await ListeningVm.listen(t, path)
    await isUp(daemon, from)
    await talk(t, vm.station, other, `round ${round}`)
    const { dials, ports } = await statusOf(daemon)
    t.strictSame(dials, [{ path, state: 'up', port: 'vm2' }])
    t.match(
      ports.find(({ name }) => name === 'vm2'),
      { role: 'vm', macs: [A], peer: { pid: process.pid, uid: process.getuid?.() } },
    )
    vm.end()
    await daemon.child.waitForLine(/"event":"port\.down"/, { from, timeoutMs: 20_000 })
  }
  const table = await vmbridge(['status', '--control', daemon.control])
  t.match(table.stdout, /^dial \S+: down \(/m)
  t.equal(daemon.log.filter(({ event }) => event === 'dial.down').length, 1, 'not a line for each attempt')
  t.equal((await daemon.stop()).status, 0)
  t.notOk(existsSync(daemon.socket))
})

t.test('a VM that hangs up is dialled again while it listens on', SKIP, async t => {
  const path = join(scratch(t), 'vm')
  const vm = await ListeningVm.listen(t, path)
  const daemon = await startOn(t, [path])
  await isUp(daemon)
  const other = await Station.plug(t, daemon)
  const from = daemon.child.lines.length
  vm.hangUp()
  await isUp(daemon, from)
  await talk(t, vm.station, other, 'again')
  t.match((await statusOf(daemon)).dials, [{ state: 'up', port: 'vm1' }])
})

t.test(
  'the daemon is killed and starts again: the VM is dialled, and its name is the same',
  SKIP,
  async t => {
    const folder = scratch(t)
    const path = join(folder, 'vm')
    const stateDir = join(folder, 'state')
    const vm = await ListeningVm.listen(t, path)
    const first = await startOn(t, [path], { stateDir })
    await isUp(first)
    const other = await Station.plug(t, first)
    await talk(t, vm.station, other, 'before')
    const before = (await statusOf(first)).dials
    await first.child.waitForLine(/port\.up/)
    const deadline = performance.now() + 20_000
    const file = join(stateDir, 'ports.json')
    while (!existsSync(file) || !readFileSync(file, 'utf8').includes(`"dial:${path}"`)) {
      if (performance.now() > deadline) return t.fail('the name is not kept')
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    await first.child.close('SIGKILL')
    await vm.station.closed

    const second = await startOn(t, [path], { stateDir })
    // Others come first: the name is not theirs.
    const otherAgain = await Station.plug(t, second)
    await isUp(second)
    t.strictSame((await statusOf(second)).dials, before)
    await talk(t, vm.station, otherAgain, 'after')
  },
)

t.test('a socket that nobody listens on, or that has no room, is dialled until it answers', SKIP, async t => {
  const folder = scratch(t)
  const stale = join(folder, 'stale')
  closeSync(native.listen(stale, 0o600, -1))
  const full = join(folder, 'full')
  const listening = native.listen(full, 0o600, -1)
  const waiting: number[] = []
  t.teardown(() => waiting.forEach(closeSync))
  const fill = () => {
    try {
      for (;;) waiting.push(native.dial(full, true))
    } catch {
      // No room is left.
    }
  }
  fill()
  const daemon = await startOn(t, [stale, full])
  const reasonOf = async (path: string) =>
    (await daemon.waitForLog(entry => entry.event === 'dial.down' && entry['path'] === path))['reason']
  t.match(await reasonOf(stale), /refused/)
  t.equal(await reasonOf(full), 'it has a connection, and no room for another')
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  await talk(t, a, b, 'meanwhile')
  const from = daemon.child.lines.length
  closeSync(listening)
  for (const path of [stale, full]) {
    rmSync(path)
    await ListeningVm.listen(t, path)
  }
  await daemon.child.waitForLine(/"event":"port\.up"/, { from, count: 2, timeoutMs: 20_000 })
  t.match((await statusOf(daemon)).dials, [{ state: 'up' }, { state: 'up' }])
})

t.test('a VM that takes the connection into its backlog and never reads is a stalled port', SKIP, async t => {
  const path = join(scratch(t), 'vm')
  const listening = native.listen(path, 0o600, -1)
  t.teardown(() => closeSync(listening))
  const daemon = await startOn(t, [path])
  await isUp(daemon)
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const big = Buffer.concat([textFrame(BROADCAST, A, 'much'), Buffer.alloc(1400)])
  for (let round = 0; round < 40; round++) {
    a.send(...Array.from({ length: 125 }, () => big), textFrame(BROADCAST, A, `round ${round} done`))
    await b.receive(`round ${round} done`, 20_000)
  }
  const stalled = (await statusOf(daemon)).ports.find(({ name }) => name === 'vm1')
  t.ok((stalled?.drops['tx-queue-full'] ?? 0) > 0, 'what it does not take is counted')
  t.ok((stalled?.queued ?? 0) > 0)
})

t.test('broken framing of a dialled VM closes that port alone, and it is dialled again', SKIP, async t => {
  const path = join(scratch(t), 'vm')
  const vm = await ListeningVm.listen(t, path)
  const daemon = await startOn(t, [path])
  await isUp(daemon)
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const from = daemon.child.lines.length
  vm.station.write(Buffer.alloc(4))
  t.match(await daemon.waitForLog(({ event }) => event === 'port.down'), {
    port: 'vm1',
    reason: 'empty-frame',
  })
  await talk(t, a, b, 'the others')
  await isUp(daemon, from)
  await talk(t, vm.station, b, 'and it, with good frames')
})

t.test('a dialled VM that asks for datagrams is given none: its framing is broken', SKIP, async t => {
  const path = join(scratch(t), 'vm')
  const vm = await ListeningVm.listen(t, path)
  const daemon = await startOn(t, [path])
  await isUp(daemon)
  const { station } = vm
  station.write(Buffer.from('DGRM'))
  const { reason } = await daemon.waitForLog(({ event }) => event === 'port.down')
  t.equal(reason, 'frame-too-long')
  await station.closed
  t.equal(station.bytes, 0, 'and no answer')
})

t.test('a path that is dialled already, or is the daemon’s own, is refused with status 2', SKIP, async t => {
  const folder = scratch(t)
  const [s, v] = [join(folder, 's'), join(folder, 'v')]
  const own = ['daemon', '--socket', s, '--control', join(folder, 'c'), '--no-dhcp']
  const none = ['--uplink', 'none']
  const cases: [args: string[], said: RegExp][] = [
    [[...none, '--dial', v, '--dial', join(folder, '.', 'v')], /--dial \S+\/v is given twice/],
    [[...none, '--dial', s], /--dial \S+\/s is this daemon's own --socket/],
    [['--uplink', `socket:${v}`, '--dial', v], /--dial \S+\/v is the --uplink/],
    [[...none, '--dial', join(folder, 'x'.repeat(120))], /longer than the 10[37] bytes/],
  ]
  for (const [args, said] of cases) {
    const { status, stderr } = await vmbridge([...own, ...args])
    t.equal(status, 2, args.join(' '))
    t.match(stderr, said)
    t.match(stderr, /\n {2}try: /)
  }
  t.notOk(existsSync(s))
})

t.test('a path is followed as it is, and a daemon that ends within a pause ends at once', SKIP, async t => {
  const folder = scratch(t)
  const vm = await ListeningVm.listen(t, join(folder, 'vm'))
  symlinkSync('vm', join(folder, 'link'))
  const daemon = await startOn(t, [join(folder, 'link'), join(folder, 'nobody')])
  await isUp(daemon)
  t.equal(vm.connections.length, 1)
  const { status } = await daemon.stop()
  t.equal(status, 0)
})
