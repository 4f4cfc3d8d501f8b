import type { Fields } from './segment.js'
import t from 'tap'
import { parseBootRules } from '../../src/dhcp/boot.js'
import * as option from '../../src/dhcp/options.js'
import { UsageError } from '../../src/errors.js'
import { answer, configured, SERVER_IP } from './replies.js'
import { ip } from './segment.js'

const text = (value: string): number[] => [...Buffer.from(value, 'latin1')]
const ARCHITECTURE = (...numbers: number[]): Fields => ({ options: [[option.ARCHITECTURE, numbers]] })
const wishes = (...codes: number[]): Fields => ({ options: [[option.PARAMETER_LIST, codes]] })
/** iPXE says so in any of three ways. */
const IPXE: Record<string, Fields> = {
  'text, as iPXE sends it': { raw: [[77, text('iPXE')]] },
  'RFC 3004': { raw: [[77, [4, ...text('iPXE')]]] },
  'RFC 3004, second of two': { raw: [[77, [3, ...text('lab'), 4, ...text('iPXE')]]] },
  'its own options': { raw: [[175, [1, 1, 1]]] },
}
const HTTP: Fields = {
  raw: [[60, text('HTTPClient:Arch:00016:UNDI:003001')]],
  options: [[option.ARCHITECTURE, [16]]],
}

const RULES = [
  'default.0,192.168.105.7,tftp.lab',
  'ipxe:http://192.168.105.1/boot.ipxe',
  'bios:undionly.kpxe',
  'efi-x64:x64.efi,192.168.105.8',
  '11:arm64.efi',
  'efi-x64-http:http://192.168.105.1/x64.efi',
]
const fileFor = (fields: Fields, rules = RULES): string =>
  answer(configured([], { boot: parseBootRules(rules) }), fields).message.file

t.test('rules are read: a match, a file or URL, a next server, a name for it', async t => {
  const read = (text: string): unknown => parseBootRules([text])[0]
  for (const [text, rule] of [
    ['a.efi', { file: 'a.efi' }],
    ['a.efi,10.0.0.1', { file: 'a.efi', nextServer: ip('10.0.0.1') }],
    ['a.efi,,tftp', { file: 'a.efi', serverName: 'tftp' }],
    ['a.efi,10.0.0.1,tftp', { file: 'a.efi', nextServer: ip('10.0.0.1'), serverName: 'tftp' }],
    ['ipxe:a', { match: 'ipxe', file: 'a' }],
    ['efi-x64:a', { match: [7, 9], file: 'a' }],
    ['27:a', { match: [27], file: 'a' }],
    ['ipxe:http://h/b:c', { match: 'ipxe', file: 'http://h/b:c' }],
    ['http://h:81/b', { file: 'http://h:81/b' }],
    ['bios:tftp://h/b', { match: [0], file: 'tftp://h/b' }],
  ] as const) {
    t.strictSame(read(text), rule, text)
  }
})

t.test('what is no rule is refused, with what was given', async t => {
  for (const [texts, says] of [
    [[''], /the file is not/],
    [['ipxe:'], /the file is not/],
    [[',10.0.0.1'], /the file is not/],
    [['a b'], /without spaces/],
    [['a\u00e4'], /ASCII/],
    [['x'.repeat(256)], /1 to 255/],
    [['a,tftp'], /"tftp" is not an IPv4 address/],
    [['a,,b,c'], /more than/],
    [[`a,,${'x'.repeat(64)}`], /server name is over 63/],
    [['efi-x86:a'], /"efi-x86" is not ipxe, bios, .*or a number/],
    [['65536:a'], /"65536" is not ipxe/],
    [['constructor:a'], /"constructor" is not ipxe/],
    [['a', 'b'], /another file was given for the same clients/],
    [['7:a', '7:b'], /for the same clients/],
  ] as const) {
    try {
      parseBootRules(texts)
      t.fail(`${texts} was taken`)
    } catch (error) {
      t.ok(error instanceof UsageError)
      t.match((error as Error).message, says)
      t.ok((error as Error).message.startsWith(`--dhcp-boot ${texts.at(-1)}: `))
    }
  }
})

t.test('iPXE gets its file however it says that it is iPXE, its architecture aside', async t => {
  for (const [how, fields] of Object.entries(IPXE)) {
    t.equal(fileFor(fields), 'http://192.168.105.1/boot.ipxe', how)
    t.equal(fileFor({ ...fields, ...ARCHITECTURE(7) }), 'http://192.168.105.1/boot.ipxe', how)
    t.equal(fileFor({ ...fields, ...ARCHITECTURE(7) }, ['efi-x64:x64.efi', 'a']), 'x64.efi', 'without a rule')
  }
  for (const [how, bytes] of [
    ['another class', text('iPXE2')],
    ['a class that holds the word', [6, ...text('miPXEn')]],
    ['a length beyond the end', [200, ...text('iPXE')]],
  ] as const) {
    t.equal(fileFor({ raw: [[77, [...bytes]]], ...ARCHITECTURE(0) }), 'undionly.kpxe', how)
  }
})

