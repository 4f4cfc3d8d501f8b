// The real QEMU: found behind the stand-ins, asked what it has, and remembered.

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { factsOf } from '../../src/talos/qemu-cache.js'
import { askQemu, findQemu, pathFor, requireStream, type QemuFacts } from '../../src/talos/qemu.js'
import { scratch } from '../cli/command.js'
import { QEMU_10 as REAL_QEMU_10 } from '../helpers/guest.js'
import { requires } from '../helpers/requires.js'
import { NETDEV } from './lines.js'
import { place, QEMU_10, QEMU_6, QEMU_7, QEMU_9, QEMU_ENDED, seenBy, startStandIn } from './place.js'
import { FakeDaemon } from './stand-in-daemon.js'

t.setTimeout(120_000)

const NAME = 'qemu-system-aarch64'
const skip = requires(['linux', 'cc', 'perl', 'unshare'])
const FAKE = { skip: requires(['linux', 'cc']) }

/** Folders with a program of that name each. */
function folders(t: Test, ...names: string[]): string[] {
  const root = scratch(t)
  return names.map(name => {
    const folder = join(root, name)
    mkdirSync(folder)
    writeFileSync(join(folder, NAME), '#!/bin/sh\n', { mode: 0o755 })
    return folder
  })
}

t.test('the first in PATH that is no stand-in', async t => {
  const [own, real, later] = folders(t, 'own', 'real', 'later')
  const self = join(own, NAME)
  const find = (...path: string[]) => findQemu({ name: NAME, path: path.join(':'), self })
  t.equal(find(own, real, later), join(real, NAME))
  t.equal(
    find(relative('', real), '.', '', '/nonexistent', own, later, real),
    join(later, NAME),
    'as Go looks things up',
  )
  const [linked, hard, elsewhere] = folders(t, 'linked', 'hard', 'elsewhere')
  rmSync(join(linked, NAME))
  symlinkSync(self, join(linked, NAME))
  rmSync(join(hard, NAME))
  linkSync(self, join(hard, NAME))
  t.equal(find(own, linked, hard, real), join(real, NAME), 'itself by device and inode')
  const settings = { format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {} }
  writeFileSync(join(elsewhere, 'settings.json'), JSON.stringify(settings))
  t.equal(find(own, elsewhere, real), join(real, NAME), 'a stand-in of another prefix')
  rmSync(join(linked, NAME))
  symlinkSync(join(elsewhere, NAME), join(linked, NAME))
  t.equal(find(own, linked, real), join(real, NAME), 'a link to that')
  const [unfit] = folders(t, 'unfit')
  chmodSync(join(unfit, NAME), 0o644)
  t.equal(find(own, unfit, real), join(real, NAME), 'not executable')
  rmSync(join(unfit, NAME))
  mkdirSync(join(unfit, NAME))
  t.equal(find(own, unfit, real), join(real, NAME), 'a folder')
  t.throws(() => find(own, linked), { code: 'ERR_NO_QEMU', message: own, hint: /talos install --qemu/ })
})

t.test('a pipe, or a file without end, by the name of the settings holds nobody up', async t => {
  for (const make of [
    (path: string): unknown => execFileSync('mkfifo', [path]),
    (path: string) => symlinkSync('/dev/zero', path),
  ]) {
    const [real] = folders(t, 'real')
    make(join(real!, 'settings.json'))
    t.equal(findQemu({ name: NAME, path: real! }), join(real!, NAME))
  }
})

t.test('a configured one is that or none', async t => {
  const [own, real, later] = folders(t, 'own', 'real', 'later')
  const self = join(own, NAME)
  const wanted = { name: NAME, path: real, self }
  t.equal(findQemu({ ...wanted, configured: join(later, NAME) }), join(later, NAME))
  for (const configured of ['/nonexistent', self, later])
    t.throws(() => findQemu({ ...wanted, configured }), { code: 'ERR_NO_QEMU', message: configured })
})

t.test('a script has a PATH without stand-ins, and nothing else has', async t => {
  const [own, real, later, linked] = folders(t, 'own', 'real', 'later', 'linked')
  const self = join(own!, NAME)
  rmSync(join(linked!, NAME))
  symlinkSync(self, join(linked!, NAME))
  const path = [own, '/usr/bin', linked, real, later].join(':')
  const of = (file: string) => pathFor(file, { name: NAME, path, self })
  t.equal(of(join(real!, NAME)), ['/usr/bin', real, later].join(':'))
  for (const other of [process.execPath, '/nonexistent', '/dev/null']) t.equal(of(other), path, other)
})

