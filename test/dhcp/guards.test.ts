// What the server does where others would be robbed: conflicts, the bound a port, reservations, an admin's release, and
// a disk that is full.

import t from 'tap'
import type { ReservationLookup } from '../../src/dhcp/pool.js'
import * as option from '../../src/dhcp/options.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { Client, ip, MemoryStore, range, Segment, station, type Received } from './segment.js'

const SERVER = ip('192.168.105.1')
const A = ip('192.168.105.2')
const B = ip('192.168.105.3')

const gist = (replies: Received[]): string[] =>
  replies.map(
    ({ type, message }) => `${option.MESSAGE_TYPE.text(type).slice(4)} ${formatIpv4(message.yiaddr)}`,
  )
const selecting = (address: number) => ({
  type: option.REQUEST,
  options: [
    [option.SERVER_ID, SERVER],
    [option.REQUESTED_IP, address],
  ] as [typeof option.SERVER_ID, number][],
})
const renewing = (address: number) => ({
  type: option.REQUEST,
  ciaddr: address,
  sourceIp: address,
  destinationIp: SERVER,
})

t.test(
  'a claim of a leased address by another station is a conflict: said once, shown in status',
  async t => {
    const claims = new Map<number, number>()
    const segment = await Segment.start({
      isClaimed: (address, mac) => claims.has(address) && claims.get(address) !== mac.lo,
    })
    const client = new Client(1)
    await segment.lease(client, { options: [[option.HOSTNAME, 'web']] })
    segment.server.claimed(A, station(1), 'vm1')
    t.same(segment.server.status().conflicts, [], 'the holder says what it has')
    claims.set(A, 2)
    for (let i = 0; i < 3; i++) segment.server.claimed(A, station(2), 'vm2')
    const said = segment.log.lines.filter(({ fields }) => fields['event'] === 'dhcp.conflict')
    t.match(said, [
      {
        level: 'warn',
        fields: { ip: '192.168.105.2', port: 'vm1', claimMac: '52:54:00:00:00:02', claimPort: 'vm2' },
        message:
          'conflict: 192.168.105.2 is leased to 52:54:00:00:00:01 web on vm1 and claimed by 52:54:00:00:00:02 on vm2',
      },
    ])
    t.equal(said.length, 1)
    t.match(segment.server.status().conflicts, [
      {
        ip: '192.168.105.2',
        lease: { mac: '52:54:00:00:00:01', port: 'vm1', hostname: 'web' },
        claim: { mac: '52:54:00:00:00:02', port: 'vm2' },
        count: 3,
      },
    ])
    t.same(gist(await segment.ask(client, renewing(A))), ['ACK 192.168.105.2'], 'the lease stands')
    segment.clock.advance(3600)
    t.same(segment.server.status().conflicts, [], 'over with the lease')
    segment.server.claimed(A, station(3), 'vm3')
    t.same(segment.server.status().conflicts, [], 'nobody has a lease of it')
  },
)

t.test('a port that holds four fifths gets no more; others are served', async t => {
  const segment = await Segment.start()
  const offers: string[] = []
  for (let n = 1; n <= 20; n++) {
    const client = new Client(n)
    client.port = 'vm1'
    offers.push(...gist(await segment.ask(client)))
  }
  t.equal(offers.length, 8)
  t.match(segment.log.lines.at(-1), { level: 'warn', fields: { event: 'dhcp.limited', port: 'vm1' } })
  t.match(segment.server.status(), { counters: { dropped: { 'port-limit': 12, 'no-address': 0 } } })
  await segment.lease(new Client(100))
})

t.test('a reservation: its client gets it with its name, and others never', async t => {
  const reserved = { ip: ip('192.168.105.77'), hostname: 'db' }
  const reservations: ReservationLookup = {
    of: ({ mac }) => (mac.lo === 7 ? reserved : undefined),
    at: address => (address === reserved.ip ? reserved : undefined),
  }
  const segment = await Segment.start({ reservations })
  const ack = await segment.lease(new Client(7), { options: [[option.PARAMETER_LIST, [12]]] })
  t.equal(ack.message.yiaddr, reserved.ip, 'outside of the range')
  t.equal(option.getOption(ack.message.options, option.HOSTNAME), 'db')
  t.same(gist(await segment.ask(new Client(8), selecting(reserved.ip))), ['NAK 0.0.0.0'])
  await segment.restart()
  t.same(gist(await segment.ask(new Client(7), renewing(reserved.ip))), ['ACK 192.168.105.77'])
})

t.test('a reservation that is made later moves both: whoever has the address, and its client', async t => {
  let reserved: { ip: number } | undefined
  const reservations: ReservationLookup = {
    of: ({ mac }) => (mac.lo === 2 ? reserved : undefined),
    at: address => (address === reserved?.ip ? reserved : undefined),
  }
  const segment = await Segment.start({ reservations })
  const [one, two] = [new Client(1), new Client(2)]
  await segment.lease(one)
  await segment.lease(two)
  reserved = { ip: A }
  t.same(gist(await segment.ask(two, renewing(B))), ['ACK 192.168.105.3'], 'the address is in use still')
  t.same(gist(await segment.ask(one, renewing(A))), ['NAK 0.0.0.0'])
  t.same(gist(await segment.ask(one)), ['OFFER 192.168.105.4'])
  await segment.server.release({ ip: A })
  t.same(gist(await segment.ask(two, renewing(B))), ['NAK 0.0.0.0'], 'now it is free')
  t.same(gist(await segment.ask(two)), ['OFFER 192.168.105.2'])
})

