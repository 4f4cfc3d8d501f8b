// DISCOVER to OFFER with the probe in between, as the server does it, over a segment where silent stations answer.

import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { HURRIED_WAIT, PROBE_WAIT } from '../../src/dhcp/prober.js'
import { formatIpv4, parseCidr } from '../../src/wire/ipv4.js'
import { Client, ip, range, Segment, station } from './segment.js'

/** A segment with stations that hold addresses and never spoke: number of the station by address. */
async function withSilent(silent: Record<string, number>, addresses = '192.168.105.2-192.168.105.11') {
  const claims = new Map<number, number>()
  const segment = await Segment.start({
    range: range(addresses),
    subnet: parseCidr('192.168.105.1/16')!,
    isClaimed: (address, mac) => claims.has(address) && claims.get(address) !== mac.lo,
  })
  /** The silent ones answer what was asked, which the neighbour table hears. */
  const answer = (): string[] => {
    const probes = segment.takeProbes()
    for (const text of probes) {
      const owner = silent[text]
      if (owner === undefined || claims.has(ip(text))) continue
      claims.set(ip(text), owner)
      segment.server.claimed(ip(text), station(owner), 'vm9')
    }
    return probes
  }
  return { segment, claims, answer }
}

const offers = (segment: Segment): string[] => segment.take().map(({ message }) => formatIpv4(message.yiaddr))

t.test('a new address is probed once, before the OFFER, and not again', async t => {
  const { segment } = await withSilent({})
  const client = new Client(1)
  segment.tell(client)
  t.same(segment.takeProbes(), ['192.168.105.2'])
  segment.clock.pass(PROBE_WAIT - 1)
  t.same(offers(segment), [])
  segment.clock.pass(1)
  t.same(offers(segment), ['192.168.105.2'])
  segment.tell(client)
  t.same(offers(segment), ['192.168.105.2'], 'asked again: the same, at once')
  await segment.lease(client)
  segment.clock.advance(1800)
  const [renewed] = await segment.ask(client, {
    type: option.REQUEST,
    ciaddr: ip('192.168.105.2'),
    sourceIp: ip('192.168.105.2'),
  })
  t.equal(renewed.type, option.ACK)
  segment.tell(client)
  t.same(offers(segment), ['192.168.105.2'], 'a DISCOVER of one who has a lease')
  t.same(segment.takeProbes(), [], 'nothing of that was probed')
})

t.test('a silent station is found: its address is skipped, and that is said', async t => {
  const { segment, answer } = await withSilent({ '192.168.105.2': 77 })
  segment.tell(new Client(1))
  t.same(answer(), ['192.168.105.2'])
  segment.clock.pass(0)
  t.same(answer(), ['192.168.105.3'], 'the next one, without waiting out the time')
  segment.clock.pass(PROBE_WAIT)
  t.same(offers(segment), ['192.168.105.3'])
  t.match(segment.log.messages.join('\n'), /DHCPDISCOVER\(vm1\) 192\.168\.105\.2 52:54:00:00:00:01 not given/)
  segment.tell(new Client(2))
  t.same(segment.takeProbes(), ['192.168.105.4'], 'it is known now')
})

t.test('the client itself may answer for its address', async t => {
  const { segment, claims } = await withSilent({})
  segment.tell(new Client(1))
  segment.takeProbes()
  claims.set(ip('192.168.105.2'), 1)
  segment.server.claimed(ip('192.168.105.2'), station(1), 'vm1')
  segment.clock.pass(0)
  t.same(offers(segment), ['192.168.105.2'])
})

t.test('a client is kept waiting for 200 ms at most', async t => {
  const taken = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`192.168.105.${i + 2}`, 50 + i]))
  const { segment, answer } = await withSilent(taken)
  segment.tell(new Client(1))
  // Each answer comes just before the time is over.
  for (let waited = 0; waited < 200; waited += PROBE_WAIT - 1) {
    segment.clock.advance((PROBE_WAIT - 1) / 1000)
    answer()
    segment.clock.pass(0)
  }
  t.same(offers(segment), [])
  t.equal(segment.server.status().counters.dropped['probing'], 1)
  t.match(segment.log.messages.at(-1), /every address tried is in use/)
  segment.clock.pass(1000)
  t.same(segment.takeProbes(), [], 'and nothing goes on behind its back')
})

