// From start to end: a daemon leaves nothing behind when it is told to go, takes over from one that was killed, and
// stands back from one that lives.

import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { scratch, socketsIn, vmbridge } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(120_000)

const A = '52:54:00:00:00:0a'
const NO_UPLINK = ['--uplink', 'none']

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  t.test(`${signal} ends the daemon with status 0 in under a second, and nothing is left of it`, async t => {
    const pidfile = join(scratch(t), 'pid')
    const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--pidfile', pidfile] })
    const station = await Station.plug(t, daemon)
    t.ok([daemon.socket, daemon.control, pidfile].every(existsSync))
    const { status, ms } = await daemon.stop(signal)
    t.equal(status, 0)
    t.ok(ms < 1000, `${ms} ms`)
    await station.closed
    t.strictSame(readdirSync(daemon.directory), ['state'], 'the state is kept')
    t.notOk(existsSync(pidfile))
  })
}

t.test('the daemon ends in under a second with 20 VMs and their traffic', async t => {
  const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--no-dhcp'] })
  const stations: Station[] = []
  for (let i = 0; i < 20; i++) stations.push(await Station.plug(t, daemon))
  // Half of them never read: their queues are full when the end comes.
  for (const station of stations.slice(10)) station.pause()
  const frame = textFrame(BROADCAST, A, 'flood')
  const burst = Array.from({ length: 500 }, () => frame)
  const flood = setInterval(() => stations.slice(0, 4).forEach(station => station.send(...burst)), 1)
  t.teardown(() => clearInterval(flood))
  await stations[5].receive('flood')
  await new Promise(resolve => setTimeout(resolve, 300))
  const { status, ms } = await daemon.stop()
  clearInterval(flood)
  t.equal(status, 0)
  t.ok(ms < 1000, `${ms} ms`)
  await Promise.all(stations.slice(0, 10).map(station => station.closed))
  t.strictSame(readdirSync(daemon.directory), ['state'], 'which has the names of the ports')
})

t.test('the TAP goes with the daemon', { skip: requires(['linux', 'root', 'tap', 'ip']) }, async t => {
  const netns = await NetNs.create()
  t.teardown(() => netns.delete())
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const daemon = await startDaemon(t, { netns, args: ['--uplink', 'tap:vbt0'] })
    t.match(await netns.sh('ip', '-br', 'link'), /^vbt0 /m)
    await daemon.stop(signal)
    t.notMatch(await netns.sh('ip', '-br', 'link'), /vbt0/, signal)
  }
})

t.test('a signal at any moment of the start leaves nothing behind', async t => {
  for (let round = 0; round < 6; round++) {
    const folder = scratch(t)
    const places = [...socketsIn(folder), '--pidfile', join(folder, 'p')]
    const appeared = new Promise<void>(resolve => {
      const watcher = watch(folder, (_, name) => {
        if (name !== (round % 2 === 0 ? 's' : 'c')) return
        watcher.close()
        resolve()
      })
    })
    const argv = [VMBRIDGE, 'daemon', ...places, '--state-dir', join(folder, 'd'), ...NO_UPLINK]
    const child = Child.launch(argv)
    t.teardown(() => child.close())
    await appeared
    child.kill('SIGTERM')
    t.strictSame(await child.exited, { code: 0, signal: null })
    t.strictSame(
      readdirSync(folder).filter(name => name !== 'd'),
      [],
    )
  }
})

t.test('a second daemon on the same socket is refused with the PID, the first goes on', async t => {
  const first = await startDaemon(t, { args: NO_UPLINK })
  const [a, b] = [await Station.plug(t, first), await Station.plug(t, first)]
  const folder = scratch(t)
  for (const [socket, control] of [
    [first.socket, join(folder, 'c')],
    [join(folder, 's'), first.control],
  ]) {
    const places = ['--socket', socket, '--control', control, '--state-dir', join(folder, 'd')]
    const second = await vmbridge(['daemon', ...places, ...NO_UPLINK, '--pidfile', join(folder, 'p')])
    t.equal(second.status, 1)
    t.match(second.stderr, new RegExp(`vmbridge: \\S+ is held by PID ${first.pid}\\n {2}try: `))
    t.strictSame(
      readdirSync(folder).filter(name => name !== 'd'),
      [],
      'nothing of it is left',
    )
  }
  a.send(textFrame(BROADCAST, A, 'still there'))
  await b.receive('still there')
  await Station.plug(t, first)
  t.ok(lstatSync(first.control).isSocket())
  t.equal((await first.status()).networks.length, 1)
})

t.test('two daemons that start at once on one socket: one wins', async t => {
  const folder = scratch(t)
  const places = [...socketsIn(folder), '--state-dir', join(folder, 'd')]
  const argv = [VMBRIDGE, 'daemon', ...places, ...NO_UPLINK, '--no-dhcp', '--log-format', 'json']
  const rivals = Array.from({ length: 4 }, () => Child.launch(argv))
  rivals.forEach(child => t.teardown(() => child.close('SIGTERM')))
  const fates = await Promise.all(
    rivals.map(child => Promise.race([child.exited.then(({ code }) => code), ready(child)])),
  )
  t.strictSame(fates.sort(), [1, 1, 1, 'ready'])
})

