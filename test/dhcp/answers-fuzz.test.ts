// A million mutated messages to what answers from reservations: nothing throws, nothing stays behind, and every answer is
// what its client has reserved. An answer is judged by the octets that were sent, not by the parser that is tested.

import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { formatIpv4, ipv4Destination } from '../../src/wire/ipv4.js'
import { parseDhcp } from '../../src/wire/dhcp.js'
import { Bench } from './answer-bench.js'
import { BOOTP, held, mutated, pick, random } from './mutation.js'
import { Client, ip } from './segment.js'

t.setTimeout(900_000)

const MESSAGES = 1_000_000
const GATEWAY = ip('10.5.0.1')
/** Stations that speak; every other one has a reservation. */
const CLIENTS = 60

const clients = Array.from({ length: CLIENTS }, (_, n) => {
  const client = new Client(n + 1, n % 5 === 0 ? [1, n & 255, n >> 8] : undefined)
  client.port = `vm${n % 8}`
  return client
})
const records = clients
  .filter((_, n) => n % 2 === 0)
  .map(({ mac }) => ({
    ip: `10.5.0.${mac.lo + 1}`,
    mac: `52:54:00:00:00:${mac.lo.toString(16).padStart(2, '0')}`,
    hostname: `node-${mac.lo}`,
    options: pick([['mtu=1450'], ['tftp-server=10.5.0.1'], [`dns=${'8.8.8.8,'.repeat(120)}1.1.1.1`], []]),
  }))

/** A message as a client sends it, in any of its states, about any address. */
function good(client: Client): Uint8Array {
  const address = pick([ip('10.5.0.2') + random(210), GATEWAY, 0, ip('192.168.1.1')])
  const octets = (): number[] => Array.from({ length: random(300) }, () => random(256))
  const raw: [number, number[]][] = []
  if (random(2)) raw.push([55, Array.from({ length: 1 + random(20) }, () => 1 + random(254))])
  if (random(3) === 0) raw.push([pick([12, 43, 50, 52, 54, 57, 60, 61, 77, 80, 82, 93, 116, 121]), octets()])
  return client.frame({
    type: pick([1, 1, 3, 3, 3, 4, 7, 8, 0, 2, 5, 9]),
    ciaddr: random(3) ? 0 : address,
    flags: pick([0, 0, 0x8000]),
    giaddr: random(12) ? 0 : address,
    hops: random(12) ? 0 : 1,
    sourceIp: random(4) ? 0 : address,
    sourcePort: random(8) ? 68 : 67,
    destinationIp: random(6) ? 0xffffffff : GATEWAY,
    raw,
  })
}

/** Why an answer is wrong; undefined for one that is right. */
function faultOf(asked: Uint8Array, answer: Uint8Array): string | undefined {
  const message = parseDhcp(answer, BOOTP, answer.length - BOOTP)
  if (typeof message === 'string') return message
  const station = (frame: Uint8Array): string =>
    Buffer.from(frame.subarray(BOOTP + 28, BOOTP + 34)).toString('hex')
  const record = records.find(({ mac }) => mac.replaceAll(':', '') === station(asked))
  if (record === undefined) return 'an answer to nobody'
  if (station(answer) !== station(asked)) return 'an answer to another'
  if (formatIpv4(message.yiaddr) !== record.ip) return `${formatIpv4(message.yiaddr)} for ${record.mac}`
  const { options, ciaddr, hops, secs, sname, file } = message
  if (ciaddr !== 0 || hops !== 0 || secs !== 0 || sname !== '' || file !== '')
    return 'a header that is not empty'
  const type = option.getOption(options, option.MESSAGE_TYPE)
  if (type !== option.OFFER && type !== option.ACK) return `type ${type}`
  if (option.getOption(options, option.SERVER_ID) !== GATEWAY) return 'another server'
  if (option.getOption(options, option.LEASE_TIME) !== 300) return 'another time'
  for (const never of [42, 58, 59, 116, 121]) if (options.has(never)) return `option ${never}`
  if (answer.length - 14 > 1500) return 'more than fits'
  const to = Buffer.from(answer.subarray(0, 6)).toString('hex')
  const isRelayed = message.giaddr !== 0
  if (!isRelayed && to !== 'ffffffffffff' && to !== station(asked)) return 'it goes to another station'
  if (isRelayed && ipv4Destination(answer, 14) !== message.giaddr) return 'it goes past the relay'
  return undefined
}

t.test('a million mutated messages', async t => {
  let lines = 0
  const count = (): void => void lines++
  const bench = await Bench.start(records, { log: { info: count, warn: count, error: count } })
  const faults: string[] = []
  let replies = 0
  const tenths: number[] = []
  for (let sent = 0; sent < MESSAGES; sent++) {
    const client = pick(clients)
    const frame = mutated(good(client))
    const answers = bench.ask(frame, client.port)
    if (answers.length > 1) faults.push('two answers')
    for (const answer of answers) {
      replies++
      const fault = faultOf(frame, answer)
      if (fault !== undefined && faults.length < 20) faults.push(fault)
    }
    if (random(10_000) === 0) bench.clock.advance(random(1000))
    if (sent % (MESSAGES / 10) === 0) tenths.push(held())
  }
  t.same(faults, [])
  t.ok(lines > 0)
  const { leases, counters } = bench.answers.status()
  t.ok(leases.length <= records.length, 'no more leases than reservations')
  const grown = Math.min(...tenths.slice(-3)) - Math.max(...tenths.slice(0, 3))
  t.ok(grown < 1024 * 1024, `${(grown / 1024).toFixed()} KiB more at the end than at the beginning`)
  t.ok(replies > MESSAGES / 20, `${replies} answers: most faults get past the door`)
  for (const name of ['discover', 'request', 'decline', 'release', 'inform'])
    t.ok(counters.received[name]! > 0, name)
  const dropped = Object.values(counters.dropped).reduce((sum, each) => sum + each)
  const unanswered = counters.received['decline']! + counters.received['release']!
  t.ok(dropped + replies + unanswered >= MESSAGES, 'whatever is not answered is counted')
})
