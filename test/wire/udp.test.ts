import fc from 'fast-check'
import t from 'tap'
import { checksum, pseudoHeader4 } from '../../src/wire/checksum.js'
import { emitIpv4, IPV4_HEADER, PROTOCOL_UDP } from '../../src/wire/ipv4.js'
import * as udp from '../../src/wire/udp.js'
import { dirty, placed, uint16, uint32 } from './dirty.js'

const payloads = fc.uint8Array({ maxLength: 300 })

function datagram(
  source: number,
  destination: number,
  ports: [number, number],
  payload: Uint8Array,
): Uint8Array {
  const bytes = dirty(IPV4_HEADER + udp.UDP_HEADER + payload.length + 4)
  bytes.set(payload, IPV4_HEADER + udp.UDP_HEADER)
  const length = udp.UDP_HEADER + payload.length
  emitIpv4(bytes, 0, { source, destination, protocol: PROTOCOL_UDP, payload: length })
  const [sourcePort, destinationPort] = ports
  udp.emitUdp(bytes, IPV4_HEADER, { ip: 0, sourcePort, destinationPort, payload: payload.length })
  return bytes
}

t.test('a header is written whole, and its checksum holds until a bit flips', async t => {
  const ports = fc.tuple(uint16, uint16)
  fc.assert(
    fc.property(uint32, uint32, ports, payloads, fc.nat(), (source, destination, ports, payload, flip) => {
      const bytes = datagram(source, destination, ports, payload)
      const length = udp.UDP_HEADER + payload.length
      t.equal(udp.udpSourcePort(bytes, 20), ports[0])
      t.equal(udp.udpDestinationPort(bytes, 20), ports[1])
      t.equal(udp.udpLength(bytes, 20), length)
      t.ok(udp.isUdpChecksumRight(bytes, 0, 20, length))
      t.ok(bytes.subarray(20 + length).every(byte => byte === 0xa5))
      bytes[20 + ((flip >>> 3) % length)]! ^= 1 << (flip & 7)
      const none = bytes[26] === 0 && bytes[27] === 0
      t.equal(udp.isUdpChecksumRight(bytes, 0, 20, length), none)
    }),
    { numRuns: 100 },
  )
})

t.test('no checksum is right, a sum of zero goes out as ones', async t => {
  const bytes = datagram(1, 2, [68, 67], Uint8Array.of(1, 2, 3))
  bytes[26] = bytes[27] = 0
  t.equal(udp.isUdpChecksumRight(bytes, 0, 20, 11), true)
  // The payload that makes the sum all ones: the complement of the rest.
  const zeros = datagram(1, 2, [68, 67], new Uint8Array(2))
  zeros[26] = zeros[27] = 0
  const rest = checksum(zeros, 20, 10, pseudoHeader4(zeros, 0, PROTOCOL_UDP, 10))
  const wrapped = datagram(1, 2, [68, 67], Uint8Array.of(rest >>> 8, rest & 255))
  t.same([wrapped[26], wrapped[27]], [0xff, 0xff])
  t.equal(udp.isUdpChecksumRight(wrapped, 0, 20, 10), true)
})

t.test('random bytes never throw', async () => {
  fc.assert(
    fc.property(placed, ({ run, at, length }) => {
      udp.udpSourcePort(run, at)
      udp.udpDestinationPort(run, at)
      udp.udpLength(run, at)
      udp.isUdpChecksumRight(run, at, at, length)
    }),
  )
})
