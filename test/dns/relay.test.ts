// DNS at the gateway: what goes through as it is, what becomes of resolvers that are dead, and what hostile clients
// and strangers get. Everything is on the loopback, whose 127.0.0.0/8 is the subnet.

import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import fc from 'fast-check'
import t from 'tap'
import { DnsRelay, type DnsRelayOptions } from '../../src/dns/relay.js'
import { framed, MessageReader } from '../../src/dns/stream.js'
import { random32 } from '../../src/random.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import type { Scope } from '../helpers/daemon.js'
import { eventually } from '../contract/patience.js'
import { answerTo, query, rcode, Resolver, SERVFAIL } from './resolver.js'

t.setTimeout(120_000)

const RELAY = '127.0.0.1'
const [FIRST, SECOND] = ['127.0.0.11', '127.0.0.12'] as const
/**
 * Milliseconds to wait for a resolver: so long that no test sees the end of it; for one that is silent, with another
 * that has time to answer; and where none does.
 */
const LONG = 60_000
const SHORT = 1000
const SHORTEST = 50

/** A port that is free at the relay's address by UDP and TCP: two probes see to that. */
async function freePort(t: Scope): Promise<number> {
  const probe = await Resolver.start(t, RELAY)
  probe.stop()
  return probe.port
}

interface Lab {
  relay: DnsRelay
  port: number
  udp(): Promise<UdpSocket>
}

async function startRelay(
  t: Scope,
  resolvers: readonly string[],
  options: Partial<DnsRelayOptions>,
): Promise<Lab> {
  const port = await freePort(t)
  const relay = await DnsRelay.open({
    gateway: parseCidr('127.0.0.1/8')!,
    resolvers: () => resolvers,
    random32,
    now: () => performance.now(),
    port,
    patience: LONG,
    ...options,
  })
  let closed: Promise<void> | undefined
  const close = relay.close.bind(relay)
  relay.close = () => (closed ??= close())
  t.teardown(() => relay.close())
  return { relay, port, udp: () => client(t, port) }
}

async function client(t: Scope, port: number, address = '127.0.0.1'): Promise<UdpSocket> {
  const socket = createSocket('udp4')
  socket.bind(0, address)
  await once(socket, 'listening')
  socket.connect(port, RELAY)
  await once(socket, 'connect')
  t.teardown(() => socket.close())
  return socket
}

async function ask(socket: UdpSocket, message: Buffer): Promise<Buffer> {
  const answer = once(socket, 'message')
  socket.send(message)
  return (await answer)[0] as Buffer
}

async function askTcp(port: number, ...messages: Buffer[]): Promise<Buffer[]> {
  const socket = connect(port, RELAY)
  socket.end(Buffer.concat(messages.map(framed)))
  const reader = new MessageReader()
  const answers: Buffer[] = []
  for await (const chunk of socket) {
    for (let answer = reader.push(chunk as Buffer); answer !== undefined; answer = reader.next())
      answers.push(answer)
  }
  return answers
}

const settled = (relay: DnsRelay) =>
  eventually(
    () => `nothing under way: ${JSON.stringify(relay.load)}`,
    () => relay.load.queries === 0 && relay.load.connections === 0,
  )

t.test(
  'a query and its answer pass as they are but for the ID, which is random, and so is the port',
  async t => {
    const resolver = await Resolver.start(t, FIRST)
    const { relay, udp } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
    const socket = await udp()
    const ids = new Set<number>()
    for (let i = 0; i < 32; i++) {
      const asked = query(7, `name${i}`)
      t.strictSame(await ask(socket, asked), answerTo(asked))
      ids.add(resolver.asked[i].message.readUInt16BE())
      t.strictSame(resolver.asked[i].message.subarray(2), asked.subarray(2))
    }
    t.ok(ids.size > 28, `${ids.size} IDs`)
    t.ok(new Set(resolver.asked.map(({ from }) => from.port)).size > 16)
    await settled(relay)
  },
)

