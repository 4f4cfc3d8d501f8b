// An install that ends anywhere: after each single change to the disk it is cut off, or the disk is full from there on.
// What starts is the old version or the new one, and the next install leaves no trace of what happened.

import { execFileSync } from 'node:child_process'
import { cpSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { install } from '../../src/install/install.js'
import { installStandIns } from '../../src/install/stand-ins.js'
import { uninstall } from '../../src/install/uninstall.js'
import { BridgeError } from '../../src/errors.js'
import { scratch } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { Crash, withFault, withoutSync } from './fs-faults.js'
import { agreeable, rootsFolder, smallPackage, type SmallPackage } from './place.js'

t.setTimeout(1_200_000)

const skip = requires(['root'])

const installs =
  (prefix: string, { root, node }: SmallPackage, version: string) =>
  () =>
    install({ prefix, root, node, machine: agreeable(version), progress: () => {} })

/** Every path below a folder with what it holds, but for the names of versions, which count up. */
function contents(folder: string): string {
  if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) return 'nothing'
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map(path => {
      const stats = lstatSync(join(folder, path))
      const isFolder = stats.isDirectory()
      const text = isFolder ? '/' : readFileSync(join(folder, path)).toString('base64')
      return `${path} ${(stats.mode & 0o7777).toString(8)} ${path === 'current' ? '' : text}`.replace(
        /-\d+(?=[/ ])/,
        '',
      )
    })
    .sort()
    .join('\n')
}

const starts = (prefix: string): string =>
  execFileSync(join(prefix, 'bin/vmbridge'), ['--version'], { env: {}, encoding: 'utf8' }).trim()

/** A prefix with 1.0.0 as former and current version and stand-ins for QEMU, the packages, and what an upgrade of it leads to. */
async function prepare(t: Test) {
  const top = rootsFolder(t)
  const packages = scratch(t)
  const [one, two] = ['1.0.0', '2.0.0'].map(version => smallPackage(packages, version))
  const [before, prefix] = [join(top, 'before'), join(top, 'prefix')]
  await installs(before, one, '1.0.0')()
  await installStandIns(before, { format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {} })
  await installs(before, one, '1.0.0')()
  const reset = () => {
    rmSync(prefix, { recursive: true, force: true })
    cpSync(before, prefix, { recursive: true })
  }
  reset()
  await withoutSync(installs(prefix, two, '2.0.0'))
  return { before, prefix, one, two, reset, after: contents(prefix) }
}

t.test('an upgrade that is cut off after any change leaves a tree that starts', { skip }, async t => {
  const { prefix, two, reset, after } = await prepare(t)
  const seen = { '1.0.0': 0, '2.0.0': 0 }
  for (let at = 1; ; at++) {
    reset()
    const { reached, error } = await withFault('crash', at, installs(prefix, two, '2.0.0'))
    if (!reached) break
    if (!(error instanceof Crash)) t.fail(`call ${at}: ${String(error)}`)
    const version = starts(prefix) as keyof typeof seen
    seen[version]++
    await withoutSync(installs(prefix, two, '2.0.0'))
    // A second one of the new version, where the first was whole.
    const done = version === '2.0.0' ? await upgradedTwice(prefix) : contents(prefix) === after
    if (starts(prefix) !== '2.0.0' || !done) t.fail(`call ${at}, ${String(error)}: not as after an install`)
  }
  t.ok(seen['1.0.0'] > 100, `the old one started after ${seen['1.0.0']} of them`)
  t.ok(seen['2.0.0'] > 0, `the new one started after ${seen['2.0.0']} of them`)
})

/** Whether only two versions are there, both of 2.0.0, and nothing partial. */
async function upgradedTwice(prefix: string): Promise<boolean> {
  const names = readdirSync(join(prefix, 'versions'))
  return (
    names.length === 2 &&
    names.every(name => /^2\.0\.0-\d+$/.test(name)) &&
    !contents(prefix).includes('.partial')
  )
}

t.test('a first install that is cut off after any change is finished by the next', { skip }, async t => {
  const top = rootsFolder(t)
  const prefix = join(top, 'a/b')
  const one = smallPackage(scratch(t), '1.0.0')
  await withoutSync(installs(prefix, one, '1.0.0'))
  const after = contents(prefix)
  const umask = process.umask()
  t.teardown(() => process.umask(umask))
  let count = 0
  for (let at = 1; ; at++) {
    rmSync(join(top, 'a'), { recursive: true })
    process.umask(0o077)
    const { reached } = await withFault('crash', at, installs(prefix, one, '1.0.0'))
    if (!reached) break
    count = at
    await withoutSync(installs(prefix, one, '1.0.0'))
    if (starts(prefix) !== '1.0.0') t.fail(`call ${at}: does not start`)
    if ((lstatSync(join(top, 'a')).mode & 0o777) !== 0o755) t.fail(`call ${at}: the parent lets nobody in`)
    // Where the version was current already, it stays as the former one.
    const isWhole = readdirSync(join(prefix, 'versions')).length === 2
    if (!isWhole && contents(prefix) !== after) t.fail(`call ${at}: not as after an install`)
    if (contents(prefix).includes('.partial')) t.fail(`call ${at}: something partial is left`)
  }
  t.ok(count > 100, `${count} calls`)
})

