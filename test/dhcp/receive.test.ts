import type { Fields } from './segment.js'
import fc from 'fast-check'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { receiveDhcp } from '../../src/dhcp/receive.js'
import { checksum } from '../../src/wire/checksum.js'
import { placed } from '../wire/dirty.js'
import { Client, ip, Segment, station, udpFrame } from './segment.js'

const client = new Client(1)
const receive = (frame: Uint8Array): ReturnType<typeof receiveDhcp> =>
  receiveDhcp(frame, 0, frame.length, {
    isOurs: destination => destination === 0xffffffff,
    isLocal: address => address >>> 8 === 0xc0a869,
  })

/** Puts the IPv4 header checksum right again after its fields were changed. */
function refresh(frame: Uint8Array, header = 20): void {
  frame[24] = frame[25] = 0
  const sum = checksum(frame, 14, header)
  frame[24] = sum >>> 8
  frame[25] = sum & 255
}

/** The frame with octets changed, before its header checksum is made right. */
function changed(octets: Record<number, number>, { refreshed = true } = {}): Uint8Array {
  const frame = client.frame()
  for (const [at, value] of Object.entries(octets)) frame[Number(at)] = value
  if (refreshed) refresh(frame)
  return frame
}

t.test('a good frame is a message, padded or not, from any port', async t => {
  for (const frame of [client.frame(), client.frame({ sourcePort: 4000 })]) {
    t.type(receive(frame), 'object')
    const padded = new Uint8Array(frame.length + 30).fill(0xa5)
    padded.set(frame)
    t.type(receive(padded), 'object')
  }
})

t.test('IP options are stepped over', async t => {
  const frame = client.frame()
  const long = new Uint8Array(frame.length + 8).fill(1)
  long.set(frame.subarray(0, 34))
  long.set(frame.subarray(34), 42)
  long[14] = 0x47
  const total = long.length - 14
  long[16] = total >>> 8
  long[17] = total & 255
  refresh(long, 28)
  t.type(receive(long), 'object')
})

t.test('no UDP checksum is no fault', async t => {
  t.type(receive(changed({ 40: 0, 41: 0 })), 'object')
})

t.test('every fault has its name', async t => {
  const whole = client.frame()
  const faults: [string, string, Uint8Array][] = [
    ['another type', 'not-dhcp', changed({ 12: 0x86, 13: 0xdd })],
    ['nothing at all', 'not-dhcp', new Uint8Array(0)],
    ['a bare Ethernet header', 'ip-header', whole.subarray(0, 14)],
    ['version 6', 'ip-header', changed({ 14: 0x65 })],
    ['a total length beyond the frame', 'ip-header', changed({ 16: 0x7f })],
    ['a total length inside of the header', 'ip-header', changed({ 16: 0, 17: 19 })],
    ['a header checksum', 'ip-checksum', changed({ 22: 1 }, { refreshed: false })],
    ['TCP', 'not-dhcp', changed({ 23: 6 })],
    ['a first fragment', 'fragment', changed({ 20: 0x20 })],
    ['a later fragment', 'fragment', changed({ 21: 1 })],
    ['no room for UDP', 'udp-length', changed({ 16: 0, 17: 27 })],
    ['another port', 'not-dhcp', client.frame({ destinationPort: 68 })],
    ['a UDP length beyond the packet', 'udp-length', changed({ 38: 0x7f })],
    ['a UDP length under its header', 'udp-length', changed({ 38: 0, 39: 7 })],
    ['a UDP checksum', 'udp-checksum', changed({ 41: whole[41]! ^ 1 })],
    ['another destination', 'not-for-us', client.frame({ destinationIp: ip('192.168.105.77') })],
    ['a short message', 'bootp-short', udpFrame(station(1), new Uint8Array(239))],
    ['no cookie', 'bootp-cookie', udpFrame(station(1), new Uint8Array(300))],
    ['an option past the end', 'bootp-options', client.frame({ raw: [[12, []]] }).with(-1, 0)],
    ['a reply', 'not-request', client.frame({ op: 2 })],
    ['a token ring', 'hardware', client.frame({ htype: 6 })],
    ['a long hardware address', 'hardware', client.frame({ hlen: 16 })],
    ['no hardware address', 'hardware', client.frame({ chaddr: new Uint8Array(16) })],
    ['a group address', 'hardware', client.frame({ chaddr: new Uint8Array(16).fill(0xff) })],
    ['a relay', 'relayed', client.frame({ giaddr: ip('10.0.0.1') })],
  ]
  // emitDhcp writes no option past the end: make one.
  const cut = client.frame()
  cut.set([12, 200], cut.length - 2)
  cut.fill(0, cut.indexOf(255, 282), cut.length - 2)
  cut[40] = cut[41] = 0
  faults[faults.findIndex(([, wanted]) => wanted === 'bootp-options')]![2] = cut
  for (const [what, wanted, frame] of faults) t.equal(receive(frame), wanted, what)
})

