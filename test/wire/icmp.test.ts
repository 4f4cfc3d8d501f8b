import fc from 'fast-check'
import t from 'tap'
import * as icmp from '../../src/wire/icmp.js'
import { dirty, placed, uint16 } from '../wire/dirty.js'

t.test('a header is written whole, and its checksum holds until a bit flips', async t => {
  const data = fc.uint8Array({ maxLength: 100 })
  const types = fc.constantFrom(icmp.ECHO_REPLY, icmp.ECHO_REQUEST)
  fc.assert(
    fc.property(types, uint16, uint16, data, fc.nat(), (type, identifier, sequence, data, flip) => {
      const bytes = dirty(3 + icmp.ICMP_HEADER + data.length + 4)
      bytes.set(data, 3 + icmp.ICMP_HEADER)
      icmp.emitEcho(bytes, 3, { type, identifier, sequence, data: data.length })
      const length = icmp.ICMP_HEADER + data.length
      t.ok(icmp.isEcho(bytes, 3, length))
      t.same(
        [icmp.icmpType(bytes, 3), icmp.echoIdentifier(bytes, 3), icmp.echoSequence(bytes, 3)],
        [type, identifier, sequence],
      )
      t.ok([0, 1, 2, ...Array.from({ length: 4 }, (_, i) => 3 + length + i)].every(i => bytes[i] === 0xa5))
      bytes[3 + ((flip >>> 3) % length)]! ^= 1 << (flip & 7)
      t.notOk(icmp.isEcho(bytes, 3, length))
    }),
    { numRuns: 100 },
  )
})

t.test('known octets: a request as ping sends it', async t => {
  const bytes = new Uint8Array(icmp.ICMP_HEADER + 2)
  bytes.set([0x61, 0x62], icmp.ICMP_HEADER)
  icmp.emitEcho(bytes, 0, { type: icmp.ECHO_REQUEST, identifier: 0x1234, sequence: 1, data: 2 })
  // 0x0800 + 0x1234 + 0x0001 + 0x6162 = 0x7b97, and its complement.
  t.equal(Buffer.from(bytes).toString('hex'), '08008468123400016162')
})

t.test('what is short, no echo, or of another code is refused; random bytes never throw', async t => {
  const bytes = new Uint8Array(icmp.ICMP_HEADER)
  icmp.emitEcho(bytes, 0, { type: icmp.ECHO_REPLY, identifier: 1, sequence: 2, data: 0 })
  t.ok(icmp.isEcho(bytes, 0, 8))
  t.notOk(icmp.isEcho(bytes, 0, 7))
  // An unreachable with a right checksum.
  t.notOk(icmp.isEcho(Uint8Array.of(3, 0, 0xfc, 0xff, 0, 0, 0, 0), 0, 8))
  t.notOk(icmp.isEcho(Uint8Array.of(8, 1, 0xf7, 0xfe, 0, 0, 0, 0), 0, 8))
  fc.assert(fc.property(placed, ({ run, at, length }) => void icmp.isEcho(run, at, length)))
})
