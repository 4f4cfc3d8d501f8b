// Options of a reservation: told to its client in the place of the segment's, and nothing else of a reply changes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { parseBootRules } from '../../src/dhcp/boot.js'
import * as option from '../../src/dhcp/options.js'
import { ReplyBuilder, type Reply } from '../../src/dhcp/reply.js'
import { toRecord, toReservation } from '../../src/dhcp/reservation-file.js'
import { readReservedOptions, type ReservedOptions } from '../../src/dhcp/reserved-options.js'
import { Reservations } from '../../src/dhcp/reservations.js'
import { type DhcpMessage, parseDhcp } from '../../src/wire/dhcp.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { configured, OFFERED, request, SERVER_IP } from './replies.js'
import { Client, FakeClock, ip, RecordedLog, Segment, station, type Fields } from './segment.js'

const SUBNET = parseCidr('192.168.105.1/24')!
const read = (...texts: string[]): ReservedOptions => readReservedOptions(texts)!
const wishes = (...codes: number[]): Fields => ({ options: [[option.PARAMETER_LIST, codes]] })

function told(segment: string[], own: string[], fields: Fields = {}, boot: string[] = []): DhcpMessage {
  const builder = new ReplyBuilder(configured(segment, { mtu: 1500, boot: parseBootRules(boot) }))
  const frame = builder.frame(request(fields), OFFERED, readReservedOptions(own))
  const message = parseDhcp(frame, 42, frame.length - 42)
  if (typeof message === 'string') throw new Error(message)
  return message
}

t.test('a wrong option is refused by its own name, with a form that is right', async t => {
  const refused = (texts: string[], message: RegExp, hint: string): void => {
    const error = { code: 'ERR_RESERVATION_OPTIONS', message, hint }
    t.throws(() => readReservedOptions(texts), error, texts[0]?.slice(0, 40))
  }
  refused(['mtu=1'], /^option mtu=1: "1" is not a number of octets/, 'mtu=1400')
  refused(['mtu'], /^option mtu: is not NAME=VALUE/, 'ntp=192.168.105.1')
  refused(['mtu=1400', 'mtu=1500'], /^option mtu=1500: the option was given before/, 'leave it out')
  refused(
    ['nonsense=1'],
    /^option nonsense=1: there is no option "nonsense"; the names are router, /,
    '224=dead',
  )
  refused(['54=c0a86901'], /option 54 is the address of this server/, 'leave it out')
  refused(
    Array.from({ length: 4 }, (_, n) => `${224 + n}=${'ad'.repeat(500)}`),
    /over 3072 bytes/,
    'leave some out',
  )
  t.equal(readReservedOptions([]), undefined)
})

t.test('they are kept in the file as they were written, and read from it again', async t => {
  const folder = t.testdir()
  const open = (): Reservations =>
    new Reservations({
      path: join(folder, 'reservations.json'),
      subnet: SUBNET,
      taken: [],
      log: new RecordedLog(),
      clock: new FakeClock(),
    })
  const texts = ['mtu=1450', 'dns=8.8.8.8,1.1.1.1', 'next-server=192.168.105.9', 'router=none', '224=de:ad']
  const record = { ip: '192.168.105.7', mac: '52:54:00:00:00:07', hostname: 'web', options: texts }
  await open().add(toReservation(record)!)
  const again = open()
  await again.load()
  t.strictSame(again.list().map(toRecord), [record])
  const { options, nextServer } = again.at(ip('192.168.105.7'))!.options!
  t.same([...options.keys()], [26, 6, 3, 224])
  t.equal(nextServer, ip('192.168.105.9'))
})

t.test('a file from before there were options is read, and a record with a wrong one set aside', async t => {
  const old = { ip: '192.168.105.7', mac: '52:54:00:00:00:07' }
  const wrong = ['mtu=1450', { mtu: 1450 }, ['mtu=1'], [7], Array.from({ length: 1000 }, () => 'mtu=1450')]
  const records = [old, ...wrong.map((options, n) => ({ ...old, ip: `192.168.105.${20 + n}`, options }))]
  const folder = t.testdir()
  const path = join(folder, 'reservations.json')
  writeFileSync(path, JSON.stringify({ version: 1, reservations: records }))
  const log = new RecordedLog()
  const reservations = new Reservations({ path, subnet: SUBNET, taken: [], log, clock: new FakeClock() })
  await reservations.load()
  t.strictSame(reservations.list().map(toRecord), [old])
  t.match(log.messages, [/5 of its 6 reservations cannot be read/])
})

