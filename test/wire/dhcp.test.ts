import type { DhcpMessage } from '../../src/wire/dhcp.js'
import fc from 'fast-check'
import t from 'tap'
import { emitDhcp, parseDhcp } from '../../src/wire/dhcp.js'
import { optionOctets } from '../../src/wire/dhcp-fields.js'
import { dirty, placed, uint16, uint32, uint8 } from './dirty.js'

const OPTIONS = 240

/** A message with nothing but the given bytes as its options field, and option fields where wanted. */
function raw(options: number[], { sname = [] as number[], file = [] as number[] } = {}): Uint8Array {
  const bytes = new Uint8Array(OPTIONS + options.length)
  bytes.set(sname, 44)
  bytes.set(file, 108)
  bytes.set([0x63, 0x82, 0x53, 0x63, ...options], 236)
  return bytes
}

function parse(bytes: Uint8Array): DhcpMessage {
  const message = parseDhcp(bytes, 0, bytes.length)
  if (typeof message === 'string') throw new Error(message)
  return message
}

const text = (max: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: max }).map(codes => String.fromCharCode(...codes))
const codes = fc.integer({ min: 1, max: 254 }).filter(code => code !== 52)
const messages: fc.Arbitrary<DhcpMessage> = fc.record(
  {
    op: uint8,
    htype: uint8,
    hlen: uint8,
    hops: uint8,
    xid: uint32,
    secs: uint16,
    flags: uint16,
    ciaddr: uint32,
    yiaddr: uint32,
    siaddr: uint32,
    giaddr: uint32,
    chaddr: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    sname: text(63),
    file: text(127),
    options: fc
      .array(fc.tuple(codes, fc.uint8Array({ maxLength: 600 })), { maxLength: 12 })
      .map(list => new Map(list)),
  },
  { noNullPrototype: true },
)

t.test('every message is read as it was written, at any offset', async t => {
  fc.assert(
    fc.property(messages, fc.nat(9), (message, at) => {
      const bytes = emitDhcp(message)
      const run = dirty(at + bytes.length + 5)
      run.set(bytes, at)
      const read = parseDhcp(run, at, bytes.length)
      t.strictSame(read, message)
      t.same([...(read as DhcpMessage).options.keys()], [...message.options.keys()], 'in their order')
      let octets = OPTIONS + 1
      for (const value of message.options.values()) octets += optionOctets(0, value)
      t.equal(bytes.length, Math.max(300, octets))
    }),
    { numRuns: 200 },
  )
})

t.test('a message owns its bytes', async t => {
  const bytes = raw([12, 2, 0x61, 0x62, 255])
  bytes[28] = 7
  const message = parse(bytes)
  bytes.fill(0xa5)
  t.same([...message.options.get(12)!], [0x61, 0x62])
  t.equal(message.chaddr[0], 7)
})

t.test('padding anywhere and a missing END are taken', async t => {
  const message = parse(raw([0, 0, 53, 1, 1, 0, 0, 12, 1, 0x61]))
  t.same([...message.options.keys()], [53, 12])
})

t.test('what stands behind END is not read', async t => {
  t.same([...parse(raw([53, 1, 1, 255, 12, 200, 1])).options.keys()], [53])
})

t.test('an option in parts is joined (RFC 3396)', async t => {
  const message = parse(raw([43, 2, 1, 2, 12, 1, 0x61, 43, 0, 43, 1, 3, 255]))
  t.same([...message.options.get(43)!], [1, 2, 3])
  t.same([...message.options.keys()], [43, 12])
})

t.test('an option over 255 octets goes out in parts', async t => {
  const value = Uint8Array.from({ length: 511 }, (_, i) => i)
  const bytes = emitDhcp({ ...parse(raw([])), options: new Map([[119, value]]) })
  t.same([bytes[240], bytes[241]], [119, 252], 'whole addresses and numbers of 4 octets')
  t.same([bytes[494], bytes[495]], [119, 252])
  t.same([bytes[748], bytes[749], bytes[757]], [119, 7, 255])
  t.strictSame(parse(bytes).options.get(119), value)
})

t.test('options in file and sname are read, file first (RFC 2132 §9.3, RFC 3396 §5)', async t => {
  const fields = { sname: [43, 1, 3, 255], file: [43, 1, 2, 0, 12, 1, 0x61, 255] }
  const both = parse(raw([52, 1, 3, 43, 1, 1, 255], fields))
  t.same([...both.options.get(43)!], [1, 2, 3])
  t.same([both.options.has(12), both.options.has(52), both.sname, both.file], [true, false, '', ''])
  const file = parse(raw([52, 1, 1, 255], { ...fields, sname: [0x61, 0] }))
  t.same([...file.options.keys()], [43, 12])
  t.same([file.sname, file.file], ['a', ''])
  const sname = parse(raw([52, 1, 2, 255], { ...fields, file: [0x61, 0x62, 0] }))
  t.same([...sname.options.keys()], [43])
  t.same([sname.sname, sname.file], ['', 'ab'])
  t.same([...parse(raw([52, 2, 3, 3, 255], fields)).options.keys()], [], 'an overload of two octets is none')
})

t.test('what is malformed is named', async t => {
  const whole = raw([53, 1, 1, 255])
  t.equal(parseDhcp(whole, 0, 239), 'bootp-short')
  t.equal(parseDhcp(whole, 0, 0), 'bootp-short')
  const cookie = whole.slice()
  cookie[239] = 0x64
  t.equal(parseDhcp(cookie, 0, cookie.length), 'bootp-cookie')
  for (const [options, fields] of [
    [[53, 2, 1], {}],
    [[53], {}],
    [[53, 1, 1, 12, 255], {}],
    [[52, 1, 1, 255], { file: Array.from({ length: 128 }, () => 200) }],
    [[52, 1, 2, 255], { sname: Array.from({ length: 64 }, () => 63) }],
  ] as const) {
    const bytes = raw([...options], { ...fields })
    t.equal(parseDhcp(bytes, 0, bytes.length), 'bootp-options')
  }
})

t.test('an option does not run on from one field into the next', async t => {
  // The last octets of file say: option 43, 4 octets; they would be the cookie.
  const file = [...Array.from({ length: 126 }, () => 0), 43, 4]
  const bytes = raw([52, 1, 1, 255], { file })
  t.equal(parseDhcp(bytes, 0, bytes.length), 'bootp-options')
})

t.test('names too long for their field are cut before their NUL', async t => {
  const bytes = emitDhcp({ ...parse(raw([])), sname: 's'.repeat(99), file: 'f'.repeat(199) })
  t.match(parse(bytes), { sname: 's'.repeat(63), file: 'f'.repeat(127) })
})

t.test('random bytes never throw', async () => {
  fc.assert(fc.property(placed, ({ run, at, length }) => void parseDhcp(run, at, length)))
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ minLength: 192, maxLength: 192 }),
      (tail, fields) => {
        const bytes = raw([52, 1, 3, ...tail])
        bytes.set(fields, 44)
        parseDhcp(bytes, 0, bytes.length)
      },
    ),
    { numRuns: 500 },
  )
})