t.test('a script that runs a QEMU by name does not find the stand-in again', { skip }, async t => {
  const script = join(scratch(t), NAME)
  writeFileSync(script, `#!/bin/sh\nexec ${NAME} "$@"\n`, { mode: 0o755 })
  const where = await place(t, { qemu: { [NAME]: script } })
  const daemon = await new FakeDaemon(t, where.control).start()
  for (const args of [['-netdev', NETDEV], ['-nographic']]) {
    const child = startStandIn(where, args)
    t.equal((await child.exited).code, QEMU_ENDED, child.text())
    t.equal(seenBy(where)?.length, 1 + args.length)
  }
  t.equal(daemon.asked.length, 1, 'the network was wanted once')
})

t.test('it is asked which way it has to come back', FAKE, async t => {
  const where = await place(t)
  const path = join(where.bin, NAME)
  const ask = (version: string) => {
    writeFileSync(`${path}.version`, version)
    return askQemu(path)
  }
  t.strictSame(ask(QEMU_10), { version: '10.0.2', reconnect: 'reconnect-ms' })
  t.strictSame(ask(QEMU_9), { version: '9.1.0', reconnect: 'reconnect' })
  t.strictSame(ask(QEMU_7), { version: '7.2.22', reconnect: 'none' })
  const old = ask(QEMU_6)
  t.strictSame(old, { version: '6.2.0' })
  t.throws(() => requireStream(path, old!), { code: 'ERR_OLD_QEMU', message: /6\.2\.0.*7\.2/ })
  rmSync(`${path}.version`)
  t.equal(askQemu(path), undefined, 'no answer')
  t.equal(askQemu('/nonexistent'), undefined)
  writeFileSync(path, '#!/bin/sh\necho "QEMU 10"\n', { mode: 0o755 })
  t.equal(askQemu(path), undefined, 'another program')
})

t.test(
  'its version decides where it does not say, and what it says where its build has another way',
  async t => {
    const [folder] = folders(t, 'real')
    const path = join(folder!, NAME)
    const ask = (script: string) => {
      writeFileSync(path, `#!/bin/bash\n${script}`)
      return askQemu(path)?.reconnect
    }
    for (const [version, way] of [
      ['7.2.22', 'none'],
      ['8.0.0', 'reconnect'],
      ['9.1.3', 'reconnect'],
      ['9.2.0-rc1', 'reconnect-ms'],
      ['11.0', 'reconnect-ms'],
      ['7.1.9', undefined],
    ]) {
      const says = `echo "QEMU emulator version ${version} (made for a test)"`
      t.equal(ask(says), way, `${version} takes anything`)
      t.equal(ask(`[ "$1" = -version ] && ${says}`), way, `${version} says so as the first word alone`)
    }
    const checks = (known: string) =>
      `[ "$1" = -version ] || [[ "$2" == ${known} ]] && echo 'QEMU emulator version 9.1.0'`
    t.equal(ask(checks('*reconnect-ms=*')), 'reconnect-ms', 'a later option was built in')
    t.equal(ask(checks('!(*reconnect*)')), 'none', 'it was left out')
    const started = join(folder!, 'started')
    t.equal(ask(`echo "$@" >>${started}; exit 1`), undefined)
    t.equal(readFileSync(started, 'utf8'), '-version\n', 'what does not say its version is asked once')
  },
)

t.test('QEMU 7.2 has no way, and QEMU 10 has ms', { skip: requires([NAME, 'qemu-10']) }, async t => {
  t.match(askQemu(REAL_QEMU_10), { version: /^1\d\./, reconnect: 'reconnect-ms' })
  const installed = findQemu({ name: NAME, path: process.env['PATH'] ?? '' })
  const facts = askQemu(installed)
  const [major, minor] = (facts?.version ?? '').split('.').map(Number)
  const way = major < 8 ? 'none' : major < 9 || (major === 9 && minor < 2) ? 'reconnect' : 'reconnect-ms'
  t.equal(facts?.reconnect, way)
})

t.test(
  'settings that cannot be read are not gone without: they may name a QEMU, or another DHCP',
  { skip },
  async t => {
    const where = await place(t)
    await new FakeDaemon(t, where.control).start()
    writeFileSync(join(where.standIns, 'settings.json'), '{bad')
    const child = startStandIn(where, ['-netdev', NETDEV])
    t.equal((await child.exited).code, 1)
    t.match(
      child.text(),
      /^qemu-system-aarch64: \S+settings\.json is damaged \(try: sudo vmbridge talos install\)\n$/,
    )
    t.equal((await startStandIn(where, ['-nographic']).exited).code, QEMU_ENDED, 'others need no settings')
    rmSync(join(where.standIns, 'settings.json'))
    t.equal((await startStandIn(where, ['-netdev', NETDEV]).exited).code, QEMU_ENDED, 'nor do those without')
  },
)