t.test('an admin releases by address and by MAC, and takes back what was declined', async t => {
  const segment = await Segment.start()
  const [one, two] = [new Client(1), new Client(2, [1, 2, 3])]
  await segment.lease(one)
  await segment.lease(two)
  t.match(await segment.server.release({ ip: A }), [{ ip: '192.168.105.2', state: 'expired' }])
  t.same(await segment.server.release({ ip: A }), [], 'over already')
  t.match(await segment.server.release({ mac: station(2) }), [{ ip: '192.168.105.3', clientId: '010203' }])
  await segment.restart()
  t.match(segment.server.status(), { leases: [{ state: 'expired' }, { state: 'expired' }], free: 10 })
  t.same(gist(await segment.ask(one)), ['OFFER 192.168.105.2'], 'remembered')
  await segment.ask(one, selecting(A))
  await segment.ask(one, { ...selecting(A), type: option.DECLINE })
  t.same(gist(await segment.ask(one)), ['OFFER 192.168.105.4'])
  await segment.server.release({ ip: A })
  t.same(gist(await segment.ask(new Client(3), { options: [[option.REQUESTED_IP, A]] })), [
    'OFFER 192.168.105.2',
  ])
})

t.test('a declined address stays aside over a restart', async t => {
  const segment = await Segment.start({ range: range('192.168.105.2-192.168.105.3') })
  const client = new Client(1)
  await segment.lease(client)
  await segment.ask(client, { ...selecting(A), type: option.DECLINE })
  await segment.restart()
  t.same(gist(await segment.ask(client)), ['OFFER 192.168.105.3'])
  t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'declined' }, {}])
  segment.clock.advance(601)
  t.same(gist(await segment.ask(new Client(2))), ['OFFER 192.168.105.2'])
})

t.test('a full disk: who has a lease keeps it, who has none is told no and then nothing', async t => {
  const store = new MemoryStore()
  const segment = await Segment.start({ store })
  const [known, fresh] = [new Client(1), new Client(2)]
  await segment.lease(known)
  const [offer] = await segment.ask(fresh)
  store.fails = true
  const [no] = await segment.ask(fresh, selecting(offer.message.yiaddr))
  t.equal(no.type, option.NAK)
  t.match(option.getOption(no.message.options, option.MESSAGE), /ERR_LEASE_STORE/)
  t.equal(segment.server.status().degraded, true)
  t.same(gist(await segment.ask(known, renewing(A))), ['ACK 192.168.105.2'])
  t.same(gist(await segment.ask(known)), ['OFFER 192.168.105.2'])
  t.same(await segment.ask(fresh), [], 'no offer that could not be kept')
  t.match(segment.log.lines.at(-1), { level: 'warn', fields: { event: 'dhcp.refused' } })
  t.same(await segment.ask(new Client(3), renewing(B)), [], 'one with an address that is not known keeps it')
  store.fails = false
  segment.clock.advance(2)
  await segment.server.flush()
  t.equal(segment.server.status().degraded, false, 'found out without anybody asking')
  await segment.lease(fresh)
})

t.test('rapid commit: a DISCOVER that asks for it gets its ACK, after the probe and the disk', async t => {
  const store = new MemoryStore()
  const segment = await Segment.start({ store })
  const client = new Client(1)
  const rapid = { raw: [[80, []]] as [number, number[]][] }
  store.hold()
  segment.tell(client, rapid)
  t.same(segment.takeProbes(), ['192.168.105.2'])
  segment.clock.pass(200)
  await new Promise<void>(resolve => setImmediate(resolve))
  t.same(segment.take(), [], 'not saved yet')
  store.release()
  await segment.server.flush()
  const [ack] = segment.take()
  t.same(gist([ack]), ['ACK 192.168.105.2'])
  t.ok(ack.message.options.has(80))
  t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'bound' }])
  const [again] = await segment.ask(client, selecting(A))
  t.notOk(again.message.options.has(80), 'only where it was asked for')
})

t.test('a pool with nothing left tells who asks to make up no address (RFC 2563)', async t => {
  const options = new Map([[116, Uint8Array.of(0)]])
  const segment = await Segment.start({ range: { first: A, last: A }, options })
  await segment.lease(new Client(1))
  t.same(await segment.ask(new Client(2)), [], 'who does not ask is told nothing')
  const [offer] = await segment.ask(new Client(3), { raw: [[116, [1]]] })
  t.same(gist([offer]), ['OFFER 0.0.0.0'])
  t.same(offer.message.options.get(116), Uint8Array.of(0))
  t.notOk(offer.message.options.has(option.LEASE_TIME.code))
})

t.test('another router than the gateway is not leased', async t => {
  const options = new Map([[3, Uint8Array.of(192, 168, 105, 2)]])
  const segment = await Segment.start({ options })
  t.same(gist(await segment.ask(new Client(1))), ['OFFER 192.168.105.3'])
})

t.test('who only asks whether anybody has a leased address is no conflict', async t => {
  const segment = await Segment.start()
  await segment.lease(new Client(1))
  segment.server.claimed(A, station(2), 'vm2', true)
  t.same(segment.server.status().conflicts, [])
})

t.test('a disk that takes nothing shows before the first client does', async t => {
  const store = new MemoryStore()
  store.fails = true
  const segment = await Segment.start({ store })
  t.equal(segment.server.status().degraded, true)
})
