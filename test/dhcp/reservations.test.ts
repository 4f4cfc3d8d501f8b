// Reservations: who gets which address for himself, what is refused, and that the disk has what memory has.

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  MAX_RESERVATIONS,
  Reservations,
  type Reservation,
  type ReservationMatch,
} from '../../src/dhcp/reservations.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { FakeClock, ip, RecordedLog, station } from './segment.js'

const SUBNET = parseCidr('192.168.105.1/24')!
const ID = Uint8Array.of(1, 0x52, 0x54, 0, 0, 0, 9)
const ASIDE = 'reservations.json.broken-2026-01-01T000000.000Z'

function open(folder?: string, subnet = SUBNET): { log: RecordedLog; reservations: Reservations } {
  const log = new RecordedLog()
  const path = folder === undefined ? {} : { path: join(folder, 'reservations.json') }
  const options = { ...path, subnet, taken: [subnet.address], log, clock: new FakeClock() }
  return { log, reservations: new Reservations(options) }
}

async function loaded(t: Test, folder: string, subnet = SUBNET): Promise<Reservations> {
  const { log, reservations } = open(folder, subnet)
  await reservations.load()
  t.same(log.lines, [], 'without a warning')
  return reservations
}

const at = (n: number, match: ReservationMatch = { mac: station(n) }): Reservation => ({
  ip: SUBNET.network + n,
  match,
})

t.test('a client is known by its identifier, then its MAC, then its name', async t => {
  const { reservations } = open()
  t.equal(reservations.of({ mac: station(1) }), undefined)
  const [byMac, byId, byName] = [at(7), at(8, { clientId: ID }), at(9, { name: 'Web' })]
  for (const each of [byMac, byId, byName]) await reservations.add(each)
  const client = { mac: station(7), clientId: ID, hostname: 'web' }
  t.same(reservations.of(client), byId)
  t.same(reservations.of({ ...client, clientId: Uint8Array.of(1, 2) }), byMac)
  t.same(reservations.of({ mac: station(7), hostname: 'web' }), byMac)
  t.same(reservations.of({ mac: station(1), hostname: 'WEB.lab.internal' }), byName)
  t.equal(reservations.of({ mac: station(1), hostname: 'other' }), undefined)
  t.equal(reservations.of({ mac: station(1), hostname: '' }), undefined)
  t.same(reservations.at(byName.ip), byName)
  t.equal(reservations.at(byName.ip + 1), undefined)
  t.same(reservations.list(), [byMac, byId, byName])
})

t.test('they come back after a restart as they were', async t => {
  const folder = t.testdir()
  const { reservations, log } = open(folder)
  await reservations.load()
  const all = [{ ...at(7), hostname: 'web' }, at(8, { clientId: ID }), at(200, { name: 'db' })]
  for (const each of all.toReversed()) await reservations.add(each)
  t.same((await loaded(t, folder)).list(), all)
  t.same(JSON.parse(readFileSync(join(folder, 'reservations.json'), 'utf8')), {
    version: 1,
    reservations: [
      { ip: '192.168.105.7', mac: '52:54:00:00:00:07', hostname: 'web' },
      { ip: '192.168.105.8', clientId: '01525400000009' },
      { ip: '192.168.105.200', name: 'db' },
    ],
  })
  t.same(await reservations.remove({ mac: station(7) }), all[0])
  t.same(await reservations.remove({ ip: all[1]!.ip }), all[1])
  t.same(await reservations.remove({ name: 'DB' }), all[2])
  t.same((await loaded(t, folder)).list(), [])
  t.same(readdirSync(folder), ['reservations.json'], 'nothing else is left')
  t.same(log.lines, [])
})

