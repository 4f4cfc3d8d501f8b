import type { Fields } from './segment.js'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { MAC_BROADCAST } from '../../src/wire/mac.js'
import { wantsRapidCommit } from '../../src/dhcp/reply.js'
import { answer, BY_RELAY, configured, OFFERED, RELAY_IP, RELAY_MAC, request } from './replies.js'
import { Client, ip, Segment, SERVER_MAC } from './segment.js'

const BROADCAST_IP = 0xffffffff
const wishes = (...codes: number[]): Fields => ({ options: [[option.PARAMETER_LIST, codes]] })

t.test('what comes back with every reply', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  const chaddr = new Uint8Array(16).fill(0x77)
  chaddr.set([0x52, 0x54, 0, 0, 0, 9])
  const [offer] = await segment.ask(client, { xid: 0xcafebabe, flags: 0x8001, chaddr, hops: 3, secs: 9 })
  t.match(offer!.message, {
    op: 2,
    xid: 0xcafebabe,
    flags: 0x8001,
    hops: 0,
    secs: 0,
    ciaddr: 0,
    siaddr: 0,
    giaddr: 0,
  })
  t.strictSame(offer!.message.chaddr, chaddr, 'all 16 octets')
  t.same(offer!.source, SERVER_MAC)
  t.equal(offer!.sourceIp, ip('192.168.105.1'))
  t.equal(option.getOption(offer!.message.options, option.SERVER_ID), ip('192.168.105.1'))
})

t.test('an offer goes to the client alone, or to all where it asks for that', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  const [alone] = await segment.ask(client)
  t.same([alone!.destination, alone!.destinationIp], [client.mac, ip('192.168.105.2')])
  const [all] = await segment.ask(client, { flags: 0x8000 })
  t.same([all!.destination, all!.destinationIp], [MAC_BROADCAST, BROADCAST_IP])
})

t.test('one that uses its address is answered there, broadcast flag or not', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  await segment.lease(client)
  const ciaddr = ip('192.168.105.2')
  const renewal = { type: option.REQUEST, ciaddr, sourceIp: ciaddr, destinationIp: ip('192.168.105.1') }
  for (const flags of [0, 0x8000]) {
    const [ack] = await segment.ask(client, { ...renewal, flags })
    t.equal(ack!.type, option.ACK)
    t.same([ack!.destination, ack!.destinationIp], [client.mac, ciaddr])
    t.equal(ack!.message.ciaddr, ciaddr)
    t.equal(ack!.message.yiaddr, ciaddr)
  }
})

t.test('a NAK goes to all and says why', async t => {
  const segment = await Segment.start()
  const [nak] = await segment.ask(new Client(1, [1, 2, 3]), {
    type: option.REQUEST,
    ciaddr: ip('10.9.9.9'),
    flags: 0,
  })
  t.equal(nak!.type, option.NAK)
  t.same([nak!.destination, nak!.destinationIp], [MAC_BROADCAST, BROADCAST_IP])
  t.match(nak!.message, { ciaddr: 0, yiaddr: 0 })
  t.same(nak!.codes, [53, 54, 56, 61], 'and nothing of an address')
  t.equal(option.getOption(nak!.message.options, option.MESSAGE), 'wrong network')
})

t.test('wishes are met in their order, then comes what everybody gets', async t => {
  const segment = await Segment.start({ domain: 'vm.test', mtu: 1400 })
  const [offer] = await segment.ask(new Client(1), wishes(15, 6, 99, 28, 26, 3, 15))
  t.same(offer!.codes, [53, 54, 51, 15, 6, 28, 26, 1, 3, 58, 59])
  const value = <T>(of: option.DhcpOption<T>): T | undefined => option.getOption(offer!.message.options, of)
  t.equal(value(option.DOMAIN), 'vm.test')
  t.same(value(option.DNS), [ip('192.168.105.1'), ip('1.1.1.1')])
  t.equal(value(option.BROADCAST), ip('192.168.105.255'))
  t.equal(value(option.MTU), 1400)
  t.equal(value(option.SUBNET_MASK), ip('255.255.255.0'))
  t.same(value(option.ROUTER), [ip('192.168.105.1')])
})

t.test('the mask stands before the router even where the router was wished for first', async t => {
  const segment = await Segment.start()
  const [offer] = await segment.ask(new Client(1), wishes(3, 1, 6))
  t.same(offer!.codes, [53, 54, 51, 1, 3, 6, 58, 59])
})

