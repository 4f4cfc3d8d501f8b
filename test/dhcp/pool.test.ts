import type { PoolClient, ReservationLookup } from '../../src/dhcp/pool.js'
import t from 'tap'
import { AddressPool, DECLINE_HOLD, OFFER_HOLD } from '../../src/dhcp/pool.js'
import { formatIpv4, parseCidr } from '../../src/wire/ipv4.js'
import { ip, range, station } from './segment.js'

const subnet = parseCidr('10.0.0.1/24')!
const client = (n: number): PoolClient => ({ key: `hw:${n}`, mac: station(n), port: `vm${n}` })

function poolOf(text: string, claims: Record<string, number> = {}, exclude: string[] = []): AddressPool {
  return new AddressPool({
    subnet,
    range: range(text),
    exclude: exclude.map(range),
    isClaimed: (address, mac) => (claims[formatIpv4(address)] ?? mac.lo) !== mac.lo,
  })
}

function offer(pool: AddressPool, n: number, now = 0, wanted?: string): string {
  const address = pool.offer(client(n), wanted === undefined ? undefined : ip(wanted), now)
  return typeof address === 'string' ? address : formatIpv4(address)
}

function lease(pool: AddressPool, n: number, address: string, expires: number): void {
  const { key, mac } = client(n)
  pool.put({ ip: ip(address), key, mac, expires })
}

t.test('the lowest address that nobody ever had is first', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.5', {}, ['10.0.0.3'])
  t.equal(offer(pool, 1), '10.0.0.2')
  t.equal(offer(pool, 2), '10.0.0.4')
  t.equal(offer(pool, 3), '10.0.0.5')
  t.equal(offer(pool, 4), 'no-address')
  t.equal(offer(pool, 1), '10.0.0.2', 'the same as before')
})

t.test('an address that is wished for is given if nobody ever had it', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.6', {}, ['10.0.0.6'])
  lease(pool, 9, '10.0.0.4', 100)
  t.equal(offer(pool, 1, 0, '10.0.0.5'), '10.0.0.5')
  t.equal(offer(pool, 2, 0, '10.0.0.5'), '10.0.0.2', 'offered to another')
  t.equal(offer(pool, 3, 200, '10.0.0.4'), '10.0.0.3', 'expired, but somebody may come back for it')
  pool.withdraw('hw:3')
  t.equal(offer(pool, 3, 0, '10.0.0.6'), '10.0.0.3', 'excluded')
  pool.withdraw('hw:3')
  t.equal(offer(pool, 3, 0, '192.168.1.1'), '10.0.0.3', 'elsewhere')
})

t.test('a client keeps its own address, expired or not, whatever it wishes for', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.5')
  lease(pool, 1, '10.0.0.4', 100)
  t.equal(offer(pool, 1, 50), '10.0.0.4')
  t.equal(offer(pool, 1, 500, '10.0.0.2'), '10.0.0.4')
  t.equal(offer(pool, 2, 500), '10.0.0.2')
})

t.test('when every address was had, the one unused for longest goes', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.5')
  lease(pool, 1, '10.0.0.2', 100)
  lease(pool, 2, '10.0.0.3', 900)
  lease(pool, 3, '10.0.0.4', 50)
  lease(pool, 4, '10.0.0.5', 60)
  lease(pool, 1, '10.0.0.2', 120)
  t.equal(offer(pool, 5, 40), 'no-address', 'all in use')
  t.equal(offer(pool, 5, 200), '10.0.0.4')
  t.equal(offer(pool, 6, 200), '10.0.0.5')
  t.equal(offer(pool, 7, 200), '10.0.0.2')
  t.equal(offer(pool, 8, 200), 'no-address')
  t.equal(offer(pool, 8, 900), '10.0.0.3')
})

