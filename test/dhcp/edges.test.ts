// The edges of the pool and its neighbours: rules that only show when one of them is left out.

import t from 'tap'
import type { ReservationLookup } from '../../src/dhcp/pool.js'
import { Conflicts } from '../../src/dhcp/conflicts.js'
import { Holdings } from '../../src/dhcp/holdings.js'
import * as option from '../../src/dhcp/options.js'
import { AddressPool } from '../../src/dhcp/pool.js'
import { FRESH, Prober, PROBE_WAIT } from '../../src/dhcp/prober.js'
import { formatIpv4, parseCidr } from '../../src/wire/ipv4.js'
import {
  Client,
  FakeClock,
  ip,
  MemoryStore,
  range,
  Segment,
  station,
  type Fields,
  type Received,
} from './segment.js'

const SERVER = ip('192.168.105.1')
const A = ip('192.168.105.2')
const gist = (replies: Received[]): string[] =>
  replies.map(
    ({ type, message }) => `${option.MESSAGE_TYPE.text(type).slice(4)} ${formatIpv4(message.yiaddr)}`,
  )
const selecting = (address: number): Fields => ({
  type: option.REQUEST,
  options: [
    [option.SERVER_ID, SERVER],
    [option.REQUESTED_IP, address],
  ],
})
const renewing = (address: number): Fields => ({ type: option.REQUEST, ciaddr: address, sourceIp: address })
const on = (port: string, client: Client): Client => Object.assign(client, { port })
const subnet = parseCidr('10.0.0.254/24')!
const poolClient = (n: number, port = 'vm1') => ({ key: `hw:${n}`, mac: station(n), port })

t.test('what is reserved is no matter of the bound a port', async t => {
  const mine = { ip: ip('10.0.0.200') }
  const reservations: ReservationLookup = {
    of: ({ mac }) => (mac.lo === 50 ? mine : undefined),
    at: address => (address === mine.ip ? mine : undefined),
  }
  const pool = new AddressPool({ subnet, range: range('10.0.0.1-10.0.0.5'), exclude: [], reservations })
  for (let n = 1; n <= 5; n++) pool.offer(poolClient(n), undefined, 0)
  t.equal(pool.offer(poolClient(6), undefined, 0), 'port-limit')
  t.equal(pool.offer(poolClient(50), undefined, 0), mine.ip)
})

t.test('what is reserved outside of the range takes nothing of it', async t => {
  const reservations: ReservationLookup = {
    of: ({ mac }) => (mac.lo >= 100 ? { ip: ip('10.0.0.100') + mac.lo - 100 } : undefined),
    at: address => (address >= ip('10.0.0.100') ? { ip: address } : undefined),
  }
  const pool = new AddressPool({ subnet, range: range('10.0.0.1-10.0.0.5'), exclude: [], reservations })
  for (let n = 100; n < 104; n++) t.type(pool.offer(poolClient(n), undefined, 0), 'number')
  let got = 0
  for (let n = 1; n <= 5; n++) if (typeof pool.offer(poolClient(n), undefined, 0) === 'number') got++
  t.equal(got, 4)
})

t.test('an expired address that a station claims comes back when the claim is over', async t => {
  let claimed = true
  const pool = new AddressPool({
    subnet,
    range: range('10.0.0.1-10.0.0.1'),
    exclude: [],
    isClaimed: () => claimed,
  })
  pool.put({ ip: ip('10.0.0.1'), key: 'hw:9', mac: station(9), expires: 5000 })
  t.equal(pool.offer(poolClient(1), undefined, 6000), 'no-address')
  claimed = false
  t.equal(pool.offer(poolClient(1), undefined, 7000), ip('10.0.0.1'))
})

t.test('who is over the bound costs a walk a second, whatever the clock does', async t => {
  let asked = 0
  let held = true
  const holdings = new Holdings({ size: 2, isHeld: () => (asked++, held), outOfReach: () => 0 })
  holdings.hold(1, 'vm1')
  holdings.hold(2, 'vm1')
  for (let i = 0; i < 100; i++) t.equal(holdings.allows('vm1', 10_000 + i), false)
  t.equal(asked, 2, 'one walk')
  held = false
  t.equal(holdings.allows('vm1', 500), true, 'the clock was set back')
  held = true
  holdings.hold(1, 'vm1')
  holdings.drop(1)
  holdings.hold(1, 'vm2')
  holdings.hold(2, 'vm2')
  t.equal(holdings.allows('vm1', 500), true, 'a port with nothing is never refused')
})

t.test('a search that fails is over within 200 ms and holds nothing', async t => {
  const claims = new Map<number, number>()
  const segment = await Segment.start({
    isClaimed: (address, mac) => claims.has(address) && claims.get(address) !== mac.lo,
  })
  segment.tell(new Client(1))
  for (let round = 0; round < 2; round++) {
    segment.clock.advance((PROBE_WAIT - 1) / 1000)
    for (const text of segment.takeProbes()) {
      claims.set(ip(text), 77)
      segment.server.claimed(ip(text), station(77), 'vm9')
    }
    segment.clock.pass(0)
  }
  t.equal(segment.server.status().counters.dropped['probing'], 1, 'a third probe would end too late')
  t.same(segment.server.status().leases, [])
})

t.test('a silence that is known anew lasts its own time', async t => {
  const clock = new FakeClock()
  const prober = new Prober({ clock, send: () => {} })
  prober.probeAhead([7], PROBE_WAIT)
  clock.pass(PROBE_WAIT)
  t.ok(prober.takeSilent(7))
  prober.probeAhead([7], PROBE_WAIT)
  clock.pass(FRESH)
  t.ok(prober.takeSilent(7))
})

