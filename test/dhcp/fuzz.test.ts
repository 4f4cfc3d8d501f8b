// A million mutated messages: nothing throws, nothing stays behind, and no reply says what it must not. What a reply may
// say is read off the bytes that were sent, at fixed offsets, by rules that share nothing with the server's own parser.

import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { BOOTP, held, mutated, OPTIONS, pick, random } from './mutation.js'
import { Client, ip, range, Segment, type Received } from './segment.js'

t.setTimeout(900_000)

const MESSAGES = 1_000_000
const BATCH = 500
const RANGE = range('192.168.105.2-192.168.105.199')
const SERVER = ip('192.168.105.1')
const CLIENTS = 300

// Offsets into a message.
const XID = BOOTP + 4
const FLAGS = BOOTP + 10
const CIADDR = BOOTP + 12
const GIADDR = BOOTP + 24
const CHADDR = BOOTP + 28

const clients = Array.from({ length: CLIENTS }, (_, n) => {
  const client = new Client(n + 1, n % 5 === 0 ? [1, n & 255, n >> 8] : undefined)
  client.port = `vm${n % 8}`
  return client
})

/** A message as a client sends it, in any of its states, about any address. */
function good(client: Client): Uint8Array {
  const address = pick([RANGE.first + random(210), SERVER, 0, ip('10.0.0.1')])
  const options: [typeof option.REQUESTED_IP, unknown][] = []
  if (random(2)) options.push([option.REQUESTED_IP, address])
  if (random(3) === 0) options.push([option.SERVER_ID, pick([SERVER, SERVER, SERVER + 1])])
  if (random(2))
    options.push([
      option.PARAMETER_LIST as never,
      Array.from({ length: 1 + random(20) }, () => 1 + random(254)),
    ])
  if (random(4) === 0)
    options.push([option.HOSTNAME as never, pick(['web', 'x'.repeat(300), '\u001b[2J', '-'])])
  if (random(4) === 0) options.push([option.MAX_SIZE as never, random(65_536)])
  if (random(6) === 0) options.push([option.LEASE_TIME, random(2 ** 32)])
  const raw: [number, number[]][] = []
  if (random(4) === 0)
    raw.push([
      pick([12, 43, 52, 60, 61, 77, 80, 82, 93, 108, 116, 121, 175]),
      Array.from({ length: random(300) }, () => random(256)),
    ])
  return client.frame({
    type: pick([1, 1, 1, 3, 3, 3, 3, 4, 7, 8, 0, 2, 5, 9]),
    ciaddr: random(3) ? 0 : address,
    flags: pick([0, 0, 0x8000]),
    giaddr: random(12) ? 0 : address,
    hops: random(12) ? 0 : 1,
    sourceIp: random(4) ? 0 : address,
    sourcePort: random(8) ? 68 : 67,
    destinationIp: random(6) ? 0xffffffff : SERVER,
    options: options as never,
    raw,
  })
}

const u32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at)
const key = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(CHADDR, CHADDR + 6)).toString('hex')

/** Questions that may still be answered, by transaction and hardware address. */
type Asked = Map<string, Uint8Array[]>

/** Why a reply is wrong; undefined for one that is right. Mutation makes twins: one of them may have been meant. */
function faultOf(reply: Received, asked: Asked): string | undefined {
  const questions = asked.get(`${reply.message.xid} ${key(reply.frame)}`) ?? []
  const faults = questions.map(question => faultAs(reply, question))
  return faults.includes(undefined) ? undefined : (faults[0] ?? 'an answer that nobody asked for')
}

function faultAs({ message, type, frame }: Received, question: Uint8Array): string | undefined {
  if (question[BOOTP] !== 1 || question[BOOTP + 1] !== 1 || question[BOOTP + 2] !== 6)
    return 'an answer to no client'
  if (question[CHADDR] & 1) return 'an answer to a group'
  if (u32(question, GIADDR) !== message.giaddr) return 'another relay'
  // A NAK tells a relay to broadcast it, whatever the client said.
  const broadcast = type === option.NAK && message.giaddr !== 0 ? 0x8000 : 0
  if (((question[FLAGS] << 8) | question[FLAGS + 1] | broadcast) !== message.flags) return 'other flags'
  if (option.getOption(message.options, option.SERVER_ID) !== SERVER) return 'another server'
  const bound = type === option.ACK && message.yiaddr !== 0
  if (type !== option.OFFER && type !== option.ACK && type !== option.NAK) return `type ${type}`
  if (type === option.NAK && message.yiaddr !== 0) return 'a NAK with an address'
  if (type === option.ACK && u32(question, CIADDR) !== message.ciaddr) return 'another ciaddr'
  if (type === option.OFFER || bound) {
    if (message.yiaddr < RANGE.first || message.yiaddr > RANGE.last)
      return `${formatIpv4(message.yiaddr)} is not leased here`
    const seconds = option.getOption(message.options, option.LEASE_TIME) ?? 0
    if (seconds < 120 || seconds > 3600) return `${seconds} s`
  } else if (message.options.has(option.LEASE_TIME.code)) return 'a lease time without an address'
  if (frame.length - 14 > 1500) return 'more than fits'
  return undefined
}

t.test('a million mutated messages', async t => {
  const count = (): void => void lines++
  let lines = 0
  const segment = await Segment.start({ range: RANGE, log: { info: count, warn: count, error: count } })
  const faults: string[] = []
  let replies = 0
  /** After each tenth: what is held goes up and down by a MiB with what the clients have. */
  const tenths: number[] = []
  for (let sent = 0; sent < MESSAGES;) {
    const asked: Asked = new Map()
    for (const end = sent + BATCH; sent < end; sent++) {
      const client = pick(clients)
      const frame = mutated(good(client))
      if (frame.length >= OPTIONS) {
        const name = `${u32(frame, XID)} ${key(frame)}`
        asked.set(name, [...(asked.get(name) ?? []), frame])
      }
      segment.feed(frame, client.port)
    }
    segment.clock.pass(200)
    await segment.server.flush()
    segment.takeProbes()
    for (const reply of segment.take()) {
      replies++
      const fault = faultOf(reply, asked)
      if (fault !== undefined && faults.length < 20) faults.push(fault)
    }
    const { leases } = segment.server.status()
    if (new Set(leases.map(lease => lease.ip)).size !== leases.length) faults.push('an address twice')
    if (leases.length > 198) faults.push('more leases than addresses')
    if (random(20) === 0) segment.clock.advance(random(1000))
    if (random(200) === 0) await segment.restart()
    if (sent % (MESSAGES / 10) === 0) tenths.push(held())
  }
  t.same(faults, [])
  t.ok(lines > 0)
  const grown = Math.min(...tenths.slice(-3)) - Math.max(...tenths.slice(0, 3))
  t.ok(grown < 1024 * 1024, `${(grown / 1024).toFixed()} KiB more at the end than at the beginning`)
  t.ok(replies > MESSAGES / 10, `${replies} replies: most faults get past the door`)
  const { received, sent } = segment.server.status().counters
  for (const name of ['discover', 'request', 'decline', 'release', 'inform']) t.ok(received[name]! > 0, name)
  for (const name of ['offer', 'ack', 'nak']) t.ok(sent[name]! > 0, name)
})
