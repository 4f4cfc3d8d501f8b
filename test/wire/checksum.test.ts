import fc from 'fast-check'
import t from 'tap'
import * as checksum from '../../src/wire/checksum.js'
import { dirty } from './dirty.js'

/** RFC 1071 by the book: one's complement addition, the carry brought round after every word. */
function naive(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (i + 1 < bytes.length ? bytes[i + 1]! : 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return 0xffff - sum
}

/** 0 and 0xffff are the two zeros of one's complement. */
const same = (a: number, b: number): boolean => a % 0xffff === b % 0xffff

t.test('the example of RFC 1071 §3', async t => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
  t.equal(checksum.checksum(bytes, 0, 8), 0xffff - 0xddf2)
})

t.test('a header from the books', async t => {
  const header = Buffer.from('45000073000040004011b861c0a80001c0a800c7', 'hex')
  t.equal(checksum.checksum(header, 0, 20), 0, 'with its checksum')
  header[10] = header[11] = 0
  t.equal(checksum.checksum(header, 0, 20), 0xb861, 'without')
})

t.test('any bytes at any offset agree with the naive sum', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1600 }), fc.nat(7), (bytes, at) => {
      const run = dirty(at + bytes.length + 3)
      run.set(bytes, at)
      return same(checksum.checksum(run, at, bytes.length), naive(bytes))
    }),
  )
})

t.test('64 KiB of ones lose no carry', async t => {
  const bytes = new Uint8Array(65_535).fill(0xff)
  const seed = checksum.sumWords(new Uint8Array(40).fill(0xff), 0, 40)
  t.ok(same(checksum.checksum(bytes, 0, bytes.length, seed), naive(bytes.subarray(0, 65_535))))
})

t.test('a sum over two parts is the sum over both', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 2, maxLength: 64 }), fc.nat(31), (bytes, half) => {
      const cut = Math.min(2 * half, bytes.length & ~1)
      const sum = checksum.sumWords(bytes, cut, bytes.length - cut, checksum.sumWords(bytes, 0, cut))
      return checksum.finishChecksum(sum) === checksum.checksum(bytes, 0, bytes.length)
    }),
  )
})

t.test('pseudo headers are the addresses, the protocol and the length', async t => {
  const packet = Uint8Array.from({ length: 40 }, (_, i) => i)
  const v4 = [...packet.subarray(12, 20), 0, 17, 0x01, 0x02]
  t.ok(
    same(checksum.finishChecksum(checksum.pseudoHeader4(packet, 0, 17, 0x102)), naive(Uint8Array.from(v4))),
  )
  const v6 = [...packet.subarray(8, 40), 0, 0, 0x01, 0x02, 0, 0, 0, 58]
  t.ok(
    same(checksum.finishChecksum(checksum.pseudoHeader6(packet, 0, 58, 0x102)), naive(Uint8Array.from(v6))),
  )
})
