import type { DhcpOption } from '../../src/dhcp/options.js'
import fc from 'fast-check'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import * as ipv4 from '../../src/wire/ipv4.js'
import { uint16, uint32, uint8 } from '../wire/dirty.js'

const addresses = fc.array(uint32, { minLength: 1, maxLength: 5 })
const text = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme-ascii' })
const id = fc.uint8Array({ minLength: 2, maxLength: 255 })
const octetString = fc.uint8Array({ minLength: 1, maxLength: 255 })
const names = fc.array(fc.stringMatching(/^[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){0,2}$/), {
  minLength: 1,
  maxLength: 9,
})
const route = (text: string): option.StaticRoute => ({ network: ipv4.parseCidr(text)!, router: 0x0a000001 })
const routes = fc.array(
  fc.record(
    {
      network: fc
        .tuple(uint32, fc.nat(32))
        .map(([ip, prefix]) => ipv4.cidr(ipv4.cidr(ip, prefix).network, prefix)),
      router: uint32,
    },
    { noNullPrototype: true },
  ),
  { minLength: 1, maxLength: 9 },
)

/** Code, option, values, and one value's bytes and text. */
const table: [number, DhcpOption<unknown>, fc.Arbitrary<unknown>, unknown, string, string][] = []
function row<T>(
  code: number,
  of: DhcpOption<T>,
  values: fc.Arbitrary<T>,
  value: T,
  hex: string,
  text: string,
): void {
  table.push([code, of as DhcpOption<unknown>, values, value, hex, text])
}
row(1, option.SUBNET_MASK, uint32, 0xffffff00, 'ffffff00', '255.255.255.0')
row(3, option.ROUTER, addresses, [0x0a000001], '0a000001', '10.0.0.1')
row(6, option.DNS, addresses, [0x0a000001, 0x01010101], '0a00000101010101', '10.0.0.1, 1.1.1.1')
row(12, option.HOSTNAME, text, 'web', '776562', 'web')
row(15, option.DOMAIN, text, 'a.b', '612e62', 'a.b')
row(26, option.MTU, uint16, 1500, '05dc', '1500')
row(28, option.BROADCAST, uint32, 0x0a0000ff, '0a0000ff', '10.0.0.255')
row(50, option.REQUESTED_IP, uint32, 0x0a000002, '0a000002', '10.0.0.2')
row(51, option.LEASE_TIME, uint32, 3600, '00000e10', '3600 s')
row(53, option.MESSAGE_TYPE, uint8, option.ACK, '05', 'DHCPACK')
row(54, option.SERVER_ID, uint32, 0x0a000001, '0a000001', '10.0.0.1')
row(55, option.PARAMETER_LIST, fc.uniqueArray(uint8, { minLength: 1 }), [3, 1, 6], '030106', '3, 1, 6')
row(56, option.MESSAGE, text, 'no', '6e6f', 'no')
row(57, option.MAX_SIZE, uint16, 576, '0240', '576')
row(58, option.RENEWAL_TIME, uint32, 1800, '00000708', '1800 s')
row(59, option.REBINDING_TIME, uint32, 3150, '00000c4e', '3150 s')
row(61, option.CLIENT_ID, id, Uint8Array.of(1, 0x52, 0x54, 0, 0, 0, 1), '01525400000001', '01525400000001')
row(7, option.LOG_SERVER, addresses, [0x0a000001], '0a000001', '10.0.0.1')
row(17, option.ROOT_PATH, text, '/srv', '2f737276', '/srv')
row(42, option.NTP, addresses, [0x0a000001], '0a000001', '10.0.0.1')
row(43, option.VENDOR, octetString, Uint8Array.of(1, 0xff), '01ff', '01ff')
row(60, option.VENDOR_CLASS, text, 'HTTPClient', '48545450436c69656e74', 'HTTPClient')
row(66, option.TFTP_SERVER, text, 'tftp', '74667470', 'tftp')
row(67, option.BOOT_FILE, text, 'a.efi', '612e656669', 'a.efi')
row(77, option.USER_CLASS, octetString, Uint8Array.of(1, 0x61), '0161', '0161')
row(82, option.RELAY_AGENT, octetString, Uint8Array.of(1, 1, 7), '010107', '010107')
row(93, option.ARCHITECTURE, fc.array(uint16, { minLength: 1, maxLength: 9 }), [7, 16], '00070010', '7, 16')
row(101, option.TIMEZONE, text, 'UTC', '555443', 'UTC')
row(108, option.IPV6_ONLY, uint32, 1800, '00000708', '1800 s')
row(116, option.AUTO_CONFIGURE, uint8, 1, '01', '1')
row(119, option.SEARCH, names, ['lab', 'a.lab'], '036c616200' + '0161c000', 'lab a.lab')
row(
  121,
  option.STATIC_ROUTES,
  routes,
  [route('10.0.0.0/8'), route('0.0.0.0/0')],
  '080a0a000001' + '000a000001',
  '10.0.0.0/8 via 10.0.0.1, 0.0.0.0/0 via 10.0.0.1',
)
row(175, option.IPXE, octetString, Uint8Array.of(1, 2, 3), '010203', '010203')

