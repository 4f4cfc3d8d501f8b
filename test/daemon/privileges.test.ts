// Root is given up for good: in the right order, checked by trying to get back, and the daemon goes on serving as the
// user that it became.

import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { becomeUser, type Belongings, type Identity } from '../../src/daemon/privileges.js'
import type { Logger } from '../../src/log.js'
import { native } from '../../src/native.js'
import { Pidfile } from '../../src/daemon/pidfile.js'
import { loadIdentity } from '../../src/uplink/vmnet-identity.js'
import { asNobody, scratch, socketsIn } from '../cli/command.js'
import { acquire } from '../clients/raw.js'
import { namespace } from '../clients/host.js'
import { Client } from '../dhcp/segment.js'
import { Child, execute } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { Station } from './station.js'

t.setTimeout(600_000)

const skip = requires(['linux', 'root', 'tap', 'ip'])
const USER = native.userOf('daemon')!

const NO_LOG = { info() {}, warn() {} } as unknown as Logger
const NOTHING = { states: ['/nowhere'], files: [] }

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

for (const step of ['initgroups', 'setgid', 'setuid'] as const) {
  t.test(`a ${step} that fails is an error, and nothing comes after it`, async t => {
    const { self, calls } = processOf()
    t.throws(
      () => becomeUser({ name: 'joe', uid: 501, gid: 20 }, NOTHING, NO_LOG, { ...self, [step]: denied }),
      {
        code: 'ERR_USER',
        message: /^cannot become joe: EPERM/,
      },
    )
    t.equal(calls.length, ['initgroups', 'setgid', 'setuid'].indexOf(step))
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
  const joe = { name: 'joe', uid: 501, gid: 20 }
  becomeUser(joe, NOTHING, NO_LOG, self)
  t.strictSame(calls, [])
  const halfRoot = { ...self, getuid: () => 0 }
  t.throws(() => becomeUser(joe, NOTHING, NO_LOG, halfRoot), { code: 'ERR_USER' }, 'with the way back open')
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

t.test('a state folder that the user cannot reach ends the daemon at its start', { skip }, async t => {
  const folder = scratch(t)
  chmodSync(folder, 0o700)
  const argv = [
    VMBRIDGE,
    'daemon',
    ...socketsIn(folder),
    '--state-dir',
    join(folder, 'state'),
    '--uplink',
    'none',
  ]
  const { status, stderr } = await execute([...argv, '--user', 'daemon'])
  t.equal(status, 1)
  t.match(stderr, /daemon may not write to the state folder .*\n {2}try: --state-dir/)
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

/** What becoming the user does to files: the fake process goes on being root, so the last check of it fails. */
function handOver(belongings: Belongings): string {
  try {
    becomeUser(USER, belongings, NO_LOG, processOf().self)
  } catch (error) {
    return (error as Error).message
  }
  return ''
}
const GIVEN = /capabilities were not given up/
const ownersIn = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map(name => [name, statSync(join(folder, name)).uid]))

t.test('a folder with anything in it that is not of the daemon stays as it is', { skip }, async t => {
  const state = join(scratch(t), 'etc')
  mkdirSync(state)
  writeFileSync(join(state, 'shadow'), '')
  const { status, stderr } = await execute([
    VMBRIDGE,
    'daemon',
    ...socketsIn(scratch(t)),
    '--state-dir',
    state,
    '--uplink',
    'none',
    '--user',
    'daemon',
  ])
  t.equal(status, 1)
  t.match(stderr, `${state} holds shadow, so it is not given to daemon`)
  t.strictSame(ownersIn(state), { lock: 0, 'leases.journal': 0, shadow: 0 })
  t.equal(statSync(state).uid, 0)
})

t.test(
  "all that the daemon keeps becomes the user's, also after a crash of a root's one",
  { skip },
  async t => {
    const state = scratch(t)
    const own = [
      'lock',
      'leases.journal',
      'leases.journal.new',
      'leases.journal.broken-2026-01-01T000000.000Z',
    ]
    own.push('reservations.json', 'reservations.json.tmp', 'vmnet.json')
    for (const name of own) writeFileSync(join(state, name), '')
    t.match(handOver({ states: [state], files: [] }), GIVEN)
    t.strictSame(ownersIn(state), Object.fromEntries(own.map(name => [name, USER.uid])))
    t.equal(statSync(state).uid, USER.uid)

    await t.test('in a folder of the user, what else is there stays whose it is', async t => {
      writeFileSync(join(state, 'lock'), '')
      for (const name of ['notes', 'reservations.json~']) writeFileSync(join(state, name), '')
      chownSync(join(state, 'lock'), 0, 0)
      t.match(handOver({ states: [state], files: [] }), GIVEN)
      t.match(ownersIn(state), { lock: USER.uid, notes: 0, 'reservations.json~': 0 })
    })
  },
)

t.test("what the user linked into the folder does not become the user's", { skip }, async t => {
  const folder = scratch(t)
  const state = join(folder, 'state')
  const secret = join(folder, 'secret')
  mkdirSync(state)
  chownSync(state, USER.uid, USER.gid)
  writeFileSync(secret, '')
  symlinkSync(secret, join(state, 'leases.journal'))
  t.match(handOver({ states: [state], files: [secret] }), GIVEN, 'named by itself it is given')
  chownSync(secret, 0, 0)
  t.match(handOver({ states: [state], files: [join(state, 'leases.journal')] }), GIVEN)
  t.equal(statSync(secret).uid, 0, 'a symbolic link')
  linkSync(secret, join(state, 'lock'))
  t.match(handOver({ states: [state], files: [] }), /state\/lock is not given to daemon: it has another name/)
  t.equal(statSync(secret).uid, 0, 'a hard link')
  t.equal(statSync(state).uid, USER.uid, 'the folder is whose it was')
  const own = join(state, 'reservations.json')
  writeFileSync(own, '')
  chownSync(own, USER.uid, USER.gid)
  linkSync(own, join(folder, 'backup'))
  rmSync(join(state, 'lock'))
  t.match(
    handOver({ states: [state], files: [] }),
    GIVEN,
    'a second name of what the user has already is no matter',
  )
  const link = join(folder, 'link')
  symlinkSync(state, link)
  t.match(handOver({ states: [link], files: [] }), /link is no folder that can be given to daemon/)
})

t.test(
  'the folder of the sockets stays with root where another daemon has its own in it',
  { skip },
  async t => {
    const run = scratch(t)
    const files = ['s', 'control.sock'].map(name => join(run, name))
    for (const file of [...files, join(run, 'another.pid')]) writeFileSync(file, '')
    const belongings = { states: ['/nowhere'], run, files }
    t.match(handOver(belongings), GIVEN)
    t.strictSame(ownersIn(run), { s: USER.uid, 'control.sock': USER.uid, 'another.pid': 0 })
    t.equal(statSync(run).uid, 0)
    t.match(handOver({ ...belongings, files: [...files, join(run, 'another.pid')] }), GIVEN)
    t.equal(statSync(run).uid, USER.uid)
  },
)

t.test(
  'in the default folder of the sockets the user leaves nothing at the end',
  { skip: requires(['linux', 'root', 'unshare', 'mount']) },
  async t => {
    const state = join(scratch(t), 'state')
    const argv = [VMBRIDGE, 'daemon', '--uplink', 'none', '--user', 'daemon', '--state-dir', state]
    const ownRun =
      'mount -t tmpfs -o mode=755 none /run && "$@"; ls -A /run/vmbridge; stat -c "%U left" /run/vmbridge'
    const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', ownRun, 'sh']
    const child = Child.launch([...unshare, ...argv, '--log-format', 'json'])
    t.teardown(() => child.close('SIGKILL'))
    const { pid } = JSON.parse(await child.waitForLine(/"event":"daemon.ready"/)) as { pid: number }
    t.teardown(() => endIfThere(pid))
    process.kill(pid, 'SIGTERM')
    await child.exited
    t.match(child.lines.at(-1)!.text, 'daemon left', "the folder is the user's, and empty")
    t.match(child.lines.at(-2)!.text, /"event":"daemon.stop"/)
    t.notMatch(child.text(), /daemon.leftover/)
  },
)

function endIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended, as it should.
  }
}

t.test('root follows no link that waits in a folder of the user', { skip }, async t => {
  const folder = scratch(t)
  const state = join(folder, 'state')
  mkdirSync(state)
  symlinkSync(join(folder, 'nologin'), join(state, 'lock'))
  const { status, stderr } = await execute([
    VMBRIDGE,
    'daemon',
    ...socketsIn(folder),
    '--state-dir',
    state,
    '--uplink',
    'none',
  ])
  t.equal(status, 1)
  t.match(stderr, `cannot use the state folder ${state}: ELOOP`)
  t.notOk(existsSync(join(folder, 'nologin')))

  const victim = join(folder, 'victim')
  writeFileSync(victim, 'kept')
  symlinkSync(victim, join(folder, `pid.${process.pid}`))
  const pidfile = new Pidfile(join(folder, 'pid'))
  t.teardown(() => pidfile.remove())
  t.equal(readFileSync(join(folder, 'pid'), 'utf8'), String(process.pid))
  t.equal(readFileSync(victim, 'utf8'), 'kept')

  symlinkSync(victim, join(state, `vmnet.json.${process.pid}`))
  const { interfaceId } = loadIdentity(state, randomUUID)
  t.match(readFileSync(join(state, 'vmnet.json'), 'utf8'), interfaceId)
  t.equal(readFileSync(victim, 'utf8'), 'kept')
})

t.test('who is that user already, but with capabilities, is told that they stay', { skip }, async t => {
  const folder = scratch(t)
  chownSync(folder, USER.uid, USER.gid)
  const places = [...socketsIn(folder), '--state-dir', join(folder, 'state')]
  const as = ['setpriv', `--reuid=${USER.uid}`, `--regid=${USER.gid}`, '--clear-groups']
  // As in asNobody, so that the checkout can be read.
  const caps = ['--inh-caps=+net_admin,+dac_read_search', '--ambient-caps=+net_admin,+dac_read_search', '--']
  const argv = [VMBRIDGE, 'daemon', '--uplink', 'none', ...places, '--user', 'daemon', '--log-format', 'json']
  const child = Child.launch([...as, ...caps, ...argv])
  t.teardown(() => child.close('SIGKILL'))
  await child.waitForLine(/"event":"daemon.ready"/)
  const warned = child.lines.find(({ text }) => text.includes('"daemon.capabilities"'))
  t.match(JSON.parse(warned!.text), { level: 40, capabilities: '1004' })
  t.equal((await child.close('SIGTERM')).code, 0)
})

t.test(
  'where becoming the user fails half-way, the daemon ends',
  { skip: requires(['linux', 'root', 'unshare']) },
  async t => {
    const folder = scratch(t)
    const argv = [
      VMBRIDGE,
      'daemon',
      ...socketsIn(folder),
      '--state-dir',
      join(folder, 'state'),
      '--uplink',
      'none',
    ]
    // A user namespace that knows of root alone: the groups can be set there, the group of the user cannot.
    const { status, stderr } = await execute([
      'unshare',
      '--user',
      '--map-root-user',
      ...argv,
      '--user',
      'daemon',
    ])
    t.equal(status, 1)
    t.match(stderr, /^vmbridge: cannot become daemon: EINVAL[^\n]+\n {2}try: leave --user out/m)
    t.notMatch(stderr, /ready:/)
    t.strictSame(readdirSync(folder), ['state'])
  },
)
