// DHCP as talosctl's own server answers it, message for message: octets in, octets out.

import t, { type Test } from 'tap'
import { toRecord, toReservation } from '../../src/dhcp/reservation-file.js'
import { Reservations } from '../../src/dhcp/reservations.js'
import { checkAnswerable } from '../../src/dhcp/answer-reply.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { ip } from './segment.js'
import {
  Bench,
  BROADCAST_IP,
  BROADCAST_MAC,
  frameOf,
  GATEWAY,
  hex,
  NODE,
  NODE_IP,
  NODE_MAC,
  NOWHERE,
  type Octets,
  RELAY_IP,
  RELAY_MAC,
  replyOf,
  SERVER_MAC,
} from './answer-bench.js'

const DISCOVER = '35 01 01'
const REQUEST = '35 01 03'
const INFORM = '35 01 08'
const OFFER = '35 01 02'
const ACK = '35 01 05'
/** What every answer has in front of and behind its type. */
const MASK_ROUTER = '01 04 ff ff ff 00 03 04 0a 05 00 01'
const LEASE = '33 04 00 00 01 2c'
const SERVER = '36 04 0a 05 00 01'
const DNS = '06 08 08 08 08 08 01 01 01 01'
const HOSTNAME = '0c 06 6e 6f 64 65 2d 31'
const MTU = '1a 02 05 aa'
const text = (value: string): string =>
  `${value.length.toString(16).padStart(2, '0')} ${Buffer.from(value).toString('hex')}`
/** The answer to one who asks for nothing that is not always told. */
const plain = (type: string, rest = ''): string => `${MASK_ROUTER} ${LEASE} ${type} ${SERVER} ${rest}`
/** A list of wishes: of the mask and these. */
const wishes = (...codes: number[]): string =>
  `37 ${[codes.length + 1, 1, ...codes].map(code => code.toString(16).padStart(2, '0')).join(' ')}`
const dump = (frames: readonly Uint8Array[]): string[] =>
  frames.map(frame =>
    Buffer.from(frame)
      .toString('hex')
      .replace(/(?:00)+$/, ''),
  )

const same = (t: Test, got: readonly Uint8Array[], expected: readonly Uint8Array[], name: string): void => {
  t.strictSame(dump(got), dump(expected), name)
  t.strictSame(
    got.map(({ length }) => length),
    expected.map(({ length }) => length),
    `${name}: as long`,
  )
}

t.test('an OFFER, written out in full', async t => {
  const bench = await Bench.start()
  const [offer] = bench.ask(frameOf({ options: `${DISCOVER} ${wishes(3, 6, 12, 26)}` }))
  const octets = [
    '525400000002 02766d050001 0800',
    '4500 0148 0000 0000 4011 6599 0a050001 0a050002',
    '0043 0044 0134 5eb9',
    '02 01 06 00 deadbeef 0000 0000 00000000 0a050002 0a050001 00000000',
    '525400000002 00000000000000000000',
    '00'.repeat(64 + 128),
    '63825363 0104ffffff00 03040a050001 06080808080801010101 0c066e6f64652d31 1a0205aa',
    '33040000012c 350102 36040a050001 ff',
  ].join('')
  t.equal(dump([offer!])[0], Buffer.from(hex(octets)).toString('hex'))
})

t.test('DISCOVER gets an OFFER, REQUEST and INFORM an ACK: address, mask, router, server, 300 s', async t => {
  const bench = await Bench.start()
  for (const [asked, answered] of [
    [DISCOVER, OFFER],
    [REQUEST, ACK],
    [INFORM, ACK],
  ] as const) {
    const frames = bench.ask(frameOf({ options: `${asked} ${wishes()}` }))
    same(t, frames, [replyOf({ options: plain(answered) })], answered)
  }
})