t.test('a DISCOVER sent again while the probe is on is answered once, with the last number', async t => {
  const { segment } = await withSilent({})
  const client = new Client(1)
  segment.tell(client)
  segment.tell(client)
  t.same(segment.takeProbes(), ['192.168.105.2'])
  segment.clock.pass(PROBE_WAIT)
  t.same(
    segment.take().map(({ message }) => message.xid),
    [client.xid],
  )
})

t.test('a client that turned to another server meanwhile gets no offer', async t => {
  const { segment } = await withSilent({})
  const client = new Client(1)
  segment.tell(client)
  segment.tell(client, {
    type: option.REQUEST,
    options: [
      [option.SERVER_ID, ip('192.168.105.99')],
      [option.REQUESTED_IP, ip('192.168.105.50')],
    ],
  })
  segment.clock.pass(PROBE_WAIT)
  t.same(offers(segment), [])
})

t.test('an answer later than the OFFER is heard when the client asks for the address', async t => {
  const { segment, claims } = await withSilent({})
  const client = new Client(1)
  const [offer] = await segment.ask(client)
  claims.set(offer.message.yiaddr, 77)
  segment.server.claimed(offer.message.yiaddr, station(77), 'vm9')
  const [reply] = await segment.ask(client, {
    type: option.REQUEST,
    options: [
      [option.SERVER_ID, ip('192.168.105.1')],
      [option.REQUESTED_IP, offer.message.yiaddr],
    ],
  })
  t.equal(reply.type, option.NAK)
})

t.test('one client after the other: nothing is probed but what is offered', async t => {
  const { segment } = await withSilent({}, '192.168.105.2-192.168.105.250')
  for (let n = 1; n <= 50; n++) {
    segment.tell(new Client(n))
    t.equal(segment.takeProbes().length, 1)
    segment.clock.advance(PROBE_WAIT / 1000)
    t.equal(offers(segment).length, 1)
  }
})

t.test('hundreds a second: after the first moment nobody waits, and each address was probed', async t => {
  const { segment, answer } = await withSilent({ '192.168.106.1': 4000 }, '192.168.105.2-192.168.255.250')
  const probed = new Map<string, number>()
  const ages: number[] = []
  let waited = 0
  for (let ms = 0; ms < 4000; ms += 2) {
    segment.tell(new Client(1 + ms))
    for (const text of answer()) probed.set(text, ms)
    const atOnce = offers(segment)
    if (atOnce.length === 0) waited++
    segment.clock.advance(0.002)
    for (const address of [...atOnce, ...offers(segment)]) ages.push(ms - (probed.get(address) ?? Infinity))
  }
  t.ok(ages.length >= 1999, 'everybody got an offer, or waits for the last probe')
  t.ok(Math.min(...ages) >= HURRIED_WAIT - 2 && Math.max(...ages) < 500, 'of an address probed a moment ago')
  // One comes every 2 ms; the sixteenth makes a crowd of them.
  t.ok(waited <= 16 + HURRIED_WAIT / 2, `${waited} of 2000 waited, all in the first moment`)
  t.notOk(segment.server.status().leases.some(({ ip: address }) => address === '192.168.106.1'))
  t.ok((segment.server.status().counters.sent['probe'] ?? 0) < 2300, 'few more than were needed')
})

t.test('when a crowd is there, the first of it wait no longer than the last', async t => {
  const { segment } = await withSilent({}, '192.168.105.2-192.168.105.250')
  for (let n = 1; n <= 16; n++) {
    segment.tell(new Client(n))
    segment.clock.advance(0.001)
  }
  t.same(offers(segment), [])
  segment.clock.advance(HURRIED_WAIT / 1000)
  t.equal(offers(segment).length, 16)
})
