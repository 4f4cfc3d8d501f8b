import type { Received } from './segment.js'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpFrame,
  arpOperation,
  arpSenderIp,
  arpTargetIp,
} from '../../src/wire/arp.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { MAC_BROADCAST, macAt } from '../../src/wire/mac.js'
import { Client, ip, MemoryStore, Segment, SERVER_MAC, START } from './segment.js'

const SERVER = ip('192.168.105.1')
const A = ip('192.168.105.2')
const B = ip('192.168.105.3')
const { REQUEST, DECLINE, RELEASE, INFORM, ACK, NAK, OFFER } = option

/** Type and address of each reply, as `ACK 192.168.105.2`. */
const gist = (replies: Received[]): string[] =>
  replies.map(
    ({ type, message }) => `${option.MESSAGE_TYPE.text(type).slice(4)} ${formatIpv4(message.yiaddr)}`,
  )

const selecting = (address: number, server = SERVER): object => ({
  type: REQUEST,
  options: [
    [option.SERVER_ID, server],
    [option.REQUESTED_IP, address],
  ],
})
const reboot = (address: number): object => ({ type: REQUEST, options: [[option.REQUESTED_IP, address]] })
const renew = (address: number): object => ({
  type: REQUEST,
  ciaddr: address,
  sourceIp: address,
  destinationIp: SERVER,
})
const rebind = (address: number): object => ({ type: REQUEST, ciaddr: address, sourceIp: address })
const decline = (address: number, server = SERVER): object => ({
  ...selecting(address, server),
  type: DECLINE,
})
const release = (address: number, server = SERVER): object => ({
  type: RELEASE,
  ciaddr: address,
  options: [[option.SERVER_ID, server]],
})

t.test('DISCOVER, OFFER, REQUEST, ACK', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  t.same(gist(await segment.ask(client)), ['OFFER 192.168.105.2'])
  t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'offered' }])
  t.same(gist(await segment.ask(client, selecting(A))), ['ACK 192.168.105.2'])
  t.match(segment.server.status().leases, [
    { ip: '192.168.105.2', mac: '52:54:00:00:00:01', state: 'bound', expires: '2026-01-01T01:00:00.000Z' },
  ])
  t.match(segment.log.messages, [
    'DHCPDISCOVER(vm1) 52:54:00:00:00:01',
    'DHCPOFFER(vm1) 192.168.105.2 52:54:00:00:00:01',
    'DHCPREQUEST(vm1) 192.168.105.2 52:54:00:00:00:01',
    'DHCPACK(vm1) 192.168.105.2 52:54:00:00:00:01',
  ])
  t.match(segment.log.lines.at(-1)?.fields, { event: 'dhcp.ack', port: 'vm1', ip: '192.168.105.2' })
})

t.test('SELECTING', async t => {
  t.test('another server: our offer is taken back in silence', async t => {
    const segment = await Segment.start()
    const client = new Client(1)
    await segment.ask(client)
    t.same(await segment.ask(client, selecting(A, ip('192.168.105.9'))), [])
    t.same(segment.server.status().leases, [])
    t.equal(segment.server.status().counters.dropped['other-server'], 1)
  })
  t.test('an address that was not the one offered is refused', async t => {
    const segment = await Segment.start()
    const client = new Client(1)
    await segment.ask(client)
    t.same(gist(await segment.ask(client, selecting(B))), ['NAK 0.0.0.0'])
  })
  t.test('an offer that ran out is good while nobody else has the address', async t => {
    const segment = await Segment.start()
    const [one, two] = [new Client(1), new Client(2)]
    await segment.ask(one)
    segment.clock.advance(61)
    t.same(gist(await segment.ask(one, selecting(A))), ['ACK 192.168.105.2'])
    await segment.ask(two)
    segment.clock.advance(61)
    await segment.ask(new Client(3))
    t.same(gist(await segment.ask(two, selecting(B))), ['NAK 0.0.0.0'])
  })
  t.test('addresses outside of the range and excluded ones are refused', async t => {
    const segment = await Segment.start({ exclude: [{ first: B, last: B }] })
    for (const address of [
      B,
      SERVER,
      ip('192.168.105.0'),
      ip('192.168.105.255'),
      ip('192.168.105.12'),
      ip('10.0.0.1'),
    ]) {
      t.same(gist(await segment.ask(new Client(1), selecting(address))), ['NAK 0.0.0.0'], formatIpv4(address))
    }
    t.same(await segment.ask(new Client(1), { type: REQUEST, options: [[option.SERVER_ID, SERVER]] }), [])
    t.same(await segment.ask(new Client(1), { type: REQUEST, raw: [[54, [1, 2]]] }), [])
    t.same(await segment.ask(new Client(1), { type: REQUEST }), [])
    t.equal(segment.server.status().counters.dropped.malformed, 3)
  })
})