t.test('DNS, hostname and MTU when asked for, each alone and all of them', async t => {
  const bench = await Bench.start()
  for (const [codes, options] of [
    [[6], `${MASK_ROUTER} ${DNS} ${LEASE}`],
    [[12], `${MASK_ROUTER} ${HOSTNAME} ${LEASE}`],
    [[26], `${MASK_ROUTER} ${MTU} ${LEASE}`],
    [[26, 12, 6], `${MASK_ROUTER} ${DNS} ${HOSTNAME} ${MTU} ${LEASE}`],
  ] as const) {
    for (const [asked, type] of [
      [DISCOVER, OFFER],
      [REQUEST, ACK],
      [INFORM, ACK],
    ] as const) {
      const frames = bench.ask(frameOf({ options: `${asked} ${wishes(...codes)}` }))
      same(t, frames, [replyOf({ options: `${options} ${type} ${SERVER}` })], `${codes} ${type}`)
    }
  }
})

t.test('one that says no wishes gets everything', async t => {
  const bench = await Bench.start()
  const options = `${MASK_ROUTER} ${DNS} ${HOSTNAME} ${MTU} ${LEASE} ${OFFER} ${SERVER}`
  same(t, bench.ask(frameOf({ options: DISCOVER })), [replyOf({ options })], 'without option 55')
  same(t, bench.ask(frameOf({ options: `${DISCOVER} 37 00` })), [replyOf({ options })], 'with an empty one')
})

t.test('what a reservation does not say: no hostname, and else what the network has', async t => {
  const bench = await Bench.start([{ ip: NODE.ip, mac: NODE.mac! }])
  const options = `${MASK_ROUTER} 06 04 0a 05 00 01 1a 02 05 dc ${LEASE} ${OFFER} ${SERVER}`
  same(t, bench.ask(frameOf({ options: DISCOVER })), [replyOf({ options })], 'defaults')
  const none = await Bench.start([{ ...NODE, options: ['dns=none', 'router=10.5.0.9', 'mtu=none'] }])
  const other = `01 04 ff ff ff 00 03 04 0a 05 00 09 ${HOSTNAME} ${LEASE} ${OFFER} ${SERVER}`
  same(t, none.ask(frameOf({ options: DISCOVER })), [replyOf({ options: other })], 'another router, and none')
})

const BOOT = ['tftp-server=10.5.0.1', 'boot-file=ipxe/arm64/snp.efi']
const TFTP = `42 ${text('10.5.0.1')}`
const file = (arch: string): string => `43 ${text(`ipxe/${arch}/snp.efi`)}`

t.test('with 67 asked for: siaddr and 66 are the TFTP server, 67 is the boot file', async t => {
  const bench = await Bench.start([{ ...NODE, options: ['tftp-server=10.5.0.7', 'boot-file=own.efi'] }])
  const asked = frameOf({ options: `${DISCOVER} ${wishes(67)}` })
  const boot = `42 ${text('10.5.0.7')} 43 ${text('own.efi')}`
  const expected = replyOf({ siaddr: '0a 05 00 07', options: plain(OFFER, boot) })
  same(t, bench.ask(asked), [expected], '66 comes with it, wished for or not')
  const only66 = bench.ask(frameOf({ options: `${DISCOVER} ${wishes(66)}` }))
  same(t, only66, [replyOf({ options: plain(OFFER) })], '66 alone is no question')

  const named = await Bench.start([{ ...NODE, options: ['tftp-server=tftp.lab', 'boot-file=own.efi'] }])
  const name = replyOf({
    siaddr: NOWHERE,
    options: plain(OFFER, `42 ${text('tftp.lab')} 43 ${text('own.efi')}`),
  })
  same(t, named.ask(asked), [name], 'a name is no address')

  const next = ['tftp-server=tftp.lab', 'next-server=10.5.0.8', 'boot-file=own.efi']
  const pointed = await Bench.start([{ ...NODE, options: next }])
  const pointing = {
    siaddr: '0a 05 00 08',
    options: plain(OFFER, `42 ${text('tftp.lab')} 43 ${text('own.efi')}`),
  }
  same(t, pointed.ask(asked), [replyOf(pointing)], 'a next server of its own')

  same(
    t,
    (await Bench.start()).ask(asked),
    [replyOf({ options: plain(OFFER) })],
    'one that boots from its disk',
  )
})

