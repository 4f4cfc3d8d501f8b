// What a hostile VM tries, and what it costs the others: nothing.

import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { PROBE_WAIT } from '../../src/dhcp/prober.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { limitLog } from '../../src/limited-log.js'
import { Neighbors } from '../../src/neighbors/neighbors.js'
import { arpFrame, ARP_REQUEST } from '../../src/wire/arp.js'
import { MAC_BROADCAST } from '../../src/wire/mac.js'
import {
  Client,
  FakeClock,
  ip,
  RecordedLog,
  Segment,
  station,
  type Received,
  type Fields,
} from './segment.js'

const SERVER = ip('192.168.105.1')
const at = (n: number) => ip('192.168.105.2') + n
const gist = (replies: Received[]): string[] =>
  replies.map(
    ({ type, message }) => `${option.MESSAGE_TYPE.text(type).slice(4)} ${formatIpv4(message.yiaddr)}`,
  )
const selecting = (address: number, server = SERVER): Fields => ({
  type: option.REQUEST,
  options: [
    [option.SERVER_ID, server],
    [option.REQUESTED_IP, address],
  ],
})
const renewing = (address: number): Fields => ({ type: option.REQUEST, ciaddr: address, sourceIp: address })
const vm1 = (n: number): Client => Object.assign(new Client(n), { port: 'vm1' })

t.test('renewals out of nowhere: one port gets no more than its share', async t => {
  const segment = await Segment.start()
  let acks = 0
  for (let n = 0; n < 10; n++)
    acks += (await segment.ask(vm1(100 + n), renewing(at(n)))).filter(r => r.type === option.ACK).length
  t.equal(acks, 8, 'no more than four fifths')
  t.same(gist(await segment.ask(new Client(50))).length, 1, 'another is served')
})
t.test('SELECTING without an offer: the same', async t => {
  const segment = await Segment.start()
  let acks = 0
  for (let n = 0; n < 10; n++)
    acks += (await segment.ask(vm1(100 + n), selecting(at(n)))).filter(r => r.type === option.ACK).length
  t.equal(acks, 8)
  t.same(gist(await segment.ask(new Client(50))).length, 1, 'another is served')
})
t.test('an address that was not offered is probed before it is leased', async t => {
  const segment = await Segment.start()
  const [reply] = await segment.ask(new Client(1), selecting(at(3)))
  t.ok(reply?.type !== option.ACK || segment.takeProbes().length > 0, 'probed')
})
t.test('INIT-REBOOT with a lease that ran out: probed as well', async t => {
  const segment = await Segment.start()
  await segment.lease(new Client(1))
  segment.takeProbes()
  segment.clock.advance(3601)
  const [reply] = await segment.ask(new Client(1), {
    type: option.REQUEST,
    options: [[option.REQUESTED_IP, at(0)]],
  })
  t.ok(reply?.type !== option.ACK || segment.takeProbes().length > 0, 'probed, an hour after the end')
})
t.test('a client whose address went to another while it was probed is served later', async t => {
  const segment = await Segment.start()
  const [a, b] = [new Client(1), new Client(2)]
  segment.tell(a)
  segment.tell(a, selecting(at(0), ip('192.168.105.99')))
  segment.tell(b)
  segment.clock.pass(PROBE_WAIT)
  t.same(gist(segment.take()), ['OFFER 192.168.105.2'], 'b')
  for (let i = 0; i < 5; i++) {
    segment.clock.advance(60)
    segment.tell(a)
    segment.clock.pass(1000)
  }
  t.not(segment.take().length, 0, 'answered')
})
t.test('addresses that are claimed are not counted as free for a port', async t => {
  const segment = await Segment.start({ isClaimed: address => address >= at(7) })
  for (let n = 1; n <= 20; n++) await segment.ask(vm1(n))
  t.equal(gist(await segment.ask(new Client(100))).length, 1, 'another is served')
})
t.test('a flood of other messages hides no conflict', async t => {
  const kept = new RecordedLog()
  const clock = new FakeClock()
  const limited = () => limitLog(kept, clock, { topic: 'DHCP', perSecond: 200, burst: 2000 })
  const segment = new Segment({ log: limited(), conflictLog: limited() })
  await segment.server.start()
  await segment.lease(new Client(1))
  for (let i = 0; i < 3000; i++) segment.tell(vm1(5), { type: option.INFORM, ciaddr: at(5) })
  segment.server.claimed(at(0), station(2), 'vm2')
  t.equal(kept.lines.filter(l => l.fields['event'] === 'dhcp.conflict').length, 1, 'said once')
})
t.test('nobody declines what another port has', async t => {
  const segment = await Segment.start()
  const victim = new Client(1)
  await segment.lease(victim)
  const forged = vm1(1)
  forged.port = 'vm9'
  await segment.ask(forged, { ...selecting(at(0)), type: option.DECLINE })
  t.same(gist(await segment.ask(victim, renewing(at(0)))), ['ACK 192.168.105.2'])
})
t.test('nobody releases what another port has', async t => {
  const segment = await Segment.start()
  const victim = new Client(1)
  await segment.lease(victim)
  const forged = vm1(1)
  forged.port = 'vm9'
  await segment.ask(forged, { type: option.RELEASE, ciaddr: at(0) })
  t.match(segment.server.status().leases, [{ state: 'bound' }])
})
t.test('two hosts that both speak for hours: said once', async t => {
  const neighbors = new Neighbors()
  let now = 0
  const segment = await Segment.start({
    isClaimed: (address, { hi, lo }) => neighbors.isClaimedByOther(address, hi, lo, now),
  })
  neighbors.onChange = (address, hi, lo, id) => segment.server.claimed(address, { hi, lo }, `vm${id}`)
  await segment.lease(new Client(1))
  const speaks = (n: number): void => {
    const mac = station(n)
    const frame = arpFrame(MAC_BROADCAST, {
      operation: ARP_REQUEST,
      senderMac: mac,
      senderIp: at(0),
      targetMac: { hi: 0, lo: 0 },
      targetIp: SERVER,
    })
    neighbors.observe(frame, 0, frame.length, n, now)
  }
  for (let i = 0; i < 10; i++) {
    speaks(1)
    speaks(2)
    now += 65_000
    segment.clock.advance(65)
  }
  t.equal(segment.log.lines.filter(l => l.fields['event'] === 'dhcp.conflict').length, 1, 'logged once')
})

