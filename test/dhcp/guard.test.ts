import fc from 'fast-check'
import t from 'tap'
import { classifyDhcp, DHCP_FROM_SERVER, DHCP_TO_SERVER, NOT_DHCP } from '../../src/dhcp/guard.js'
import { dirty, placed } from '../wire/dirty.js'
import { Client, station, udpFrame } from './segment.js'

const client = new Client(1)
const classify = (frame: Uint8Array): number => classifyDhcp(frame, 0, frame.length)

t.test('a client and a relay go to the server', async t => {
  t.equal(classify(client.frame()), DHCP_TO_SERVER)
  t.equal(classify(client.frame({ sourcePort: 67, giaddr: 1 })), DHCP_TO_SERVER)
  t.equal(classify(client.frame({ sourcePort: 4011 })), DHCP_TO_SERVER)
})

t.test('what only a server sends', async t => {
  t.equal(classify(client.frame({ sourcePort: 67, destinationPort: 68, op: 2 })), DHCP_FROM_SERVER)
  t.equal(
    classify(client.frame({ sourcePort: 4011, destinationPort: 68 })),
    DHCP_FROM_SERVER,
    'whatever its op',
  )
  t.equal(classify(client.frame({ sourcePort: 67, op: 2 })), DHCP_FROM_SERVER, 'to a relay')
})

t.test('other ports, protocols and types are not DHCP', async t => {
  t.equal(classify(client.frame({ destinationPort: 53 })), NOT_DHCP)
  const spoil = (at: number, value: number): number => {
    const frame = client.frame()
    frame[at] = value
    return classify(frame)
  }
  t.equal(spoil(23, 6), NOT_DHCP, 'TCP')
  t.equal(spoil(12, 0x86), NOT_DHCP, 'not IPv4')
  t.equal(spoil(14, 0x65), NOT_DHCP, 'version 6')
  t.equal(spoil(14, 0x44), NOT_DHCP, 'a header of 16 octets')
})

t.test('the ports are found behind IP options', async t => {
  const frame = client.frame({ destinationPort: 68 })
  const long = dirty(frame.length + 40)
  long.set(frame.subarray(0, 34))
  long.set(frame.subarray(34), 74)
  long[14] = 0x4f
  t.equal(classify(long), DHCP_FROM_SERVER)
})

t.test('a first fragment is classified, a later one has no ports', async t => {
  const frame = client.frame({ destinationPort: 68 })
  frame[20] = 0x20
  t.equal(classify(frame), DHCP_FROM_SERVER)
  frame[21] = 0x01
  t.equal(classify(frame), NOT_DHCP)
})

t.test('a VLAN tag puts a frame on another segment', async t => {
  const frame = client.frame({ destinationPort: 68 })
  const tagged = new Uint8Array(frame.length + 4)
  tagged.set(frame.subarray(0, 12))
  tagged.set([0x81, 0, 0, 5], 12)
  tagged.set(frame.subarray(12), 16)
  t.equal(classify(tagged), NOT_DHCP)
})

t.test('wrong checksums and lengths help nobody past the guard', async t => {
  const frame = client.frame({ destinationPort: 68 })
  for (const at of [16, 17, 24, 25, 38, 39, 40, 41]) frame[at]! ^= 0xff
  t.equal(classify(frame), DHCP_FROM_SERVER)
})

t.test('short frames are what their ports say, as far as there are any', async t => {
  const frame = udpFrame(station(1), Uint8Array.of(2))
  for (let length = 0; length <= frame.length; length++) {
    const wanted = length < 38 ? NOT_DHCP : length < 43 ? DHCP_TO_SERVER : DHCP_FROM_SERVER
    t.equal(classifyDhcp(frame, 0, length), wanted, `${length} octets`)
  }
})

t.test('random bytes never throw', async () => {
  fc.assert(fc.property(placed, ({ run, at, length }) => [0, 1, 2].includes(classifyDhcp(run, at, length))))
})