t.test('PXE firmware of either architecture gets ipxe/ARCH/snp.efi', async t => {
  const pxe = (arch: string): Uint8Array =>
    frameOf({ options: `${DISCOVER} ${wishes(66, 67)} 5d 02 ${arch}` })
  const offered = (boot: string): Uint8Array => replyOf({ options: plain(OFFER, boot) })
  const recorded = await Bench.start([{ ...NODE, options: BOOT }])
  same(t, recorded.ask(pxe('00 0b')), [offered(`${TFTP} ${file('arm64')}`)], 'as the record has it')
  same(t, recorded.ask(pxe('00 07')), [offered(`${TFTP} ${file('arm64')}`)], 'whatever the client says')
  const unnamed = await Bench.start([{ ...NODE, options: ['tftp-server=10.5.0.1'] }])
  same(t, unnamed.ask(pxe('00 0b')), [offered(`${TFTP} ${file('arm64')}`)], 'arm64 by option 93')
  for (const x64 of ['00 07', '00 09'])
    same(t, unnamed.ask(pxe(x64)), [offered(`${TFTP} ${file('amd64')}`)], `x86_64 by option 93, ${x64}`)
  for (const other of ['00 00', '00 06', 'ff ff'])
    same(t, unnamed.ask(pxe(other)), [offered(TFTP)], `no file for ${other}`)
})

t.test('an unknown MAC gets silence, whatever it asks and whatever it calls itself', async t => {
  const bench = await Bench.start()
  const id = '3d 07 01 52 54 00 00 00 02'
  for (const type of [DISCOVER, REQUEST, INFORM, '35 01 04', '35 01 07']) {
    const unknown = { from: '52 54 00 00 00 03', chaddr: '52 54 00 00 00 03' }
    same(t, bench.ask(frameOf({ ...unknown, options: `${type} ${id} ${HOSTNAME}` })), [], type)
  }
  t.equal(bench.answers.status().counters.dropped['unknown-client'], 5)
  t.match(bench.log.messages[0], /^DHCPDISCOVER\(vm1\) 52:54:00:00:00:03 node-1 no reservation$/)
  // The address in the message counts, as with talosctl, and not that of the frame.
  same(
    t,
    bench.ask(frameOf({ from: '52 54 00 00 00 03', options: `${DISCOVER} ${wishes()}` })),
    [replyOf({ options: plain(OFFER) })],
    'chaddr tells the client',
  )
})

t.test('DECLINE and RELEASE change nothing, and what is no message of a client is dropped', async t => {
  const bench = await Bench.start()
  bench.ask(frameOf({ options: REQUEST }))
  const before = bench.answers.status().leases
  t.match(before, [{ ip: '10.5.0.2', state: 'bound' }])
  const away: Partial<Octets> = { ciaddr: NODE_IP, source: NODE_IP, destination: GATEWAY, to: SERVER_MAC }
  for (const type of ['35 01 04 32 04 0a 05 00 02', '35 01 07']) {
    same(t, bench.ask(frameOf({ ...away, options: `${type} ${SERVER}` })), [], type)
  }
  t.strictSame(bench.answers.status().leases, before)
  for (const type of ['', OFFER, ACK, '35 01 06', '35 01 09', '35 02 01 01'])
    same(t, bench.ask(frameOf({ options: type })), [], `type ${type}`)
  same(t, bench.ask(frameOf({ op: '02', options: DISCOVER })), [], 'a BOOTREPLY')
  const { received, dropped } = bench.answers.status().counters
  t.match(
    { received, dropped },
    {
      received: { decline: 1, release: 1, request: 1 },
      dropped: { 'message-type': 6, 'not-request': 1 },
    },
  )
})

