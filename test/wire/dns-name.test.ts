import fc from 'fast-check'
import t from 'tap'
import { decodeNames, encodeNames, isDomainName } from '../../src/wire/dns-name.js'

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/)
// Few endings, so that names share them.
const ending = fc.constantFrom('lab', 'lab.internal', 'example.com')
const names = fc.array(
  fc
    .tuple(fc.array(label, { maxLength: 4 }), ending)
    .map(([labels, ending]) => [...labels, ending].join('.')),
  { minLength: 1, maxLength: 40 },
)

t.test('the example of RFC 3397 §2', async t => {
  const bytes = encodeNames(['eng.apple.com', 'marketing.apple.com'])
  const wanted = '\u0003eng\u0005apple\u0003com\u0000\u0009marketing\u00c0\u0004'
  t.equal(Buffer.from(bytes).toString('latin1'), wanted)
  t.same(decodeNames(bytes), ['eng.apple.com', 'marketing.apple.com'])
})

t.test('names come back as they went, and endings are written once', async t => {
  fc.assert(
    fc.property(names, names => {
      const bytes = encodeNames(names)
      t.same(decodeNames(bytes), names)
      const plain = names.reduce((sum, name) => sum + name.length + 2, 0)
      t.ok(bytes.length <= plain)
    }),
    { numRuns: 200 },
  )
  t.equal(encodeNames(['lab.internal', 'LAB.internal']).length, 14 + 2, 'in any case')
})

t.test('a pointer that does not point back, a name cut off or too long is none', async t => {
  for (const [what, bytes] of [
    ['nothing', []],
    ['the root alone', [0]],
    ['cut in a label', [3, 0x61, 0x62]],
    ['no end', [1, 0x61]],
    ['half a pointer', [1, 0x61, 0xc0]],
    ['a pointer to itself', [0xc0, 0]],
    ['a pointer into the name it ends', [1, 0x61, 0xc0, 0]],
    ['a pointer ahead', [1, 0x61, 0xc0, 6, 0, 0, 1, 0x62, 0]],
    ['a label of 64 octets', [64, ...Array.from({ length: 64 }, () => 0x61), 0]],
    ['a name of 256', [...Array.from({ length: 127 }, () => [1, 0x61]).flat(), 1, 0x61, 0]],
  ] as const) {
    t.equal(decodeNames(Uint8Array.from(bytes)), undefined, what)
  }
  t.same(
    decodeNames(Uint8Array.from([...Array.from({ length: 127 }, () => [1, 0x61]).flat(), 0]))![0]!.length,
    253,
  )
})

t.test('random octets never throw', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => void decodeNames(bytes)),
    { numRuns: 2000 },
  )
  const pointers = fc.array(fc.constantFrom(0xc0, 0, 1, 2, 0x61), { maxLength: 60 })
  fc.assert(
    fc.property(pointers, octets => void decodeNames(Uint8Array.from(octets))),
    { numRuns: 2000 },
  )
})

t.test('what a domain name is', async t => {
  for (const name of ['lab', 'lab.internal', '0-a.b', 'X'.repeat(63)]) t.ok(isDomainName(name), name)
  for (const name of [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '-a',
    'a-',
    'a b',
    'ä',
    'X'.repeat(64),
    'a.'.repeat(127) + 'a',
  ])
    t.notOk(isDomainName(name), name)
})