t.test('an offer holds its address for 60 s', async t => {
  const pool = poolOf('10.0.0.2')
  t.equal(offer(pool, 1, 0), '10.0.0.2')
  pool.expire(OFFER_HOLD - 1)
  t.equal(offer(pool, 2, OFFER_HOLD - 1), 'no-address')
  t.equal(pool.mayHold(client(2), ip('10.0.0.2'), 0), false)
  t.equal(pool.mayHold(client(1), ip('10.0.0.2'), 0), true)
  pool.expire(OFFER_HOLD)
  t.equal(offer(pool, 2, OFFER_HOLD), '10.0.0.2')
})

t.test('a declined address is put aside for 10 min', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.3')
  lease(pool, 1, '10.0.0.2', 1e9)
  pool.decline(client(1), ip('10.0.0.2'), 0)
  t.equal(pool.leaseOf('hw:1'), undefined)
  t.equal(offer(pool, 1, 0), '10.0.0.3')
  lease(pool, 1, '10.0.0.3', 1e9)
  t.equal(offer(pool, 2, 0), 'no-address')
  pool.expire(DECLINE_HOLD - 1)
  t.equal(offer(pool, 2, DECLINE_HOLD - 1), 'no-address')
  pool.expire(DECLINE_HOLD)
  t.equal(offer(pool, 2, DECLINE_HOLD), '10.0.0.2')
})

t.test('an address that another station claims is never given', async t => {
  const claims: Record<string, number> = { '10.0.0.2': 99, '10.0.0.4': 1 }
  const pool = poolOf('10.0.0.2-10.0.0.5', claims)
  t.equal(offer(pool, 2), '10.0.0.3')
  t.equal(offer(pool, 1, 0, '10.0.0.2'), '10.0.0.4', 'its own claim is no hindrance')
  lease(pool, 3, '10.0.0.5', 100)
  claims['10.0.0.5'] = 99
  t.equal(pool.mayHold(client(3), ip('10.0.0.5'), 50), true, 'a live lease stands against a claim')
  t.equal(offer(pool, 3, 150), 'no-address', 'an expired one does not')
  t.equal(pool.mayHold(client(3), ip('10.0.0.5'), 150), false)
  delete claims['10.0.0.2']
  t.equal(offer(pool, 3, 150), '10.0.0.2', 'forgotten, it is handed out again')
})

t.test('one lease a client and one a client an address', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.5')
  lease(pool, 1, '10.0.0.2', 100)
  lease(pool, 1, '10.0.0.3', 100)
  t.equal(pool.leaseAt(ip('10.0.0.2')), undefined)
  lease(pool, 2, '10.0.0.3', 100)
  t.equal(pool.leaseOf('hw:1'), undefined)
  t.equal([...pool.leases()].length, 1)
  t.equal(offer(pool, 3), '10.0.0.2', 'what was left is free')
})

t.test('free counts what could be leased to somebody new', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.9', {}, ['10.0.0.9'])
  t.equal(pool.free(0), 7)
  lease(pool, 1, '10.0.0.2', 100)
  offer(pool, 2)
  pool.decline(client(3), ip('10.0.0.4'), 0)
  t.equal(pool.free(0), 4)
  t.equal(pool.free(100), 5)
})

t.test('the bitmap agrees with the tables for large pools', async t => {
  const pool = new AddressPool({
    subnet: parseCidr('10.0.0.1/22')!,
    range: range('10.0.0.2-10.0.3.254'),
    exclude: [],
  })
  const seen = new Set<number>()
  for (let n = 0; n < 1021; n++) {
    const address = pool.offer(client(n), undefined, 0) as number
    t.notOk(seen.has(address))
    seen.add(address)
    pool.put({ ip: address, ...client(n), expires: 100 })
  }
  t.equal(seen.size, 1021)
  t.equal(pool.offer(client(5000), undefined, 0), 'no-address')
  t.equal(formatIpv4(Math.max(...seen)), '10.0.3.254')
})

