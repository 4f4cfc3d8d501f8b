import type { JournalDisk } from '../../src/dhcp/journal-disk.js'
import type { StoredState } from '../../src/dhcp/leases.js'
import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { SYSTEM_DISK } from '../../src/dhcp/journal-disk.js'
import { LEAST_COMPACTED } from '../../src/dhcp/journal.js'
import * as option from '../../src/dhcp/options.js'
import { EMPTY, HEADER, journalIn, lease, NAME, never, put, stateOf, textOf } from './journal-place.js'
import { Client, ip, Segment, station, START } from './segment.js'

t.test('leases and declined addresses come back as they were, in their order', async t => {
  const { journal, open, path, log } = journalIn(t, t.testdir())
  t.same(await journal.load(), EMPTY, 'no file, no leases')
  const state: StoredState = {
    leases: [lease(7, { hostname: 'web' }), lease(3, { clientId: Uint8Array.of(1, 2, 255) }), lease(5)],
    declined: [{ ip: ip('192.168.0.9'), mac: station(9), until: START + 600_000 }],
  }
  await journal.save([], () => state)
  t.same(await open().load(), state)
  const text = await readFile(path, 'utf8')
  t.ok(text.startsWith(HEADER), text)
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.same(log.lines, [])
  t.same(await readdir(join(path, '..')), [NAME], 'nothing else is left')
})

t.test('changes are appended to it', async t => {
  const { journal, open, path } = journalIn(t, t.testdir())
  const client = Uint8Array.of(255, 1)
  await journal.save([], () => EMPTY)
  await journal.save([put(lease(1)), put(lease(2))], never)
  await journal.save([put(lease(3, { clientId: client }))], never)
  t.same((await open().load()).leases, [lease(1), lease(2), lease(3, { clientId: client })])
  await journal.save([{ kind: 'remove', ip: lease(2).ip }, put(lease(1, { expires: START + 9 }))], never)
  await journal.save([put(lease(4, { ip: lease(3).ip }))], never)
  const declined = { ip: lease(6).ip, mac: station(6), until: START + 5 }
  await journal.save([put(lease(4)), { kind: 'decline', declined }], never)
  t.same(await open().load(), { leases: [lease(1, { expires: START + 9 }), lease(4)], declined: [declined] })
  await journal.save([put(lease(6))], never)
  t.same((await open().load()).declined, [], 'leased again')
  const before = await readFile(path)
  await journal.save([], never)
  t.same(await readFile(path), before, 'nothing changed, nothing written')
})

t.test('declined addresses come back in the order of their end', async t => {
  const { journal, open } = journalIn(t, t.testdir())
  const aside = (n: number, until: number) => ({ ip: lease(n).ip, mac: station(n), until: START + until })
  await journal.save([], () => ({ leases: [], declined: [aside(1, 600), aside(2, 700)] }))
  await journal.save([{ kind: 'decline', declined: aside(2, 50) }], never)
  t.same((await open().load()).declined, [aside(2, 50), aside(1, 600)], 'one was taken back early')
})

t.test('the first save of a process writes the journal anew', async t => {
  const { journal, open, path } = journalIn(t, t.testdir())
  await journal.save([], () => stateOf(lease(1)))
  for (let n = 0; n < 10; n++) await journal.save([put(lease(1, { expires: START + n }))], never)
  await journal.close()
  const next = open()
  const state = await next.load()
  await next.save([put(lease(2))], () => stateOf(...state.leases, lease(2)))
  t.same(
    await readFile(path, 'utf8'),
    HEADER + [lease(1, { expires: START + 9 }), lease(2)].map(textOf).join(''),
  )
})

t.test('changes too many to list come with the state', async t => {
  const { journal, open } = journalIn(t, t.testdir())
  await journal.save([], () => EMPTY)
  await journal.save(undefined, () => stateOf(lease(1)))
  t.same(await open().load(), stateOf(lease(1)))
})

t.test('a journal that grew to four times of what is true is compacted', async t => {
  const { journal, open, path } = journalIn(t, t.testdir())
  const leases = Array.from({ length: 1000 }, (_, n) => lease(n))
  await journal.save([], () => stateOf(...leases))
  const { size } = await stat(path)
  t.ok(4 * size > LEAST_COMPACTED)
  let saves = 0
  let largest = 0
  for (let length = size; length >= largest; length = (await stat(path)).size) {
    largest = length
    await journal.save(leases.slice(0, 500).map(put), () => stateOf(...leases))
    saves++
  }
  t.ok(largest >= 4 * size && largest < 5 * size, `${size} octets grew to ${largest}`)
  t.equal((await stat(path)).size, size)
  t.ok(saves >= 6)
  await journal.save([put(lease(0, { hostname: 'last' }))], never)
  t.same((await open().load()).leases, [...leases.slice(1), lease(0, { hostname: 'last' })])
})

t.test('without room for a second journal, the one that is goes on', async t => {
  let isFull = false
  const full = async (): Promise<never> => {
    throw new Error('no space left on device')
  }
  const disk = { ...SYSTEM_DISK, create: (path: string) => (isFull ? full() : SYSTEM_DISK.create(path)) }
  const { journal, open, path, log } = journalIn(t, t.testdir(), disk)
  await journal.save([], () => EMPTY)
  isFull = true
  const many = Array.from({ length: 1000 }, (_, n) => put(lease(n)))
  while ((await stat(path)).size < 4 * LEAST_COMPACTED) await journal.save(many, () => stateOf(lease(0)))
  t.match(log.lines, [
    { level: 'warn', message: /cannot be compacted: no space left/ },
    { level: 'warn', message: /grows on/ },
  ])
  t.equal((await open().load()).leases.length, 1000)
})