t.test('the times are wishes too', async t => {
  const segment = await Segment.start()
  const [offer] = await segment.ask(new Client(1), wishes(59, 58, 51, 1))
  t.same(offer!.codes, [53, 54, 51, 59, 58, 1])
})

t.test('a client without wishes gets all there is', async t => {
  const segment = await Segment.start({ domain: 'vm.test', mtu: 1400 })
  const client = new Client(1)
  t.same((await segment.ask(client))[0]!.codes, [53, 54, 51, 1, 3, 6, 15, 28, 26, 58, 59])
  const bare = await Segment.start({ dns: [] })
  t.notOk((await bare.ask(client, wishes(6)))[0]!.codes.includes(6), 'no option is sent empty')
})

t.test('half and seven eighths of the lease (RFC 2131 §4.4.5), which the client may ask for', async t => {
  const segment = await Segment.start({ leaseSeconds: 1000 })
  for (const [asked, given] of [
    [undefined, 1000],
    [500, 500],
    [5000, 1000],
    [0xffffffff, 1000],
    [119, 120],
    [0, 120],
  ] as const) {
    const fields: Fields = asked === undefined ? {} : { options: [[option.LEASE_TIME, asked]] }
    const [offer] = await segment.ask(new Client(1), fields)
    const times = [option.LEASE_TIME, option.RENEWAL_TIME, option.REBINDING_TIME]
    t.same(
      times.map(of => option.getOption(offer!.message.options, of)),
      [given, given / 2, Math.floor(given * 0.875)],
      `asked for ${asked}`,
    )
  }
  const short = await Segment.start({ leaseSeconds: 60 })
  const [offer] = await short.ask(new Client(1))
  t.equal(option.getOption(offer!.message.options, option.LEASE_TIME), 60, 'configured under the least')
})

t.test('the client identifier comes back as it was (RFC 6842)', async t => {
  const segment = await Segment.start()
  const id = [255, 0, 1, 2, 3, 0, 0]
  const [offer] = await segment.ask(new Client(1, id))
  t.same([...offer!.message.options.get(61)!], id)
  t.equal(offer!.codes.at(-1), 61)
  const [wished] = await segment.ask(new Client(1, id), wishes(61, 1))
  t.same(wished!.codes.slice(3, 5), [61, 1])
  const [long] = await segment.ask(new Client(2), { raw: [[61, Array.from({ length: 300 }, () => 1)]] })
  t.notOk(long!.codes.includes(61), 'but not at any length')
})

t.test('a client gets its own name back, made safe', async t => {
  const segment = await Segment.start()
  const client = new Client(1)
  const named: Fields = {
    options: [
      [option.HOSTNAME, 'Web 1.example.com'],
      [option.PARAMETER_LIST, [12]],
    ],
  }
  const [offer] = await segment.ask(client, named)
  t.equal(option.getOption(offer!.message.options, option.HOSTNAME), 'Web-1')
  await segment.lease(client, named)
  const [later] = await segment.ask(client, wishes(12))
  t.equal(option.getOption(later!.message.options, option.HOSTNAME), 'Web-1', 'when it does not say it again')
  const [other] = await segment.ask(new Client(2), wishes(12))
  t.notOk(other!.codes.includes(12))
})

t.test('a reply fits what the client takes; what everybody gets is not left out', async t => {
  const dns = Array.from({ length: 90 }, (_, i) => i + 1)
  const segment = await Segment.start({ dns, domain: 'vm.test' })
  const size = async (most?: number): Promise<[number, boolean]> => {
    const size: Fields['options'] = most === undefined ? [] : [[option.MAX_SIZE, most]]
    const options: Fields['options'] = [[option.PARAMETER_LIST, [6, 15, 3]], ...size]
    const [offer] = await segment.ask(
      new Client(
        1,
        Array.from({ length: 200 }, () => 7),
      ),
      { options },
    )
    t.same(
      offer!.codes.filter(code => code !== 6),
      [53, 54, 51, 15, 1, 3, 58, 59, 61],
    )
    return [offer!.frame.length - 14, offer!.codes.includes(6)]
  }
  for (const most of [undefined, 0, 100, 576]) {
    const [octets, all] = await size(most)
    t.ok(octets <= 576, `${octets} octets where the client takes ${most}`)
    t.notOk(all)
  }
  const [octets, all] = await size(1400)
  t.ok(octets > 576 && octets <= 1400)
  t.ok(all)
  const huge = await Segment.start({ dns: Array.from({ length: 400 }, () => 1) })
  const [offer] = await huge.ask(new Client(1), { options: [[option.MAX_SIZE, 65_535]] })
  t.ok(offer!.frame.length <= 1514, 'never over the Ethernet MTU')
})

