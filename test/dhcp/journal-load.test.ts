// A journal that is broken, foreign or no file at all: starting never fails, and what was there is kept.

import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { formatRecord } from '../../src/dhcp/journal-record.js'
import { MAX_JOURNAL } from '../../src/dhcp/journal.js'
import { EMPTY, HEADER, journalIn, lease, NAME, stateOf, textOf } from './journal-place.js'

const ASIDE = 'leases.journal.broken-2026-01-01T000000.000Z'

t.test('what is no journal of this version is set aside with a warning', async t => {
  const texts = [
    '',
    '\n\n\n',
    '{"version":1,"leases":[]}',
    '\0'.repeat(5000),
    HEADER.replace('1', '2'),
    formatRecord({ journal: 'vmbridge leases', version: 2 }) + textOf(lease(1)),
    formatRecord({ journal: 'vmbridge leases', version: '1' }),
    HEADER.slice(0, -10),
  ]
  for (const text of texts) {
    const directory = t.testdir({ [NAME]: text })
    const { journal, open, log } = journalIn(t, directory)
    t.same(await journal.load(), EMPTY, text)
    t.same(await readdir(directory), [ASIDE])
    t.match(log.lines, [{ level: 'warn', fields: { event: 'dhcp.store', aside: join(directory, ASIDE) } }])
    await journal.save([], () => stateOf(lease(1)))
    t.same(await open().load(), stateOf(lease(1)))
    t.equal(await readFile(join(directory, ASIDE), 'utf8'), text)
  }
})

t.test('what cannot be read at all is set aside too', async t => {
  const directory = t.testdir()
  const makes: [() => unknown, RegExp][] = [
    [() => mkdir(join(directory, NAME)), /not a file/],
    [() => execFileSync('mkfifo', [join(directory, NAME)]), /not a file/],
    [() => symlink('/dev/zero', join(directory, NAME)), /not a file/],
    [
      async () => {
        await writeFile(join(directory, NAME), HEADER)
        await truncate(join(directory, NAME), MAX_JOURNAL + 1)
      },
      /67108865 octets, over 67108864/,
    ],
  ]
  for (const [make, why] of makes) {
    await make()
    const { journal, log } = journalIn(t, directory)
    t.same(await journal.load(), EMPTY)
    t.same(await readdir(directory), [ASIDE])
    t.match(log.lines, [{ level: 'warn', message: why }])
    await rm(join(directory, ASIDE), { recursive: true })
  }
})

t.test('where not even that is possible, a warning says so', async t => {
  const { journal, log } = journalIn(t, join(t.testdir({ state: 'a file' }), 'state'))
  t.same(await journal.load(), EMPTY)
  t.match(log.lines, [{ level: 'warn', message: /cannot be set aside: ENOTDIR/ }])
})

t.test('records that cannot be read are lost alone, and kept to be looked at', async t => {
  const text = HEADER + [1, 2, 3].map(n => textOf(lease(n))).join('')
  const broken = text.replace('192.168.0.3', '192.168.0.9').slice(0, -20)
  const directory = t.testdir({ [NAME]: broken })
  const { journal, open, log } = journalIn(t, directory)
  t.same(await journal.load(), stateOf(lease(1)))
  t.same(await readdir(directory), [NAME, ASIDE])
  t.match(log.lines, [{ level: 'warn', message: /copied as .* 2 of its 4 records cannot be read/ }])
  await journal.save([], () => stateOf(lease(1)))
  t.equal(await readFile(join(directory, ASIDE), 'utf8'), broken)
  const again = open()
  t.same(await again.load(), stateOf(lease(1)))
  t.equal(log.lines.length, 1, 'one warning in all')
})

t.test('a journal without its header is read for what it holds', async t => {
  const { journal } = journalIn(
    t,
    t.testdir({ [NAME]: HEADER.replace('journal', 'jornal') + textOf(lease(1)) }),
  )
  t.same(await journal.load(), stateOf(lease(1)))
})
