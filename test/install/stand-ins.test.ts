// The stand-ins for QEMU below an installed tree: put there, kept by an upgrade, removed, and nothing else.

import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { install } from '../../src/install/install.js'
import { installStandIns, uninstallStandIns } from '../../src/install/stand-ins.js'
import { uninstall } from '../../src/install/uninstall.js'
import type { TalosSettings } from '../../src/talos/settings.js'
import { asNobody, scratch, vmbridge } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { keepaliveLine, record, nodeLine } from '../talos/lines.js'
import { environmentOf, inPlace, place, QEMU_ENDED, seenBy } from '../talos/place.js'
import { FakeDaemon } from '../talos/stand-in-daemon.js'
import { agreeable, rootsFolder, smallPackage } from './place.js'

t.setTimeout(1_200_000)

const skip = requires(['linux', 'root'])
const quiet = (): void => {}
const SETTINGS: TalosSettings = { format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {} }
const FILES = ['qemu-system-aarch64', 'qemu-system-x86_64', 'settings.json']

/** A prefix with a small 1.0.0, and what upgrades it. */
async function installed(t: Test) {
  const prefix = rootsFolder(t)
  const folder = scratch(t)
  const upgrade = (version: string, more = '') => {
    const { root, node } = smallPackage(folder, version)
    appendFileSync(join(root, 'build/Release/launcher'), more)
    return install({ prefix, root, node, machine: agreeable(version), progress: quiet })
  }
  await upgrade('1.0.0')
  return { prefix, standIns: join(prefix, 'talos'), upgrade }
}

const filesIn = (folder: string): string[] => readdirSync(folder).sort()

t.test(
  'two launchers and their settings, of root, whatever the umask and however often',
  { skip },
  async t => {
    const { prefix, standIns } = await installed(t)
    const launcher = readFileSync(join(prefix, 'bin/vmbridge'))
    for (const umask of [0o000, 0o077]) {
      process.umask(umask)
      const result = await installStandIns(`${prefix}/`, { ...SETTINGS, dhcp: 'passthrough' })
      t.strictSame(result.programs, [join(standIns, FILES[0]), join(standIns, FILES[1])])
      t.strictSame(filesIn(standIns), FILES)
      for (const name of FILES.slice(0, 2)) {
        const { mode, uid, gid, nlink } = statSync(join(standIns, name))
        t.strictSame([mode & 0o7777, uid, gid, nlink], [0o755, 0, 0, 1])
        t.ok(readFileSync(join(standIns, name)).equals(launcher))
      }
      t.equal(statSync(standIns).mode & 0o7777, 0o755)
    }
    t.equal(JSON.parse(readFileSync(join(standIns, 'settings.json'), 'utf8')).dhcp, 'passthrough')
  },
)

t.test('without an install there is nothing to stand on, and nothing is made', { skip }, async t => {
  const prefix = rootsFolder(t)
  const wanted = { code: 'ERR_NOT_INSTALLED', hint: `sudo vmbridge install --prefix ${prefix}` }
  await t.rejects(installStandIns(prefix, SETTINGS), wanted)
  await t.rejects(installStandIns(join(prefix, 'not/there'), SETTINGS), { code: 'ERR_NOT_INSTALLED' })
  t.strictSame(filesIn(prefix), [])
  const { prefix: old } = await installed(t)
  const version = readFileSync(join(old, 'current'), 'utf8').trim()
  rmSync(join(old, 'versions', version, 'dist/src/talos'), { recursive: true })
  await t.rejects(installStandIns(old, SETTINGS), { code: 'ERR_NOT_INSTALLED', message: /older/ })
  t.notOk(existsSync(join(old, 'talos')))
})

t.test('a folder that others can change is refused', { skip }, async t => {
  const { prefix, standIns } = await installed(t)
  mkdirSync(standIns)
  chmodSync(standIns, 0o777)
  await t.rejects(installStandIns(prefix, SETTINGS), { code: 'ERR_INSTALL_PATH', message: standIns })
  rmSync(standIns, { recursive: true })
  symlinkSync(scratch(t), standIns)
  await t.rejects(installStandIns(prefix, SETTINGS), { code: 'ERR_INSTALL_PATH', message: /symbolic link/ })
  await t.rejects(installStandIns('relative', SETTINGS), { code: 'ERR_USAGE' })
})

t.test('what an interrupted one left does not matter', { skip }, async t => {
  const { prefix, standIns } = await installed(t)
  mkdirSync(standIns)
  for (const name of FILES) writeFileSync(join(standIns, `${name}.partial`), 'half')
  await installStandIns(prefix, SETTINGS)
  t.strictSame(filesIn(standIns), FILES)
})

