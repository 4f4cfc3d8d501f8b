// "Lifecycle" of the contract, and acceptance 2 and 3: what socket_vmnet makes, says and removes from start to end.

import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { namespace } from '../clients/host.js'
import { BROADCAST, textFrame } from '../daemon/station.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import {
  COMPAT_NEEDS,
  place,
  plug,
  refusedSocketVmnet,
  startSocketVmnet,
  type Running,
} from './socket-vmnet.js'

t.setTimeout(600_000)

const skip = requires([...COMPAT_NEEDS, 'flock', 'getent'])
const A = '52:54:00:00:00:0a'
const GATEWAY = '--vmnet-gateway=192.168.105.1'

const said = ({ child }: Running) => child.lines.map(({ text }) => text)

t.test('the socket: chown(-1, gid) and mode 0770', { skip }, async t => {
  const netns = await namespace(t)
  for (const [args, group] of [
    [[], 'staff'],
    [['--socket-group', 'nogroup'], 'nogroup'],
  ] as const) {
    const gid = Number((await execute(['getent', 'group', group])).stdout.split(':')[2])
    const running = await startSocketVmnet(t, { netns, args: [GATEWAY, ...args] })
    const stats = lstatSync(running.socket)
    t.ok(stats.isSocket())
    t.strictSame([stats.uid, stats.gid, stats.mode & 0o7777], [0, gid, 0o770])
    await running.child.close('SIGTERM')
  }
})

t.test('stderr has the lines that people look for, in their order; stdout has nothing', { skip }, async t => {
  const netns = await namespace(t)
  for (const [signal, name, mode] of [
    ['SIGHUP', 'Hangup', 'host 1000'],
    ['SIGINT', 'Interrupt', 'shared 1001'],
    ['SIGTERM', 'Terminated', 'host 1000'],
  ] as const) {
    const [word, number] = mode.split(' ')
    const running = await startSocketVmnet(t, { netns, args: [GATEWAY, `--vmnet-mode=${word}`] })
    const { child, pidfile } = running
    const station = await plug(t, running)
    await station.close()
    await child.waitForLine(/^INFO \| Closing a connection/)
    t.strictSame(await child.close(signal), { code: 0, signal: null })
    const lines = said(running)
    t.ok(
      lines.every(line => /^(INFO |WARN |ERROR)\| \S/.test(line)),
      lines.join('\n'),
    )
    t.equal(child.text(1), '')
    const fd = Number(/\(fd (\d+)\)/.exec(lines.find(line => /Accepted/.test(line))!)![1])
    const wanted = [
      `INFO | Initializing vmnet.framework (mode ${number})`,
      `INFO | Created pidfile "${pidfile}" for process ${child.pid}`,
      `INFO | Accepted a connection (fd ${fd})`,
      `INFO | Connection closed by peer (fd ${fd})`,
      `INFO | Closing a connection (fd ${fd})`,
      `INFO | Received signal ${name}`,
      `INFO | Removed pidfile "${pidfile}" for process ${child.pid}`,
    ]
    t.strictSame(
      lines.filter(line => wanted.includes(line)),
      wanted,
    )
  }
})

t.test('DEBUG | lines with env DEBUG set to anything, and not without', { skip }, async t => {
  const netns = await namespace(t)
  for (const [env, isThere] of [
    [{ DEBUG: '' }, true],
    [{ DEBUG: '1' }, true],
    [{}, false],
  ] as [Record<string, string>, boolean][]) {
    const running = await startSocketVmnet(t, { netns, args: [GATEWAY], env })
    await running.child.close('SIGTERM')
    t.equal(
      said(running).some(line => line.startsWith('DEBUG| ')),
      isThere,
      JSON.stringify(env),
    )
  }
})

t.test('the pidfile matches ^[0-9]+$, is never seen empty, and is the real PID', { skip }, async t => {
  const netns = await namespace(t)
  const folder = place(t)
  let seen = 0
  for (let round = 0; round < 5; round++) {
    const starting = startSocketVmnet(t, { netns, folder, args: [GATEWAY] })
    let isUp = false
    void starting.then(
      () => (isUp = true),
      () => (isUp = true),
    )
    while (!isUp) {
      const text = await new Promise<string | undefined>(resolve =>
        setImmediate(() => resolve(contents(join(folder, 'p')))),
      )
      if (text === undefined) continue
      seen++
      if (!/^[0-9]+$/.test(text)) t.fail(`the pidfile was ${JSON.stringify(text)}`)
      if (!existsSync(join(folder, 's'))) t.fail('the pidfile was there before the socket')
    }
    const { child, pidfile } = await starting
    t.equal(readFileSync(pidfile, 'utf8'), String(child.pid))
    t.equal(statSync(pidfile).mode & 0o7777, 0o644)
    t.equal(readFileSync(`/proc/${child.pid}/comm`, 'utf8').trim().length > 0, true)
    await child.close('SIGTERM')
    t.notOk(existsSync(pidfile))
  }
  t.ok(seen > 0, 'it was looked at between its making and the end of the start')
})

