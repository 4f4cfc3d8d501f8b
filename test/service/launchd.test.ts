// The service on a Mac, against a launchctl of ours (fake-launchctl.ts): which verbs in which order, what is repeated
// harmlessly, and what a person is told when launchd refuses.

import { DEFAULT_PREFIX } from '../../src/config/paths.js'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { macDefinition } from '../../src/service/definition.js'
import { COMMENT, Launchd } from '../../src/service/launchd.js'
import { waitUntilServing } from '../../src/service/manager.js'
import { launchdJob, newsyslogEntry, renderPlist } from '../../src/service/plist.js'
import { scratch } from '../cli/command.js'
import { requires } from '../helpers/requires.js'
import { FakeMac } from './fake-launchctl.js'

const NAME = 'io.github.vmbridge'
const PLIST = `/Library/LaunchDaemons/${NAME}.plist`
const NEWSYSLOG = `/etc/newsyslog.d/${NAME}.conf`
const TARGET = `system/${NAME}`
// The files are root's, or they are refused.
const skip = requires(['root'])

function setUp(t: Test, options: string[] = [], bridged?: string) {
  const mac = new FakeMac(scratch(t))
  const choice = { prefix: DEFAULT_PREFIX, options, ...(bridged === undefined ? {} : { bridged }) }
  const definition = macDefinition(choice)
  return { mac, definition, service: new Launchd(mac, definition, DEFAULT_PREFIX) }
}

t.test('install writes both files, then enables and loads the job', { skip }, async t => {
  const { mac, definition, service } = setUp(t)
  t.strictSame(await service.install(), [`wrote ${NEWSYSLOG}`, `wrote ${PLIST}`, `started ${NAME}`])
  t.strictSame(mac.calls, [`enable ${TARGET}`, `bootstrap system ${PLIST}`])
  t.equal(mac.read(PLIST), renderPlist(launchdJob(definition), COMMENT))
  t.equal(mac.read(NEWSYSLOG), newsyslogEntry(definition))
  const { mode, uid, gid } = statSync(join(mac.root, PLIST))
  t.strictSame([mode & 0o7777, uid, gid], [0o644, 0, 0], 'launchd takes no other rights')
  t.strictSame(readdirSync(join(mac.root, '/Library/LaunchDaemons')), [`${NAME}.plist`], 'no draft is left')
  t.match(await service.state(), {
    installed: true,
    loaded: true,
    enabled: true,
    running: true,
    pid: 500,
    state: 'running',
    lastExit: undefined,
    log: '/var/log/vmbridge.log',
    control: '/var/run/vmbridge/control.sock',
  })
})

t.test('installed again, nothing is touched: VMs stay connected', { skip }, async t => {
  const { mac, service } = setUp(t)
  await service.install()
  mac.calls.length = 0
  t.strictSame(await service.install(), [])
  t.strictSame(mac.calls, [])
  t.match(await service.state(), { pid: 500 })
})

t.test(
  'installed with other options, the job is loaded anew, once the old one is gone',
  { skip },
  async t => {
    const { mac, service } = setUp(t)
    await service.install()
    mac.calls.length = 0
    mac.lingers = 3
    const options = ['--gateway', '10.5.0.1/24']
    const other = new Launchd(mac, macDefinition({ prefix: DEFAULT_PREFIX, options }), DEFAULT_PREFIX)
    t.strictSame(await other.install(), [`stopped ${NAME}`, `wrote ${PLIST}`, `started ${NAME}`])
    t.strictSame(mac.calls, [`bootout ${TARGET}`, `enable ${TARGET}`, `bootstrap system ${PLIST}`])
    t.match(mac.read(PLIST), '<string>10.5.0.1/24</string>')
  },
)

t.test('the umask and another owner of the folder change nothing of the rights', { skip }, async t => {
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  const { mac, service } = setUp(t)
  await service.install()
  t.equal(statSync(join(mac.root, PLIST)).mode & 0o777, 0o644)
})

t.test('a bootstrap that fails for a moment is tried again', { skip }, async t => {
  const { mac, service } = setUp(t)
  mac.refusals = 2
  t.strictSame((await service.install()).at(-1), `started ${NAME}`)
  t.equal(mac.calls.filter(call => call.startsWith('bootstrap')).length, 3)
})

t.test('a bootstrap that says it failed, of a job that is loaded, has not', { skip }, async t => {
  const { mac, service } = setUp(t)
  mac.lies = true
  t.strictSame((await service.install()).at(-1), `started ${NAME}`)
  t.equal(mac.calls.filter(call => call.startsWith('bootstrap')).length, 1)
})