t.test(
  'TC comes through, and the same question by TCP has the long answer, several on one connection',
  async t => {
    const resolver = await Resolver.start(t, FIRST)
    const { relay, udp, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
    resolver.say = asked => {
      const answer = answerTo(asked, '')
      answer[2] |= 0x02
      return answer
    }
    const [short] = [await ask(await udp(), query(1))]
    t.equal(short[2] & 0x02, 0x02)
    const long = 'a'.repeat(60_000)
    resolver.sayByTcp = asked => answerTo(asked, long)
    t.strictSame(
      await askTcp(port, query(1, 'one'), query(2, 'two')),
      [query(1, 'one'), query(2, 'two')].map(asked => answerTo(asked, long)),
    )
    await settled(relay)
  },
)

for (const [how, kill] of [
  ['is silent', (resolver: Resolver) => (resolver.say = resolver.sayByTcp = () => undefined)],
  ['refuses', (resolver: Resolver) => resolver.stop()],
] as const) {
  t.test(`the first resolver ${how}: the next one answers, and is asked first for a while`, async t => {
    const first = await Resolver.start(t, FIRST)
    const second = await Resolver.start(t, SECOND, first.port)
    kill(first)
    let now = 0
    const options = { upstreamPort: first.port, patience: SHORT, now: () => now }
    const { udp, port } = await startRelay(t, [FIRST, SECOND], options)
    const socket = await udp()
    t.strictSame(await ask(socket, query(1)), answerTo(query(1)))
    const before = first.asked.length
    t.strictSame(await ask(socket, query(2)), answerTo(query(2)))
    t.equal(first.asked.length, before, 'not asked again')
    t.strictSame(await askTcp(port, query(3)), [answerTo(query(3))])
    now = 31_000
    t.strictSame(await ask(socket, query(4)), answerTo(query(4)))
    t.strictSame(await askTcp(port, query(5)), [answerTo(query(5))])
    if (how === 'is silent') t.equal(first.asked.length, before + 1, 'it may be back, later')
    t.equal(second.asked.length, 3)
  })
}

t.test('SERVFAIL, with the question in it, when none answers', async t => {
  const first = await Resolver.start(t, FIRST)
  const second = await Resolver.start(t, SECOND, first.port)
  for (const resolver of [first, second]) resolver.say = resolver.sayByTcp = () => undefined
  const { udp, port } = await startRelay(t, [FIRST, SECOND], { upstreamPort: first.port, patience: SHORTEST })
  const answers = [await ask(await udp(), query(0xabcd)), ...(await askTcp(port, query(0xabcd)))]
  t.equal(answers.length, 2)
  for (const answer of answers) {
    t.equal(rcode(answer), SERVFAIL)
    t.equal(answer[2], 0x81, 'a response, recursion desired as it was asked')
    t.strictSame(answer.subarray(4), query(0xabcd).subarray(4))
    t.equal(answer.readUInt16BE(), 0xabcd)
  }
  const { udp: again } = await startRelay(t, [], {})
  t.equal(rcode(await ask(await again(), query(1))), SERVFAIL, 'also of a host without a resolver')
})

t.test(
  'a reply that is not from where was asked, or of another ID, or no response, is not passed on',
  async t => {
    const resolver = await Resolver.start(t, FIRST)
    const forger = await Resolver.start(t, SECOND)
    resolver.say = () => undefined
    const { udp } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
    const socket = await udp()
    const answer = once(socket, 'message')
    socket.send(query(1))
    await resolver.wasAsked(1)
    const [{ message, from }] = resolver.asked
    const send = (by: Resolver, what: Buffer) =>
      new Promise(resolve => by.udp.send(what, from.port, from.address, resolve))
    await send(forger, answerTo(message, 'forged'))
    const other = answerTo(message, 'another ID')
    other.writeUInt16BE((message.readUInt16BE() + 1) & 0xffff)
    await send(resolver, other)
    await send(resolver, message)
    await send(resolver, message.subarray(0, 11))
    await send(resolver, Buffer.alloc(0))
    await send(resolver, answerTo(message, 'right'))
    t.strictSame((await answer)[0], answerTo(query(1), 'right'))
  },
)

t.test('who is not of the subnet is not answered', async t => {
  const resolver = await Resolver.start(t, FIRST)
  const gateway = parseCidr('127.0.0.1/29')!
  const { relay, udp, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port, gateway })
  const stranger = await client(t, port, '127.0.0.99')
  stranger.send(query(1))
  await eventually(
    () => 'the datagram is dropped',
    () => relay.drops.foreign === 1,
  )
  const socket = connect({ port, host: RELAY, localAddress: '127.0.0.99' })
  socket.on('error', () => {})
  socket.write(framed(query(1)))
  await once(socket, 'close')
  t.equal(relay.drops.foreign, 2)
  t.equal(resolver.asked.length + resolver.connections.length, 0)
  t.strictSame(await ask(await udp(), query(2)), answerTo(query(2)))
})