for (const [code, of, values, value, hex, text] of table) {
  t.test(`${code} ${of.name}`, async t => {
    t.equal(of.code, code)
    t.match(of.rfc, /^RFC \d+ §/)
    t.equal(Buffer.from(of.encode(value)).toString('hex'), hex)
    t.same(of.decode(Buffer.from(hex, 'hex')), value)
    t.equal(of.text(value), text)
    fc.assert(
      fc.property(values, value => t.same(of.decode(of.encode(value)), value)),
      { numRuns: 20 },
    )
    t.equal(of.decode(new Uint8Array(0)), undefined, 'empty')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), bytes => {
        const value = of.decode(bytes)
        return value === undefined || /^[\x20-\x7e]*$/.test(of.text(value))
      }),
    )
  })
}

t.test('values of the wrong length are none', async t => {
  t.equal(option.SUBNET_MASK.decode(new Uint8Array(5)), undefined)
  t.equal(option.ROUTER.decode(new Uint8Array(6)), undefined)
  t.equal(option.MTU.decode(new Uint8Array(1)), undefined)
  t.equal(option.MESSAGE_TYPE.decode(new Uint8Array(2)), undefined)
  t.equal(option.CLIENT_ID.decode(new Uint8Array(1)), undefined)
  t.equal(option.CLIENT_ID.decode(new Uint8Array(256)), undefined)
  t.equal(option.ARCHITECTURE.decode(new Uint8Array(3)), undefined)
  t.equal(option.RAPID_COMMIT.decode(new Uint8Array(1)), undefined)
  t.equal(option.STATIC_ROUTES.decode(Uint8Array.of(33, 1, 2, 3, 4, 5, 6, 7, 8, 9)), undefined, 'a /33')
  t.equal(option.STATIC_ROUTES.decode(Uint8Array.of(8, 10, 10, 0, 0)), undefined, 'cut off')
  t.same(option.RAPID_COMMIT.decode(option.RAPID_COMMIT.encode(true)), true)
})

t.test('the routes of RFC 3442 §2: as many octets of a network as its prefix covers', async t => {
  for (const [text, hex] of [
    ['0.0.0.0/0', '00'],
    ['10.0.0.0/8', '080a'],
    ['10.17.0.0/16', '100a11'],
    ['10.27.129.0/24', '180a1b81'],
    ['10.229.0.128/25', '190ae50080'],
    ['10.198.122.47/32', '200ac67a2f'],
  ] as const) {
    t.equal(Buffer.from(option.STATIC_ROUTES.encode([route(text)])).toString('hex'), `${hex}0a000001`)
  }
})

t.test('a wish that is made twice counts once', async t => {
  t.same(option.PARAMETER_LIST.decode(Uint8Array.of(6, 3, 6, 1, 3)), [6, 3, 1])
})

t.test('a name with NULs behind it is the name', async t => {
  t.equal(option.HOSTNAME.decode(Uint8Array.of(0x61, 0, 0)), 'a')
  t.equal(option.HOSTNAME.decode(Uint8Array.of(0, 0)), undefined)
})

t.test('hostile names become safe ones, or none', async t => {
  for (const [text, wanted] of [
    ['web', 'web'],
    ['Web-01', 'Web-01'],
    ['web.example.com', 'web'],
    ["Bob's Mac", 'Bob-s-Mac'],
    ['a\u001b[31m\nDHCPACK', 'a-31m-DHCPACK'],
    ['-web-', 'web'],
    ['x'.repeat(300), 'x'.repeat(63)],
    ['../../etc/passwd', undefined],
    ['', undefined],
    ['---', undefined],
    ['\u00e9\u00ff', undefined],
    [undefined, undefined],
  ] as const) {
    t.equal(option.safeHostname(text), wanted, String(text))
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => {
      const name = option.safeHostname(text)
      return name === undefined || /^(?!-)[a-z0-9-]{1,63}(?<!-)$/i.test(name)
    }),
    { numRuns: 500 },
  )
})