t.test('an address that no client can have is refused, one outside of the range is not', async t => {
  const { reservations } = open()
  for (const text of ['192.168.105.0', '192.168.105.255', '192.168.105.1', '192.168.106.7', '0.0.0.0']) {
    const reservation = { ip: ip(text), match: { mac: station(1) } }
    await t.rejects(reservations.add(reservation), {
      code: 'ERR_RESERVATION_ADDRESS',
      message: text,
      hint: 'from 192.168.105.1 to 192.168.105.254',
    })
  }
  t.same(reservations.list(), [])
  await reservations.add(at(254))
})

t.test('what can be no client and no host name is refused', async t => {
  const { reservations } = open()
  const matches: ReservationMatch[] = [
    { mac: { hi: 0, lo: 0 } },
    { mac: { hi: 0x0100, lo: 1 } },
    { mac: { hi: 0xffff, lo: 0xffffffff } },
    { clientId: new Uint8Array(1) },
    { clientId: new Uint8Array(256) },
    { name: '' },
    { name: '...' },
    { name: '\u0007' },
  ]
  for (const match of matches) {
    await t.rejects(reservations.add(at(7, match)), { code: 'ERR_RESERVATION_MATCH', hint: /leases/ })
  }
  for (const hostname of ['', '-a', 'a-', 'a.b', 'two words', 'a\n', 'x'.repeat(64)]) {
    await t.rejects(reservations.add({ ...at(7), hostname }), { code: 'ERR_RESERVATION_HOSTNAME' })
  }
  t.same(reservations.list(), [])
})

t.test('one reservation an address and one a client; the very same again is no error', async t => {
  const { reservations } = open()
  const first = { ...at(7), hostname: 'web' }
  await reservations.add(first)
  await reservations.add(at(20, { name: 'Db.lab' }))
  await reservations.add({ ...first })
  await reservations.add(at(20, { name: 'db' }))
  const taken = { code: 'ERR_RESERVATION_EXISTS', hint: 'vmbridge reservations remove 192.168.105.7' }
  await t.rejects(reservations.add({ ...first, hostname: 'other' }), { ...taken, message: /:07/ })
  await t.rejects(reservations.add(at(7, { name: 'web' })), taken)
  await t.rejects(reservations.add({ ...first, ip: first.ip + 1 }), { ...taken, message: /105\.7/ })
  t.equal(reservations.list().length, 2)
})

t.test('what is not reserved cannot be removed', async t => {
  const { reservations } = open()
  const wanted = { code: 'ERR_NO_RESERVATION', hint: 'vmbridge reservations list' }
  await t.rejects(reservations.remove({ ip: ip('192.168.105.7') }), { ...wanted, message: /105\.7/ })
  await t.rejects(reservations.remove({ mac: station(7) }), { ...wanted, message: /:07/ })
  await t.rejects(reservations.remove({ clientId: ID }), { ...wanted, message: /01525400000009/ })
  await t.rejects(reservations.remove({ name: 'web' }), { ...wanted, message: /web/ })
})

t.test('changes that are asked for at once are made one after the other', async t => {
  const folder = t.testdir()
  const { reservations } = open(folder)
  const results = await Promise.allSettled([
    ...Array.from({ length: 50 }, (_, i) => reservations.add(at(i + 2))),
    reservations.add(at(2, { name: 'late' })),
    reservations.remove({ ip: at(3).ip }),
    reservations.add(at(3, { name: 'next' })),
  ])
  t.same(
    results.map(({ status }) => status).filter(status => status === 'rejected'),
    ['rejected'],
  )
  t.same((await loaded(t, folder)).list(), reservations.list())
  t.equal(reservations.list().length, 50)
  t.match(reservations.at(at(3).ip), { match: { name: 'next' } })
})