t.test('an uninstall that is cut off after any change is finished by the next', { skip }, async t => {
  const { prefix, one, reset } = await prepare(t)
  let count = 0
  for (let at = 1; ; at++) {
    reset()
    const { reached } = await withFault('crash', at, () => uninstall(prefix, () => {}))
    if (!reached) break
    count = at
    if (at % 2 === 0) await withoutSync(installs(prefix, one, '1.0.0'))
    // The last change of all: nothing tells of an empty folder that it was an install's.
    if (contents(prefix) === '') continue
    const { kept } = await uninstall(prefix, () => {})
    if (kept.length > 0 || contents(prefix) !== 'nothing') t.fail(`call ${at}: ${JSON.stringify(kept)}`)
  }
  t.ok(count > 50, `${count} calls`)
})

t.test('a disk that is full at any moment leaves things as they were', { skip }, async t => {
  const { before, prefix, two, reset } = await prepare(t)
  await installs(before, two, '2.0.0')()
  // Without a former version there is nothing to remove first, so all must be as before.
  const former = readdirSync(join(before, 'versions')).find(name => name.startsWith('1.'))!
  rmSync(join(before, 'versions', former), { recursive: true })
  const old = contents(before)
  let count = 0
  for (let at = 1; ; at++) {
    reset()
    const { reached, error } = await withFault('full', at, installs(prefix, two, '2.0.0'))
    if (!reached) break
    count = at
    const isSaid =
      error instanceof BridgeError && /no space left/.test(error.message) && /room/.test(error.hint ?? '')
    if (!isSaid) t.fail(`call ${at}: ${String(error)}`)
    if (starts(prefix) !== '2.0.0') t.fail(`call ${at}: does not start`)
    const now = contents(prefix)
    if (now !== old && readdirSync(join(prefix, 'versions')).length !== 2)
      t.fail(`call ${at}: ${String(error)}`)
    if (now.includes('.partial')) t.fail(`call ${at}: something partial is left`)
  }
  t.ok(count > 50, `${count} calls`)
  rmSync(prefix, { recursive: true })
  await withFault('full', 40, installs(prefix, two, '2.0.0'))
  t.equal(contents(prefix), 'nothing', 'a first install leaves nothing')
})

t.test('the real command, killed at each of its steps, leaves a tree that starts', { skip }, async t => {
  const prefix = rootsFolder(t)
  const argv = [VMBRIDGE, 'install', '--prefix', prefix]
  const patience = { timeoutMs: 120_000 }
  t.equal((await Child.launch(argv).exited).code, 0)
  const wanted = starts(prefix)
  for (const step of [/copying node/, /copied \d+ files/, /switching to/, /removing/]) {
    const child = Child.launch(argv)
    await child.waitForLine(step, patience).catch(() => {})
    await child.close('SIGKILL')
    t.equal(starts(prefix), wanted, `killed at ${step}`)
  }
  t.equal((await Child.launch(argv).exited).code, 0)
  t.equal(starts(prefix), wanted)
  t.equal(readdirSync(join(prefix, 'versions')).length, 2)
  t.strictSame(readdirSync(prefix).sort(), ['bin', 'current', 'versions'])
})

t.test(
  'the real command on a disk that is too small for two',
  { skip: requires(['root', 'linux', 'unshare']) },
  async t => {
    const prefix = rootsFolder(t)
    // One tree is about 100 MB. The mount is gone with the namespace.
    const script = `mount -t tmpfs -o size=150m,mode=755 vbt-install "$1" &&
    "$0" install --prefix "$1" && echo first: $? && before=$(find "$1" | sort | sha256sum)
    "$0" install --prefix "$1"; echo second: $?
    test "$before" = "$(find "$1" | sort | sha256sum)" && echo unchanged
    env -i "$1/bin/vmbridge" --version && "$0" uninstall --prefix "$1" && ls -A "$1" | wc -l`
    const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, VMBRIDGE, prefix]
    const child = Child.launch(argv)
    await child.exited
    const said = child
      .text(1)
      .split('\n')
      .filter(line => !/^(installed|start it|removed)/.test(line))
    t.strictSame(said.slice(0, 3), ['first: 0', 'second: 1', 'unchanged'], child.text())
    t.match(said[3], /^\d+\.\d+\.\d+/)
    t.equal(said[4], '0', 'the mount point is empty')
    t.match(child.text(2), /vmbridge: cannot change what is in \S+: ENOSPC: [^\n]+\n {2}try: make room there/)
  },
)
