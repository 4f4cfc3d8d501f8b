// UUIDs: what people write, what vmnet is given, and nothing else.

import fc from 'fast-check'
import t from 'tap'
import { formatUuid, parseUuid } from '../src/uuid.js'

t.test('the bytes stand in the order of the text, in either case', async t => {
  const bytes = [
    0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x00,
  ]
  t.strictSame([...parseUuid('550e8400-e29b-41d4-a716-446655440000')!], bytes)
  t.strictSame([...parseUuid('550E8400-E29B-41D4-A716-446655440000')!], bytes)
})

t.test('what is written is read again', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), bytes =>
      Buffer.from(bytes).equals(Buffer.from(parseUuid(formatUuid(bytes))!)),
    ),
  )
})

for (const text of [
  '',
  '550e8400e29b41d4a716446655440000',
  '{550e8400-e29b-41d4-a716-446655440000}',
  '550e8400-e29b-41d4-a716-44665544000',
  '550e8400-e29b-41d4-a716-4466554400000',
  '550e8400-e29b-41d4-a716-44665544000g',
  ' 550e8400-e29b-41d4-a716-446655440000',
]) {
  t.test(`"${text}" is no UUID`, async t => t.equal(parseUuid(text), undefined))
}
