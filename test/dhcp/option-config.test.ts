import fc from 'fast-check'
import t from 'tap'
import { parseOptions } from '../../src/dhcp/option-config.js'
import * as option from '../../src/dhcp/options.js'
import { UsageError } from '../../src/errors.js'
import { toHex } from '../../src/wire/bytes.js'
import { ip } from './segment.js'

const refusal = (...texts: string[]): UsageError => {
  try {
    parseOptions(texts)
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
  throw new Error(`${texts.join(' ')} was taken`)
}

t.test('every name has its code and its octets', async t => {
  for (const [text, code, hex] of [
    ['router=192.168.105.9', 3, 'c0a86909'],
    ['dns=192.168.105.1,1.1.1.1', 6, 'c0a8690101010101'],
    ['log-server=10.0.0.1', 7, '0a000001'],
    ['hostname=web', 12, '776562'],
    ['domain=a.b', 15, '612e62'],
    ['root-path=/srv', 17, '2f737276'],
    ['mtu=1400', 26, '0578'],
    ['broadcast=10.0.0.255', 28, '0a0000ff'],
    ['ntp=10.0.0.1,10.0.0.2', 42, '0a0000010a000002'],
    ['vendor=01:02:ff', 43, '0102ff'],
    ['tftp-server=tftp.lab', 66, '746674702e6c6162'],
    ['boot-file=a=b.efi', 67, '613d622e656669'],
    ['timezone=UTC', 101, '555443'],
    ['ipv6-only=1800', 108, '00000708'],
    ['auto-configure=yes', 116, '01'],
    ['auto-configure=no', 116, '00'],
    ['search=a.b,c.b', 119, '016101620001' + '63c002'],
    ['static-routes=10.0.0.0/8,192.168.105.1', 121, '080ac0a86901'],
    ['static-routes=0.0.0.0/0,10.0.0.1,10.1.0.0/16,10.0.0.2', 121, '000a000001' + '100a010a000002'],
    ['224=dead', 224, 'dead'],
    ['224=0xDEAD', 224, 'dead'],
    ['224=de:ad', 224, 'dead'],
    ['60=50584543', 60, '50584543'],
    ['3=c0a86901', 3, 'c0a86901'],
  ] as const) {
    const { options } = parseOptions([text])
    t.same(
      [...options].map(([code, bytes]) => [code, toHex(bytes)]),
      [[code, hex]],
      text,
    )
  }
})

t.test('several keep their order; the next server is no option', async t => {
  const config = parseOptions(['ntp=10.0.0.1', 'next-server=10.0.0.9', '7=0a000001', 'mtu=1400'])
  t.same([...config.options.keys()], [42, 7, 26])
  t.equal(config.nextServer, ip('10.0.0.9'))
  t.same(parseOptions([]), { options: new Map() })
})

t.test('none leaves a default out, and nothing else', async t => {
  const names = { router: 3, dns: 6, broadcast: 28, mtu: 26 }
  for (const [name, code] of Object.entries(names)) {
    t.same([...parseOptions([`${name}=none`]).options], [[code, new Uint8Array(0)]], name)
  }
  t.match(refusal('ntp=none').message, /"none" is not a list of IPv4 addresses/)
  t.match(refusal('3=none').message, /"none" is not octets/)
})

t.test('a refusal names the option, what was given, and what would do', async t => {
  const cases: [text: string, says: RegExp, hint: RegExp][] = [
    ['ntp', /^--dhcp-option ntp: is not NAME=VALUE or NUMBER=HEX$/, /--dhcp-option ntp=192/],
    ['=x', /is not NAME=VALUE/, /ntp=/],
    ['', /is not NAME=VALUE/, /ntp=/],
    ['npt=10.0.0.1', /there is no option "npt"; the names are router, dns, .*next-server/, /224=/],
    ['constructor=1', /there is no option "constructor"/, /224=/],
    ['ntp=', /"" is not a list/, /ntp=192/],
    ['ntp=10.0.0', /"10.0.0" is not a list of IPv4 addresses/, /ntp=192/],
    ['ntp=10.0.0.1,', /is not a list/, /ntp=192/],
    ['domain=a..b', /is not a domain name/, /domain=lab/],
    ['search=a,-b', /is not a list of domain names/, /search=lab/],
    ['mtu=67', /from 68 to 65535/, /mtu=1400/],
    ['mtu=65536', /from 68 to 65535/, /mtu=1400/],
    ['mtu=1e3', /from 68 to 65535/, /mtu=1400/],
    ['ipv6-only=299', /300 or more/, /ipv6-only=1800/],
    ['ipv6-only=4294967296', /300 or more/, /1800/],
    ['auto-configure=1', /is not yes or no/, /auto-configure=no/],
    ['boot-file=ä', /ASCII/, /boot-file=/],
    [`boot-file=${'x'.repeat(256)}`, /1 to 255/, /boot-file=/],
    ['static-routes=10.0.0.0/8', /NET\/LEN,ROUTER/, /10\.0\.0\.0\/8,192/],
    ['static-routes=10.0.0.1/8,10.0.0.1', /no bit of NET/, /10\.0\.0\.0\/8,192/],
    ['static-routes=10.0.0.0/33,10.0.0.1', /NET\/LEN/, /static-routes=/],
    ['vendor=xyz', /hexadecimal/, /vendor=01:04/],
    ['vendor=0', /hexadecimal/, /vendor=/],
    ['vendor=1:2', /hexadecimal/, /vendor=/],
    ['vendor=01:2:3', /hexadecimal/, /vendor=/],
    ['vendor=', /hexadecimal/, /vendor=/],
    [`vendor=${'00'.repeat(1025)}`, /at most 1024/, /vendor=/],
    ['next-server=tftp', /"tftp" is not an IPv4 address/, /next-server=/],
    ['256=00', /"256" is not a number from 1 to 254/, /224=/],
    ['224=', /hexadecimal/, /224=dead/],
    ['3=0102', /"0102" is not what option 3 can hold/, /router=/],
    ['121=21', /not what option 121 can hold/, /static-routes=/],
    ['1=ffffff00', /option 1 is the subnet mask/, /leave it out/],
    ['51=00000e10', /option 51 is the lease time/, /leave it out/],
  ]
  for (const [text, says, hint] of cases) {
    const error = refusal(text)
    t.match(error.message, says, text)
    t.ok(error.message.startsWith(`--dhcp-option ${text}: `), text)
    t.match(error.hint, hint, text)
  }
})

t.test('what the protocol owns is nobody else to set', async t => {
  for (const code of [0, 1, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 80, 82, 255])
    t.match(refusal(`${code}=00`).message, new RegExp(`option ${code} (is|says|follows)`))
})

t.test('an option that was given before is refused, by name or by number', async t => {
  t.match(refusal('ntp=10.0.0.1', 'ntp=10.0.0.2').message, /ntp=10.0.0.2: the option was given before/)
  t.match(refusal('dns=10.0.0.1', '6=0a000001').message, /given before/)
  t.match(refusal('next-server=10.0.0.1', 'next-server=10.0.0.1').message, /given before/)
})

t.test('whatever is written is taken or refused, and what is taken can be sent', async () => {
  const names = fc.constantFrom(
    'ntp',
    'search',
    'mtu',
    'vendor',
    'static-routes',
    '3',
    '121',
    '119',
    '200',
    'x',
  )
  const values = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.ipV4(),
    fc.domain(),
    fc.uint8Array({ maxLength: 40 }).map(toHex),
    fc.tuple(fc.ipV4(), fc.nat(33), fc.ipV4()).map(([net, prefix, router]) => `${net}/${prefix},${router}`),
  )
  fc.assert(
    fc.property(names, values, (name, value) => {
      try {
        const [[code, bytes]] = [...parseOptions([`${name}=${value}`]).options] as [[number, Uint8Array]]
        const known = [
          option.NTP,
          option.SEARCH,
          option.MTU,
          option.VENDOR,
          option.STATIC_ROUTES,
          option.ROUTER,
        ]
        const of = known.find(each => each.code === code)
        return bytes.length > 0 && (of === undefined || of.decode(bytes) !== undefined)
      } catch (error) {
        return error instanceof UsageError
      }
    }),
    { numRuns: 2000 },
  )
})