t.test('where launchd refuses, its words and the setting that forbids it are told', { skip }, async t => {
  const { mac, service } = setUp(t)
  mac.forbidden = true
  await t.rejects(service.install(), {
    code: 'ERR_SERVICE_START',
    message: `launchd does not start ${NAME}: Bootstrap failed: 5: Input/output error`,
    hint: /System Settings > General > Login Items .* \/var\/log\/vmbridge\.log$/,
  })
})

t.test('a service that was disabled is enabled again', { skip }, async t => {
  const { mac, service } = setUp(t)
  await service.install()
  await service.stop()
  mac.disabled.add(NAME)
  t.match(await service.state(), { enabled: false, loaded: false, running: false, state: 'not loaded' })
  t.strictSame(await service.start(), [`enabled ${NAME}`, `started ${NAME}`])
})

t.test('stop waits until the job is gone, and can be said twice', { skip }, async t => {
  const { mac, service } = setUp(t)
  await service.install()
  mac.lingers = 20
  t.strictSame(await service.stop(), [`stopped ${NAME}`])
  t.equal(mac.jobs.size, 0)
  t.strictSame(await service.stop(), [])
  t.not(mac.read(PLIST), undefined, 'it is installed as before')
})

t.test('a job that launchd does not let go is an error, after the time that it has', { skip }, async t => {
  const { mac, service } = setUp(t)
  await service.install()
  mac.lingers = Infinity
  const start = mac.now()
  await t.rejects(service.stop(), {
    code: 'ERR_SERVICE_STOP',
    message: /36: Operation now in progress/,
    hint: `/bin/launchctl print ${TARGET}`,
  })
  t.ok(mac.now() - start >= 30_000 && mac.now() - start < 31_000)
})

t.test('a job that waits for its next try is kicked; one that runs is left alone', { skip }, async t => {
  const { mac, service } = setUp(t)
  await service.install()
  mac.calls.length = 0
  t.strictSame(await service.start(), [])
  mac.crash(NAME, 'last terminating signal = Segmentation fault: 11')
  t.match(await service.state(), {
    running: false,
    pid: undefined,
    state: 'spawn scheduled',
    lastExit: 'signal 11 (Segmentation fault)',
  })
  t.strictSame(await service.start(), [`started ${NAME}`])
  t.strictSame(mac.calls, [`kickstart -k ${TARGET}`])
})

t.test('uninstall removes what install put there, and can be said twice', { skip }, async t => {
  const { mac, service } = setUp(t)
  const before = readdirSync(mac.root, { recursive: true }).sort()
  mac.write('/Library/LaunchDaemons/other.plist', '')
  mac.write('/etc/newsyslog.d/other.conf', '')
  await service.install()
  t.strictSame(await service.uninstall(), [`stopped ${NAME}`, `removed ${PLIST}`, `removed ${NEWSYSLOG}`])
  t.strictSame(await service.uninstall(), [])
  t.match(await service.state(), { installed: false, loaded: false, enabled: false, state: 'not installed' })
  const left = readdirSync(mac.root, { recursive: true }).map(String)
  const files = ['Library/LaunchDaemons/other.plist', 'etc/newsyslog.d/other.conf']
  const folders = ['Library', 'Library/LaunchDaemons', 'etc', 'etc/newsyslog.d']
  t.strictSame(left.sort(), [...before.map(String), ...folders, ...files].sort())
})

t.test('a bridged service is one beside the first', { skip }, async t => {
  const { mac, service } = setUp(t)
  const definition = macDefinition({ prefix: DEFAULT_PREFIX, options: [], bridged: 'en0' })
  const bridged = new Launchd(mac, definition, DEFAULT_PREFIX)
  await service.install()
  await bridged.install()
  t.strictSame([...mac.jobs.keys()], [NAME, `${NAME}.bridged.en0`])
  await bridged.uninstall()
  t.strictSame([...mac.jobs.keys()], [NAME])
  t.match(await service.state(), { running: true, pid: 500 })
})

t.test('who is not root is told to use sudo, before anything is written', { skip }, async t => {
  const { mac, service } = setUp(t)
  mac.uid = 501
  for (const verb of ['install', 'uninstall', 'start', 'stop'] as const)
    await t.rejects(service[verb](), { code: 'ERR_NOT_ROOT', hint: `sudo vmbridge service ${verb}` })
  t.match(await service.state(), { installed: false }, 'anybody may look')
  t.strictSame(mac.calls, [])
})

