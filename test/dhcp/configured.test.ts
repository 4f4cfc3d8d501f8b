import type { Fields } from './segment.js'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { ReplyBuilder } from '../../src/dhcp/reply.js'
import { IPV4_BROADCAST } from '../../src/wire/ipv4.js'
import { MAC_BROADCAST } from '../../src/wire/mac.js'
import { answer, configured, OFFERED, request } from './replies.js'
import { ip } from './segment.js'

const wishes = (...codes: number[]): Fields => ({ options: [[option.PARAMETER_LIST, codes]] })
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')

t.test('configured options go to those that ask, in their order', async t => {
  const segment = configured(['ntp=192.168.105.1', 'search=lab.internal', '224=dead', 'vendor=0102'])
  t.same(answer(segment, wishes(224, 42, 99, 119)).codes, [53, 54, 51, 224, 42, 119, 58, 59, 1])
  t.same(answer(segment, wishes(1)).codes, [53, 54, 51, 1, 58, 59])
  t.same(
    answer(segment).codes,
    [53, 54, 51, 1, 3, 6, 28, 42, 119, 224, 43, 58, 59],
    'or to one without wishes',
  )
})

t.test('a configured option stands in the place of a default, none leaves it out', async t => {
  const segment = configured(['router=192.168.105.9', 'dns=none', 'broadcast=none', 'hostname=none'], {
    mtu: 1500,
  })
  const { codes, message } = answer(segment, {}, { ...OFFERED, hostname: 'web' })
  t.same(codes, [53, 54, 51, 1, 3, 26, 58, 59])
  t.same(option.getOption(message.options, option.ROUTER), [ip('192.168.105.9')])
  t.notOk(answer(segment, wishes(12, 6), { ...OFFERED, hostname: 'web' }).codes.includes(12))
  const named = configured(['hostname=any'])
  const nameOf = (hostname?: string): string | undefined =>
    option.getOption(
      answer(named, wishes(12), { ...OFFERED, ...(hostname !== undefined && { hostname }) }).message.options,
      option.HOSTNAME,
    )
  t.same([nameOf(), nameOf('web')], ['any', 'web'], "a client's own name comes first")
})

t.test(
  'static routes hold the way out as well, since who takes them ignores the router (RFC 3442)',
  async t => {
    const routesOf = (...texts: string[]): string =>
      text(answer(configured(texts), wishes(121, 3)).message.options.get(121))
    t.equal(routesOf('static-routes=10.0.0.0/8,192.168.105.2'), '080ac0a86902' + '00c0a86901')
    t.equal(
      routesOf('static-routes=10.0.0.0/8,192.168.105.2', 'router=192.168.105.3'),
      '080ac0a86902' + '00c0a86903',
    )
    t.equal(routesOf('static-routes=10.0.0.0/8,192.168.105.2', 'router=none'), '080ac0a86902')
    t.equal(routesOf('static-routes=0.0.0.0/0,192.168.105.2'), '00c0a86902', 'one that was given is kept')
    t.equal(routesOf(), '', 'and nobody gets routes where none are configured')
  },
)

t.test('the next server is named in offers and ACKs', async t => {
  const segment = configured(['next-server=192.168.105.9'])
  t.equal(answer(segment).message.siaddr, ip('192.168.105.9'))
  const ack = answer(segment, { type: option.INFORM }, { type: option.ACK, yiaddr: 0 })
  t.equal(ack.message.siaddr, ip('192.168.105.9'))
  t.equal(answer(segment, {}, { type: option.NAK, why: 'no' }).message.siaddr, 0)
})

t.test('auto-configure is told to those that say the word (RFC 2563)', async t => {
  const segment = configured(['auto-configure=no'])
  const asks: Fields = { raw: [[116, [1]]] }
  t.equal(text(answer(segment, asks).message.options.get(116)), '00')
  t.notOk(answer(segment).codes.includes(116), 'not without, even where there are no wishes')
  t.notOk(answer(segment, wishes(116)).codes.includes(116), 'a wish is no word')
  t.notOk(answer(configured(), asks).codes.includes(116))
})

t.test('where no address is left, a client hears that it is to choose none, and nothing else', async t => {
  const builder = new ReplyBuilder(configured(['auto-configure=no']))
  const asks: Fields = { raw: [[116, [1]]] }
  const reply = builder.withoutAddress(request(asks))!
  t.strictSame(reply, { type: option.OFFER, yiaddr: 0 })
  t.equal(builder.withoutAddress(request({})), undefined)
  t.equal(new ReplyBuilder(configured()).withoutAddress(request(asks)), undefined)
  const { codes, message, destination, destinationIp } = answer(
    configured(['auto-configure=no', 'next-server=10.0.0.1']),
    asks,
    reply,
  )
  t.same(codes, [53, 54, 116])
  t.match(message, { yiaddr: 0, siaddr: 0 })
  t.same([destination, destinationIp], [MAC_BROADCAST, IPV4_BROADCAST], 'it has no address to be found at')
})

t.test('only who asks may be told to do without IPv4 (RFC 8925)', async t => {
  const segment = configured(['ipv6-only=1800'])
  t.ok(answer(segment, wishes(108)).codes.includes(108))
  t.notOk(answer(segment, wishes(1, 3)).codes.includes(108))
  t.notOk(answer(segment).codes.includes(108), 'no wishes are no wish for that')
  t.notOk(answer(configured(), wishes(108)).codes.includes(108))
})

t.test('a search list over 255 octets reaches a client that takes it', async t => {
  const names = Array.from({ length: 14 }, (_, i) => `${'n'.repeat(30)}${i}.example${i}.com`)
  const segment = configured([`search=${names.join(',')}`])
  const { message } = answer(segment, { options: [...wishes(119).options!, [option.MAX_SIZE, 1500]] })
  t.ok(message.options.get(119)!.length > 255)
  t.same(option.getOption(message.options, option.SEARCH), names)
})
