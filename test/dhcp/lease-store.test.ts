import type { Lease } from '../../src/dhcp/leases.js'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { clientKey } from '../../src/dhcp/client.js'
import { LeaseFile } from '../../src/dhcp/lease-store.js'
import * as option from '../../src/dhcp/options.js'
import { Client, FakeClock, ip, RecordedLog, Segment, station, START } from './segment.js'

function lease(n: number, more: Partial<Lease> = {}): Lease {
  const mac = station(n)
  return { ip: ip('192.168.105.1') + n, key: clientKey(mac, more.clientId), mac, expires: START + n, ...more }
}

function fileIn(directory: string): { path: string; log: RecordedLog; file: LeaseFile } {
  const path = join(directory, 'leases.json')
  const log = new RecordedLog()
  return { path, log, file: new LeaseFile({ path, log, clock: new FakeClock() }) }
}

const ASIDE = 'leases.json.broken-2026-01-01T000000.000Z'

t.test('leases come back as they were, in their order', async t => {
  const { file, path, log } = fileIn(t.testdir())
  t.same(await file.load(), [], 'no file, no leases')
  const leases = [lease(7, { hostname: 'web' }), lease(3, { clientId: Uint8Array.of(1, 2, 255) }), lease(5)]
  await file.save(() => leases)
  t.same(await file.load(), leases)
  t.match(JSON.parse(await readFile(path, 'utf8')), {
    version: 1,
    leases: [
      { ip: '192.168.105.8', mac: '52:54:00:00:00:07', hostname: 'web', expires: '2026-01-01T00:00:00.007Z' },
    ],
  })
  await file.save(() => [])
  t.same(await file.load(), [])
  t.same(log.lines, [])
  t.same(await readdir(join(path, '..')), ['leases.json'], 'nothing else is left')
})

t.test('saves while one is under way share the next', async t => {
  const { file } = fileIn(t.testdir())
  let snapshots = 0
  const save = (n: number): Promise<void> =>
    file.save(() => {
      snapshots++
      return [lease(n)]
    })
  const saves = [1, 2, 3, 4].map(save)
  await saves[0]
  t.equal(snapshots, 1)
  await Promise.all(saves)
  t.equal(snapshots, 2)
  t.equal((await file.load()).length, 1)
  await save(9)
  t.match(await file.load(), [{ mac: station(9) }])
})

t.test('a save that fails says what and where, and the next may do better', async t => {
  const directory = join(t.testdir(), 'state')
  const { file, path } = fileIn(directory)
  const wanted = { code: 'ERR_LEASE_STORE', message: path, hint: directory }
  const [first, second] = [file.save(() => [lease(1)]), file.save(() => [lease(2)])]
  await t.rejects(first, wanted)
  await t.rejects(second, wanted)
  await mkdir(directory)
  await file.save(() => [lease(3)])
  t.match(await file.load(), [{ mac: station(3) }])
})

t.test('the temporary file of a crash is in nobody’s way, and no link is followed', async t => {
  const directory = t.testdir({ victim: 'precious', 'leases.json.tmp': '{"versi' })
  const { file, path } = fileIn(directory)
  await file.save(() => [lease(1)])
  await symlink(join(directory, 'victim'), `${path}.tmp`)
  await file.save(() => [lease(2)])
  t.equal(await readFile(join(directory, 'victim'), 'utf8'), 'precious')
  t.match(await file.load(), [{ mac: station(2) }])
})

t.test('a broken file is set aside with a warning', async t => {
  const texts = [
    '',
    '{',
    'null',
    '[]',
    '7',
    '{"version":2,"leases":[]}',
    '{"version":1}',
    '{"version":1,"leases":{}}',
  ]
  for (const text of texts) {
    const directory = t.testdir({ 'leases.json': text })
    const { file, log } = fileIn(directory)
    t.same(await file.load(), [], text)
    t.same(await readdir(directory), [ASIDE])
    t.match(log.lines, [{ level: 'warn', fields: { event: 'dhcp.store', aside: join(directory, ASIDE) } }])
    await file.save(() => [lease(1)])
    t.equal((await file.load()).length, 1)
  }
})