t.test('a relay on this segment is heard if it names itself wherever it must, no other', async t => {
  const relay = ip('192.168.105.250')
  const by: Fields = { giaddr: relay, hops: 1, sourceIp: relay, sourcePort: 67 }
  const heard = receive(client.frame(by))
  t.match(heard, { giaddr: relay, hops: 1, sender: station(1) })
  for (const [what, fields] of [
    ['from another subnet', { ...by, giaddr: ip('10.0.0.1'), sourceIp: ip('10.0.0.1') }],
    ['without a hop', { ...by, hops: 0 }],
    ['from another address', { ...by, sourceIp: ip('192.168.105.251') }],
    ['from no address', { ...by, sourceIp: 0 }],
    ["from a client's port", { ...by, sourcePort: 68 }],
  ] as const) {
    t.equal(receive(client.frame(fields)), 'relayed', what)
  }
})

t.test('who sent the frame is told apart from the client', async t => {
  const frame = client.frame()
  frame.set([0x52, 0x54, 0, 0, 0, 0x99], 6)
  t.match(receive(frame), { sender: station(0x99), chaddr: Uint8Array.of(0x52, 0x54, 0, 0, 0, 1) })
})

t.test('the server counts each, answers none and goes on', async t => {
  const segment = await Segment.start()
  const bad: [string, Fields][] = [
    ['relayed', { giaddr: 1 }],
    ['not-request', { op: 2 }],
    ['hardware', { hlen: 5 }],
    ['not-for-us', { destinationIp: ip('192.168.105.2') }],
    ['not-dhcp', { destinationPort: 53 }],
    ['message-type', { type: 0 }],
    ['message-type', { type: option.OFFER }],
    ['message-type', { type: 99 }],
    ['message-type', { raw: [[53, [1, 1]]] }],
  ]
  const counts: Record<string, number> = {}
  for (const [reason, fields] of bad) {
    t.same(await segment.ask(client, fields), [], reason)
    counts[reason] = (counts[reason] ?? 0) + 1
    t.match(segment.server.status().counters.dropped, counts)
  }
  t.equal((await segment.ask(client)).length, 1)
})

t.test('our own address, the broadcast and the subnet broadcast are ours', async t => {
  const segment = await Segment.start()
  for (const destination of ['192.168.105.1', '255.255.255.255', '192.168.105.255']) {
    t.equal((await segment.ask(client, { destinationIp: ip(destination) })).length, 1, destination)
  }
})

t.test('random and mutated frames never throw, nor make a reply to nobody', async t => {
  const segment = await Segment.start()
  fc.assert(fc.property(placed, ({ run, at, length }) => segment.server.handleFrame(run, at, length, 'vm1')))
  const types = fc.integer({ min: 0, max: 9 })
  const octets = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 8 })
  const raw = fc.array(fc.tuple(fc.integer({ min: 1, max: 254 }), fc.array(fc.nat(255), { maxLength: 40 })), {
    maxLength: 6,
  })
  await fc.assert(
    fc.asyncProperty(types, raw, octets, fc.nat(400), async (type, raw, octets, cut) => {
      const frame = client.frame({ type, raw })
      // Without a UDP checksum, so that mutations get past it.
      frame[40] = frame[41] = 0
      for (const [at, value] of octets) if (at > 41) frame[at % frame.length] = value
      segment.feed(cut > 300 ? frame : frame.subarray(0, frame.length - cut))
      await segment.server.flush()
      for (const { message, destination } of segment.take()) {
        t.ok(message.op === 2 && (destination.hi & 0x100) === (destination.hi === 0xffff ? 0x100 : 0))
      }
    }),
    { numRuns: 2000 },
  )
  t.ok(segment.server.status().leases.length <= 10)
})