const ready = (child: Child) =>
  child.waitForLine(/daemon\.ready/).then(
    () => 'ready',
    () => child.exited.then(({ code }) => code),
  )

t.test('the sockets of a daemon that was killed are replaced', async t => {
  const folder = scratch(t)
  const places = [...socketsIn(folder), '--pidfile', join(folder, 'p')]
  const argv = [
    VMBRIDGE,
    'daemon',
    ...places,
    '--state-dir',
    join(folder, 'd'),
    ...NO_UPLINK,
    '--log-format',
    'json',
  ]
  const first = Child.launch(argv)
  await first.waitForLine(/daemon\.ready/)
  await first.close('SIGKILL')
  t.strictSame(readdirSync(folder).sort(), ['c', 'd', 'p', 's'], 'it could not clean up')
  const second = Child.launch(argv)
  t.teardown(() => second.close('SIGTERM'))
  await second.waitForLine(/daemon\.ready/)
  await Station.connect(t, join(folder, 's'))
  t.equal(readFileSync(join(folder, 'p'), 'utf8'), String(second.pid))
})

t.test('a path that is no socket is never touched', async t => {
  const folder = scratch(t)
  const file = join(folder, 'file')
  const link = join(folder, 'link')
  writeFileSync(file, 'precious')
  symlinkSync(file, link)
  for (const path of [file, link, folder]) {
    for (const places of [
      ['--socket', path, '--control', join(folder, 'c')],
      ['--socket', join(folder, 's'), '--control', path],
    ]) {
      const argv = ['daemon', ...places, '--state-dir', join(folder, 'd'), ...NO_UPLINK, '--no-dhcp']
      const { status, stderr } = await vmbridge(argv)
      t.equal(status, 1)
      t.match(stderr, new RegExp(`^vmbridge: ${path} exists and is not a socket; it was not touched\\n`))
    }
  }
  t.equal(readFileSync(file, 'utf8'), 'precious')
  t.ok(lstatSync(link).isSymbolicLink())
})

t.test('the socket of a process that hangs is not taken for a stale one', async t => {
  const folder = scratch(t)
  const path = join(folder, 's')
  const server = createServer()
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.teardown(() => server.close())
  const argv = ['daemon', '--socket', path, '--control', join(folder, 'c'), ...NO_UPLINK, '--no-dhcp']
  const { status, stderr } = await vmbridge(argv)
  t.equal(status, 1)
  t.match(stderr, new RegExp(`held by PID ${process.pid}\\n`))
  t.ok(existsSync(path))
})

t.test('the pidfile is the decimal PID, readable by all', async t => {
  const folder = scratch(t)
  const pidfile = join(folder, 'a pid')
  const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--pidfile', pidfile] })
  t.equal(readFileSync(pidfile, 'utf8'), String(daemon.pid), 'without a newline')
  t.equal(statSync(pidfile).mode & 0o7777, 0o644)
  t.strictSame(readdirSync(folder), ['a pid'])

  const other = join(folder, 's')
  const places = ['--socket', other, '--control', join(folder, 'c'), '--state-dir', join(folder, 'd')]
  const second = await vmbridge(['daemon', ...places, ...NO_UPLINK, '--pidfile', pidfile])
  t.equal(second.status, 1)
  t.match(second.stderr, new RegExp(`^vmbridge: [^\\n]* PID ${daemon.pid}\\n {2}try: [^\\n]+\\n$`, 'm'))
  t.equal(readFileSync(pidfile, 'utf8'), String(daemon.pid), 'left as it was')
  t.notOk(existsSync(other), 'the sockets of the second one are gone')
  await daemon.stop()
  t.notOk(existsSync(pidfile))
})

t.test(
  'a pidfile of a process that is gone is replaced, of one that lives too if it is no daemon',
  async t => {
    const pidfile = join(scratch(t), 'pid')
    const dead = spawnSync('true').pid
    for (const left of [String(dead), String(process.pid), '1', '', 'garbage']) {
      writeFileSync(pidfile, left)
      const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--no-dhcp', '--pidfile', pidfile] })
      t.equal(readFileSync(pidfile, 'utf8'), String(daemon.pid), left)
      await daemon.stop()
    }
  },
)

t.test('a pidfile that another has put in the place of ours is left', async t => {
  const pidfile = join(scratch(t), 'pid')
  const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--no-dhcp', '--pidfile', pidfile] })
  spawnSync('sh', ['-c', 'echo other >"$0.new" && mv "$0.new" "$0"', pidfile])
  t.equal((await daemon.stop()).status, 0)
  t.equal(readFileSync(pidfile, 'utf8'), 'other\n')
})

t.test('two sockets are one segment, and both go with the daemon', async t => {
  const second = join(scratch(t), 'second')
  const daemon = await startDaemon(t, { args: [...NO_UPLINK, '--no-dhcp', '--socket', second] })
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon, second)]
  a.send(textFrame(BROADCAST, A, 'from the first'))
  await b.receive('from the first')
  b.send(textFrame(A, '52:54:00:00:00:0b', 'from the second'))
  await a.receive('from the second')
  await daemon.stop()
  t.notOk(existsSync(second))
})