t.test('what cannot be read at all is set aside too', async t => {
  const directory = t.testdir({ 'leases.json': {} })
  const { file, log } = fileIn(directory)
  t.same(await file.load(), [])
  t.same(await readdir(directory), [ASIDE])
  t.match(log.lines, [{ level: 'warn', message: /EISDIR/ }])
})

t.test('where not even that is possible, a warning says so', async t => {
  const { file, log } = fileIn(join(t.testdir({ state: 'a file' }), 'state'))
  t.same(await file.load(), [])
  t.match(log.lines, [{ level: 'warn', message: /cannot be set aside: ENOTDIR/ }])
})

t.test('leases that cannot be read are lost alone; the file stays for the next start', async t => {
  const good = { ip: '192.168.105.2', mac: '52:54:00:00:00:01', expires: '2026-01-01T00:00:00.000Z' }
  const bad = [
    { ...good, ip: '192.168.105' },
    { ...good, mac: 1 },
    { ...good, expires: 'soon' },
    { ...good, clientId: 'xyz' },
    null,
    7,
    [],
    {},
  ]
  const text = JSON.stringify({
    version: 1,
    leases: [good, ...bad, { ...good, hostname: 'a\nb', ip: '192.168.105.3' }],
  })
  const directory = t.testdir({ 'leases.json': text })
  const { file, log } = fileIn(directory)
  t.match(await file.load(), [{ ip: ip('192.168.105.2') }, { ip: ip('192.168.105.3'), hostname: 'a-b' }])
  t.same(await readdir(directory), ['leases.json', ASIDE])
  t.match(log.lines, [{ level: 'warn', message: /8 of its 10 leases/ }])
})

t.test('a file cut or changed anywhere never makes load() fail, nor leases up', async t => {
  const directory = t.testdir()
  const { file, path } = fileIn(directory)
  const leases = [lease(1, { hostname: 'web' }), lease(2, { clientId: Uint8Array.of(1, 2) }), lease(3)]
  await file.save(() => leases)
  const whole = await readFile(path)
  for (let length = 0; length < whole.length - 1; length += 3) {
    await writeFile(path, whole.subarray(0, length))
    t.same(await file.load(), [], `${length} octets`)
  }
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(7), async (at, bit) => {
      const changed = Buffer.from(whole)
      changed[at]! ^= 1 << bit
      await writeFile(path, changed)
      return (await file.load()).length <= leases.length
    }),
    { numRuns: 100 },
  )
  await rm(path, { force: true })
})

t.test('the server on a file: leases are there before the ACK, and after a restart', async t => {
  const { file, path } = fileIn(t.testdir())
  const segment = await Segment.start({ store: file })
  const client = new Client(1, [255, 1, 2, 3])
  await segment.lease(client, { options: [[option.HOSTNAME, 'web']] })
  t.match(JSON.parse(await readFile(path, 'utf8')), {
    leases: [{ ip: '192.168.105.2', clientId: 'ff010203' }],
  })
  const before = segment.server.status().leases
  await segment.restart()
  t.same(segment.server.status().leases, before)
  const [ack] = await segment.ask(client, {
    type: option.REQUEST,
    options: [[option.REQUESTED_IP, ip('192.168.105.2')]],
  })
  t.equal(ack?.type, option.ACK)
})

t.test('the server on a disk that fails: renewed from memory, new ones refused', async t => {
  const directory = join(t.testdir(), 'state')
  await mkdir(directory)
  const { file } = fileIn(directory)
  const segment = await Segment.start({ store: file })
  await segment.lease(new Client(1))
  await rm(directory, { recursive: true })
  const rebind = (address: string): object => ({ type: option.REQUEST, ciaddr: ip(address) })
  t.equal((await segment.ask(new Client(1), rebind('192.168.105.2')))[0]?.type, option.ACK)
  t.same(await segment.ask(new Client(2), rebind('192.168.105.3')), [])
  t.match(segment.server.status(), { degraded: true, leases: [{ ip: '192.168.105.2' }] })
  t.match(segment.log.lines.find(({ level }) => level === 'error')?.fields, {
    err: { code: 'ERR_LEASE_STORE' },
  })
  await mkdir(directory)
  t.equal((await segment.ask(new Client(2), rebind('192.168.105.3')))[0]?.type, option.ACK)
  t.equal(segment.server.status().degraded, false)
})
