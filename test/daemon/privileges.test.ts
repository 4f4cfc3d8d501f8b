// Root is given up for good: in the right order, checked by trying to get back, and the daemon goes on serving as the
// user that it became.

import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { becomeUser, type Identity } from '../../src/daemon/privileges.js'
import type { Logger } from '../../src/log.js'
import { native } from '../../src/native.js'
import { asNobody, scratch, socketsIn } from '../cli/command.js'
import { acquire } from '../clients/raw.js'
import { namespace } from '../clients/host.js'
import { Client } from '../dhcp/segment.js'
import { Child, execute } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { Station } from './station.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'root', 'tap', 'ip'])
const USER = native.userOf('daemon')!

const NO_LOG = { info() {}, warn() {} } as unknown as Logger
const NOTHING = { folders: [], files: [] }

const denied = (): never => {
  throw Object.assign(new Error('EPERM: operation not permitted'), { code: 'EPERM' })
}

/** A process that root has started, and that says what it was asked for; `open` ways back still work. */
function processOf(...open: string[]) {
  const calls: string[] = []
  let uid = 0
  const call =
    (name: string) =>
    (...args: unknown[]): void => {
      calls.push(`${name} ${args.map(String).join(' ')}`)
      if (name === 'setuid' && uid === 0) uid = args[0] as number
      else if (uid !== 0 && !open.includes(name)) denied()
    }
  const self = {
    getuid: () => uid,
    geteuid: () => uid,
    ...Object.fromEntries(
      ['initgroups', 'setgroups', 'setgid', 'setegid', 'setuid', 'seteuid'].map(name => [name, call(name)]),
    ),
  } as unknown as Identity
  return { self, calls }
}

// The test's own process stays root, which on Linux shows in its capabilities: there the last check would fail.
const elsewhere = process.platform !== 'linux' || process.getuid?.() !== 0

t.test('groups first, then the group, then the user, then every way back is tried', async t => {
  const { self, calls } = processOf()
  const become = () => becomeUser({ name: 'joe', uid: 501, gid: 20 }, NOTHING, NO_LOG, self)
  if (elsewhere) become()
  else t.throws(become, { code: 'ERR_USER', message: /capabilities/ }, 'this process still has them')
  t.strictSame(calls, [
    'initgroups joe 20',
    'setgid 20',
    'setuid 501',
    'setuid 0',
    'seteuid 0',
    'setgroups 0',
    'setgid 0',
    'setegid 0',
  ])
})

for (const way of ['setuid', 'seteuid', 'setgroups', 'setgid', 'setegid']) {
  t.test(`a way back by ${way} is an error`, async t => {
    const { self } = processOf(way)
    t.throws(() => becomeUser({ name: 'joe', uid: 501, gid: 20 }, NOTHING, NO_LOG, self), {
      code: 'ERR_USER',
      message: new RegExp(`${way} still works`),
    })
  })
}

t.test('only root can become another user; who is that user already does nothing', async t => {
  const { self, calls } = processOf()
  self.setuid(501)
  calls.length = 0
  t.throws(() => becomeUser({ name: 'jane', uid: 502, gid: 20 }, NOTHING, NO_LOG, self), {
    code: 'ERR_USER',
    hint: /sudo/,
  })
  becomeUser({ name: 'joe', uid: 501, gid: 20 }, NOTHING, NO_LOG, self)
  t.strictSame(calls, [])
})

/** Identifiers and capabilities of every thread of a process. */
const threads = (pid: number) =>
  readdirSync(`/proc/${pid}/task`).map(tid => {
    const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8')
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)![1].trim().split(/\s+/)
    return {
      uid: field('Uid'),
      gid: field('Gid'),
      groups: field('Groups'),
      caps: [...field('CapPrm'), ...field('CapEff')],
    }
  })

t.test('the daemon makes its TAP as root, and serves as the user', { skip }, async t => {
  const host = await namespace(t)
  const folder = scratch(t)
  const pidfile = join(folder, 'pid')
  chownSync(folder, USER.uid, USER.gid)
  const args = ['--uplink', 'tap:vbt0', '--user', 'daemon', '--pidfile', pidfile]
  const daemon = await startDaemon(t, { netns: host, args, stateDir: join(folder, 'state') })
  for (const { uid, gid, groups, caps } of threads(daemon.pid)) {
    t.strictSame(
      uid,
      Array.from({ length: 4 }, () => String(USER.uid)),
    )
    t.strictSame(
      gid,
      Array.from({ length: 4 }, () => String(USER.gid)),
    )
    t.notOk(groups.includes('0'), groups.join())
    t.ok(
      caps.every(each => BigInt(`0x${each}`) === 0n),
      caps.join(),
    )
  }
  const vm = await Station.plug(t, daemon)
  t.ok(await acquire(vm, new Client(10)), 'a lease, kept by the user')
  const journal = join(daemon.stateDir, 'leases.journal')
  t.match(readFileSync(journal, 'utf8'), /"mac"/)
  for (const path of [daemon.stateDir, journal, pidfile, daemon.socket]) {
    t.equal(statSync(path).uid, USER.uid, path)
  }
  const { code } = await daemon.child.close('SIGTERM')
  t.equal(code, 0)
  t.notOk(existsSync(pidfile), 'the user could take the pidfile away')
  t.notMatch(await host.sh('ip', '-br', 'link'), /vbt0/, 'the TAP went')
})

t.test('what the user cannot take away is said, and the next start replaces it', { skip }, async t => {
  const folder = scratch(t)
  const state = join(folder, 'state')
  const argv = [VMBRIDGE, 'daemon', ...socketsIn(folder), '--state-dir', state, '--uplink', 'none']
  const start = async () => {
    const child = Child.launch([...argv, '--user', 'daemon', '--log-format', 'json'])
    t.teardown(() => child.close('SIGKILL'))
    await child.waitForLine(/"event":"daemon.ready"/)
    return child
  }
  const first = await start()
  t.ok(
    first.lines.some(({ text }) => text.includes('"daemon.leftover"') && text.includes(join(folder, 's'))),
    'said at the start',
  )
  t.equal((await first.close('SIGTERM')).code, 0)
  const second = await start()
  t.equal((await second.close('SIGTERM')).code, 0)
})

t.test('a user without rights cannot ask for another one', { skip }, async t => {
  const folder = scratch(t)
  mkdirSync(join(folder, 'own'))
  chmodSync(join(folder, 'own'), 0o777)
  const argv = [
    'daemon',
    ...socketsIn(join(folder, 'own')),
    '--state-dir',
    join(folder, 'own', 'd'),
    '--uplink',
    'none',
  ]
  const { status, stderr } = await execute(asNobody([VMBRIDGE, ...argv, '--user', 'daemon']))
  t.equal(status, 1)
  t.match(stderr, /only root can become daemon/)
})