t.test('the architecture chooses, and what has no rule gets the plain file', async t => {
  t.equal(fileFor(ARCHITECTURE(0)), 'undionly.kpxe')
  t.equal(fileFor(ARCHITECTURE(7)), 'x64.efi')
  t.equal(fileFor(ARCHITECTURE(9)), 'x64.efi')
  t.equal(fileFor(ARCHITECTURE(11)), 'arm64.efi')
  t.equal(fileFor(ARCHITECTURE(99, 11)), 'arm64.efi', 'any of several')
  t.equal(fileFor(ARCHITECTURE(6)), 'default.0')
  t.equal(fileFor(ARCHITECTURE(6), RULES.slice(1)), '', 'or none')
})

t.test('who does not boot from the network gets no file', async t => {
  const segment = configured(['next-server=192.168.105.9'], { boot: parseBootRules(RULES) })
  for (const [fields, boots] of [
    [{}, false],
    [wishes(1, 3, 6), false],
    [wishes(1, 3, 66), true],
    [wishes(67), true],
  ] as const) {
    const { message } = answer(segment, fields)
    t.equal(message.file, boots ? 'default.0' : '')
    t.equal(message.sname, boots ? 'tftp.lab' : '')
    t.equal(message.siaddr, ip(boots ? '192.168.105.7' : '192.168.105.9'))
  }
})

t.test('options 66 and 67 go to those that ask, and say what the header says', async t => {
  const ask = (rules: string[], config: string[] = []): (string | undefined)[] => {
    const { message } = answer(configured(config, { boot: parseBootRules(rules) }), wishes(66, 67))
    return [
      option.getOption(message.options, option.TFTP_SERVER),
      option.getOption(message.options, option.BOOT_FILE),
    ]
  }
  t.same(ask(['a.0']), ['192.168.105.1', 'a.0'], 'this server, unless another is named')
  t.same(ask(['a.0,10.0.0.1']), ['10.0.0.1', 'a.0'])
  t.same(ask(['a.0,10.0.0.1,tftp']), ['tftp', 'a.0'])
  t.same(ask(['a.0'], ['tftp-server=other', 'boot-file=b.0']), ['other', 'a.0'])
  t.same(ask([], ['tftp-server=other', 'boot-file=b.0']), ['other', 'b.0'], 'without any rule')
  const { codes, message } = answer(configured([], { boot: parseBootRules(['a.0']) }), ARCHITECTURE(0))
  t.notOk(codes.includes(67) || codes.includes(66))
  t.equal(message.siaddr, SERVER_IP)
})

t.test('a file too long for the header goes by option 67, asked for or not', async t => {
  for (const [length, inHeader] of [
    [127, true],
    [128, false],
    [255, false],
  ] as const) {
    const file = 'f'.repeat(length)
    const { message } = answer(configured([], { boot: parseBootRules([file]) }), {
      options: [...ARCHITECTURE(0).options!, ...wishes(1, 3).options!],
    })
    t.equal(message.file, inHeader ? file : '')
    t.equal(option.getOption(message.options, option.BOOT_FILE), inHeader ? undefined : file)
  }
})

t.test('firmware that boots by HTTP gets a URL and its own vendor class back, or nothing', async t => {
  const segment = configured([], { boot: parseBootRules(RULES) })
  const { message } = answer(segment, HTTP)
  t.equal(message.file, 'http://192.168.105.1/x64.efi')
  t.equal(option.getOption(message.options, option.VENDOR_CLASS), 'HTTPClient')
  t.equal(fileFor(HTTP, ['default.0']), '', 'a path would be no use to it')
  t.equal(fileFor(HTTP, ['https://h/a.efi']), 'https://h/a.efi')
  const pxe = answer(segment, { ...ARCHITECTURE(7), raw: [[60, text('PXEClient:Arch:00007')]] })
  t.notOk(pxe.codes.includes(60))
  t.notOk(answer(configured(), HTTP).codes.includes(60), 'where nothing was configured')
})

t.test('a boot file is told in ACKs too, and in no NAK', async t => {
  const segment = configured([], { boot: parseBootRules(RULES) })
  const ack = answer(segment, ARCHITECTURE(0), { type: option.ACK, yiaddr: SERVER_IP + 1, leaseSeconds: 60 })
  t.match(ack.message, { file: 'undionly.kpxe', siaddr: SERVER_IP })
  const nak = answer(segment, ARCHITECTURE(0), { type: option.NAK, why: 'no' })
  t.match(nak.message, { file: '', sname: '', siaddr: 0 })
})
