import type { PoolClient } from '../../src/dhcp/pool.js'
import t from 'tap'
import { AddressPool, DECLINE_HOLD, OFFER_HOLD } from '../../src/dhcp/pool.js'
import { formatIpv4, parseCidr } from '../../src/wire/ipv4.js'
import { ip, range, station } from './segment.js'

const subnet = parseCidr('10.0.0.1/24')!
const client = (n: number): PoolClient => ({ key: `hw:${n}`, mac: station(n) })

function poolOf(text: string, claims: Record<string, number> = {}, exclude: string[] = []): AddressPool {
  return new AddressPool({
    subnet,
    range: range(text),
    exclude: exclude.map(range),
    isClaimed: (address, mac) => (claims[formatIpv4(address)] ?? mac.lo) !== mac.lo,
  })
}

function offer(pool: AddressPool, n: number, now = 0, wanted?: string): string | undefined {
  const address = pool.offer(client(n), wanted === undefined ? undefined : ip(wanted), now)
  return address === undefined ? undefined : formatIpv4(address)
}

function lease(pool: AddressPool, n: number, address: string, expires: number): void {
  pool.put({ ip: ip(address), ...client(n), expires })
}

t.test('the lowest address that nobody ever had is first', async t => {
  const pool = poolOf('10.0.0.2-10.0.0.5', {}, ['10.0.0.3'])
  t.equal(offer(pool, 1), '10.0.0.2')
  t.equal(offer(pool, 2), '10.0.0.4')
  t.equal(offer(pool, 3), '10.0.0.5')
  t.equal(offer(pool, 4), undefined)
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
  t.equal(offer(pool, 5, 40), undefined, 'all in use')
  t.equal(offer(pool, 5, 200), '10.0.0.4')
  t.equal(offer(pool, 6, 200), '10.0.0.5')
  t.equal(offer(pool, 7, 200), '10.0.0.2')
  t.equal(offer(pool, 8, 200), undefined)
  t.equal(offer(pool, 8, 900), '10.0.0.3')
})

t.test('an offer holds its address for 60 s', async t => {
  const pool = poolOf('10.0.0.2')
  t.equal(offer(pool, 1, 0), '10.0.0.2')
  pool.expire(OFFER_HOLD - 1)
  t.equal(offer(pool, 2, OFFER_HOLD - 1), undefined)
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
  t.equal(offer(pool, 2, 0), undefined)
  pool.expire(DECLINE_HOLD - 1)
  t.equal(offer(pool, 2, DECLINE_HOLD - 1), undefined)
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
  t.equal(offer(pool, 3, 150), undefined, 'an expired one does not')
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
    const address = pool.offer(client(n), undefined, 0)!
    t.notOk(seen.has(address))
    seen.add(address)
    pool.put({ ip: address, ...client(n), expires: 100 })
  }
  t.equal(seen.size, 1021)
  t.equal(pool.offer(client(5000), undefined, 0), undefined)
  t.equal(formatIpv4(Math.max(...seen)), '10.0.3.254')
})
