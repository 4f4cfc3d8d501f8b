import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import * as ipv6 from '../../src/wire/ipv6.js'
import { dirty, placed, uint32 } from './dirty.js'

t.test('text is that of RFC 5952', async t => {
  for (const [words, text] of [
    [[0, 0, 0, 0], '::'],
    [[0, 0, 0, 1], '::1'],
    [[0x20010db8, 0, 0, 1], '2001:db8::1'],
    [[0x20010db8, 0, 0x00010000, 0x00000001], '2001:db8::1:0:0:1'],
    [[0x20010db8, 0x00000001, 0x00010001, 0x00010001], '2001:db8:0:1:1:1:1:1'],
    [[0xfe800000, 0, 0x505400ff, 0xfe123456], 'fe80::5054:ff:fe12:3456'],
    [[0x20010db8, 0x00010002, 0x00030004, 0], '2001:db8:1:2:3:4::'],
    [[0xff020000, 0, 0, 1], 'ff02::1'],
    [[0x00010000, 0, 0, 0], '1::'],
    [[0, 0x00010000, 0, 0x00020000], '0:0:1::2:0'],
  ] as const) {
    t.equal(ipv6.formatIpv6(words), text)
    t.same(ipv6.parseIpv6(text), words, text)
  }
})

t.test('every address goes through text, and Node agrees on what is one', async () => {
  const sparse = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.constant(0x10000), uint32)
  fc.assert(
    fc.property(fc.tuple(sparse, sparse, sparse, sparse), words => {
      const text = ipv6.formatIpv6(words)
      return isIPv6(text) && String(ipv6.parseIpv6(text)) === String(words)
    }),
  )
  const pieces = fc.constantFrom(
    '::',
    ':',
    '0',
    '1',
    'ffff',
    '00001',
    'g',
    '1.2.3.4',
    '256.1.1.1',
    '%',
    '/64',
    '01',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 16 }), parts => {
      const text = parts.join('')
      const octetsWithZeros = /(?:^|[.:])0\d+\./.test(text)
      return text.includes('%') || octetsWithZeros || (ipv6.parseIpv6(text) !== undefined) === isIPv6(text)
    }),
    { numRuns: 2000 },
  )
})

t.test('other spellings are read', async t => {
  t.same(ipv6.parseIpv6('2001:0DB8:0:0:0:0:0:1'), [0x20010db8, 0, 0, 1])
  t.same(ipv6.parseIpv6('::ffff:192.0.2.1'), [0, 0, 0xffff, 0xc0000201])
  for (const text of [
    '',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '1:2:3:4:5:6:7::8',
    '12345::',
  ]) {
    t.equal(ipv6.parseIpv6(text), undefined, text)
  }
  for (const text of ['fe80::1%eth0', '::1/64', '1.2.3.4', '::1.2.3.4:5', '::1.2.3', '1.2.3.4::']) {
    t.equal(ipv6.parseIpv6(text), undefined, text)
  }
})

t.test('the door: version 6, header and payload are there', async t => {
  const bytes = dirty(60)
  bytes[0] = 0x60
  bytes[4] = 0
  bytes[5] = 20
  t.equal(ipv6.isIpv6(bytes, 0, 60), true)
  t.equal(ipv6.isIpv6(bytes, 0, 59), false)
  t.equal(ipv6.isIpv6(bytes, 0, 39), false)
  bytes[0] = 0x45
  t.equal(ipv6.isIpv6(bytes, 0, 60), false)
})

t.test('random bytes and text never throw', async () => {
  fc.assert(
    fc.property(placed, fc.string(), ({ run, at, length }, text) => {
      ipv6.isIpv6(run, at, length)
      ipv6.ipv6PayloadLength(run, at)
      ipv6.ipv6NextHeader(run, at)
      ipv6.ipv6HopLimit(run, at)
      ipv6.isIpv6Unspecified(run, at)
      ipv6.isIpv6Multicast(run, at)
      ipv6.parseIpv6(text)
    }),
  )
})