t.test('what is not installed cannot be started or stopped', { skip }, async t => {
  const { service } = setUp(t)
  await t.rejects(setUp(t, [], 'en0').service.start(), {
    code: 'ERR_SERVICE_NOT_INSTALLED',
    hint: 'sudo vmbridge service install --bridged en0',
  })
  for (const verb of ['start', 'stop'] as const) {
    await t.rejects(service[verb](), {
      code: 'ERR_SERVICE_NOT_INSTALLED',
      message: `${NAME} is not installed: there is no ${PLIST}`,
      hint: 'sudo vmbridge service install',
    })
  }
})

t.test("a tree that is not there, or not root's alone, is not started", { skip }, async t => {
  const { mac, definition, service } = setUp(t)
  await t.rejects(new Launchd(mac, definition, '/opt/other').install(), {
    code: 'ERR_SERVICE_NO_TREE',
    hint: 'sudo vmbridge install --prefix /opt/other',
  })
  for (const path of ['/opt/vmbridge/bin/vmbridge', '/opt/vmbridge/bin', '/opt']) {
    const real = join(mac.root, path)
    const { mode } = statSync(real)
    chmodSync(real, mode | 0o020)
    await t.rejects(service.install(), {
      code: 'ERR_SERVICE_TREE',
      message: new RegExp(`from ${real}: others`),
    })
    chmodSync(real, mode)
    chownSync(real, 501, 0)
    await t.rejects(service.install(), {
      code: 'ERR_SERVICE_TREE',
      message: new RegExp(`from ${real}: user 501 owns it`),
    })
    chownSync(real, 0, 0)
  }
  chmodSync(join(mac.root, '/opt/vmbridge/bin/vmbridge'), 0o644)
  await t.rejects(service.install(), { code: 'ERR_SERVICE_NO_TREE', message: /is no program/ })
  t.equal(mac.read(PLIST), undefined)
})

t.test(
  'a program that is reached by a link is not started: the link may lead elsewhere at the next boot',
  { skip },
  async t => {
    const { mac, definition, service } = setUp(t)
    const at = (path: string) => join(mac.root, path)
    mkdirSync(at('/Users'))
    symlinkSync(at('/opt/vmbridge'), at('/Users/tree'))
    const refusal = {
      code: 'ERR_SERVICE_TREE',
      message: /a symbolic link leads to .*\/opt\/vmbridge\/bin\/vmbridge$/,
    }
    await t.rejects(new Launchd(mac, definition, '/Users/tree').install(), refusal)
    const program = at('/opt/vmbridge/bin/vmbridge')
    renameSync(program, at('/opt/vmbridge/program'))
    symlinkSync('../program', program)
    await t.rejects(service.install(), {
      code: 'ERR_SERVICE_TREE',
      message: /a symbolic link leads to .*\/program$/,
    })
    t.equal(mac.read(PLIST), undefined)
  },
)

t.test(
  'a definition that is not a file of root alone is written anew, whatever it says',
  { skip },
  async t => {
    const { mac, service } = setUp(t)
    await service.install()
    const plist = join(mac.root, PLIST)
    const text = mac.read(PLIST)
    const did = [`stopped ${NAME}`, `wrote ${PLIST}`, `started ${NAME}`]
    const check = async (what: string) => {
      t.strictSame(await service.install(), did, what)
      const stats = lstatSync(plist)
      t.match([stats.isFile(), stats.uid, stats.mode & 0o777], [true, 0, 0o644], what)
      t.equal(mac.read(PLIST), text)
      t.strictSame(await service.install(), [])
    }
    chmodSync(plist, 0o666)
    await check('of a mode that lets others write')
    chownSync(plist, 501, 0)
    await check("another's")
    renameSync(plist, join(mac.root, 'elsewhere'))
    symlinkSync(join(mac.root, 'elsewhere'), plist)
    await check('a link')
  },
)

t.test('started is what answers under the PID that the manager knows', { skip }, async t => {
  const { mac, service } = setUp(t)
  await service.install()
  let asked = 0
  const later = async () => (++asked > 3 ? 500 : undefined)
  t.match(await waitUntilServing(service, mac, later), { pid: 500 })

  await t.rejects(
    waitUntilServing(service, mac, async () => undefined),
    {
      code: 'ERR_SERVICE_START',
      message: /runs, but its daemon does not answer$/,
      hint: 'see /var/log/vmbridge.log',
    },
  )
  mac.crash(NAME, 'last exit code = 78: EX_CONFIG')
  await t.rejects(
    waitUntilServing(service, mac, async () => 77),
    {
      code: 'ERR_SERVICE_START',
      message: /does not stay up \(spawn scheduled\); its last exit: status 78 \(EX_CONFIG\); PID 77 answers/,
      hint: 'stop that daemon first',
    },
  )
})