t.test(
  'the same client with other options is another reservation, refused where none is replaced',
  async t => {
    const open = (replaces: boolean): Reservations =>
      new Reservations({
        subnet: SUBNET,
        taken: [],
        log: new RecordedLog(),
        clock: new FakeClock(),
        replaces,
      })
    const mtu = (value: number) => ({
      ip: ip('192.168.105.7'),
      match: { mac: station(7) },
      options: read(`mtu=${value}`),
    })
    const strict = open(false)
    await strict.add(mtu(1400))
    await strict.add(mtu(1400))
    await t.rejects(strict.add(mtu(1450)), { code: 'ERR_RESERVATION_EXISTS' })

    const lenient = open(true)
    let changes = 0
    lenient.onChange = () => void changes++
    await lenient.add(mtu(1400))
    await lenient.add(mtu(1400))
    t.equal(changes, 1, 'the very same again is no change')
    await lenient.add(mtu(1450))
    t.same(lenient.list().map(toRecord), [toRecord(mtu(1450))])
    await lenient.add({ ...mtu(1450), ip: ip('192.168.105.8') })
    t.equal(lenient.at(ip('192.168.105.7')), undefined, 'the client has moved')
    await lenient.add({ ip: ip('192.168.105.9'), match: { mac: station(9) } })
    await lenient.add({ ip: ip('192.168.105.9'), match: { mac: station(7) } })
    t.equal(lenient.list().length, 1, 'one that had the address and one that had the client both give way')
    t.equal(lenient.of({ mac: station(9) }), undefined)
    await lenient.remove({ ip: ip('192.168.105.9') })
    t.equal(changes, 6)
  },
)

t.test("a reservation's options stand in the place of the segment's, for its client alone", async t => {
  const reservations = new Reservations({
    subnet: SUBNET,
    taken: [],
    log: new RecordedLog(),
    clock: new FakeClock(),
  })
  const options = read('mtu=1450', 'dns=8.8.8.8', 'router=192.168.105.9', 'next-server=192.168.105.8')
  await reservations.add({ ip: ip('192.168.105.7'), match: { mac: station(7) }, options })
  const segment = await Segment.start({ mtu: 1500, reservations })
  const facts = ({ message: { options, siaddr, yiaddr } }: { message: DhcpMessage }) => ({
    mtu: option.getOption(options, option.MTU),
    dns: option.getOption(options, option.DNS),
    router: option.getOption(options, option.ROUTER),
    siaddr,
    yiaddr,
  })
  const own = {
    mtu: 1450,
    dns: [ip('8.8.8.8')],
    router: [ip('192.168.105.9')],
    siaddr: ip('192.168.105.8'),
  }
  const seven = new Client(7)
  const [offer] = await segment.ask(seven)
  t.same(facts(offer!), { ...own, yiaddr: ip('192.168.105.7') }, 'OFFER')
  t.same(facts(await segment.lease(seven)), { ...own, yiaddr: ip('192.168.105.7') }, 'ACK')
  const [informed] = await segment.ask(seven, { type: option.INFORM, ciaddr: ip('192.168.105.7') })
  t.same(facts(informed!), { ...own, yiaddr: 0 }, 'the ACK of an INFORM')
  t.match(facts(await segment.lease(new Client(8))), { mtu: 1500, siaddr: 0, router: [SERVER_IP] }, 'another')
  const nak = { type: option.REQUEST, ciaddr: ip('10.0.0.1') }
  t.same((await segment.ask(seven, nak))[0]!.codes, [53, 54, 56], 'a NAK has none of them')
  await reservations.remove({ ip: ip('192.168.105.7') })
  t.match(facts(await segment.lease(seven)), { mtu: 1500, siaddr: 0 }, 'gone with the reservation')
})

t.test('none leaves out what the segment tells, and the name told is the one of the reservation', async t => {
  const some = wishes(3, 6, 12, 26, 28)
  t.notOk(
    ['router', 'dns', 'mtu', 'broadcast'].some((name, i) => {
      const { options } = told(['ntp=192.168.105.4'], [`${name}=none`], some)
      return options.has([3, 6, 26, 28][i]!)
    }),
  )
  const builder = new ReplyBuilder(configured())
  const nameOf = (own: string[]): string | undefined => {
    const frame = builder.frame(request(some), { ...OFFERED, hostname: 'web' }, readReservedOptions(own))
    const message = parseDhcp(frame, 42, frame.length - 42) as DhcpMessage
    return option.getOption(message.options, option.HOSTNAME)
  }
  t.same(
    [nameOf(['mtu=1400']), nameOf(['hostname=node.lab']), nameOf(['hostname=none'])],
    ['web', 'node.lab', undefined],
  )
})