t.test('a change that cannot be written did not happen', async t => {
  const folder = join(t.testdir(), 'state')
  mkdirSync(folder)
  const { reservations } = open(folder)
  await reservations.add(at(7))
  // A folder in place of the new file: even root cannot write that.
  mkdirSync(join(folder, 'reservations.json.tmp', 'x'), { recursive: true })
  const failed = { code: 'ERR_RESERVATION_STORE', message: folder, hint: folder }
  await t.rejects(reservations.add(at(8)), failed)
  await t.rejects(reservations.remove({ ip: at(7).ip }), failed)
  t.same(reservations.list(), [at(7)])
  t.equal(reservations.of({ mac: station(8) }), undefined)
  t.same((await loaded(t, folder)).list(), [at(7)])
  rmSync(join(folder, 'reservations.json.tmp'), { recursive: true })
  await reservations.add(at(8))
  t.same((await loaded(t, folder)).list(), [at(7), at(8)])
  rmSync(folder, { recursive: true })
  await t.rejects(reservations.add(at(9)), failed)
  t.equal(reservations.at(at(9).ip), undefined)
})

t.test('the leftover of a crash is in nobody’s way, and no link is followed', async t => {
  const folder = t.testdir({ victim: 'precious', 'reservations.json.tmp': '{"versi' })
  const { reservations } = open(folder)
  await reservations.add(at(7))
  symlinkSync(join(folder, 'victim'), join(folder, 'reservations.json.tmp'))
  await reservations.add(at(8))
  t.equal(readFileSync(join(folder, 'victim'), 'utf8'), 'precious')
  t.equal((await loaded(t, folder)).list().length, 2)
})

t.test('a broken file is set aside with a warning, and the daemon goes on', async t => {
  const texts = ['', '{', 'null', '[]', '7', '{"version":2,"reservations":[]}', '{"version":1}', '[[[[']
  for (const text of texts) {
    const folder = t.testdir({ 'reservations.json': text })
    const { reservations, log } = open(folder)
    await reservations.load()
    t.same(readdirSync(folder), [ASIDE], text)
    t.match(log.lines, [
      { level: 'warn', fields: { event: 'dhcp.reservations', aside: join(folder, ASIDE) } },
    ])
    await reservations.add(at(7))
    t.same((await loaded(t, folder)).list(), [at(7)])
  }
  const folder = t.testdir({ 'reservations.json': {} })
  const { reservations, log } = open(folder)
  await reservations.load()
  t.match(log.lines, [{ level: 'warn', message: /it is not a file/ }])
})

t.test('records that cannot be read are set aside once; the others count', async t => {
  const good = { ip: '192.168.105.7', mac: '52:54:00:00:00:07' }
  const bad = [
    null,
    7,
    [],
    {},
    { ip: good.ip },
    { ...good, ip: '192.168.105' },
    { ...good, ip: 7 },
    { ...good, mac: 'x' },
    { ...good, name: 'two' },
    { ip: good.ip, clientId: '123' },
    { ip: good.ip, name: 7 },
    { ...good, hostname: 7 },
  ]
  const text = JSON.stringify({ version: 1, reservations: [...bad, good] })
  const folder = t.testdir({ 'reservations.json': text })
  const { reservations, log } = open(folder)
  await reservations.load()
  t.same(reservations.list(), [at(7)])
  t.match(log.lines, [{ level: 'warn', message: `${bad.length} of its ${bad.length + 1} reservations` }])
  t.equal(readFileSync(join(folder, ASIDE), 'utf8'), text)
  t.same((await loaded(t, folder)).list(), [at(7)], 'the next start has nothing to say')
})

t.test('reservations of another subnet are kept in the file and not used', async t => {
  const folder = t.testdir()
  const { reservations } = open(folder)
  await reservations.add(at(7))
  await reservations.add(at(8))
  const elsewhere = open(folder, parseCidr('10.0.0.1/24'))
  await elsewhere.reservations.load()
  t.same(elsewhere.reservations.list(), [])
  t.equal(elsewhere.reservations.of({ mac: station(7) }), undefined)
  t.match(elsewhere.log.lines, [
    { level: 'warn', message: /192\.168\.105\.7 .*not used.* 10\.0\.0\.1\/24/ },
    { level: 'warn', fields: { hint: 'vmbridge reservations remove 192.168.105.8' } },
  ])
  await elsewhere.reservations.add({ ip: ip('10.0.0.9'), match: { name: 'web' } })
  await elsewhere.reservations.remove({ ip: at(8).ip })
  const back = open(folder)
  await back.reservations.load()
  t.same(back.reservations.list(), [at(7)])
  t.match(back.log.lines, [{ message: /10\.0\.0\.9/ }])
})

