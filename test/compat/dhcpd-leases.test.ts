// The format of the leases file, against minikube's rules, and what becomes of what others wrote: any text at all.

import fc from 'fast-check'
import t from 'tap'
import {
  addEntries,
  mergeEntries,
  readEntries,
  toEntry,
  type LeaseEntry,
  type OwnLease,
} from '../../src/compat/dhcpd-leases.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { formatMac } from '../../src/wire/mac.js'
import { bootpd, lease } from './leases.js'
import { addressByOctets, addressByText, parseLeases } from './minikube.js'

const textOf = (entries: readonly LeaseEntry[]): string => entries.map(({ text }) => text).join('')
const never = (): boolean => false

/** What is written for these leases, the newest first, where there was `text`. */
const merged = (text: string, ...ours: OwnLease[]): string =>
  textOf(mergeEntries(readEntries(text), ours.map(toEntry), never).entries)

t.test('an entry is, to the byte, what the contract shows: tabs, %x without padding', async t => {
  const entry = lease('192.168.105.2', '8e:01:99:9c:54:b1', {
    hostname: 'bootp',
    expires: 0x597e1268 * 1000,
  })
  t.equal(
    toEntry(entry).text,
    [
      '{',
      '\tname=bootp',
      '\tip_address=192.168.105.2',
      '\thw_address=1,8e:1:99:9c:54:b1',
      '\tidentifier=1,8e:1:99:9c:54:b1',
      '\tlease=0x597e1268',
      '}',
      '',
    ].join('\n'),
  )
})

t.test('always hw_address=1,<the MAC>, also for a client that goes by a DUID', async t => {
  const clientId = Buffer.from('ff0a00f10200000006ab11', 'hex')
  const { text } = toEntry(lease('192.168.105.3', '00:0a:00:00:00:0f', { clientId }))
  t.match(text, '\thw_address=1,0:a:0:0:0:f\n')
  t.match(text, '\tidentifier=ff,a:0:f1:2:0:0:0:6:ab:11\n')
  t.match(text, /^\tname=\w+$/m, 'there is a name for who has none')
  t.equal(addressByText(text, '00:0a:00:00:00:0f'), '192.168.105.3')
  t.equal(addressByOctets(text, '00:0A:00:00:00:0F'), '192.168.105.3')
  const odd = toEntry(lease('192.168.105.3', '00:0a:00:00:00:0f', { clientId: Buffer.from([7]) })).text
  t.match(odd, '\tidentifier=7,\n', 'an identifier of one octet')
  t.equal(parseLeases(odd).length, 1)
})

t.test('the newest stands first', async t => {
  const text = merged('', lease('192.168.105.3', '2:0:0:0:0:3'), lease('192.168.105.2', '2:0:0:0:0:2'))
  t.same(
    parseLeases(text).map(({ ip }) => ip),
    ['192.168.105.3', '192.168.105.2'],
  )
})

t.test('one MAC with two leases has one entry, that of the newest', async t => {
  const text = merged('', lease('192.168.105.3', '2:0:0:0:0:2'), lease('192.168.105.2', '2:0:0:0:0:2'))
  t.same(
    parseLeases(text).map(({ ip }) => ip),
    ['192.168.105.3'],
  )
})

t.test('entries of others are kept, byte for byte', async t => {
  const odd =
    '  {  \r\n   hw_address=ff,f1:f5:dd:7f:0:2:0:0:ab:11\r\n ip_address=192.168.64.4\r\n\tlease=0x1\r\n}\t\r\n'
  const latin = '{\n\tname=caf\xe9\xff\n\tip_address=192.168.64.5\n}\n'
  const text = odd + latin + bootpd('192.168.64.2', '2:0:0:0:0:9')
  t.equal(merged(text), text)
  t.ok(mergeEntries(readEntries(text), [], never).isInOrder)
  t.ok(merged(text, lease('192.168.105.3', '2:0:0:0:0:3')).endsWith(`}\n${text}`), 'behind ours')
  t.equal(merged('{\n\tname=a\n}'), '{\n\tname=a\n}\n', 'a newline is added to the last')
})