t.test('INIT-REBOOT', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  t.same(await segment.ask(client, reboot(A)), [], 'an unknown client may have another server')
  t.equal(segment.server.status().counters.dropped['unknown-client'], 1)
  t.same(gist(await segment.ask(client, reboot(ip('10.0.0.7')))), ['NAK 0.0.0.0'], 'but not on this network')
  await segment.lease(client)
  t.same(gist(await segment.ask(client, reboot(A))), ['ACK 192.168.105.2'])
  t.same(gist(await segment.ask(client, reboot(B))), ['NAK 0.0.0.0'], 'a wrong address')
  segment.clock.advance(3601)
  t.same(gist(await segment.ask(client, reboot(A))), ['ACK 192.168.105.2'], 'expired, and nobody took it')
})

t.test('RENEWING', async t => {
  const segment = await Segment.start()
  const [one, two] = [new Client(1), new Client(2)]
  await segment.lease(one)
  segment.clock.advance(1800)
  t.same(gist(await segment.ask(one, renew(A))), ['ACK 192.168.105.2'])
  t.equal(segment.server.status().leases[0]?.expires, new Date(START + (1800 + 3600) * 1000).toISOString())
  t.same(gist(await segment.ask(one, renew(B))), ['NAK 0.0.0.0'], 'not its address')
  t.same(gist(await segment.ask(two, renew(A))), ['NAK 0.0.0.0'], "another's address")
  t.same(gist(await segment.ask(two, renew(ip('10.0.0.7')))), ['NAK 0.0.0.0'], 'another network')
})

t.test('REBINDING', async t => {
  const segment = await Segment.start()
  const [one, two] = [new Client(1), new Client(2)]
  t.same(gist(await segment.ask(one, rebind(B))), ['ACK 192.168.105.3'], 'unknown, with a free address')
  t.same(gist(await segment.ask(one, rebind(B))), ['ACK 192.168.105.3'])
  t.same(gist(await segment.ask(two, rebind(B))), ['NAK 0.0.0.0'], "another's")
  t.same(gist(await segment.ask(two, rebind(ip('192.168.105.200')))), ['NAK 0.0.0.0'], 'outside of the range')
  segment.clock.advance(3601)
  t.same(gist(await segment.ask(two, rebind(B))), ['ACK 192.168.105.3'], 'expired for the other')
})

t.test('a lease stays with its client', async t => {
  t.test('over its end and over a release', async t => {
    const segment = await Segment.start()
    const [one, two] = [new Client(1), new Client(2)]
    await segment.lease(one)
    t.same(await segment.ask(one, release(A)), [])
    t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'expired' }])
    t.same(gist(await segment.ask(two)), ['OFFER 192.168.105.3'])
    segment.clock.advance(86_400)
    t.same(gist(await segment.ask(one)), ['OFFER 192.168.105.2'])
  })
  t.test('by its identifier, whatever its MAC, and by its MAC without one', async t => {
    const segment = await Segment.start()
    t.equal((await segment.lease(new Client(1, [9, 9]))).message.yiaddr, A)
    t.equal((await segment.lease(new Client(2, [9, 9]))).message.yiaddr, A)
    t.equal((await segment.lease(new Client(1))).message.yiaddr, B)
    t.match(segment.server.status().leases, [{ mac: '52:54:00:00:00:02', clientId: '0909' }, {}])
  })
  t.test('over a restart', async t => {
    const store = new MemoryStore()
    const segment = await Segment.start({ store })
    const [one, two] = [new Client(1), new Client(2, [1, 2, 3])]
    await segment.lease(one, { options: [[option.HOSTNAME, 'one']] })
    await segment.lease(two)
    const before = segment.server.status().leases
    await segment.restart()
    t.same(segment.server.status().leases, before)
    t.same(gist(await segment.ask(two, reboot(B))), ['ACK 192.168.105.3'])
    t.same(gist(await segment.ask(new Client(3))), ['OFFER 192.168.105.4'])
  })
  t.test('but not where the range no longer has it', async t => {
    const store = new MemoryStore()
    const segment = await Segment.start({ store })
    await segment.lease(new Client(1))
    const narrow = await Segment.start({ store, exclude: [{ first: A, last: A }] })
    t.same(narrow.server.status().leases, [])
    t.match(narrow.log.lines, [{ level: 'warn', fields: { event: 'dhcp.store', outside: 1 } }])
    t.same(gist(await narrow.ask(new Client(1), renew(A))), ['NAK 0.0.0.0'])
  })
})

