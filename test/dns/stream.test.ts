// DNS messages in a stream: cut as it may be, the same messages come out.

import fc from 'fast-check'
import t from 'tap'
import { framed, MessageReader } from '../../src/dns/stream.js'

t.test('whatever the pieces, the messages are the same, in their order', async t => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 40 })), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(message => framed(Buffer.from(message))))
      const reader = new MessageReader()
      const got: Buffer[] = []
      for (let at = 0, i = 0; at < stream.length; i++) {
        const end = at + (cuts[i] ?? stream.length)
        for (let m = reader.push(stream.subarray(at, end)); m !== undefined; m = reader.next()) got.push(m)
        at = end
      }
      t.strictSame(
        got,
        sent.map(message => Buffer.from(message)),
      )
    }),
  )
})

t.test('the longest message, byte by byte, and what waits behind it', async t => {
  const longest = Buffer.alloc(65_535, 'x')
  const reader = new MessageReader()
  let got: Buffer | undefined
  for (const byte of framed(longest)) got = reader.push(Buffer.from([byte])) ?? got
  t.strictSame(got, longest)
  t.equal(reader.push(Buffer.from([0])), undefined)
  t.strictSame(reader.push(Buffer.from([1, 7])), Buffer.from([7]))
  t.equal(reader.next(), undefined)
})