t.test('a stale entry with our MAC or our address does not win, and does not stay', async t => {
  const ours = lease('192.168.105.3', '02:00:00:00:00:03')
  const keeps = bootpd('192.168.105.4', '2:0:0:0:0:4')
  for (const stale of [
    bootpd('192.168.105.9', '2:0:0:0:0:3'),
    bootpd('192.168.105.9', '02:00:00:00:00:03'),
    bootpd('192.168.64.9', '2:0:0:0:0:3'),
    bootpd('192.168.64.9', '2:0:0:0:0:3:7:8'),
    bootpd('192.168.105.3', '2:0:0:0:0:9'),
    bootpd('192.168.105.3', '2:0:0:0:0:9').replace('hw_address=1,', 'hw_address=ff,'),
    bootpd('192.168.105.3', '2:0:0:0:0:3', '0x1'),
  ]) {
    t.equal(merged(stale + keeps, ours), toEntry(ours).text + keeps, stale)
    t.notOk(mergeEntries(readEntries(toEntry(ours).text + stale), [toEntry(ours)], never).isInOrder)
  }
})

t.test('a line that minikube cannot read goes, and the entry that it stood in stays', async t => {
  const line = '\tip_address=192.168.64.2\n'
  for (const bad of [
    '\n',
    '  \t\n',
    '# a comment\n',
    '\tkey=value\n',
    '\tname\n',
    '\thw_address=1\n',
    `\tname=${'x'.repeat(65_536)}\n`,
  ]) {
    t.throws(() => parseLeases(`{\n${bad}${line}}\n`), 'it fails the whole file')
    t.equal(merged(`{\n${bad}${line}}\n`), `{\n${line}}\n`, JSON.stringify(bad.slice(0, 20)))
  }
})

t.test('what is no entry goes: a blank line, half an entry, a brace too many, anything', async t => {
  const good = bootpd('192.168.64.2', '2:0:0:0:0:9')
  for (const bad of [
    '\n',
    '# x\n',
    '}\n',
    'name=a\n',
    '{\n',
    '{\n\tname=a\n',
    '\0\xff\x01\n',
    '{\n\tip_addr',
  ]) {
    const found = readEntries(good + bad)
    t.notOk(found.isClean, JSON.stringify(bad))
    t.equal(textOf(found.entries), good, JSON.stringify(bad))
    if (!bad.startsWith('{')) t.equal(merged(bad + good), good)
  }
  const twice = readEntries(`{\n\tname=a\n${good}`)
  t.same([twice.isClean, textOf(twice.entries)], [false, good], 'a brace inside of an entry begins another')
  t.ok(readEntries('').isClean, 'nothing at all is in order')
})

t.test('where ours stand is no matter: two daemons that share a file agree on it', async t => {
  const [ours, theirs] = [lease('192.168.105.3', '2:0:0:0:0:3'), lease('10.0.0.3', '2:0:0:0:0:4')].map(
    toEntry,
  )
  const found = readEntries(theirs!.text + ours!.text)
  t.ok(mergeEntries(found, [ours!], never).isInOrder)
  t.ok(mergeEntries(found, [theirs!], never).isInOrder)
  t.notOk(mergeEntries(found, [ours!], entry => entry.ip === theirs!.ip).isInOrder, 'unless it is over')
  t.notOk(mergeEntries(readEntries(ours!.text.repeat(2)), [ours!], never).isInOrder, 'or stands there twice')
})

t.test(
  'what somebody wrote to a file that was replaced joins the rest, where that does not know better',
  async t => {
    const found = readEntries(bootpd('192.168.64.2', '2:0:0:0:0:2'))
    const more = readEntries(
      bootpd('192.168.64.2', '2:0:0:0:0:8') +
        bootpd('192.168.64.8', '2:0:0:0:0:2') +
        bootpd('192.168.64.3', '2:0:0:0:0:3'),
    ).entries
    t.same(addEntries(found, more).entries, [...found.entries, more[2]])
    t.equal(addEntries(found, more).isClean, false, 'and is to be written')
    t.equal(addEntries(found, more.slice(0, 2)), found)
  },
)