t.test('DECLINE puts the address aside for 10 min', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.lease(client)
  t.same(await segment.ask(client, decline(A, ip('192.168.105.9'))), [], 'not ours')
  t.same(await segment.ask(new Client(2), decline(A)), [], "not the sender's")
  t.same(await segment.ask(client, decline(B)), [], 'not leased')
  t.match(segment.server.status().leases, [{ state: 'bound' }])
  t.same(await segment.ask(client, decline(A)), [])
  t.match(segment.server.status(), { free: 9, leases: [{ ip: '192.168.105.2', state: 'declined' }] })
  t.match(segment.log.lines.at(-1), { level: 'warn', fields: { event: 'dhcp.decline', ip: '192.168.105.2' } })
  t.same(gist(await segment.ask(client)), ['OFFER 192.168.105.3'])
  t.same(await segment.ask(client, decline(B)), [], 'an offer can be declined too')
  segment.clock.advance(599)
  t.same(gist(await segment.ask(new Client(3), rebind(A))), ['NAK 0.0.0.0'])
  segment.clock.advance(1)
  t.same(gist(await segment.ask(new Client(3))), ['OFFER 192.168.105.2'])
})

t.test('RELEASE is for the holder, from the holder', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.lease(client)
  for (const [who, what] of [
    [new Client(2), release(A)],
    [client, release(B)],
    [client, release(A, ip('192.168.105.9'))],
    [client, release(0)],
  ] as const) {
    t.same(await segment.ask(who, what), [])
    t.match(segment.server.status().leases, [{ state: 'bound' }])
  }
  await segment.ask(client, release(A))
  await segment.ask(client, release(A))
  t.match(segment.server.status(), { free: 10, counters: { received: { release: 6 } } })
  await segment.lease(client)
  await segment.ask(client, { ...release(A), options: [] })
  t.equal(segment.server.status().free, 10, 'one that names no server, as systemd-networkd sends it')
})

t.test('INFORM gets the rest, and no address', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  const ciaddr = ip('192.168.105.77')
  const [ack] = await segment.ask(client, {
    type: INFORM,
    ciaddr,
    options: [[option.PARAMETER_LIST, [51, 58, 59, 1, 3, 6]]],
  })
  t.match(ack!.message, { yiaddr: 0, ciaddr })
  t.same([ack!.type, ack!.codes], [ACK, [53, 54, 1, 3, 6]])
  t.same([ack!.destination, ack!.destinationIp], [client.mac, ciaddr])
  t.same(segment.server.status().leases, [])
  t.same(await segment.ask(client, { type: INFORM }), [], 'without an address')
  t.same(await segment.ask(client, { type: INFORM, ciaddr: ip('10.0.0.1') }), [], 'of another network')
})

t.test('a pool with nothing left says so, to the log, and offers nothing', async t => {
  const segment = await Segment.start({ range: { first: A, last: A } })
  await segment.lease(new Client(1))
  t.same(await segment.ask(new Client(2)), [])
  t.match(segment.log.lines.at(-1), {
    level: 'warn',
    fields: { event: 'dhcp.exhausted' },
    message: 'DHCPDISCOVER(vm2) 52:54:00:00:00:02 no address left',
  })
  t.match(segment.server.status(), { free: 0, counters: { dropped: { 'no-address': 1 } } })
})

t.test('a forged claim of a leased address does not take it from the one who leased it', async t => {
  const claimed = new Set<number>()
  const segment = await Segment.start({ isClaimed: address => claimed.has(address) })
  const client = new Client(1)
  await segment.lease(client)
  claimed.add(A)
  t.same(gist(await segment.ask(client, rebind(A))), ['ACK 192.168.105.2'])
  t.same(gist(await segment.ask(client)), ['OFFER 192.168.105.2'])
  t.same(gist(await segment.ask(new Client(2))), ['OFFER 192.168.105.3'])
})