t.test('a QEMU without -netdev stream: one line', { skip }, async t => {
  const where = await place(t, { version: QEMU_6 })
  const child = startStandIn(where, ['-netdev', NETDEV])
  t.equal((await child.exited).code, 1)
  t.match(child.text(), /^qemu-system-aarch64: \S+ is QEMU 6\.2\.0, which has no -netdev stream: [^\n]*\n$/)
  t.equal(seenBy(where), undefined)
})

t.test('a stand-in remembers what it learnt, in a file of its own user', { skip }, async t => {
  const where = await place(t, { version: QEMU_7 })
  await new FakeDaemon(t, where.control).start()
  t.equal((await startStandIn(where, ['-nographic']).exited).code, QEMU_ENDED)
  t.notOk(existsSync(where.cache), 'nothing to learn')
  await startStandIn(where, ['-netdev', NETDEV]).exited
  t.match(JSON.parse(readFileSync(where.cache, 'utf8')), [{ version: '7.2.22', reconnect: 'none' }])
  t.equal(statSync(where.cache).mode & 0o777, 0o644)
  // What it said then holds, as its file is the same.
  writeFileSync(join(where.bin, `${NAME}.version`), QEMU_10)
  seenBy(where)
  await startStandIn(where, ['-netdev', NETDEV]).exited
  t.notMatch(seenBy(where)?.[2], /reconnect/)
})

/** A QEMU that is asked, how often, and a cache. */
function asked(t: Test) {
  const folder = scratch(t)
  const [path, cache] = [join(folder, NAME), join(folder, 'state/talos/qemu.json')]
  writeFileSync(path, 'x')
  const state = { times: 0, facts: { version: '10.0.2', reconnect: 'reconnect-ms' } as QemuFacts | undefined }
  const look = (of = path) =>
    factsOf(of, cache, () => {
      state.times++
      return state.facts
    })
  return { folder, path, cache, state, look }
}

t.test('a QEMU is asked once, and again when it changed', async t => {
  const { path, cache, state, look } = asked(t)
  t.strictSame([look(), look()], [state.facts, state.facts])
  t.equal(state.times, 1)
  utimesSync(path, 1, 1)
  state.facts = { version: '6.2.0' }
  t.strictSame([look(), look()], [state.facts, state.facts], 'another time of change')
  t.equal(state.times, 2)
  writeFileSync(path, 'xy')
  utimesSync(path, 1, 1)
  look()
  t.equal(state.times, 3, 'another size')
  const other = `${path}-2`
  copyFileSync(path, other)
  look(other)
  look()
  t.equal(state.times, 4, 'two are remembered')
  t.equal((JSON.parse(readFileSync(cache, 'utf8')) as unknown[]).length, 2)
})

t.test('one that does not answer is not remembered, nor one that is gone', async t => {
  const { path, cache, state, look } = asked(t)
  state.facts = undefined
  t.strictSame([look(), look()], [undefined, undefined])
  t.equal(state.times, 2)
  rmSync(path)
  t.equal(look(), undefined)
  t.equal(state.times, 2)
  t.notOk(existsSync(cache))
})

t.test('rubbish in the cache costs a question', async t => {
  const { cache, state, look } = asked(t)
  look()
  const good = JSON.parse(readFileSync(cache, 'utf8')) as object[]
  const rubbish = [
    '',
    '{',
    'null',
    '{}',
    '[null,7,[]]',
    JSON.stringify(good.map(each => ({ ...each, reconnect: 'x,script=/evil' }))),
    JSON.stringify(good.map(each => ({ ...each, version: 7 }))),
    JSON.stringify([...good, 'x'.repeat(70_000)]),
  ]
  for (const text of rubbish) {
    writeFileSync(cache, text)
    const before = state.times
    t.strictSame([look(), look()], [state.facts, state.facts])
    t.equal(state.times, before + 1, text.slice(0, 40))
  }
})

t.test('the cache is bounded', async t => {
  const { path, cache, look } = asked(t)
  for (let i = 0; i < 40; i++) {
    copyFileSync(path, `${path}-${i}`)
    look(`${path}-${i}`)
  }
  t.equal((JSON.parse(readFileSync(cache, 'utf8')) as unknown[]).length, 16)
})

t.test('a cache that others can write, or that is a link, is not believed', async t => {
  const { folder, cache, state, look } = asked(t)
  look()
  for (const spoil of [
    () => chmodSync(cache, 0o666),
    () => {
      renameSync(cache, join(folder, 'moved'))
      symlinkSync(join(folder, 'moved'), cache)
    },
    ...(process.getuid?.() === 0 ? [() => chownSync(cache, 65534, 65534)] : []),
  ]) {
    spoil()
    const before = state.times
    look()
    t.equal(state.times, before + 1)
  }
})

t.test('a cache that cannot be written is no matter', async t => {
  const { folder, state, look } = asked(t)
  writeFileSync(join(folder, 'state'), 'in the way')
  t.strictSame(look(), state.facts)
})
