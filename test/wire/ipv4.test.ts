import fc from 'fast-check'
import t from 'tap'
import { checksum } from '../../src/wire/checksum.js'
import * as ipv4 from '../../src/wire/ipv4.js'
import { dirty, placed, uint32, uint8 } from './dirty.js'

t.test('a header is written whole, with its checksum, and read back', async t => {
  const payloads = fc.integer({ min: 0, max: 1480 })
  fc.assert(
    fc.property(uint32, uint32, uint8, payloads, (source, destination, protocol, payload) => {
      const bytes = dirty(30 + payload)
      ipv4.emitIpv4(bytes, 3, { source, destination, protocol, payload })
      t.equal(ipv4.ipv4HeaderLength(bytes, 3, 20 + payload), 20)
      t.equal(ipv4.ipv4TotalLength(bytes, 3), 20 + payload)
      t.equal(checksum(bytes, 3, 20), 0)
      t.equal(ipv4.ipv4Source(bytes, 3), source)
      t.equal(ipv4.ipv4Destination(bytes, 3), destination)
      t.equal(bytes[3 + ipv4.IPV4_PROTOCOL], protocol)
      t.equal(bytes[3 + 8], 64, 'TTL')
      t.equal(ipv4.isIpv4Fragment(bytes, 3), false)
      t.ok(bytes.subarray(23).every(byte => byte === 0xa5))
    }),
    { numRuns: 50 },
  )
})

t.test('a header is these bytes', async t => {
  const bytes = dirty(20)
  ipv4.emitIpv4(bytes, 0, { source: 0xc0a80001, destination: 0xc0a800c7, protocol: 17, payload: 95 })
  t.equal(Buffer.from(bytes).toString('hex'), '45000073000000004011f861c0a80001c0a800c7')
})

t.test('the door: version 4, a header of 20 to 60 octets that is there', async t => {
  const bytes = dirty(60)
  for (const [first, length, wanted] of [
    [0x45, 20, 20],
    [0x45, 19, 0],
    [0x44, 60, 0],
    [0x40, 60, 0],
    [0x4f, 60, 60],
    [0x4f, 59, 0],
    [0x65, 60, 0],
  ] as const) {
    bytes[0] = first
    t.equal(ipv4.ipv4HeaderLength(bytes, 0, length), wanted, `0x${first.toString(16)} in ${length}`)
  }
})

t.test('first and later fragments are told apart', async t => {
  const bytes = new Uint8Array(20)
  for (const [word, any, later] of [
    [0x0000, false, false],
    [0x4000, false, false],
    [0x2000, true, false],
    [0x2001, true, true],
    [0x0001, true, true],
    [0x1fff, true, true],
  ] as const) {
    bytes[6] = word >>> 8
    bytes[7] = word & 255
    t.equal(ipv4.isIpv4Fragment(bytes, 0), any, word.toString(16))
    t.equal(ipv4.isLaterIpv4Fragment(bytes, 0), later, word.toString(16))
  }
})

t.test('addresses go through text unchanged', async t => {
  fc.assert(fc.property(uint32, ip => ipv4.parseIpv4(ipv4.formatIpv4(ip)) === ip))
  t.equal(ipv4.formatIpv4(0xc0a86901), '192.168.105.1')
  const wrong = [
    '',
    '1.2.3',
    '1.2.3.4.',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.-4',
    ' 1.2.3.4',
    '1.2.3.4\n',
  ]
  for (const text of [...wrong, '1..3.4', '0x1.2.3.4', '1.2.3.1000'])
    t.equal(ipv4.parseIpv4(text), undefined, text)
})

t.test('a CIDR has its network, mask and broadcast address', async t => {
  t.same(ipv4.parseCidr('192.168.105.1/24'), {
    address: 0xc0a86901,
    prefix: 24,
    netmask: 0xffffff00,
    network: 0xc0a86900,
    broadcast: 0xc0a869ff,
  })
  t.match(ipv4.parseCidr('10.1.2.3/0'), { netmask: 0, network: 0, broadcast: 0xffffffff })
  t.match(ipv4.parseCidr('10.1.2.3/32'), { netmask: 0xffffffff, network: 0x0a010203, broadcast: 0x0a010203 })
  for (const text of [
    '10.0.0.1',
    '10.0.0.1/33',
    '10.0.0.1/',
    '10.0.0.1/08',
    '10.0.0/8',
    '10.0.0.1/-1',
    '/8',
  ]) {
    t.equal(ipv4.parseCidr(text), undefined, text)
  }
  fc.assert(
    fc.property(uint32, fc.integer({ min: 0, max: 32 }), (ip, prefix) => {
      const subnet = ipv4.cidr(ip, prefix)
      t.same(ipv4.parseCidr(ipv4.formatCidr(subnet)), subnet)
      return (
        subnet.network <= ip &&
        ip <= subnet.broadcast &&
        subnet.broadcast - subnet.network + 1 === 2 ** (32 - prefix)
      )
    }),
    { numRuns: 50 },
  )
})

t.test('ranges go through text unchanged', async t => {
  t.same(ipv4.parseIpv4Range('10.0.0.2-10.0.0.9'), { first: 0x0a000002, last: 0x0a000009 })
  t.same(ipv4.parseIpv4Range('10.0.0.2'), { first: 0x0a000002, last: 0x0a000002 })
  t.equal(ipv4.formatIpv4Range({ first: 0x0a000002, last: 0x0a000009 }), '10.0.0.2-10.0.0.9')
  t.equal(ipv4.formatIpv4Range({ first: 0x0a000002, last: 0x0a000002 }), '10.0.0.2')
  for (const text of [
    '10.0.0.9-10.0.0.2',
    '10.0.0.2-',
    '-10.0.0.2',
    '10.0.0.2-9',
    'a-b',
    '',
    '10.0.0.1-10.0.0.2-10.0.0.3',
  ]) {
    t.equal(ipv4.parseIpv4Range(text), undefined, text)
  }
})

t.test('random bytes and text never throw', async () => {
  fc.assert(
    fc.property(placed, fc.string(), ({ run, at, length }, text) => {
      ipv4.ipv4HeaderLength(run, at, length)
      ipv4.ipv4TotalLength(run, at)
      ipv4.isIpv4Fragment(run, at)
      ipv4.isLaterIpv4Fragment(run, at)
      ipv4.ipv4Source(run, at)
      ipv4.ipv4Destination(run, at)
      ipv4.parseIpv4(text)
      ipv4.parseCidr(text)
      ipv4.parseIpv4Range(text)
    }),
  )
})