t.test('a relay is answered at its own address and port, by the station that spoke', async t => {
  for (const reply of [OFFERED, { ...OFFERED, type: option.ACK }] as const) {
    const { destination, destinationIp, port, message } = answer(configured(), BY_RELAY, reply)
    t.same([destination, destinationIp, port], [RELAY_MAC, RELAY_IP, 67])
    t.match(message, { giaddr: RELAY_IP, hops: 0, flags: 0 })
  }
})

t.test('a relay is told to broadcast a NAK (RFC 2131 §4.3.2)', async t => {
  const nak = answer(configured(), { ...BY_RELAY, flags: 1 }, { type: option.NAK, why: 'no' })
  t.same([nak.destination, nak.destinationIp, nak.port], [RELAY_MAC, RELAY_IP, 67])
  t.equal(nak.message.flags, 0x8001)
  const direct = answer(configured(), {}, { type: option.NAK, why: 'no' })
  t.equal(direct.message.flags, 0)
})

t.test('a relay gets its option 82 back as it was, and last (RFC 3046 §2.2)', async t => {
  const octets = [1, 4, 9, 8, 7, 6, 2, 0]
  const fields: Fields = { ...BY_RELAY, raw: [[82, octets]] }
  for (const reply of [OFFERED, { type: option.NAK, why: 'no' }] as const) {
    const { codes, message } = answer(configured(), fields, reply)
    t.equal(codes.at(-1), 82)
    t.same([...message.options.get(82)!], octets)
  }
  t.equal(answer(configured(), { ...fields, ...wishes(82, 1) }).codes.at(-1), 82, 'wished for or not')
  const client = answer(configured(), { raw: [[82, octets]] })
  t.notOk(client.codes.includes(82), 'a client gets none')
  const full = answer(configured(), {
    ...BY_RELAY,
    raw: [
      [82, Array.from({ length: 255 }, () => 1)],
      [61, Array.from({ length: 255 }, () => 2)],
    ],
  })
  t.ok(full.frame.length - 14 <= 576)
  t.notOk(full.codes.includes(82), 'whole or not at all')
  t.ok(full.codes.includes(61))
})

t.test('the ACK of an INFORM has neither address nor times', async t => {
  const ciaddr = ip('192.168.105.77')
  const { codes, message, destinationIp } = answer(
    configured(),
    { type: option.INFORM, ciaddr },
    { type: option.ACK, yiaddr: 0 },
  )
  t.same(codes, [53, 54, 1, 3, 6, 28])
  t.match(message, { ciaddr, yiaddr: 0 })
  t.equal(destinationIp, ciaddr)
})

t.test('rapid commit is asked for by an empty option 80, and answered with one (RFC 4039)', async t => {
  t.ok(wantsRapidCommit(request({ raw: [[80, []]] })))
  t.notOk(wantsRapidCommit(request({ raw: [[80, [1]]] })), 'with octets it is malformed')
  t.notOk(wantsRapidCommit(request({})))
  const ack = { type: option.ACK, yiaddr: ip('192.168.105.2'), leaseSeconds: 60 } as const
  const { codes, message } = answer(configured(), {}, { ...ack, rapidCommit: true })
  t.same(codes.slice(0, 4), [53, 54, 51, 80])
  t.equal(message.options.get(80)!.length, 0)
  t.notOk(answer(configured(), { raw: [[80, []]] }, ack).codes.includes(80))
})

t.test(
  'what does not fit the options field goes into file and sname before anything is left out',
  async t => {
    const long = (code: number, octets: number): string => `${code}=${'ab'.repeat(octets)}`
    const segment = configured([long(224, 200), long(225, 110), long(226, 50), long(227, 120)])
    const wanted: Fields = wishes(224, 225, 226, 227, 3)
    const tight = answer(segment, wanted)
    t.ok(tight.frame.length - 14 <= 576)
    t.equal(tight.message.options.get(225)!.length, 110)
    t.same(
      tight.codes.filter(code => code > 200).sort(),
      [224, 225, 226],
      'the wish that found no room is left out',
    )
    t.ok(tight.codes.includes(3), 'a later one that fits is not')
    const wide = answer(segment, { options: [...wanted.options!, [option.MAX_SIZE, 1500]] })
    t.same(
      wide.codes.filter(code => code > 200),
      [224, 225, 226, 227],
    )
    t.equal(wide.frame[42 + 108], 0, 'file is left alone where there is room')
  },
)
