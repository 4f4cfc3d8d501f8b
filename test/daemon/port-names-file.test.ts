// The file of names: what is written comes back, once a second at most, and nothing that is wrong with it or with the disk
// is more than a warning.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { PortRecord } from '../../src/daemon/port-names.js'
import { PortNamesFile, type NamesDisk } from '../../src/daemon/port-names-file.js'
import { FakeClock } from '../dhcp/segment.js'
import { turn } from '../helpers/frames.js'

const A: PortRecord = { name: 'vm1', mac: 0x5254_0000_000a, pid: 100, start: 7 }
const B: PortRecord = { name: 'vm12', mac: 0xfeff_ffff_ffff, key: 'dial:/tmp/a b "c"' }

const folderOf = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function logbook(): { lines: string[]; log: { warn: (...words: unknown[]) => void } } {
  const lines: string[] = []
  return { lines, log: { warn: (_fields, message) => lines.push(String(message)) } }
}

t.test('what was saved is there again, readable for all, and nothing beside it', async t => {
  const folder = join(folderOf(t), 'state')
  const { lines, log } = logbook()
  const file = new PortNamesFile({ folder, log })
  t.same(await file.load(), [])
  file.save(() => [A, B])
  await file.close()
  t.same(readdirSync(folder), ['ports.json'])
  t.equal(statSync(join(folder, 'ports.json')).mode & 0o7777, 0o644)
  t.same(await new PortNamesFile({ folder, log }).load(), [A, B])
  t.match(readFileSync(join(folder, 'ports.json'), 'utf8'), /"mac":"52:54:00:00:00:0a"/)
  t.same(lines, [])
})

t.test('what cannot be read is forgotten, with one warning, and written anew', async t => {
  const good = '{"name":"vm2","mac":"52:54:00:00:00:0b"}'
  const bad = [
    'null',
    '[]',
    '7',
    '{}',
    '{"name":"vm1"}',
    '{"mac":"52:54:00:00:00:0a"}',
    '{"name":"vm1","mac":"53:54:00:00:00:0a"}',
    '{"name":"vm1","mac":"00:00:00:00:00:00"}',
    ...['vm0', 'vm', 'dhcp', 'vm01', 'vm1\\n', `vm${'9'.repeat(16)}`].map(
      name => `{"name":"${name}","mac":"52:54:00:00:00:0a"}`,
    ),
  ]
  const cases: [content: string, kept: number][] = [
    ...['', '{', 'null', '[]', '{}', '{"version":2,"ports":[]}', '{"version":1}', '\0'.repeat(100)].map(
      text => [text, 0] as [string, number],
    ),
    ...bad.map(each => [`{"version":1,"ports":[${each},${good}]}`, 1] as [string, number]),
    ['x'.repeat(1024 * 1024 + 1), 0],
  ]
  for (const [content, kept] of cases) {
    const folder = folderOf(t)
    const { lines, log } = logbook()
    writeFileSync(join(folder, 'ports.json'), content)
    const file = new PortNamesFile({ folder, log })
    t.equal((await file.load()).length, kept, content.slice(0, 60))
    t.equal(lines.length, 1)
    t.ok(lines[0]?.includes(join(folder, 'ports.json')))
    file.save(() => [A])
    await file.close()
    t.same(await new PortNamesFile({ folder, log }).load(), [A])
    t.equal(lines.length, 1)
  }
})

t.test('a folder in the place of the file is no reason to stop', async t => {
  const folder = folderOf(t)
  const { lines, log } = logbook()
  mkdirSync(join(folder, 'ports.json'))
  const file = new PortNamesFile({ folder, log })
  t.same(await file.load(), [])
  file.save(() => [A])
  await file.close()
  t.same(readdirSync(folder), ['ports.json'], 'nothing is left beside it')
  t.equal(lines.length, 2)
})

t.test('a link that waits where the file is written is not followed', async t => {
  const folder = folderOf(t)
  const target = join(folder, 'precious')
  symlinkSync(target, join(folder, 'ports.json.new'))
  const file = new PortNamesFile({ folder, log: logbook().log })
  file.save(() => [A])
  await file.close()
  t.notOk(existsSync(target))
  t.same(await new PortNamesFile({ folder, log: logbook().log }).load(), [A])
})

/** A disk that notes what is written, and fails or takes its time when it is told to. */
class FakeDisk implements NamesDisk {
  texts: string[] = []
  fails = false
  finish: (() => void) | undefined
  isSlow = false

  async read(): Promise<Buffer> {
    throw Object.assign(new Error('not there'), { code: 'ENOENT' })
  }

  async replace(_path: string, text: string): Promise<void> {
    this.texts.push(text)
    if (this.isSlow) await new Promise<void>(resolve => (this.finish = resolve))
    if (this.fails) throw new Error('ENOSPC: no space left on device')
  }
}

function setUp() {
  const { lines, log } = logbook()
  const clock = new FakeClock()
  const disk = new FakeDisk()
  const file = new PortNamesFile({ folder: '/nowhere', log, clock, disk })
  let records: PortRecord[] = []
  const change = (record: PortRecord) => {
    records = [...records, record]
    file.save(() => records)
  }
  return { lines, clock, disk, file, change }
}

t.test(
  'many changes are one write a second, the last of them is written, and silence writes nothing',
  async t => {
    const { clock, disk, change } = setUp()
    for (let i = 1; i <= 100; i++) change({ ...A, name: `vm${i}` })
    t.equal(disk.texts.length, 0, 'not within the event that changed it')
    clock.pass(0)
    await turn()
    t.equal(disk.texts.length, 1)
    for (let i = 101; i <= 200; i++) change({ ...A, name: `vm${i}` })
    clock.pass(999)
    await turn()
    t.equal(disk.texts.length, 1)
    clock.pass(1)
    await turn()
    t.equal(disk.texts.length, 2)
    t.match(disk.texts[1], /"vm200"/)
    clock.pass(5000)
    await turn()
    t.equal(disk.texts.length, 2)
    change(B)
    clock.pass(0)
    await turn()
    t.equal(disk.texts.length, 3, 'after a silence at once')
  },
)

t.test('a disk that takes its time has one write at once, and the end waits for the last change', async t => {
  const { clock, disk, file, change } = setUp()
  disk.isSlow = true
  change(A)
  clock.pass(0)
  change(B)
  clock.pass(10_000)
  await turn()
  t.equal(disk.texts.length, 1)
  disk.isSlow = false
  let isClosed = false
  const closed = file.close().then(() => (isClosed = true))
  await turn()
  t.notOk(isClosed)
  t.equal(disk.texts.length, 1)
  disk.finish!()
  await closed
  t.equal(disk.texts.length, 2)
  t.match(disk.texts[1], /"vm12"/)
  clock.pass(10_000)
  t.equal(disk.texts.length, 2)
})

t.test('a full disk is one warning, until it has room again', async t => {
  const { lines, clock, disk, change } = setUp()
  const changeAndWrite = async () => {
    change(A)
    clock.pass(1000)
    await turn()
    clock.pass(0)
    await turn()
  }
  disk.fails = true
  for (let i = 0; i < 5; i++) await changeAndWrite()
  t.equal(disk.texts.length, 5)
  t.equal(lines.length, 1)
  t.match(lines[0], /cannot keep the names of ports in \/nowhere\/ports\.json: ENOSPC/)
  disk.fails = false
  await changeAndWrite()
  disk.fails = true
  await changeAndWrite()
  t.equal(lines.length, 2)
})