t.test('a conflict that goes on is one; one that is over is over', async t => {
  const conflicts = new Conflicts()
  const lease = { ip: A, key: 'hw:1', mac: station(1), expires: 1e9 }
  const note = (now: number): boolean => conflicts.note(lease, 'vm1', station(2), 'vm2', now)
  t.same([0, 50_000, 100_000].map(note), [true, false, false])
  t.same(
    conflicts.list(
      100_001,
      () => undefined,
      () => true,
    ),
    [],
    'the lease ended',
  )
  t.equal(note(100_002), true)
})

t.test('degraded: a DISCOVER of one whose lease ran out gets nothing', async t => {
  const store = new MemoryStore()
  const segment = await Segment.start({ store })
  const client = new Client(1)
  await segment.lease(client)
  segment.clock.advance(3601)
  store.fails = true
  await segment.ask(new Client(2), selecting(ip('192.168.105.3')))
  t.same(gist(await segment.ask(client)), [])
  t.equal(segment.server.status().counters.dropped['not-saved'] >= 1, true)
})

t.test('a client that was told no holds no offer', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.ask(client)
  t.same(gist(await segment.ask(client, selecting(ip('192.168.105.9')))), ['NAK 0.0.0.0'])
  t.same(segment.server.status().leases, [])
})

t.test('after a restart a renewal counts for the port that it came by', async t => {
  const segment = await Segment.start()
  for (let n = 1; n <= 8; n++) await segment.lease(on('vm1', new Client(n)))
  await segment.restart()
  for (let n = 1; n <= 8; n++) await segment.ask(on('vm1', new Client(n)), renewing(A + n - 1))
  t.same(gist(await segment.ask(on('vm1', new Client(9)))), [])
  t.equal(segment.server.status().counters.dropped['port-limit'], 1)
})

t.test('an address that was only offered can be declined', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.ask(client)
  await segment.ask(client, { ...selecting(A), type: option.DECLINE })
  t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'declined' }])
})

t.test('a release is on disk, and one that changes nothing is not written', async t => {
  const store = new MemoryStore()
  const segment = await Segment.start({ store })
  const client = new Client(1)
  await segment.lease(client)
  const release: Fields = { type: option.RELEASE, ciaddr: A, sourceIp: A }
  await segment.ask(client, release)
  t.ok(store.saved.leases[0].expires <= segment.clock.now())
  const { saves } = store
  await segment.ask(client, release)
  t.equal(store.saves, saves)
})

t.test('the name of the reservation stands before what the client calls itself', async t => {
  const mine = { ip: A, hostname: 'db' }
  const reservations: ReservationLookup = {
    of: () => mine,
    at: address => (address === A ? mine : undefined),
  }
  const segment = await Segment.start({ reservations })
  const ack = await segment.lease(new Client(1), {
    options: [
      [option.HOSTNAME, 'web'],
      [option.PARAMETER_LIST, [12]],
    ],
  })
  t.equal(option.getOption(ack.message.options, option.HOSTNAME), 'db')
})

t.test('a port over its bound is not told that there is no network', async t => {
  const segment = await Segment.start({ options: new Map([[116, Uint8Array.of(0)]]) })
  const ask = { raw: [[116, [1]]] as [number, number[]][] }
  for (let n = 1; n <= 8; n++) await segment.ask(on('vm1', new Client(n)))
  t.same(gist(await segment.ask(on('vm1', new Client(9)), ask)), [])
})

t.test('a renewal that names the server is one', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.lease(client)
  const request = {
    ...renewing(A),
    options: [[option.SERVER_ID, SERVER]] as [typeof option.SERVER_ID, number][],
  }
  t.same(gist(await segment.ask(client, request)), ['ACK 192.168.105.2'])
})

t.test('a client that has a lease selects no other address without an offer', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.lease(client)
  t.same(gist(await segment.ask(client, selecting(ip('192.168.105.9')))), ['NAK 0.0.0.0'])
})

t.test('a claim of an address whose lease ran out is no conflict', async t => {
  const segment = await Segment.start()
  await segment.lease(new Client(1))
  segment.clock.advance(3601)
  segment.server.claimed(A, station(2), 'vm2')
  t.notMatch(segment.log.messages.join('\n'), /conflict/)
})

t.test('no relay has the broadcast address', async t => {
  const segment = await Segment.start()
  const giaddr = ip('192.168.105.255')
  await segment.ask(new Client(1), { giaddr, hops: 1, sourceIp: giaddr, sourcePort: 67 })
  t.equal(segment.server.status().counters.dropped['relayed'], 1)
})

t.test('status does not show offers that ran out', async t => {
  const segment = await Segment.start()
  await segment.ask(new Client(1))
  segment.clock.advance(61)
  t.match(segment.server.status(), { leases: [], free: 10 })
})

t.test('a clock that is set back keeps no offer and no declined address for longer', async t => {
  const pool = new AddressPool({ subnet, range: range('10.0.0.1-10.0.0.2'), exclude: [] })
  const hour = 3_600_000
  pool.offer(poolClient(1), undefined, 10 * hour)
  pool.decline(poolClient(2), ip('10.0.0.2'), 10 * hour)
  pool.expire(9 * hour)
  t.equal(pool.free(9 * hour), 2)
})
