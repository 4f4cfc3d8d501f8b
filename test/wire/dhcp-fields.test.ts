import fc from 'fast-check'
import t from 'tap'
import { type DhcpMessage, emitDhcp, emitDhcpWithin, parseDhcp } from '../../src/wire/dhcp.js'
import { layOutOptions, optionOctets } from '../../src/wire/dhcp-fields.js'

const FILE = 108
const OPTIONS = 240
const RELAY_AGENT = 82

const HEADER: Omit<DhcpMessage, 'options'> = {
  op: 2,
  htype: 1,
  hlen: 6,
  hops: 0,
  xid: 1,
  secs: 0,
  flags: 0,
  ciaddr: 0,
  yiaddr: 0,
  siaddr: 0,
  giaddr: 0,
  chaddr: new Uint8Array(16),
  sname: '',
  file: '',
}
const filled = (length: number, value = 7): Uint8Array => new Uint8Array(length).fill(value)
const message = (options: [number, Uint8Array][], fields: Partial<DhcpMessage> = {}): DhcpMessage => ({
  ...HEADER,
  ...fields,
  options: new Map(options),
})
const parse = (bytes: Uint8Array): DhcpMessage => {
  const read = parseDhcp(bytes, 0, bytes.length)
  if (typeof read === 'string') throw new Error(read)
  return read
}
const sorted = ({ options }: DhcpMessage): [number, Uint8Array][] => [...options].sort(([a], [b]) => a - b)

const codes = fc.integer({ min: 1, max: 254 }).filter(code => code !== 52)
const options = fc
  .array(fc.tuple(codes, fc.uint8Array({ minLength: 20, maxLength: 300, size: 'max' })), {
    minLength: 2,
    maxLength: 8,
  })
  .map(list => [...new Map(list)])
const name = fc.constantFrom('', 'name')

t.test('whatever fits in a limit is read as it was meant, whatever fields hold it', async t => {
  let overloaded = 0
  let refused = 0
  fc.assert(
    fc.property(options, fc.integer({ min: -20, max: 250 }), name, name, (options, lack, file, sname) => {
      const meant = message(options, { file, sname })
      const octets = options.reduce((sum, [, value]) => sum + optionOctets(0, value), OPTIONS + 1)
      const most = Math.max(300, octets - lack)
      const bytes = emitDhcpWithin(meant, most)
      if (bytes === undefined) {
        refused++
        t.ok(octets > most, 'nothing is refused that fits')
        return
      }
      if (octets > most) overloaded++
      t.ok(bytes.length <= most && bytes.length >= 300)
      const read = parse(bytes)
      t.strictSame(sorted(read), sorted(meant))
      t.match(read, { file, sname }, 'a name in its field is not touched')
    }),
    { numRuns: 500 },
  )
  t.ok(overloaded > 20 && refused > 20, `${overloaded} overloaded, ${refused} refused`)
})

t.test(
  'file and sname are used only when options are too small, and said so behind the first option',
  async t => {
    const options: [number, Uint8Array][] = [
      [53, filled(1)],
      [54, filled(4)],
      [1, filled(200)],
      [2, filled(100)],
    ]
    const needed = emitDhcp(message(options)).length
    t.same([...parse(emitDhcpWithin(message(options), needed)!).options.keys()], [53, 54, 1, 2])
    t.equal(emitDhcpWithin(message(options), needed)!.indexOf(52, OPTIONS), -1)
    const bytes = emitDhcpWithin(message(options), needed - 1)!
    t.same([...bytes.subarray(OPTIONS, OPTIONS + 9)], [53, 1, 7, 52, 1, 1, 54, 4, 7])
    t.same([...bytes.subarray(FILE, FILE + 3)], [2, 100, 7])
    t.equal(bytes[FILE + 102], 255, 'END ends every field')
    const inSname = emitDhcpWithin(message([...options, [3, filled(50)]], { file: 'boot' }), 560)!
    t.equal(inSname[OPTIONS + 5], 2)
    t.equal(parse(inSname).file, 'boot')
  },
)