t.test('of two records for one address or one client the first counts', async t => {
  const records = [
    { ip: '192.168.105.7', name: 'a' },
    { ip: '192.168.105.7', name: 'b' },
    { ip: '192.168.105.8', name: 'A' },
    { ip: '192.168.105.1', name: 'gateway' },
    { ip: '192.168.105.9', mac: 'ff:ff:ff:ff:ff:ff' },
  ]
  const folder = t.testdir({
    'reservations.json': JSON.stringify({ version: 1, reservations: records }),
  })
  const { reservations, log } = open(folder)
  await reservations.load()
  t.same(reservations.list(), [at(7, { name: 'a' })])
  t.equal(log.lines.length, 4)
  await reservations.remove({ ip: at(7).ip })
  await reservations.add(at(7, { name: 'b' }))
  const { reservations: file } = JSON.parse(readFileSync(join(folder, 'reservations.json'), 'utf8')) as {
    reservations: unknown[]
  }
  t.equal(file.length, 4, 'taken back among the used ones, it is not kept twice')
})

t.test('their number is bounded', async t => {
  const subnet = parseCidr('10.0.0.1/16')!
  const records = Array.from({ length: MAX_RESERVATIONS }, (_, i) => ({
    ip: `10.0.${(i + 2) >> 8}.${(i + 2) & 255}`,
    name: `n${i}`,
  }))
  const folder = t.testdir({
    'reservations.json': JSON.stringify({ version: 1, reservations: records }),
  })
  const reservations = await loaded(t, folder, subnet)
  t.equal(reservations.list().length, MAX_RESERVATIONS)
  const more = { ip: ip('10.0.99.1'), match: { name: 'more' } }
  await t.rejects(reservations.add(more), { code: 'ERR_RESERVATIONS_FULL' })
  await reservations.remove({ name: 'n0' })
  await reservations.add(more)
})

t.test('the file is for its owner alone', async t => {
  const folder = t.testdir()
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  await open(folder).reservations.add(at(7))
  t.equal(statSync(join(folder, 'reservations.json')).mode & 0o777, 0o600)
})

const ORIGIN = '/etc/vmbridge.yaml, line 7'

t.test('a standing one is used, is not in the file, and no request removes it', async t => {
  const folder = t.testdir()
  const { reservations, log } = open(folder)
  reservations.stand({ reservation: at(7), origin: ORIGIN })
  await reservations.load()
  await reservations.add(at(8))
  await reservations.add(at(7))
  t.same(reservations.list(), [at(7), at(8)])
  t.same(reservations.of({ mac: station(7) }), at(7))
  for (const which of [{ ip: at(7).ip }, { mac: station(7) }]) {
    await t.rejects(reservations.remove(which), {
      code: 'ERR_RESERVATION_STANDING',
      message: `192.168.105.7 for 52:54:00:00:00:07 is in the file ${ORIGIN}`,
      hint: /take it out of the file, and send the daemon SIGHUP/,
    })
  }
  for (const wanted of [at(7, { name: 'web' }), { ...at(9), match: at(7).match }])
    await t.rejects(reservations.add(wanted), {
      code: 'ERR_RESERVATION_EXISTS',
      message: `(${ORIGIN})`,
      hint: 'change it there',
    })
  await reservations.remove({ ip: at(8).ip })
  await reservations.add(at(10))
  t.same((await loaded(t, folder)).list(), [at(10)], 'the next one without it')
  t.same(log.lines, [])
})