t.test(
  'a renewal by unicast to the gateway: an ACK to the address that the client has, ciaddr empty',
  async t => {
    const bench = await Bench.start()
    const renewal = { to: SERVER_MAC, ciaddr: NODE_IP, source: NODE_IP, destination: GATEWAY }
    const options = `${REQUEST} ${wishes(3)}`
    same(t, bench.ask(frameOf({ ...renewal, options })), [replyOf({ options: plain(ACK) })], 'RENEWING')
    const rebinding = { ciaddr: NODE_IP, source: NODE_IP }
    same(t, bench.ask(frameOf({ ...rebinding, options })), [replyOf({ options: plain(ACK) })], 'REBINDING')
    const flagged = replyOf({ flags: '80 00', options: plain(ACK) })
    same(
      t,
      bench.ask(frameOf({ ...renewal, flags: '80 00', options })),
      [flagged],
      'it can take unicast by now',
    )
    const elsewhere = { ...renewal, ciaddr: '0a 05 00 63', source: '0a 05 00 63' }
    const told = replyOf({ destination: '0a 05 00 63', options: plain(ACK) })
    same(t, bench.ask(frameOf({ ...elsewhere, options })), [told], 'at another address: it is told its own')
  },
)

t.test('a REQUEST that names another server, or another address, gets what is reserved', async t => {
  const bench = await Bench.start()
  const ack = replyOf({ options: plain(ACK) })
  for (const more of [
    '36 04 0a 05 00 63',
    '32 04 0a 05 00 63',
    '32 04 c0 a8 01 02 36 04 c0 a8 01 01',
    '36 01 00',
  ])
    same(t, bench.ask(frameOf({ options: `${REQUEST} ${more} ${wishes()}` })), [ack], more)
})

t.test('the broadcast flag: the answer goes to everybody, the flag with it', async t => {
  const bench = await Bench.start()
  const to = { to: BROADCAST_MAC, destination: BROADCAST_IP, flags: '80 00' }
  for (const [asked, type] of [
    [DISCOVER, OFFER],
    [REQUEST, ACK],
  ] as const) {
    const frames = bench.ask(frameOf({ flags: '80 00', options: `${asked} ${wishes()}` }))
    same(t, frames, [replyOf({ ...to, options: plain(type) })], type)
  }
  const odd = bench.ask(frameOf({ flags: '12 34', options: `${DISCOVER} ${wishes()}` }))
  same(t, odd, [replyOf({ flags: '12 34', options: plain(OFFER) })], 'all of the flags come back')
})

t.test('a relay of the segment is answered at its own address, with what it said, last', async t => {
  const bench = await Bench.start()
  const relayed: Partial<Octets> = {
    from: RELAY_MAC,
    giaddr: RELAY_IP,
    source: RELAY_IP,
    destination: GATEWAY,
    sourcePort: 67,
    hops: '01',
  }
  const said = '52 06 01 04 09 08 07 06'
  const frames = bench.ask(frameOf({ ...relayed, options: `${DISCOVER} ${said} ${wishes(67)}` }))
  const to = { to: RELAY_MAC, destination: RELAY_IP, destinationPort: 67, giaddr: RELAY_IP }
  same(t, frames, [replyOf({ ...to, options: plain(OFFER, said) })], 'OFFER')
  for (const wrong of [
    { giaddr: '0a 06 00 fa', source: '0a 06 00 fa' },
    { source: NOWHERE },
    { giaddr: GATEWAY },
  ])
    same(t, bench.ask(frameOf({ ...relayed, ...wrong, options: DISCOVER })), [], JSON.stringify(wrong))
  t.equal(bench.answers.status().counters.dropped['relayed'], 3)
})

t.test('the client identifier comes back (RFC 6842), in the order of the numbers', async t => {
  const bench = await Bench.start()
  const id = '3d 07 01 52 54 00 00 00 02'
  same(
    t,
    bench.ask(frameOf({ options: `${id} ${DISCOVER} ${wishes(6)}` })),
    [replyOf({ options: `${MASK_ROUTER} ${DNS} ${LEASE} ${OFFER} ${SERVER} ${id}` })],
    'as it came',
  )
  const said = '52 02 01 00'
  same(
    t,
    bench.ask(frameOf({ options: `${said} ${DISCOVER} ${id} ${wishes()}` })),
    [replyOf({ options: plain(OFFER, `${id} ${said}`) })],
    'and what a relay could have said, last',
  )
})