t.test('an address that another station claims is neither offered nor confirmed', async t => {
  const claimed = new Set<number>([A])
  const segment = await Segment.start({ isClaimed: address => claimed.has(address) })
  const client = new Client(1)
  t.same(gist(await segment.ask(client)), ['OFFER 192.168.105.3'])
  claimed.add(B)
  t.same(gist(await segment.ask(client, selecting(B))), ['NAK 0.0.0.0'])
  t.same(gist(await segment.ask(client)), ['OFFER 192.168.105.4'])
})

t.test('status counts, and shows the range', async t => {
  const segment = await Segment.start({ exclude: [{ first: B, last: B }] })
  await segment.lease(new Client(1), { options: [[option.HOSTNAME, 'web\u001b[2J']] })
  await segment.ask(new Client(2), rebind(A))
  t.match(segment.server.status(), {
    range: '192.168.105.2-192.168.105.11',
    exclude: ['192.168.105.3'],
    free: 8,
    leases: [{ ip: '192.168.105.2', hostname: 'web-2J' }],
    counters: { received: { discover: 1, request: 2 }, sent: { offer: 1, ack: 1, nak: 1, arp: 0 } },
    degraded: false,
  })
  t.ok(segment.log.messages.includes('DHCPACK(vm1) 192.168.105.2 52:54:00:00:00:01 web-2J'))
  t.ok(segment.log.messages.includes('DHCPNAK(vm2) 192.168.105.2 52:54:00:00:00:02 address not available'))
  t.same([OFFER, NAK], [2, 6])
})

t.test('ARP for the server is answered where no host has its address', async t => {
  const client = new Client(1)
  const ask = (targetIp: number, senderIp: number, operation = ARP_REQUEST): Uint8Array =>
    arpFrame(MAC_BROADCAST, {
      operation,
      senderMac: client.mac,
      senderIp,
      targetMac: { hi: 0, lo: 0 },
      targetIp,
    })
  const segment = await Segment.start()
  segment.feed(ask(SERVER, A))
  segment.feed(ask(SERVER, 0))
  for (const senderIp of [A, 0]) {
    const reply = segment.frames.shift()!
    t.equal(reply.length, 42)
    t.same([macAt(reply, 0), macAt(reply, 6)], [client.mac, SERVER_MAC])
    t.equal(arpOperation(reply, 14), ARP_REPLY)
    t.same([arpSenderIp(reply, 14), macAt(reply, 22)], [SERVER, SERVER_MAC])
    t.same([arpTargetIp(reply, 14), macAt(reply, 32)], [senderIp, client.mac])
  }
  segment.feed(ask(A, B))
  segment.feed(ask(SERVER, A, ARP_REPLY))
  segment.feed(ask(SERVER, A).subarray(0, 41))
  segment.feed(
    arpFrame(MAC_BROADCAST, {
      operation: ARP_REQUEST,
      senderIp: A,
      targetIp: SERVER,
      senderMac: MAC_BROADCAST,
      targetMac: MAC_BROADCAST,
    }),
  )
  t.same(segment.frames, [])
  t.equal(segment.server.status().counters.sent.arp, 2)
  const hosted = await Segment.start({ answersArp: false })
  hosted.feed(ask(SERVER, A))
  t.same(hosted.frames, [])
})

t.test('nothing is answered before start() or after close()', async t => {
  const segment = new Segment()
  const client = new Client(1)
  t.same(await segment.ask(client), [])
  await segment.server.start()
  t.equal((await segment.ask(client)).length, 1)
  segment.tell(client, selecting(A))
  await segment.server.close()
  t.same(gist(segment.take()), ['ACK 192.168.105.2'], 'what waited for the disk still leaves')
  t.same(await segment.ask(client), [])
})

t.test('the router and the server are never leased, wherever they stand', async t => {
  const segment = await Segment.start({
    serverIp: A,
    router: B,
    range: { first: A, last: ip('192.168.105.4') },
  })
  t.same(gist(await segment.ask(new Client(1))), ['OFFER 192.168.105.4'])
  t.throws(() => new Segment({ serverIp: A, range: { first: A, last: A } }), { code: 'ERR_DHCP_RANGE' })
})