t.test('what can be no reservation cannot stand either', async t => {
  const { reservations } = open()
  const stand = (reservation: Reservation) => () => reservations.stand({ reservation, origin: ORIGIN })
  stand(at(7))()
  t.throws(stand(at(1)), { code: 'ERR_RESERVATION_ADDRESS' })
  t.throws(stand(at(255)), { code: 'ERR_RESERVATION_ADDRESS' })
  t.throws(stand(at(8, { mac: { hi: 0x0100, lo: 1 } })), { code: 'ERR_RESERVATION_MATCH' })
  t.throws(stand({ ...at(8), hostname: 'a b' }), { code: 'ERR_RESERVATION_HOSTNAME' })
  t.throws(stand(at(7, { name: 'web' })), { code: 'ERR_RESERVATION_EXISTS' })
  t.throws(stand({ ...at(8), match: at(7).match }), { code: 'ERR_RESERVATION_EXISTS', message: ORIGIN })
  t.same(reservations.list(), [at(7)])
})

t.test(
  'one of the file that a standing one contradicts is kept and not used, and can be removed',
  async t => {
    const folder = t.testdir()
    const before = open(folder)
    for (const each of [at(7), at(8)]) await before.reservations.add(each)
    const { reservations, log } = open(folder)
    reservations.stand({ reservation: at(7, { name: 'web' }), origin: ORIGIN })
    await reservations.load()
    t.same(reservations.list(), [at(7, { name: 'web' }), at(8)])
    t.match(log.lines, [
      {
        level: 'warn',
        message: `is not used: 192.168.105.7 is reserved already, for the name web (${ORIGIN})`,
      },
    ])
    await reservations.add(at(9))
    t.same((await loaded(t, folder)).list(), [at(7), at(8), at(9)], 'kept for a daemon without that file')
    t.same(await reservations.remove({ ip: at(7).ip }), at(7))
    await t.rejects(reservations.remove({ ip: at(7).ip }), { code: 'ERR_RESERVATION_STANDING' })
    t.same((await loaded(t, folder)).list(), [at(8), at(9)])
  },
)

t.test('standing ones are exchanged while the others stay', async t => {
  const folder = t.testdir()
  const { reservations, log } = open(folder)
  const standing = (reservation: Reservation) => ({ reservation, origin: ORIGIN })
  reservations.stand(standing(at(7)))
  reservations.stand(standing(at(8)))
  await reservations.load()
  await reservations.add(at(20))
  await Promise.all([
    reservations.add(at(21)),
    reservations.standInstead([at(8), at(9), at(20)].map(standing)),
  ])
  t.same(reservations.list(), [at(8), at(9), at(20), at(21)])
  t.equal(reservations.of({ mac: station(7) }), undefined)
  t.match(log.lines, [{ level: 'warn', message: /105\.20 .*not used/ }])
  await t.rejects(reservations.remove({ mac: station(9) }), { code: 'ERR_RESERVATION_STANDING' })
  await reservations.standInstead([standing(at(1)), standing(at(9))])
  t.same(
    reservations.list(),
    [at(9), at(20), at(21)],
    'the one of the file is back, the one that cannot be is left out',
  )
  t.match(log.lines.at(-1), {
    level: 'warn',
    message: /105\.1 .*not used/,
    fields: { hint: `correct it in ${ORIGIN}` },
  })
  await reservations.standInstead([])
  await reservations.remove({ ip: at(21).ip })
  t.same(reservations.list(), [at(20)])
  t.same((await loaded(t, folder)).list(), [at(20)])
})

// A list that is walked, in place of maps that must agree: what it says is right by reading it.
class Model {
  all: Reservation[] = []