t.test('an INFORM gets its ACK at the address that it has', async t => {
  const bench = await Bench.start()
  const inform = { to: SERVER_MAC, ciaddr: NODE_IP, source: NODE_IP, destination: GATEWAY }
  const options = `${INFORM} ${wishes(6)}`
  const expected = replyOf({ options: `${MASK_ROUTER} ${DNS} ${LEASE} ${ACK} ${SERVER}` })
  same(t, bench.ask(frameOf({ ...inform, options })), [expected], 'INFORM')
  t.strictSame(bench.answers.status().leases, [], 'it is no lease')
})

t.test('121 and NTP are never told, asked for or not, and cannot be reserved', async t => {
  const bench = await Bench.start()
  const every = Array.from({ length: 253 }, (_, i) => i + 2).filter(code => ![6, 12, 26, 67].includes(code))
  same(
    t,
    bench.ask(frameOf({ options: `${DISCOVER} ${wishes(...every)}` })),
    [replyOf({ options: plain(OFFER) })],
    'asked for everything else',
  )
  const add = (options: string[]) => bench.reservations.add(toReservation({ ...NODE, options })!)
  for (const [option, number] of [
    ['static-routes=10.0.0.0/8,10.5.0.1', 121],
    ['ntp=10.5.0.1', 42],
    ['224=dead', 224],
  ])
    await t.rejects(add([String(option)]), {
      code: 'ERR_RESERVATION_OPTIONS',
      message: new RegExp(`never tells option ${number}$`),
      hint: /router, dns/,
    })
  t.strictSame(bench.reservations.list().map(toRecord), [NODE])
})

t.test('only a MAC can have a reservation; a second one takes the place of the first', async t => {
  const bench = await Bench.start()
  for (const match of [{ name: 'node-1' }, { clientId: Uint8Array.of(1, 2) }])
    await t.rejects(bench.reservations.add({ ip: ip('10.5.0.3'), match }), { code: 'ERR_RESERVATION_MATCH' })
  const asked = frameOf({ options: `${DISCOVER} ${wishes()}` })
  await bench.reservations.add(toReservation({ ...NODE, ip: '10.5.0.3' })!)
  const moved = { destination: '0a 05 00 03', yiaddr: '0a 05 00 03' }
  same(t, bench.ask(asked), [replyOf({ ...moved, options: plain(OFFER) })], 'the last record wins')
  await bench.reservations.add(toReservation({ ip: '10.5.0.3', mac: '52:54:00:00:00:03' })!)
  same(t, bench.ask(asked), [], 'a cluster that is made anew has the address')
})

t.test('reservations that were kept are there from the start, but for those of no use', async t => {
  const bench = await Bench.start([])
  const kept = [NODE, { ip: '10.6.0.2', mac: '52:54:00:00:00:04' }].map(each => toReservation(each)!)
  const reservations = new Reservations({
    kept,
    subnet: parseCidr('10.5.0.1/24')!,
    taken: [],
    log: bench.log,
    clock: bench.clock,
    check: checkAnswerable,
  })
  await reservations.load()
  t.strictSame(reservations.list().map(toRecord), [NODE])
  t.match(bench.log.messages, [/10\.6\.0\.2 .* is not used: 10\.6\.0\.2 is not in 10\.5\.0\.1\/24/])
})