/** What is reserved, by client number. */
function reserving(reserved: Record<number, string>): ReservationLookup {
  const entries = Object.entries(reserved).map(([n, text]) => ({ mac: station(Number(n)), ip: ip(text) }))
  return {
    of: ({ mac }) => entries.find(entry => entry.mac.lo === mac.lo),
    at: address => entries.find(entry => entry.ip === address),
  }
}

t.test('what is reserved goes to its client alone, inside of the range or not', async t => {
  const reservations = reserving({ 7: '10.0.0.2', 8: '10.0.0.200' })
  const pool = new AddressPool({ subnet, range: range('10.0.0.2-10.0.0.4'), exclude: [], reservations })
  t.equal(pool.free(0), 2)
  t.equal(offer(pool, 1, 0, '10.0.0.2'), '10.0.0.3', 'not for another, who asks for it')
  t.equal(offer(pool, 8), '10.0.0.200')
  t.equal(offer(pool, 7, 0, '10.0.0.4'), '10.0.0.2')
  lease(pool, 7, '10.0.0.2', 100)
  t.equal(offer(pool, 7, 50), '10.0.0.2')
  t.equal(offer(pool, 2), '10.0.0.4')
  t.equal(offer(pool, 3, 200), 'no-address', 'though the reserved one ran out')
  t.equal(pool.mayHold(client(3), ip('10.0.0.200'), 200), false)
})

t.test('a reservation that comes later moves its client and the one who is in the way', async t => {
  const reserved: Record<number, string> = {}
  const reservations: ReservationLookup = {
    of: of => reserving(reserved).of(of),
    at: address => reserving(reserved).at(address),
  }
  const pool = new AddressPool({ subnet, range: range('10.0.0.2-10.0.0.9'), exclude: [], reservations })
  lease(pool, 1, '10.0.0.2', 100)
  lease(pool, 7, '10.0.0.3', 100)
  reserved[7] = '10.0.0.2'
  t.equal(pool.mayHold(client(1), ip('10.0.0.2'), 50), false, 'not renewed')
  t.equal(pool.reservedFor(client(7), 50), undefined, 'not given while the other has it')
  t.equal(offer(pool, 7, 50), '10.0.0.3', 'its own, until then')
  t.equal(offer(pool, 7, 150), '10.0.0.2')
})

t.test('a reserved address that another station claims is not given', async t => {
  const pool = new AddressPool({
    subnet,
    range: range('10.0.0.2-10.0.0.4'),
    exclude: [],
    reservations: reserving({ 7: '10.0.0.2' }),
    isClaimed: address => address === ip('10.0.0.2'),
  })
  t.equal(offer(pool, 7), '10.0.0.3')
})

t.test('a machine with a reservation gets it under each of its identifiers', async t => {
  const reservations = reserving({ 7: '10.0.0.2' })
  const pool = new AddressPool({ subnet, range: range('10.0.0.2-10.0.0.4'), exclude: [], reservations })
  pool.put({ ip: ip('10.0.0.2'), key: 'id:firmware', mac: station(7), expires: 100 })
  t.equal(offer(pool, 7, 50), '10.0.0.2')
  pool.put({ ip: ip('10.0.0.2'), key: 'hw:7', mac: station(7), expires: 100 })
  t.equal(pool.leaseOf('id:firmware'), undefined)
})

t.test('one port gets at most four fifths of a pool, and leaves the rest to others', async t => {
  const pool = poolOf('10.0.0.1-10.0.0.100')
  const greedy = (n: number, port: string, now = 0): number | string =>
    pool.offer({ ...client(n), port }, undefined, now)
  let got = 0
  for (let n = 1; n <= 10_000; n++) if (typeof greedy(n, 'vm1') === 'number') got++
  t.equal(got, 80)
  t.equal(greedy(10_001, 'vm1'), 'port-limit')
  t.type(greedy(1, 'vm1'), 'number', 'whoever has an offer gets it again')
  let second = 0
  for (let n = 20_000; n < 30_000; n++) if (typeof greedy(n, 'vm2') === 'number') second++
  t.equal(second, 16, 'of what the first left')
  t.type(greedy(40_000, 'vm3'), 'number', 'and one comes by for the next')
  t.equal(greedy(10_001, 'vm1'), 'port-limit')
  pool.expire(OFFER_HOLD)
  t.type(greedy(10_001, 'vm1', OFFER_HOLD), 'number', 'when offers ran out')
})

