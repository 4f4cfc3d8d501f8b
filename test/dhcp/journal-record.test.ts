import type { Lease, LeaseChange } from '../../src/dhcp/leases.js'
import fc from 'fast-check'
import t from 'tap'
import { clientKey } from '../../src/dhcp/client.js'
import {
  changeOf,
  formatRecord,
  LONGEST_RECORD,
  readRecords,
  recordOf,
} from '../../src/dhcp/journal-record.js'
import { ip, station, START } from './segment.js'

const lease: Lease = {
  ip: ip('192.168.105.8'),
  key: 'hw:52:54:00:00:00:07',
  mac: station(7),
  hostname: 'web',
  expires: START,
}
const put = (more: Partial<Lease> = {}): LeaseChange => {
  const merged = { ...lease, ...more }
  return { kind: 'put', lease: { ...merged, key: clientKey(merged.mac, merged.clientId) } }
}
const textOf = (change: LeaseChange): string => formatRecord(recordOf(change))
const read = (bytes: Uint8Array | string): unknown[] => [...readRecords(Buffer.from(bytes))]
const changesIn = (bytes: Uint8Array | string): LeaseChange[] =>
  read(bytes)
    .map(changeOf)
    .filter(change => change !== undefined)

t.test('a record is a line that a person can read', async t => {
  t.equal(
    textOf(put({ clientId: Uint8Array.of(1, 2, 255) })),
    '\n440153ed {"lease":"192.168.105.8","mac":"52:54:00:00:00:07","clientId":"0102ff","hostname":"web",' +
      '"expires":"2026-01-01T00:00:00.000Z"}\n',
  )
  t.match(textOf({ kind: 'remove', ip: lease.ip }), /^\n[0-9a-f]{8} {"remove":"192.168.105.8"}\n$/)
  t.match(
    textOf({ kind: 'decline', declined: { ip: lease.ip, mac: lease.mac, until: START } }),
    /^\n[0-9a-f]{8} {"decline":"192.168.105.8","mac":"52:54:00:00:00:07","until":"2026-01-01T00:00:00.000Z"}\n$/,
  )
})

const uint32 = fc.nat(0xffffffff)
const someMac = fc.record({ hi: fc.nat(0xffff), lo: uint32 })
const someTime = fc.nat(0xffffffff).map(seconds => seconds * 1000)
const someChange: fc.Arbitrary<LeaseChange> = fc.oneof(
  fc
    .record(
      {
        ip: uint32,
        mac: someMac,
        clientId: fc.uint8Array({ minLength: 1, maxLength: 255 }),
        hostname: fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/).filter(name => !/--/.test(name)),
        expires: someTime,
      },
      { requiredKeys: ['ip', 'mac', 'expires'] },
    )
    .map(fields => put({ ...fields, ...(!fields.hostname && { hostname: 'none' }) })),
  uint32.map(address => ({ kind: 'remove' as const, ip: address })),
  fc
    .record({ ip: uint32, mac: someMac, until: someTime })
    .map(declined => ({ kind: 'decline' as const, declined })),
)

t.test('every change comes back as it was, and is no longer than we count on', async t => {
  fc.assert(
    fc.property(fc.array(someChange), changes => {
      const records = changes.map(textOf)
      t.same(changesIn(records.join('')), changes)
      return records.every(record => record.length <= LONGEST_RECORD)
    }),
  )
  const longest = put({
    ip: 0xffffffff,
    clientId: new Uint8Array(255),
    hostname: 'x'.repeat(63),
    expires: Date.parse('+099999-01-01T00:00:00Z'),
  })
  t.ok(textOf(longest).length <= LONGEST_RECORD)
})

/** Records one after the other, and where each begins and ends. */
function laidOut(changes: readonly LeaseChange[]): { bytes: Buffer; extents: [number, number][] } {
  const records = changes.map(textOf)
  let at = 0
  const extents = records.map(({ length }): [number, number] => [at, (at += length)])
  return { bytes: Buffer.from(records.join('')), extents }
}

const several = [
  put(),
  put({ mac: station(1), ip: lease.ip + 1 }),
  put({ mac: station(2), ip: lease.ip + 2 }),
]