t.test('what fills a field is not moved, what exceeds it by one is', async t => {
  const of = (length: number): number | undefined => {
    const fields = layOutOptions(
      new Map([
        [53, filled(1)],
        [9, filled(200)],
        [10, filled(length)],
      ]),
      [210, 128, 0],
    )
    return fields?.[1]?.length
  }
  t.equal(of(125), 1, '2 octets, 125 and END are 128')
  t.equal(of(126), undefined)
})

t.test('a short option is never split, a long one goes over the fields in parts', async t => {
  const short = layOutOptions(
    new Map([
      [53, filled(1)],
      [9, filled(220)],
    ]),
    [150, 128, 64],
  )
  t.equal(short, undefined, 'RFC 3396 §4: a client need not join it')
  const long = Uint8Array.from({ length: 300 }, (_, i) => i)
  const fields = layOutOptions(
    new Map([
      [53, filled(1)],
      [224, long],
    ]),
    [150, 128, 64],
  )!
  t.same(
    fields.map(field => field.map(([code, part]) => [code, part.length])),
    [
      [
        [53, 1],
        [52, 1],
        [224, 140],
      ],
      [[224, 124]],
      [[224, 36]],
    ],
  )
  t.strictSame(
    Uint8Array.from(fields.flat().flatMap(([code, part]) => (code === 224 ? [...part] : []))),
    long,
  )
})

t.test('what readers look at piece by piece is cut where a piece ends, or not spread', async t => {
  const rooms = [150, 128, 64] as const
  const names = layOutOptions(new Map([[119, filled(300)]]), rooms)
  t.equal(names, undefined, 'names point at each other')
  // 0.0.0.0/0, and 10.1.2.0/24, each by a router of 4 octets.
  const route = [0, 1, 2, 3, 4, 24, 10, 1, 2, 1, 2, 3, 4]
  const routes = Uint8Array.from({ length: 13 * 22 }, (_, i) => route[i % 13]!)
  const fields = layOutOptions(new Map([[121, routes]]), rooms)!
  const parts = fields.flatMap(field => field.flatMap(([code, part]) => (code === 121 ? [part] : [])))
  t.same(
    parts.map(({ length }) => length),
    [143, 122, 21],
  )
  for (const { length } of parts.slice(0, -1)) t.ok([0, 5].includes(length % 13), 'behind a router')
  t.same(Buffer.concat(parts), Buffer.from(routes))
})

t.test('relay agent information stays last in the options field (RFC 3046 §2.2)', async t => {
  const bytes = emitDhcpWithin(
    message([
      [53, filled(1)],
      [1, filled(200)],
      [2, filled(60)],
      [RELAY_AGENT, filled(20, 9)],
    ]),
    500,
  )!
  t.same([...bytes.subarray(-24, -18)].length, 6)
  const at = bytes.indexOf(RELAY_AGENT, OPTIONS)
  t.same([bytes[at + 1], bytes[at + 2], bytes[at + 22]], [20, 9, 255])
  t.equal(bytes[FILE], 2, 'another makes room for it')
  t.equal(layOutOptions(new Map([[RELAY_AGENT, filled(100)]]), [90, 128, 64]), undefined)
})

t.test('parts of one option, thousands of them, are joined once', async t => {
  // 60 000 octets of a jumbo frame: joined one by one they are 200 MB of copies, 100 ms and more.
  const parts = Array.from({ length: 20_000 }, (_, i) => [43, 1, i & 255]).flat()
  const bytes = new Uint8Array([...emitDhcp(message([])).subarray(0, OPTIONS), ...parts])
  const times = Array.from({ length: 5 }, () => {
    const start = performance.now()
    parse(bytes)
    return performance.now() - start
  })
  const value = parse(bytes).options.get(43)!
  t.equal(value.length, 20_000)
  t.equal(value[513], 1)
  t.ok(Math.min(...times) < 40, `${times} ms`)
})