function contents(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

t.test('the pidfile is locked; a second start on it exits 1 and leaves it', { skip }, async t => {
  const netns = await namespace(t)
  const running = await startSocketVmnet(t, { netns, args: [GATEWAY] })
  const { child, pidfile, folder } = running
  t.equal((await execute(['flock', '-n', '-E', '9', pidfile, 'true'])).status, 9, 'locked')
  const other = join(folder, 'other')
  for (const socket of [running.socket, other]) {
    const args = ['--vmnet-gateway=192.168.107.1', '--pidfile', pidfile, socket]
    const { status, stdout, stderr } = await refusedSocketVmnet({ netns, folder, args })
    t.strictSame({ status, stdout }, { status: 1, stdout: '' })
    t.match(stderr, new RegExp(`^ERROR\\| [^\\n]* PID ${child.pid}\\n`, 'm'))
    t.equal(readFileSync(pidfile, 'utf8'), String(child.pid))
  }
  t.notOk(existsSync(other))
  const station = await plug(t, running)
  await station.close()
  t.pass('the first goes on')
})

t.test('pkill -0 -F and pkill -F work', { skip }, async t => {
  const netns = await namespace(t)
  const { child, pidfile, socket } = await startSocketVmnet(t, { netns, args: [GATEWAY] })
  t.equal(spawnSync('pkill', ['-0', '-F', pidfile]).status, 0, 'alive')
  t.equal(spawnSync('pkill', ['-F', pidfile]).status, 0)
  t.strictSame(await child.exited, { code: 0, signal: null })
  t.notOk(existsSync(pidfile))
  t.notOk(existsSync(socket))
  t.not(spawnSync('pkill', ['-0', '-F', pidfile]).status, 0)
})

for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal}: exit 0 in under 5 s while traffic flows, and the files are gone`, { skip }, async t => {
    const running = await startSocketVmnet(t, { netns: await namespace(t), args: [GATEWAY] })
    const [a, b, idle] = [await plug(t, running), await plug(t, running), await plug(t, running)]
    // One that never reads has a full queue when the end comes.
    idle.pause()
    const burst = Array.from({ length: 200 }, () => textFrame(BROADCAST, A, 'flood'))
    const flood = setInterval(() => a.send(...burst), 1)
    t.teardown(() => clearInterval(flood))
    await b.receive('flood', 20_000)
    const start = performance.now()
    const exit = await running.child.close(signal)
    const ms = performance.now() - start
    clearInterval(flood)
    t.strictSame(exit, { code: 0, signal: null })
    t.ok(ms < 5000, `${Math.round(ms)} ms`)
    t.notOk(existsSync(running.pidfile))
    t.notOk(existsSync(running.socket))
    t.match(said(running).at(-1), /^INFO \| Removed pidfile /)
  })
}

t.test('a stale socket and a stale pidfile are replaced: restart on the same path', { skip }, async t => {
  const netns = await namespace(t)
  const first = await startSocketVmnet(t, { netns, args: [GATEWAY] })
  await first.child.close('SIGKILL')
  t.ok(existsSync(first.socket) && existsSync(first.pidfile), 'left by one that was killed')
  const second = await startSocketVmnet(t, { netns, args: [GATEWAY], folder: first.folder })
  t.equal(readFileSync(second.pidfile, 'utf8'), String(second.child.pid))
  await plug(t, second)
})

t.test('any set-up error: exit 1, an ERROR line, and nothing is left', { skip }, async t => {
  const netns = await namespace(t)
  const folder = place(t)
  for (const [args, message] of [
    [[GATEWAY, join(folder, 'none/s')], /^ERROR\| the folder of \S+ does not exist$/m],
    [
      [GATEWAY, '-p', join(folder, 'none/p'), join(folder, 's')],
      /^ERROR\| the folder of \S+ does not exist$/m,
    ],
    [[GATEWAY, '-p', folder, join(folder, 's')], /^ERROR\| \S+ exists and is not a regular file/m],
    [
      ['--vmnet-gateway=127.0.0.9', join(folder, 's')],
      /^ERROR\| \S+ overlaps [^\n]*\nERROR\| try: [^\n]*--vmnet-gateway/m,
    ],
  ] as const) {
    const { status, stdout, stderr } = await refusedSocketVmnet({ netns, folder, args })
    t.strictSame({ status, stdout }, { status: 1, stdout: '' })
    t.match(stderr, message)
    t.notOk(existsSync(join(folder, 's')))
  }
})
