// The real install, as root, into a prefix of the test's own: what is there, that it starts where nothing of the
// caller's is left, and that a daemon of the old tree goes on.

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { NOBODY, vmbridge } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'
import { rootsFolder } from './place.js'

t.setTimeout(1_200_000)

const skip = requires(['linux', 'root', 'setpriv'])
const PATIENCE = { timeoutMs: 120_000 }

type Result = { prefix: string; version: string; tree: string; files: number; bytes: number; kept: unknown[] }

async function installInto(t: Test, prefix: string, umask = '022'): Promise<Result> {
  const script = 'umask "$1"; shift; exec "$@"'
  const argv = ['sh', '-c', script, 'sh', umask, VMBRIDGE, 'install', '--prefix', prefix, '--json']
  const { status, stdout, stderr } = await execute(argv, { ...PATIENCE, cwd: '/' })
  t.equal(status, 0, stderr)
  t.match(stderr, /^(vmbridge install: [^\n]+\n)+$/, 'a line a step')
  return JSON.parse(stdout) as Result
}

/** All that is below a folder, and the folder. */
const everything = (folder: string): string[] => [
  folder,
  ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(path => join(folder, path)),
]

/** What Lima would say of a path that it is to start as root, by its rules and no code of ours; '' when it agrees. */
function limaSays(path: string): string {
  if (!path.startsWith('/')) return `${path} is not absolute`
  if (path.includes(' ')) return `${path} contains whitespace`
  const { uid, gid, mode } = lstatSync(path)
  if ((mode & 0o170000) === 0o120000) return `${path} is a symlink`
  if (uid !== 0) return `${path} is of ${uid}`
  if ((mode & 0o020) !== 0 && gid !== 0) return `${path} is group-writable`
  if ((mode & 0o002) !== 0) return `${path} is world-writable`
  return path === '/' ? '' : limaSays(dirname(path))
}

const asUser = [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--inh-caps=-all',
  '--',
]

/** A folder for sockets and state, short and anybody's. */
function runFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const daemonArgs = (folder: string) => {
  const places = `--socket ${folder}/s --control ${folder}/c --state-dir ${folder}/d --pidfile ${folder}/pid`
  return `daemon --uplink none --no-dhcp ${places} --log-format json`.split(' ')
}

t.test('what Lima demands holds for every file, whatever the umask', { skip }, async t => {
  const cases: [umask: string, prefix: string][] = [
    ['000', join(rootsFolder(t), 'not/there/yet')],
    ['077', join(rootsFolder(t), 'not/there/yet')],
    ['022', join(rootsFolder(t), 'closed')],
  ]
  mkdirSync(cases[2][1], { mode: 0o700 })
  for (const [umask, prefix] of cases) {
    const { tree } = await installInto(t, prefix, umask)
    for (const name of ['vmbridge', 'socket_vmnet', 'socket_vmnet_client']) {
      t.equal(limaSays(join(prefix, 'bin', name)), '')
    }
    t.equal(limaSays(join(tree, 'node')), '', 'the interpreter')
    t.equal(limaSays(join(tree, 'build/Release/vmbridge.node')), '', 'the addon')
    for (const path of everything(prefix)) {
      const { uid, gid, mode, nlink } = lstatSync(path)
      const says = limaSays(path) || (uid + gid === 0 ? '' : `${path} of ${uid}:${gid}`)
      if (says !== '') t.fail(says)
      const permissions = (mode & 0o7777).toString(8)
      if ((mode & 0o170000) === 0o040000) {
        if (permissions !== '755') t.fail(`${path}: ${permissions}`)
      } else {
        if ((mode & 0o170000) !== 0o100000 || nlink !== 1) t.fail(`${path} is no regular file of its own`)
        if (permissions !== '644' && permissions !== '755') t.fail(`${path}: ${permissions}`)
      }
    }
    t.equal(statSync(join(prefix, 'bin/vmbridge')).mode & 0o777, 0o755)
    // The prefix's parents, too, let everybody in.
    t.equal((await execute([...asUser, 'env', '-i', join(prefix, 'bin/vmbridge'), '--version'])).status, 0)
  }
})