  #same(a: ReservationMatch, b: ReservationMatch): boolean {
    return this.#text(a) === this.#text(b)
  }

  #text(match: ReservationMatch): string {
    if ('mac' in match) return `m${match.mac.hi}.${match.mac.lo}`
    return 'name' in match ? `n${match.name.toLowerCase()}` : `c${match.clientId.join()}`
  }

  find(which: { ip: number } | ReservationMatch): Reservation | undefined {
    return this.all.find(each => ('ip' in which ? each.ip === which.ip : this.#same(each.match, which)))
  }

  add(wanted: Reservation): string {
    const there = this.find({ ip: wanted.ip })
    if (there && this.#same(there.match, wanted.match) && there.hostname === wanted.hostname) return 'done'
    if (wanted.ip <= SUBNET.address || wanted.ip >= SUBNET.broadcast) return 'ERR_RESERVATION_ADDRESS'
    if (there || this.find(wanted.match)) return 'ERR_RESERVATION_EXISTS'
    this.all.push(wanted)
    return 'done'
  }

  remove(which: { ip: number } | ReservationMatch): string {
    const found = this.find(which)
    if (!found) return 'ERR_NO_RESERVATION'
    this.all = this.all.filter(each => each !== found)
    return 'done'
  }

  of({ mac, clientId, hostname }: { mac: Reservation['match']; clientId?: Uint8Array; hostname?: string }) {
    return (
      (clientId && this.find({ clientId })) ??
      this.find(mac) ??
      (hostname === undefined ? undefined : this.find({ name: hostname }))
    )
  }
}

t.test('after any changes and restarts they say what a plain list says', async t => {
  const n = fc.integer({ min: 1, max: 4 })
  const id = n.map(value => Uint8Array.of(1, value))
  const name = fc.constantFrom('web', 'WEB', 'db', 'Db')
  const match: fc.Arbitrary<ReservationMatch> = fc.oneof(
    n.map(value => ({ mac: station(value) })),
    id.map(clientId => ({ clientId })),
    name.map(value => ({ name: value })),
  )
  const address = fc.constantFrom(0, 1, 2, 3, 4, 5, 255, 256).map(value => SUBNET.network + value)
  const reservation = fc
    .record({ ip: address, match, hostname: fc.option(fc.constantFrom('one', 'two'), { nil: undefined }) })
    .map(({ hostname, ...rest }): Reservation => (hostname === undefined ? rest : { ...rest, hostname }))
  const step = fc.oneof(
    { weight: 3, arbitrary: reservation.map(add => ({ add })) },
    {
      weight: 2,
      arbitrary: fc
        .oneof(
          match,
          address.map(value => ({ ip: value })),
        )
        .map(remove => ({ remove })),
    },
    { weight: 1, arbitrary: fc.constant({ restart: true }) },
  )
  const outcome = (done: Promise<unknown>) =>
    done.then(
      () => 'done',
      (error: { code: string }) => error.code,
    )
  const clients = fc.array(
    fc.tuple(n, fc.option(id, { nil: undefined }), fc.option(name, { nil: undefined })),
    {
      minLength: 4,
      maxLength: 4,
    },
  )
  let run = 0
  const root = t.testdir()
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), clients, async (steps, asking) => {
      const folder = join(root, String(run++))
      mkdirSync(folder)
      const model = new Model()
      let { reservations } = open(folder)
      for (const each of steps) {
        if ('add' in each) t.equal(await outcome(reservations.add(each.add)), model.add(each.add))
        else if ('remove' in each)
          t.equal(await outcome(reservations.remove(each.remove)), model.remove(each.remove))
        else reservations = await loaded(t, folder)
      }
      t.same(
        reservations.list(),
        model.all.toSorted((a, b) => a.ip - b.ip),
      )
      for (let host = 0; host <= 6; host++)
        t.same(reservations.at(SUBNET.network + host), model.find({ ip: SUBNET.network + host }))
      for (const [mac, clientId, hostname] of asking) {
        const more = { ...(clientId && { clientId }), ...(hostname !== undefined && { hostname }) }
        t.same(
          reservations.of({ mac: station(mac), ...more }),
          model.of({ mac: { mac: station(mac) }, ...more }),
        )
      }
      return t.passing()
    }),
    { numRuns: 60 },
  )
})
