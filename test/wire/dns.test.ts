// The header of DNS messages, as a relay knows it.

import t from 'tap'
import { dnsId, isDnsQuery, isDnsResponse, setDnsId, turnIntoServerFailure } from '../../src/wire/dns.js'

const message = (flags: number, length = 12): Uint8Array => {
  const bytes = new Uint8Array(length).fill(0xa5)
  bytes.set([0x12, 0x34, flags >> 8, flags & 255].slice(0, length))
  return bytes
}

t.test('queries and responses are told apart, and what has no header is neither', async t => {
  t.ok(isDnsQuery(message(0x0100)))
  t.notOk(isDnsQuery(message(0x8180)))
  t.ok(isDnsResponse(message(0x8180), 0x1234))
  t.notOk(isDnsResponse(message(0x0100), 0x1234))
  t.notOk(isDnsResponse(message(0x8180), 0x1235))
  for (let length = 0; length < 12; length++) {
    t.notOk(isDnsQuery(message(0, length)))
    t.notOk(isDnsResponse(message(0x8000, length), 0x1234))
  }
})

t.test('the ID is the first two octets', async t => {
  const bytes = message(0)
  setDnsId(bytes, 0xfedc)
  t.equal(dnsId(bytes), 0xfedc)
  t.strictSame([...bytes.subarray(2)], [0, 0, ...Buffer.alloc(8, 0xa5)])
})

t.test('SERVFAIL keeps opcode, RD and CD of its query (RFC 1035 §4.1.1, RFC 4035 §3.2.2)', async t => {
  for (const [flags, answer] of [
    [0x0000, 0x8082],
    [0x0100, 0x8182],
    [0x2910, 0xa992],
    [0x7fff, 0xf992],
  ]) {
    const bytes = message(flags)
    turnIntoServerFailure(bytes)
    t.equal((bytes[2] << 8) | bytes[3], answer)
    t.equal(dnsId(bytes), 0x1234)
  }
})