t.test('an installed tree', { skip }, async t => {
  const prefix = rootsFolder(t)
  const first = await installInto(t, prefix)
  const installed = join(prefix, 'bin/vmbridge')
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }

  await t.test('holds what is needed and nothing else', async t => {
    t.match(first, { prefix, version, tree: `${prefix}/versions/${version}-1`, kept: [] })
    t.strictSame(readdirSync(prefix).sort(), ['bin', 'current', 'versions'])
    const names = [
      'LICENSE',
      'bin',
      'build',
      'dist',
      'launchd',
      'manifest.json',
      'node',
      'node_modules',
      'package.json',
    ]
    t.strictSame(readdirSync(first.tree).sort(), names)
    t.strictSame(readdirSync(join(first.tree, 'dist')), ['src'])
    t.strictSame(everything(join(first.tree, 'build')).length, 3, 'the addon in its folder')
    t.notOk(everything(join(first.tree, 'dist')).some(path => path.endsWith('.map')))
    for (const name of ['typescript', 'tap', 'prettier'])
      t.notOk(readdirSync(join(first.tree, 'node_modules')).includes(name))
    t.same(readFileSync(join(first.tree, 'node')), readFileSync(process.execPath), 'this very interpreter')
    const files = everything(first.tree).filter(path => lstatSync(path).isFile())
    t.equal(first.files, files.length - 1, 'all but the manifest')
  })

  await t.test('starts under an empty environment, from any folder, as any user', async t => {
    const cases: string[][] = [
      ['env', '-i'],
      ['env', '-i', 'PATH=/usr/bin:/bin'],
      [...asUser, 'env', '-i'],
    ]
    for (const prefix of cases) {
      for (const cwd of ['/', '/proc/self']) {
        const outcome = await execute([...prefix, installed, '--version'], { cwd })
        t.strictSame(outcome, { status: 0, stdout: `${version}\n`, stderr: '' }, prefix.join(' '))
      }
    }
  })

  await t.test('loads no code that the caller names', async t => {
    const folder = runFolder(t)
    const evil = join(folder, 'evil.cjs')
    writeFileSync(evil, 'process.stderr.write("evil\\n")')
    const env = [`NODE_OPTIONS=--require=${evil}`, `NODE_PATH=${folder}`, `VMBRIDGE_PREBUILD=${folder}`]
    const run = ['run', '--socket', join(folder, 's'), '--', 'true']
    const { stderr } = await execute(['env', '-i', ...env, installed, ...run])
    t.match(stderr, /^vmbridge: no daemon answers/, 'the addon was loaded, and none but the one of the tree')
  })

  await t.test('its daemon has the PID that was started, and goes on through upgrades', async t => {
    const folder = runFolder(t)
    const daemon = Child.launch(['env', '-i', installed, ...daemonArgs(folder)], { cwd: '/' })
    t.teardown(() => daemon.close())
    await daemon.waitForLine(/"daemon\.ready"/, PATIENCE)
    t.equal(readFileSync(join(folder, 'pid'), 'utf8'), String(daemon.pid))
    t.equal(readlinkSync(`/proc/${daemon.pid}/exe`), join(first.tree, 'node'))
    const [argv0] = readFileSync(`/proc/${daemon.pid}/cmdline`, 'utf8').split('\0')
    t.equal(argv0, installed, 'ps shows what was started')

    const run = ['run', '--socket', join(folder, 's'), '--', '/usr/bin/env']
    const found = await execute(['env', '-i', 'A=1', installed, ...run])
    t.strictSame(
      found,
      { status: 0, stdout: 'A=1\n', stderr: '' },
      'a program has its own variables and no others',
    )

    for (const count of [2, 3]) {
      const next = await installInto(t, prefix)
      t.equal(next.tree, `${prefix}/versions/${version}-${count}`)
      const kept = [count - 1, count].map(n => `${version}-${n}`)
      t.strictSame(readdirSync(join(prefix, 'versions')).sort(), kept, 'the new version and the one before')
      const { status, stdout } = await execute([
        'env',
        '-i',
        installed,
        'status',
        '--json',
        '--control',
        join(folder, 'c'),
      ])
      t.equal(status, 0, 'the daemon answers the new command')
      t.match(JSON.parse(stdout), { networks: [{ sockets: [join(folder, 's')] }] })
    }
    t.equal((await daemon.close('SIGTERM')).code, 0)
  })

  await t.test('is no source of another one', async t => {
    const { status, stderr } = await execute([installed, 'install', '--prefix', join(prefix, 'x')], PATIENCE)
    t.equal(status, 1)
    t.match(stderr, /versions\/\S+ is an installed tree, not what one is made from\n {2}try: /)
  })

  await t.test('removes itself, for root', async t => {
    const user = await execute([...asUser, 'env', '-i', installed, 'uninstall', '--prefix', prefix])
    t.equal(user.status, 1)
    t.match(user.stderr, `\n  try: sudo ${installed} uninstall --prefix ${prefix}\n`)
    const { status, stdout, stderr } = await execute([
      'env',
      '-i',
      installed,
      'uninstall',
      '--prefix',
      prefix,
      '--json',
    ])
    t.equal(status, 0, stderr)
    t.match(JSON.parse(stdout), { prefix, kept: [] })
    t.throws(() => lstatSync(prefix), { code: 'ENOENT' })
    t.ok(lstatSync(dirname(prefix)).isDirectory(), 'its parent stays')
  })
})

t.test('without root the line that has the rights is said', { skip }, async t => {
  const user = [
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--inh-caps=+dac_read_search',
    '--ambient-caps=+dac_read_search',
    '--',
  ]
  for (const command of ['install', 'uninstall']) {
    const { status, stdout, stderr } = await execute([...user, VMBRIDGE, command, '--prefix', '/opt/a b'])
    t.strictSame({ status, stdout }, { status: 1, stdout: '' })
    const line = `sudo ${process.execPath} ${VMBRIDGE} ${command} --prefix '/opt/a b'`
    t.equal(
      stderr,
      `vmbridge: ${command} needs root: what is in /opt/a b is started as root\n  try: ${line}\n`,
    )
  }
})

t.test('help and wrong usage', async t => {
  for (const command of ['install', 'uninstall']) {
    t.match(await vmbridge([command, '--help']), {
      status: 0,
      stdout: new RegExp(`^usage: vmbridge ${command} `, 'm'),
      stderr: '',
    })
    for (const wrong of [['x'], ['--nonsense'], ['--prefix']]) {
      t.match(await vmbridge([command, ...wrong]), {
        status: 2,
        stdout: '',
        stderr: /\n {2}try: vmbridge \w+ --help\n$/,
      })
    }
  }
})