t.test('what a port leased, let go or declined counts until it is over', async t => {
  const pool = poolOf('10.0.0.1-10.0.0.10')
  const take = (n: number, port: string, now = 0): number | string =>
    pool.offer({ ...client(n), port }, undefined, now)
  for (let n = 1; n <= 8; n++) {
    const address = take(n, 'vm1') as number
    const { key, mac } = client(n)
    pool.put({ ip: address, key, mac, expires: 5000 })
  }
  t.equal(take(9, 'vm1', 10), 'port-limit')
  pool.end(pool.leaseOf('hw:1')!, 10)
  t.equal(take(9, 'vm1', 10), pool.leaseOf('hw:1')!.ip + 8, 'after a release')
  pool.decline({ ...client(9), port: 'vm1' }, ip('10.0.0.9'), 10)
  t.equal(take(10, 'vm1', 1020), 'port-limit', 'a declined one is not free')
  t.type(take(10, 'vm1', 5000), 'number', 'leases ran out')
})

t.test('leases that were loaded belong to no port until their clients are heard', async t => {
  const pool = poolOf('10.0.0.1-10.0.0.10')
  const leases = Array.from({ length: 9 }, (_, i) => ({
    ip: ip('10.0.0.1') + i,
    key: `hw:${i + 1}`,
    mac: station(i + 1),
    expires: 1000,
  }))
  t.equal(pool.restore({ leases, declined: [] }), 0)
  t.same(pool.takeChanges(), [])
  t.equal(pool.portOf(ip('10.0.0.1')), undefined)
  t.equal(pool.offer({ ...client(20), port: 'vm1' }, undefined, 0), ip('10.0.0.10'))
  pool.withdraw('hw:20')
  for (let n = 1; n <= 9; n++) pool.foundAt(ip('10.0.0.1') + n - 1, 'vm1')
  t.equal(pool.offer({ ...client(20), port: 'vm1' }, undefined, 0), 'port-limit')
  t.equal(pool.portOf(ip('10.0.0.1')), 'vm1')
})

t.test('every change of what is stored is told, in order', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.5')
  lease(pool, 1, '10.0.0.2', 100)
  lease(pool, 2, '10.0.0.3', 100)
  pool.decline(client(1), ip('10.0.0.2'), 50)
  pool.end(pool.leaseOf('hw:2')!, 60)
  pool.takeBack(ip('10.0.0.2'), 70)
  const told = pool.takeChanges().map(change => {
    if (change.kind === 'put') return `${formatIpv4(change.lease.ip)} until ${change.lease.expires}`
    if (change.kind === 'remove') return `${formatIpv4(change.ip)} removed`
    return `${formatIpv4(change.declined.ip)} aside until ${change.declined.until}`
  })
  t.same(told, [
    '10.0.0.2 until 100',
    '10.0.0.3 until 100',
    '10.0.0.2 removed',
    `10.0.0.2 aside until ${50 + DECLINE_HOLD}`,
    '10.0.0.3 until 60',
    '10.0.0.2 aside until 70',
  ])
  t.equal(offer(pool, 3, 80), '10.0.0.2', 'what was taken back is free')
  t.same(pool.takeChanges(), [], 'offers are not stored')
})

t.test('a claimed address is no free one', async t => {
  t.equal(poolOf('10.0.0.2-10.0.0.5', { '10.0.0.3': 99 }).free(0), 3)
})