t.test('a boot file of its own, or a server of its own for the files of the segment', async t => {
  const pxe: Fields = {
    options: [
      [option.ARCHITECTURE, [11]],
      [option.PARAMETER_LIST, [66, 67]],
    ],
  }
  const boot = ['efi-arm64:snp.efi,192.168.105.3,tftp.lab']
  const facts = (own: string[]) => {
    const { siaddr, file, sname, options } = told([], own, pxe, boot)
    return {
      siaddr,
      file,
      sname,
      tftp: option.getOption(options, option.TFTP_SERVER),
      boot: option.getOption(options, option.BOOT_FILE),
    }
  }
  const rule = {
    siaddr: ip('192.168.105.3'),
    file: 'snp.efi',
    sname: 'tftp.lab',
    tftp: 'tftp.lab',
    boot: 'snp.efi',
  }
  t.same(facts(['mtu=1400']), rule, 'the rule of the segment')
  const server = { siaddr: ip('192.168.105.8'), sname: '', tftp: '192.168.105.8' }
  t.same(facts(['next-server=192.168.105.8', 'tftp-server=192.168.105.8']), { ...rule, ...server })
  t.same(
    facts(['next-server=192.168.105.8', 'tftp-server=192.168.105.8', 'boot-file=own.efi']),
    { ...server, file: '', boot: 'own.efi' },
    'no file of the rule beside it',
  )
})

/** Options of a segment or of a reservation, each name once. */
const texts: fc.Arbitrary<string[]> = fc
  .subarray([
    'router=192.168.105.9',
    'dns=8.8.8.8,1.1.1.1',
    'dns=none',
    'ntp=192.168.105.4',
    'search=lab.internal',
    'mtu=1450',
    'broadcast=none',
    'hostname=node',
    'tftp-server=192.168.105.8',
    'boot-file=own.efi',
    'next-server=192.168.105.8',
    'vendor=0102',
    '224=dead',
    '225=beef',
  ])
  .filter(list => new Set(list.map(text => text.split('=')[0])).size === list.length)

t.test('property: nothing of a reply changes but the options that the reservation has', async t => {
  const replies: fc.Arbitrary<Reply> = fc.constantFrom<Reply[]>(
    OFFERED,
    { ...OFFERED, type: option.ACK, hostname: 'web' },
    { type: option.ACK, yiaddr: 0 },
    { type: option.OFFER, yiaddr: 0 },
    { type: option.NAK, why: 'no' },
  )
  const wanted = fc.option(
    fc.uniqueArray(fc.constantFrom<number[]>(1, 3, 6, 12, 26, 28, 42, 66, 67, 119, 224, 225, 43)),
    {
      nil: undefined,
    },
  )
  fc.assert(
    fc.property(texts, texts, wanted, replies, (segment, own, codes, reply) => {
      const builder = new ReplyBuilder(configured(segment, { mtu: 1500 }))
      const asked = request(codes?.length ? wishes(...codes) : {})
      const parse = (frame: Uint8Array): DhcpMessage => parseDhcp(frame, 42, frame.length - 42) as DhcpMessage
      const reserved = readReservedOptions(own)
      const [without, having] = [builder.frame(asked, reply), builder.frame(asked, reply, reserved)]
      const [{ options: before, siaddr: was, ...rest }, { options: after, siaddr, ...others }] = [
        parse(without),
        parse(having),
      ]
      t.same(others, rest)
      t.same(having.subarray(0, 12), without.subarray(0, 12), 'it goes to the same station')
      const configures = reply.type === option.ACK || 'leaseSeconds' in reply
      t.equal(siaddr, configures ? (reserved?.nextServer ?? was) : 0)
      const changed = new Set(configures ? reserved?.options.keys() : [])
      const kept = (options: DhcpMessage['options']) => [...options].filter(([code]) => !changed.has(code))
      t.same(kept(after), kept(before), 'the others stand in their order')
      for (const code of changed) {
        const value = reserved!.options.get(code)!
        const isTold = value.length > 0 && (!codes?.length || codes.includes(code))
        t.same(after.get(code), isTold ? value : undefined, `option ${code}`)
      }
    }),
    { numRuns: 500 },
  )
})