t.test('leases: who had an ACK and until when, and an end to that', async t => {
  const bench = await Bench.start()
  bench.ask(frameOf({ options: DISCOVER }))
  t.strictSame(bench.answers.status().leases, [], 'an OFFER is none')
  bench.ask(frameOf({ options: `${REQUEST} 3d 07 01 52 54 00 00 00 02` }))
  const bound = {
    ip: '10.5.0.2',
    mac: '52:54:00:00:00:02',
    clientId: '01525400000002',
    hostname: 'node-1',
    expires: '2026-01-01T00:05:00.000Z',
    state: 'bound',
  }
  t.strictSame(bench.answers.status().leases, [bound])
  t.strictSame(bench.answers.at(ip('10.5.0.2')), bound)
  t.equal(bench.answers.at(ip('10.5.0.3')), undefined)
  bench.clock.advance(200)
  bench.ask(frameOf({ options: REQUEST, ciaddr: NODE_IP, source: NODE_IP }))
  t.match(bench.answers.status().leases, [{ expires: '2026-01-01T00:08:20.000Z', state: 'bound' }])
  bench.clock.advance(300)
  t.match(bench.answers.status().leases, [{ state: 'expired' }])
  t.strictSame(await bench.answers.release({ ip: ip('10.5.0.2') }), [], 'what is over cannot be released')

  bench.ask(frameOf({ options: REQUEST }))
  t.match(await bench.answers.release({ mac: { hi: 0x5254, lo: 2 } }), [{ ip: '10.5.0.2', state: 'expired' }])
  t.strictSame(bench.answers.status().leases, [])
  same(
    t,
    bench.ask(frameOf({ options: `${REQUEST} ${wishes()}` })),
    [replyOf({ options: plain(ACK) })],
    'it may come again',
  )
  await bench.reservations.remove({ ip: ip('10.5.0.2') })
  t.strictSame(bench.answers.status().leases, [], 'gone with its reservation')
})

t.test('what the log says', async t => {
  const bench = await Bench.start()
  bench.ask(frameOf({ options: DISCOVER }), 'vm3')
  bench.ask(frameOf({ options: `${REQUEST} 32 04 0a 05 00 02` }), 'vm3')
  t.strictSame(bench.log.messages, [
    'DHCPDISCOVER(vm3) 52:54:00:00:00:02',
    'DHCPOFFER(vm3) 10.5.0.2 52:54:00:00:00:02',
    'DHCPREQUEST(vm3) 10.5.0.2 52:54:00:00:00:02',
    'DHCPACK(vm3) 10.5.0.2 52:54:00:00:00:02',
  ])
})

t.test(
  'what is more than the client takes goes into other fields, then is left out, never what must be',
  async t => {
    const dns = `dns=${Array.from({ length: 200 }, (_, n) => `10.5.1.${n}`).join(',')}`
    const boot = [`tftp-server=${'t'.repeat(255)}`, `boot-file=${'b'.repeat(255)}`]
    const bench = await Bench.start([{ ...NODE, options: [dns, ...boot] }])
    const id = `3d ff ${'07'.repeat(255)}`
    for (const size of ['', '39 02 00 00', '39 02 05 dc', '39 02 ff ff']) {
      const [offer] = bench.ask(frameOf({ options: `${DISCOVER} ${id} ${size}` }))
      t.ok(
        offer!.length - 14 <= (size.endsWith('dc') || size.endsWith('ff') ? 1500 : 576),
        `${offer!.length} octets`,
      )
      for (const must of [OFFER, SERVER, LEASE, '01 04 ff ff ff 00', id])
        t.ok(Buffer.from(offer!).includes(Buffer.from(hex(must))), `${must.slice(0, 8)} with ${size}`)
    }
  },
)

t.test('ARP for the gateway is answered where no host has it', async t => {
  const arp = Uint8Array.from(
    hex(`ffffffffffff ${NODE_MAC} 0806 0001 0800 06 04 0001 ${NODE_MAC} ${NODE_IP} 000000000000 ${GATEWAY}`),
  )
  const alone = await Bench.start([NODE], { answersArp: true })
  same(
    t,
    alone.ask(arp),
    [
      Uint8Array.from(
        hex(
          `${NODE_MAC} ${SERVER_MAC} 0806 0001 0800 06 04 0002 ${SERVER_MAC} ${GATEWAY} ${NODE_MAC} ${NODE_IP}`,
        ),
      ),
    ],
    'its own',
  )
  same(t, (await Bench.start()).ask(arp), [], "the host's")
})