t.test('no frame waits for a large pool to be written or read', async t => {
  const { journal, open } = journalIn(t, t.testdir())
  const leases = Array.from({ length: 65_536 }, (_, n) => lease(n))
  const turns = countTurns()
  await journal.save([], () => stateOf(...leases))
  t.ok(turns() >= 100, `${turns()} turns of the loop while it was written`)
  const before = turns()
  t.equal((await open().load()).leases.length, leases.length)
  t.ok(turns() - before >= 100, 'and while it was read')
})

/** Counts the turns of the loop from now on; the last call of what it returns may come late. */
function countTurns(): () => number {
  let turns = 0
  const count = (): void => {
    turns++
    setImmediate(count).unref()
  }
  count()
  return () => turns
}

t.test('a save that fails says what and where, and the next makes up for it', async t => {
  const directory = join(t.testdir(), 'state')
  const { journal, open, path } = journalIn(t, directory)
  const wanted = { code: 'ERR_LEASE_STORE', message: path, hint: directory }
  await t.rejects(
    journal.save([put(lease(1))], () => stateOf(lease(1))),
    wanted,
  )
  await mkdir(directory)
  await journal.save([put(lease(2))], () => stateOf(lease(1), lease(2)))
  t.same(await open().load(), stateOf(lease(1), lease(2)))
  await journal.close()
})

t.test('half of a journal is not left behind where there is no room for the rest', async t => {
  const directory = t.testdir()
  const disk: JournalDisk = {
    ...SYSTEM_DISK,
    async create(path) {
      const file = await SYSTEM_DISK.create(path)
      const write = async (bytes: Uint8Array): Promise<void> => {
        await file.write(bytes.subarray(0, 10))
        throw new Error('no space left on device')
      }
      return {
        write,
        datasync: () => file.datasync(),
        isAt: at => file.isAt(at),
        close: () => file.close(),
      }
    },
  }
  const { journal } = journalIn(t, directory, disk)
  await t.rejects(
    journal.save([], () => EMPTY),
    { code: 'ERR_LEASE_STORE' },
  )
  t.same(await readdir(directory), [])
})

t.test('a journal that was removed or replaced under us is written anew before the save is done', async t => {
  const directory = t.testdir()
  const { journal, open, path, log, clock } = journalIn(t, directory)
  await journal.save([], () => stateOf(lease(1)))
  const attacks = [
    () => rm(path),
    () => rename(path, join(directory, 'elsewhere')),
    async () => {
      await writeFile(join(directory, 'other'), 'other')
      await rename(join(directory, 'other'), path)
    },
  ]
  for (const [n, attack] of attacks.entries()) {
    await attack()
    clock.advance(0.2)
    const state = stateOf(lease(1), lease(2 + n))
    await journal.save([put(lease(2 + n))], () => state)
    t.same(await open().load(), state)
    await journal.save([put(lease(9))], never)
    t.equal((await open().load()).leases.length, 3, 'and goes on there')
  }
  t.equal(log.lines.length, attacks.length)
  t.match(log.lines[0], { level: 'warn', message: /removed or replaced/ })
})

t.test(
  'a journal that vanished with its folder is not taken for saved when nothing new is to be said',
  async t => {
    const directory = join(t.testdir(), 'state')
    await mkdir(directory)
    const { journal, open } = journalIn(t, directory)
    await journal.save([], () => stateOf(lease(1)))
    await rm(directory, { recursive: true })
    const state = stateOf(lease(1), lease(2))
    await t.rejects(
      journal.save([put(lease(2))], () => state),
      { code: 'ERR_LEASE_STORE' },
    )
    await t.rejects(
      journal.save([], () => state),
      { code: 'ERR_LEASE_STORE' },
    )
    await mkdir(directory)
    await journal.save([], () => state)
    t.same(await open().load(), state)
  },
)

t.test('the file of a crash beside it is in nobody’s way, and no link is followed', async t => {
  const directory = t.testdir({ victim: 'precious', [`${NAME}.new`]: '{"versi' })
  const { journal, open, path } = journalIn(t, directory)
  await journal.save([], () => stateOf(lease(1)))
  await symlink(join(directory, 'victim'), `${path}.new`)
  await journal.save(undefined, () => stateOf(lease(2)))
  t.equal(await readFile(join(directory, 'victim'), 'utf8'), 'precious')
  t.same(await open().load(), stateOf(lease(2)))
})

t.test('the server on a journal: leases are there before the ACK, and after a restart', async t => {
  const { open, journal } = journalIn(t, t.testdir())
  const segment = await Segment.start({ store: journal })
  const client = new Client(1, [255, 1, 2, 3])
  await segment.lease(client, { options: [[option.HOSTNAME, 'web']] })
  t.match(await open().load(), { leases: [{ ip: ip('192.168.105.2'), hostname: 'web' }] })
  const before = segment.server.status().leases
  await segment.restart()
  t.same(segment.server.status().leases, before)
  const [ack] = await segment.ask(client, {
    type: option.REQUEST,
    options: [[option.REQUESTED_IP, ip('192.168.105.2')]],
  })
  t.equal(ack?.type, option.ACK)
})

t.test('a journal that somebody cuts or writes to under us is written anew', async t => {
  for (const harm of [
    (path: string) => writeFile(path, ''),
    (path: string) => writeFile(path, 'x', { flag: 'a' }),
  ]) {
    const { journal, open, path, clock } = journalIn(t, t.testdir())
    await journal.save([], () => stateOf(lease(1), lease(2)))
    await harm(path)
    clock.advance(0.2)
    const all = stateOf(lease(1), lease(2), lease(3))
    await journal.save([put(lease(3))], () => all)
    t.same(await open().load(), all)
  }
})