t.test('talos uninstall removes them, and only them', { skip }, async t => {
  const { prefix, standIns } = await installed(t)
  const before = filesIn(prefix)
  await t.rejects(uninstallStandIns(prefix), { code: 'ERR_NOT_INSTALLED', message: standIns })
  await installStandIns(prefix, SETTINGS)
  t.strictSame(await uninstallStandIns(prefix), { folder: standIns, removed: 3, kept: [] })
  t.strictSame(filesIn(prefix), before)
  await installStandIns(prefix, SETTINGS)
  writeFileSync(join(standIns, 'mine'), '')
  writeFileSync(join(standIns, 'qemu-system-x86_64'), 'mine')
  writeFileSync(join(standIns, 'settings.json'), 'mine')
  const kept = ['qemu-system-x86_64', 'settings.json'].map(name => ({
    path: join(standIns, name),
    why: 'changed',
  }))
  t.strictSame(await uninstallStandIns(prefix), { folder: standIns, removed: 1, kept })
  t.strictSame(filesIn(standIns), ['mine', 'qemu-system-x86_64', 'settings.json'])
})

t.test('an upgrade takes them along, and uninstall removes them after it', { skip }, async t => {
  const { prefix, standIns, upgrade } = await installed(t)
  await installStandIns(prefix, { ...SETTINGS, dhcp: 'passthrough' })
  // A launcher that differs, twice: then no version is left that has the first one.
  for (const version of ['2.0.0', '3.0.0']) await upgrade(version, version)
  const launcher = readFileSync(join(prefix, 'bin/vmbridge'))
  t.ok(launcher.toString('latin1').endsWith('3.0.0'))
  for (const name of FILES.slice(0, 2)) t.ok(readFileSync(join(standIns, name)).equals(launcher), name)
  t.equal(JSON.parse(readFileSync(join(standIns, 'settings.json'), 'utf8')).dhcp, 'passthrough')
  const { kept } = await uninstall(prefix, quiet)
  t.strictSame(kept, [])
  t.notOk(existsSync(prefix))
})

t.test('an upgrade makes none where there were none', { skip }, async t => {
  const { standIns, upgrade } = await installed(t)
  await upgrade('2.0.0')
  t.notOk(existsSync(standIns))
})

t.test(
  'the command, from install to uninstall, as people type it',
  { skip: requires(['linux', 'root', 'cc', 'unshare']) },
  async t => {
    const prefix = rootsFolder(t)
    const where = { ...(await place(t)), standIns: join(prefix, 'talos') }
    const program = join(prefix, 'bin/vmbridge')
    const early = await vmbridge(['talos', 'install', '--prefix', prefix])
    t.match(early, { status: 1, stderr: /not installed in .*\n {2}try: sudo vmbridge install --prefix/ })
    const ok = async (argv: string[]) => {
      const { status, stdout, stderr } = await execute(inPlace(where, ['env', '-i', ...argv]), {
        timeoutMs: 120_000,
      })
      t.equal(status, 0, `${argv.join(' ')}: ${stderr}`)
      return stdout
    }
    t.equal((await vmbridge(['install', '--prefix', prefix], { timeoutMs: 120_000 })).status, 0)
    const qemu = join(where.bin, 'qemu-system-aarch64')
    const said = await ok([program, 'talos', 'install', '--prefix', prefix, '--qemu', qemu])
    t.match(said, `installed ${where.standIns}/qemu-system-aarch64\n`)

    const daemon = await new FakeDaemon(t, where.control).start()
    writeFileSync(join(where.state, 'ipam.db'), record())
    const start = async (line: readonly string[], env: Record<string, string>) => {
      const argv = ['env', '-i', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)]
      const child = Child.launch(
        inPlace(where, [...argv, join(where.standIns, 'qemu-system-aarch64'), ...line]),
      )
      t.equal((await child.exited).code, QEMU_ENDED, child.text())
      return seenBy(where)
    }
    const { FAKE_QEMU_OUT, VMBRIDGE_CONTROL } = environmentOf(where)
    const bare = { FAKE_QEMU_OUT, VMBRIDGE_CONTROL }
    const node = nodeLine({ talosctl: '1.14', state: where.state })
    for (const line of [keepaliveLine(), node])
      t.match((await start(line, bare))?.join(' '), /-netdev stream,id=n/)
    t.equal(daemon.reservations.get('10.5.0.1-24')?.length, 1)

    t.equal((await vmbridge(['install', '--prefix', prefix], { timeoutMs: 120_000 })).status, 0, 'an upgrade')
    t.equal((await start(node, bare))?.[0], qemu)

    await ok([program, 'talos', 'uninstall', '--prefix', prefix])
    t.notOk(existsSync(where.standIns))
    await ok([program, 'talos', 'install', '--prefix', prefix, '--dhcp', 'passthrough', '--json'])
    await ok([program, 'uninstall', '--prefix', prefix])
    t.notOk(existsSync(prefix))
  },
)

t.test(
  'without rights the line that has them is said, with what was chosen',
  { skip: requires(['root', 'setpriv']) },
  async t => {
    const argv = asNobody([VMBRIDGE])
    const { status, stderr } = await execute([...argv, 'talos', 'install', '--dhcp', 'passthrough'])
    t.equal(status, 1)
    t.match(stderr, /try: sudo \S+ \S+ talos install --prefix \/opt\/vmbridge --dhcp passthrough\n$/)
  },
)