t.test('one client has so many queries under way and no more; another is answered all the same', async t => {
  const resolver = await Resolver.start(t, FIRST)
  resolver.say = () => undefined
  const { relay, udp, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
  const greedy = await udp()
  // In steps, so that no socket's buffer runs over.
  for (let sent = 0; sent < 320; sent += 64) {
    for (let i = 0; i < 64; i++) greedy.send(query(i))
    await eventually(
      () => `${sent + 64} are taken or dropped: ${relay.load.queries}, ${relay.drops.full}`,
      () => relay.load.queries + relay.drops.full === sent + 64,
    )
  }
  t.strictSame([relay.load.queries, relay.drops.full], [64, 256])
  resolver.say = answerTo
  t.strictSame(await ask(await client(t, port, '127.0.0.2'), query(9)), answerTo(query(9)))
})

t.test('queries under many addresses do not keep one from an answer, nor grow what is under way', async t => {
  const resolver = await Resolver.start(t, FIRST)
  resolver.say = () => undefined
  const { relay, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
  let sent = 0
  for (let host = 1; host <= 20; host++) {
    const socket = await client(t, port, `127.0.1.${host}`)
    for (let i = 0; i < 60; i++, sent++) socket.send(query(i))
    await eventually(
      () => `${sent}: ${relay.load.queries}, ${relay.drops.full}`,
      () => relay.load.queries + relay.drops.full === sent,
    )
  }
  t.strictSame([relay.load.queries, relay.drops.full], [512, 1200 - 512])
  resolver.say = answerTo
  t.strictSame(await ask(await client(t, port, '127.0.0.2'), query(9)), answerTo(query(9)))
  await relay.close()
  t.strictSame(relay.load, { queries: 0, connections: 0 }, 'closed, nothing is under way')
})

t.test('connections are bounded for one and in all, and one that goes makes room', async t => {
  const resolver = await Resolver.start(t, FIRST)
  const { relay, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
  const dial = (address: string) => {
    const socket = connect({ port, host: RELAY, localAddress: address })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    return socket
  }
  const idle = Array.from({ length: 8 }, () => dial('127.0.0.5'))
  await eventually(
    () => 'eight are there',
    () => relay.load.connections === 8,
  )
  await once(dial('127.0.0.5'), 'close')
  t.equal(relay.load.connections, 8)
  t.strictSame(await askTcp(port, query(1)), [answerTo(query(1))], 'another client')
  idle[0].destroy()
  await eventually(
    () => 'one is gone',
    () => relay.load.connections === 7,
  )
  for (let host = 1; host <= 8; host++) for (let i = 0; i < 8; i++) dial(`127.0.2.${host}`)
  await eventually(
    () => `all that may be: ${relay.load.connections}`,
    () => relay.load.connections === 64,
  )
  await once(dial('127.0.3.1'), 'close')
  await relay.close()
  await settled(relay)
})

t.test('a client that goes away while its query is under way costs nothing', async t => {
  const resolver = await Resolver.start(t, FIRST)
  resolver.sayByTcp = () => undefined
  const { relay, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port })
  const socket = connect(port, RELAY)
  socket.write(framed(query(1)))
  await resolver.wasAsked(1)
  socket.resetAndDestroy()
  await settled(relay)
  await eventually(
    () => 'the resolver is not kept waiting',
    () => resolver.connections[0].destroyed,
  )
})

t.test('bytes of any kind are dropped, by either way, and the next query is answered', async t => {
  const resolver = await Resolver.start(t, FIRST)
  const { relay, udp, port } = await startRelay(t, [FIRST], { upstreamPort: resolver.port, patience: LONG })
  const socket = await udp()
  // An answer to what only looked like a query would be taken for that of the next.
  resolver.say = message => (message.length === query(1, 'good').length ? answerTo(message) : undefined)
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async bytes => {
      const hostile = Buffer.from(bytes)
      // A response, which is no query, whatever else it is.
      if (hostile.length > 2) hostile[2] |= 0x80
      socket.send(hostile)
      const stream = connect(port, RELAY)
      stream.on('error', () => {})
      stream.resume()
      stream.end(hostile)
      await once(stream, 'close')
      const asked = query(hostile.length, 'good')
      t.strictSame(await ask(socket, asked), answerTo(asked))
    }),
    { numRuns: 100 },
  )
  await settled(relay)
})

t.test('where another has the port, by UDP or by TCP, it is said and nothing is left', async t => {
  const other = await Resolver.start(t, RELAY)
  const opening = (port: number) =>
    DnsRelay.open({
      gateway: parseCidr('127.0.0.1/8')!,
      resolvers: () => [],
      random32,
      now: () => 0,
      port,
    })
  await t.rejects(opening(other.port), { code: 'EADDRINUSE' })
  other.udp.close()
  await once(other.udp, 'close')
  await t.rejects(opening(other.port), { code: 'EADDRINUSE' })
  other.stop()
  const relay = await opening(other.port)
  await relay.close()
})

const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces())
    .flat()
    .some(each => each?.address === '::1')

t.test('resolvers of IPv6 are asked, too', { skip: !hasIpv6() && 'needs IPv6 on the loopback' }, async t => {
  const resolver = createSocket('udp6')
  resolver.bind(0, '::1')
  await once(resolver, 'listening')
  t.teardown(() => resolver.close())
  resolver.on('message', (message, from) => resolver.send(answerTo(message), from.port, from.address))
  const { udp } = await startRelay(t, ['fe80::1%none', '::1'], {
    upstreamPort: resolver.address().port,
    patience: LONG,
  })
  t.strictSame(await ask(await udp(), query(1)), answerTo(query(1)))
})
