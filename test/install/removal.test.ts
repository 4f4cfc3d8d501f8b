// What is removed is what an install put there: by uninstall, and by an upgrade of what is older. What somebody added
// or changed stays and is named, and a folder that is not ours is left alone altogether.

import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { install } from '../../src/install/install.js'
import { withPrefix } from '../../src/install/prefix.js'
import type { Machine } from '../../src/install/machine.js'
import { uninstall } from '../../src/install/uninstall.js'
import { native } from '../../src/native.js'
import { scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { withFault } from './fs-faults.js'
import { agreeable, rootsFolder, smallPackage } from './place.js'

t.setTimeout(600_000)

const skip = requires(['root'])
const quiet = (): void => {}

/** A prefix with a small 1.0.0 in it. */
async function installed(t: Test) {
  const prefix = rootsFolder(t)
  const { root, node } = smallPackage(scratch(t), '1.0.0')
  const again = () => install({ prefix, root, node, machine: agreeable('1.0.0'), progress: quiet })
  const { tree } = await again()
  return { prefix, tree, again }
}

const remaining = (prefix: string): string[] =>
  readdirSync(prefix, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()

t.test('everything that was installed goes, with the prefix', { skip }, async t => {
  const { prefix, again } = await installed(t)
  await again()
  const count = remaining(prefix).length
  t.strictSame(await uninstall(`${prefix}/`, quiet), { prefix, removed: count, kept: [] })
  t.notOk(existsSync(prefix))
})

t.test('a tree that a service starts stays until the service goes', { skip }, async t => {
  const { prefix } = await installed(t)
  const services = scratch(t)
  writeFileSync(join(services, 'com.example.plist'), `${prefix}/bin/vmbridge`)
  mkdirSync(join(services, 'vmbridge.service.d'))
  const unit = join(services, 'vmbridge.service')
  writeFileSync(unit, `[Service]\nExecStart=${prefix}/bin/vmbridge daemon\n`)
  const count = remaining(prefix).length
  await t.rejects(uninstall(prefix, quiet, [services]), {
    code: 'ERR_UNINSTALL_SERVICE',
    message: new RegExp(unit),
    hint: /service uninstall/,
  })
  t.equal(remaining(prefix).length, count, 'nothing was removed')
  writeFileSync(unit, '[Service]\nExecStart=/opt/elsewhere/bin/vmbridge daemon\n')
  t.equal((await uninstall(prefix, quiet, [services, join(services, 'none')])).removed, count)
})

t.test('what somebody added or changed stays and is named', { skip }, async t => {
  const { prefix, tree } = await installed(t)
  const outside = join(scratch(t), 'outside')
  writeFileSync(outside, 'not ours')
  const added = ['notes', 'bin/mine', 'etc/vmbridge.conf', 'versions/mine', 'versions/0.9.0-1/file'].map(
    path => join(prefix, path),
  )
  added.push(join(tree, 'node_modules/one/added.js'), join(tree, 'manifest.json.orig'))
  for (const path of added) {
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, 'mine')
  }
  const link = join(prefix, 'link')
  symlinkSync(outside, link)
  const changed = ['bin/vmbridge', 'current'].map(path => join(prefix, path))
  changed.push(join(tree, 'LICENSE'), join(tree, 'dist/src/cli/bin.js'))
  for (const path of changed) appendFileSync(path, '#/')
  // Of the same size, and another kind of file.
  const flipped = join(tree, 'build/Release/vmbridge.node')
  writeFileSync(flipped, readFileSync(flipped, 'latin1').replace('addon', 'NODDA'))
  const replaced = join(tree, 'launchd/README.md')
  rmSync(replaced)
  symlinkSync(outside, replaced)
  changed.push(flipped, replaced)
  mkdirSync(join(prefix, 'empty/folders'), { recursive: true })

  const { removed, kept } = await uninstall(prefix, quiet)
  const named = (why: string) =>
    kept
      .filter(each => each.why === why)
      .map(({ path }) => path)
      .sort()
  t.strictSame(named('added'), [...added, link].sort())
  t.strictSame(named('changed'), changed.sort())
  t.strictSame(remaining(prefix), [...added, link, ...changed].sort(), 'and nothing else is there')
  t.ok(removed > 5)
  t.ok(
    existsSync(join(prefix, 'empty')),
    "an empty folder that is not of the install's own is somebody's, too",
  )
  t.equal(readFileSync(outside, 'utf8'), 'not ours')
  await t.rejects(
    uninstall(prefix, quiet),
    { code: 'ERR_NOT_INSTALLED' },
    'there is nothing of ours any more',
  )
})

t.test('the command says so with status 1', { skip }, async t => {
  const { prefix } = await installed(t)
  const mine = join(prefix, 'mine')
  writeFileSync(mine, '')
  const { status, stdout, stderr } = await execute([VMBRIDGE, 'uninstall', '--prefix', prefix, '--json'])
  t.equal(status, 1)
  t.strictSame((JSON.parse(stdout) as { kept: unknown }).kept, [{ path: mine, why: 'added' }])
  t.match(stderr, `vmbridge uninstall: ${mine} stays: somebody added it\n`)
})

t.test(
  'an upgrade leaves what somebody put into an old version, and repairs what was changed in front',
  { skip },
  async t => {
    const { prefix, tree, again } = await installed(t)
    const mine = join(tree, 'mine')
    writeFileSync(mine, '')
    appendFileSync(join(prefix, 'bin/vmbridge'), 'damage')
    writeFileSync(join(prefix, 'notes'), '')
    t.strictSame((await again()).kept, [], 'the former version is whole still')
    t.same(readFileSync(join(prefix, 'bin/vmbridge')), readFileSync(join(tree, 'bin/vmbridge')))
    t.strictSame((await again()).kept, [{ path: mine, why: 'added' }])
    t.strictSame(remaining(tree), [mine])
    t.strictSame((await again()).kept, [], 'it is said once')
    t.ok(existsSync(join(prefix, 'notes')))
  },
)

t.test('a folder that is not ours is neither installed into nor removed', { skip }, async t => {
  const { root, node } = smallPackage(scratch(t), '1.0.0')
  const foreign: [name: string, make: (prefix: string) => void][] = [
    ['a file', prefix => writeFileSync(join(prefix, 'file'), '')],
    ['a hidden file', prefix => writeFileSync(join(prefix, '.file'), '')],
    ['programs', prefix => (mkdirSync(join(prefix, 'bin')), writeFileSync(join(prefix, 'bin/vmbridge'), ''))],
    ['versions of something else', prefix => mkdirSync(join(prefix, 'versions/1.0.0'), { recursive: true })],
    [
      'a manifest of something else',
      prefix => {
        mkdirSync(join(prefix, 'versions/1.0.0-1'), { recursive: true })
        writeFileSync(
          join(prefix, 'versions/1.0.0-1/manifest.json'),
          '{"format":1,"name":"other","version":"1","files":[]}',
        )
      },
    ],
    [
      'a manifest that makes no sense',
      prefix => {
        mkdirSync(join(prefix, 'versions/1.0.0-1'), { recursive: true })
        writeFileSync(
          join(prefix, 'versions/1.0.0-1/manifest.json'),
          '{"format":1,"name":"vmbridge","version":"1","files":[null]}',
        )
      },
    ],
  ]
  for (const [name, make] of foreign) {
    const prefix = rootsFolder(t)
    make(prefix)
    const before = readdirSync(prefix, { recursive: true })
    const done = install({ prefix, root, node, machine: agreeable('1.0.0'), progress: quiet })
    await t.rejects(
      done,
      { code: 'ERR_INSTALL_FOREIGN', message: new RegExp(`^${prefix} is not empty`) },
      name,
    )
    await t.rejects(uninstall(prefix, quiet), { code: 'ERR_NOT_INSTALLED' }, name)
    t.strictSame(readdirSync(prefix, { recursive: true }), before, name)
  }
  await t.rejects(uninstall(rootsFolder(t), quiet), { code: 'ERR_NOT_INSTALLED' }, 'an empty folder')
  const none = join(rootsFolder(t), 'none')
  const { reached, error } = await withFault('crash', 1, () => uninstall(none, quiet))
  t.match(error, { code: 'ERR_NOT_INSTALLED' }, 'none')
  t.notOk(reached, 'and nothing was made on the way')
})

t.test('a manifest cannot lead out of its version', { skip }, async t => {
  const { prefix, tree } = await installed(t)
  const victim = join(prefix, '../vbt-install-victim')
  writeFileSync(victim, '')
  t.teardown(() => rmSync(victim, { force: true }))
  const path = join(tree, 'manifest.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as { files: object[] }
  const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
  for (const path of ['../../../vbt-install-victim', victim]) manifest.files.push({ path, size: 0, sha256 })
  writeFileSync(path, JSON.stringify(manifest))
  t.strictSame((await uninstall(prefix, quiet)).kept, [])
  t.ok(existsSync(victim))
})

t.test('two do not work on one prefix at a time', { skip }, async t => {
  const { prefix, again } = await installed(t)
  const before = remaining(prefix)
  const fd = openSync(prefix, 'r')
  t.teardown(() => closeSync(fd))
  t.ok(native.lock(fd))
  const refusal = { code: 'ERR_INSTALL_BUSY', message: `another install or uninstall works on ${prefix}` }
  await t.rejects(again(), refusal)
  await t.rejects(uninstall(prefix, quiet), refusal)
  t.strictSame(remaining(prefix), before)
})

t.test('of two first installs, the one that waits takes nothing from the other', { skip }, async t => {
  const prefix = join(rootsFolder(t), 'new')
  const folders = [join(prefix, 'versions')]
  const late = withPrefix(prefix, folders, () => t.fail('the other has the lock'))
  // It has made the prefix by now, and goes for the lock when this turn of the loop ends.
  const fd = openSync(prefix, 'r')
  t.teardown(() => closeSync(fd))
  t.ok(native.lock(fd))
  await t.rejects(late, { code: 'ERR_INSTALL_BUSY' })
  t.ok(existsSync(prefix), 'empty as it is')
})

t.test('the lock on a prefix that was removed meanwhile is none on the new one', { skip }, async t => {
  const prefix = join(rootsFolder(t), 'new')
  const late = withPrefix(prefix, [], () => t.fail('it has the lock on nothing'))
  rmdirSync(prefix)
  await t.rejects(late, { code: 'ERR_INSTALL_BUSY' }, 'gone')
  const later = withPrefix(prefix, [], () => t.fail('it has the lock on nothing'))
  // Kept, so that the new folder is known by another number.
  renameSync(prefix, `${prefix}.old`)
  mkdirSync(prefix)
  await t.rejects(later, { code: 'ERR_INSTALL_BUSY' }, 'another')
})

t.test('folders that are not of an install stay, though they are empty', { skip }, async t => {
  const { prefix } = await installed(t)
  for (const name of ['another/log', 'binaries', 'versions/mine'])
    mkdirSync(join(prefix, name), { recursive: true })
  await uninstall(prefix, quiet)
  t.strictSame(readdirSync(prefix).sort(), ['another', 'binaries'])
  t.ok(existsSync(join(prefix, 'another/log')))
})

t.test(
  'a file system that is read-only is told of, and no bug',
  { skip: requires(['linux', 'root', 'unshare', 'mount']) },
  async t => {
    const folder = rootsFolder(t)
    const script = 'mount -t tmpfs -o ro,mode=755 none "$1" && exec "$2" install --prefix "$1/new"'
    const argv = [
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      'sh',
      folder,
      VMBRIDGE,
    ]
    const { status, stderr } = await execute(argv, { timeoutMs: 120_000 })
    t.equal(status, 1)
    t.match(stderr, /^vmbridge: cannot change what is in \S+\/new: EROFS[^\n]+\n {2}try: [^\n]+\n$/)
  },
)

t.test('what an install needs and is not there is named before anything is made', { skip }, async t => {
  const top = rootsFolder(t)
  const cases: [path: string, code: string, says: RegExp][] = [
    ['build/Release/vmbridge.node', 'ERR_INSTALL_SOURCE', /vmbridge\.node is missing/],
    ['build/Release/launcher', 'ERR_INSTALL_SOURCE', /launcher is missing/],
    ['build/Release/socket_vmnet_client', 'ERR_INSTALL_SOURCE', /socket_vmnet_client is missing/],
    ['dist/src', 'ERR_INSTALL_SOURCE', /dist\/src is missing/],
    ['node_modules/one', 'ERR_INSTALL_SOURCE', /needs the package one, which is not installed/],
    ['LICENSE', 'ERR_INSTALL_SOURCE', /LICENSE is missing/],
  ]
  const tryInstall = (root: string) =>
    install({
      prefix: join(top, 'p'),
      root,
      node: join(root, 'node'),
      machine: agreeable('1.0.0'),
      progress: quiet,
    })
  for (const [path, code, message] of cases) {
    const { root } = smallPackage(scratch(t), '1.0.0')
    rmSync(join(root, path), { recursive: true })
    await t.rejects(tryInstall(root), { code, message, hint: /npm (ci|run)/ }, path)
  }
  const { root } = smallPackage(scratch(t), '1.0.0')
  symlinkSync('/etc/shadow', join(root, 'dist/src/link.js'))
  await t.rejects(tryInstall(root), { code: 'ERR_INSTALL_SOURCE', message: /link\.js is no regular file/ })
  t.strictSame(readdirSync(top), [])
})

t.test("libraries of the addon's own are looked at as the interpreter's are", { skip }, async t => {
  const prefix = join(rootsFolder(t), 'new')
  const { root, node } = smallPackage(scratch(t), '1.0.0')
  const machine = agreeable('1.0.0')
  const said = (argv: readonly string[]) =>
    argv.at(-1) === join(root, 'build/Release/vmbridge.node') ? '\tlibx.so => /home/joe/libx.so (0x1)\n' : ''
  const run: Machine['run'] = argv => ({ ...machine.run(argv), ...(said(argv) && { stdout: said(argv) }) })
  await t.rejects(install({ prefix, root, node, machine: { ...machine, run }, progress: quiet }), {
    code: 'ERR_INSTALL_NODE',
    message: /vmbridge\.node cannot be copied: .*\/home\/joe\/libx\.so/,
  })
  t.notOk(existsSync(prefix))
})

t.test('a tree that does not start is not switched to, and nothing of it stays', { skip }, async t => {
  const { prefix, tree } = await installed(t)
  const before = remaining(prefix)
  const { root, node } = smallPackage(scratch(t), '2.0.0')
  const failing: [
    name: string,
    run: (argv: readonly string[]) => { status: number; stdout: string; stderr: string },
  ][] = [
    [
      'another version answers',
      argv => ({ status: 0, stdout: argv.at(-1) === '--version' ? '1.0.0\n' : '', stderr: '' }),
    ],
    [
      'status 1',
      argv => ({ status: argv.at(-1) === '--version' ? 1 : 0, stdout: '2.0.0\n', stderr: 'no\nreason\n' }),
    ],
    [
      'the daemon cannot be loaded',
      argv => ({ status: argv.includes('--eval') ? 1 : 0, stdout: '2.0.0\n', stderr: 'no' }),
    ],
  ]
  for (const [name, run] of failing) {
    const machine = { ...agreeable('2.0.0'), run }
    const done = install({ prefix, root, node, machine, progress: quiet })
    await t.rejects(done, { code: 'ERR_INSTALL_START', message: /^the new tree does not start: / }, name)
    t.strictSame(remaining(prefix), before, name)
  }
  t.equal(readFileSync(join(prefix, 'current'), 'utf8'), `${tree.split('/').at(-1)}\n`)
})