t.test('cut off at any octet, all records before are there', async t => {
  const { bytes, extents } = laidOut(several)
  for (let length = 0; length <= bytes.length; length++) {
    // Without its last newline a record is whole.
    const whole = extents.filter(([, end]) => end - 1 <= length).length
    t.same(changesIn(bytes.subarray(0, length)), several.slice(0, whole), `${length} octets`)
  }
})

t.test('what is appended after a record that was cut off anywhere is there', async t => {
  const { bytes } = laidOut(several.slice(0, 1))
  for (let length = 0; length < bytes.length - 1; length++) {
    const both = Buffer.concat([bytes.subarray(0, length), Buffer.from(textOf(several[1]!))])
    t.same(changesIn(both), several.slice(1, 2), `${length} octets`)
  }
})

t.test('octets that were changed cost the records that they are in, and no other', async t => {
  fc.assert(
    fc.property(
      fc.array(someChange, { minLength: 1, maxLength: 8 }),
      fc.array(
        fc.record({
          at: fc.double({ min: 0, max: 0.999999, noNaN: true }),
          mask: fc.integer({ min: 1, max: 255 }),
        }),
        {
          minLength: 1,
          maxLength: 4,
        },
      ),
      (changes, flips) => {
        const { bytes, extents } = laidOut(changes)
        const hit = new Set<number>()
        for (const { at, mask } of flips) {
          const offset = Math.floor(at * bytes.length)
          bytes[offset]! ^= mask
          hit.add(extents.findIndex(([, end]) => offset < end))
        }
        const found = changesIn(bytes).map(textOf)
        const spared = changes.filter((_, index) => !hit.has(index)).map(textOf)
        // Nothing is there that was not written; what was not hit is.
        t.same(
          found.filter(text => !changes.map(textOf).includes(text)),
          [],
        )
        t.same(
          spared.filter(text => !found.includes(text)),
          [],
        )
      },
    ),
    { numRuns: 500 },
  )
})

t.test('every single bit of a record counts', async t => {
  const { bytes } = laidOut(several.slice(0, 1))
  for (let bit = 8; bit < 8 * (bytes.length - 1); bit++) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    t.same(changesIn(changed), [], `bit ${bit}`)
  }
})

t.test('a line that no record of ours fills is none, however long', async t => {
  const endless = Buffer.alloc(1 << 20, 0x30)
  t.same(read(endless), [undefined])
  t.same(read(Buffer.concat([endless, Buffer.from(textOf(put()))])).map(changeOf), [undefined, put()])
  const padded = formatRecord({ ...recordOf(put()), padding: 'x'.repeat(5000) })
  t.same(read(padded), [undefined])
})

t.test('what is whole and makes no sense is no change', async t => {
  const good = recordOf(put({ clientId: Uint8Array.of(1, 2) }))
  const aside = recordOf({ kind: 'decline', declined: { ip: lease.ip, mac: lease.mac, until: START } })
  const nonsense = [
    null,
    7,
    'lease',
    [],
    {},
    [good],
    { ...good, lease: '192.168.105' },
    { ...good, lease: 3232262408 },
    { ...good, mac: 1 },
    { ...good, mac: ['52:54:00:00:00:07'] },
    { ...good, expires: 'soon' },
    { ...good, expires: 0 },
    { ...good, clientId: 'xyz' },
    { ...good, clientId: 7 },
    { ...good, clientId: '00'.repeat(256) },
    { ...aside, decline: null },
    { ...aside, mac: '52:54' },
    { ...aside, until: {} },
    { remove: '192.168.105.256' },
    { remove: 1 },
    { put: good },
    JSON.parse('{"__proto__":{"remove":"192.168.105.8"}}'),
  ]
  for (const value of nonsense) t.equal(changeOf(value), undefined, JSON.stringify(value))
  t.same(read('\n00000000 null\n\n\n \n'), [undefined, undefined])
})

t.test('a name in a record is made safe as that of a message is', async t => {
  const named = { ...recordOf(put()), hostname: 'a\nb' }
  t.match(changeOf(named), { lease: { hostname: 'a-b' } })
  t.notOk('hostname' in (changeOf({ ...named, hostname: 7 }) as { lease: Lease }).lease)
})