// Few addresses and MACs, so that they meet.
const someIp = fc.integer({ min: 0xc0a86902, max: 0xc0a86908 })
const someMac = fc.integer({ min: 0, max: 6 }).map(n => ({ hi: 0x0200, lo: n * 0x01000001 }))
const someOurs = fc.uniqueArray(
  fc.record({
    ip: someIp,
    mac: someMac,
    expires: fc.integer({ min: 0, max: 2 ** 41 }),
    clientId: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
  { selector: ({ ip }) => ip },
)
const someHardware = fc
  .tuple(fc.constantFrom('1', 'ff', '06', ''), someMac, fc.constantFrom('', ':0', ' '), fc.boolean())
  .map(
    ([type, { hi, lo }, tail, isPadded]) =>
      `${type},${isPadded ? formatMac(hi, lo) : formatMac(hi, lo).replace(/\b0/g, '')}${tail}`,
  )
const someLine = fc.oneof(
  { weight: 4, arbitrary: someIp.map(ip => `ip_address=${formatIpv4(ip)}`) },
  { weight: 4, arbitrary: someHardware.map(text => `hw_address=${text}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('name=x', 'name==', 'lease=0x597e1268', 'lease=', 'identifier=ff,1:2'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('', '# x', 'key=', 'name', '=', '{', '}', 'hw_address=1', 'ip_address=1.2'),
  },
  {
    weight: 1,
    arbitrary: fc.string({ unit: 'binary', maxLength: 6 }).map(text => Buffer.from(text).toString('latin1')),
  },
)
const someSpace = fc.constantFrom('', '\t', '  ', '\r', '\xa0', '\x85')
const someRow = fc.tuple(someSpace, someLine, someSpace).map(parts => parts.join(''))
const someEntry = fc.array(someRow, { maxLength: 5 }).map(rows => ['{', ...rows, '}'].join('\n'))
const someText = fc
  .tuple(
    fc.array(fc.oneof({ weight: 4, arbitrary: someEntry }, someRow), { maxLength: 8 }),
    fc.constantFrom('', '\n'),
  )
  .map(([parts, end]) => parts.join('\n') + end)

t.test('whatever the file held, minikube can read what is written, and finds every MAC of ours', async t => {
  let clean = 0
  fc.assert(
    fc.property(someText, someOurs, (text, leases) => {
      const ours = leases.map(toEntry)
      const found = readEntries(text)
      const { entries, isInOrder } = mergeEntries(found, ours, never)
      const written = textOf(entries)
      const isThere = (from: string): void => {
        parseLeases(from)
        const seen = new Set<string>()
        for (const { ip, mac } of leases) {
          const address = formatMac(mac.hi, mac.lo)
          // The newest of a MAC.
          if (seen.has(address)) continue
          seen.add(address)
          if (addressByText(from, address) !== formatIpv4(ip)) throw new Error(`by text: ${address}`)
          if (addressByOctets(from, address) !== formatIpv4(ip)) throw new Error(`by octets: ${address}`)
        }
      }
      isThere(written)
      if (isInOrder) isThere(text)
      if (isInOrder) clean++
      const again = mergeEntries(readEntries(written), ours, never)
      if (!again.isInOrder || textOf(again.entries) !== written) throw new Error('it does not end there')
      const mine = new Set(ours.map(entry => entry.text))
      const taken = ({ ip, mac }: LeaseEntry): boolean =>
        leases.some(each => each.ip === ip || (each.mac.hi === mac?.hi && each.mac.lo === mac.lo))
      const others = found.entries.filter(entry => !taken(entry))
      if (textOf(entries.filter(entry => !mine.has(entry.text))) !== textOf(others))
        throw new Error('one of others is not as it was')
    }),
    { numRuns: 3000 },
  )
  t.ok(clean > 0, `${clean} files were in order as they were`)
})