t.test('a forged renewal does not move a lease to the port of a liar', async t => {
  const segment = await Segment.start({ isPlugged: () => true })
  const victim = new Client(1)
  await segment.lease(victim)
  const forged = Object.assign(new Client(1), { port: 'vm9' })
  await segment.ask(forged, renewing(at(0)))
  await segment.ask(forged, { type: option.RELEASE, ciaddr: at(0) })
  t.match(segment.server.status(), {
    leases: [{ state: 'bound' }],
    counters: { dropped: { 'other-port': 1 } },
  })
})

t.test('a VM that was plugged in anew releases from its new port, once it was heard there', async t => {
  const segment = await Segment.start({ isPlugged: port => port !== 'vm1' })
  const client = new Client(1)
  await segment.lease(client)
  client.port = 'vm2'
  await segment.ask(client, renewing(at(0)))
  await segment.ask(client, { type: option.RELEASE, ciaddr: at(0) })
  t.match(segment.server.status().leases, [{ state: 'expired' }])
})

t.test('a REQUEST in the middle of the probe waits for its end', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  segment.tell(client)
  segment.tell(client, selecting(at(0)))
  await segment.server.flush()
  t.same(segment.take(), [])
  segment.tell(client)
  t.same(segment.take(), [], 'nor does it spare the next one the wait')
  segment.clock.pass(PROBE_WAIT)
  await segment.server.flush()
  t.equal(segment.take().length, 1)
  t.same(segment.takeProbes(), ['192.168.105.2'], 'one probe')
})

t.test('copies of one disk, with one client identifier, get an address each', async t => {
  const claims = new Map<number, number>()
  const segment = await Segment.start({
    isClaimed: (address, mac) => claims.has(address) && claims.get(address) !== mac.lo,
  })
  const [first, copy] = [new Client(1, [255, 1, 2, 3]), new Client(2, [255, 1, 2, 3])]
  await segment.lease(first)
  claims.set(at(0), 1)
  const ack = await segment.lease(copy)
  t.equal(ack.message.yiaddr, at(1))
  t.equal((await segment.ask(first, renewing(at(0))))[0]!.type, option.ACK)
  t.equal((await segment.ask(copy, renewing(at(1))))[0]!.type, option.ACK)
  claims.clear()
  const moved = new Client(3, [255, 1, 2, 3])
  t.equal((await segment.lease(moved)).message.yiaddr, at(0), 'a machine with a new card keeps its own')
})

t.test('a reservation waits for no offer to the same machine under another identifier', async t => {
  const mine = { ip: at(8) }
  const reservations = {
    of: ({ mac }: { mac: { lo: number } }) => (mac.lo === 7 ? mine : undefined),
    at: (address: number) => (address === mine.ip ? mine : undefined),
  }
  const segment = await Segment.start({ reservations })
  await segment.ask(new Client(7, [1, 1]))
  t.equal((await segment.lease(new Client(7, [2, 2]))).message.yiaddr, mine.ip)
})
