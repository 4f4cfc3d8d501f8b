/**
 * DNS at the gateway of a shared network: what VMs ask there, the host's resolvers are asked, and what those say is
 * passed on unread. For VMs alone: bound to the gateway's address, and other sources are not answered.
 *
 * A VM may ask as much as it likes: what is under way is bounded for each and in all. In all the oldest query makes way,
 * so that a VM which asks under many addresses for what nobody answers does not keep the others from it.
 */

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { isDnsQuery } from '../wire/dns.js'
import { formatIpv4, parseIpv4, type Cidr } from '../wire/ipv4.js'
import { askTcp, askUdp } from './ask.js'
import { framed, MessageReader } from './stream.js'
import { PATIENCE, Upstream } from './upstream.js'

/** Queries over UDP under way: a socket and some 2 kB each. */
const MOST_QUERIES = 512
const MOST_QUERIES_OF_ONE = 64
/** Connections: each may hold two messages of 64 KiB. */
const MOST_CONNECTIONS = 64
const MOST_CONNECTIONS_OF_ONE = 8
/** Milliseconds that a connection may be idle, and that it may last (RFC 7766 §6.2.3). */
const IDLE = 10_000
const LIFE = 120_000

export interface DnsRelayOptions {
  gateway: Cidr
  /** Addresses of the host's resolvers at this moment. */
  resolvers: () => readonly string[]
  random32: () => number
  /** Monotonic ms. */
  now: () => number
  /** Of the relay and of the resolvers; another one for tests. */
  port?: number
  upstreamPort?: number
  /** Milliseconds to wait for a resolver. */
  patience?: number
}

/** What was not answered, and why. */
export interface DnsDrops {
  /** From outside of the subnet. */
  foreign: number
  /** No query. */
  malformed: number
  /** Too many under way. */
  full: number
}

export class DnsRelay {
  readonly drops: DnsDrops = { foreign: 0, malformed: 0, full: 0 }
  readonly #options: DnsRelayOptions
  readonly #upstream: Upstream
  readonly #udp: UdpSocket
  readonly #tcp: Server
  /** Under way, the oldest first. */
  readonly #queries = new Set<AbortController>()
  readonly #connections = new Map<Socket, AbortController>()
  /** By source address; none stays that has nothing under way. */
  readonly #queriesOf = new Map<number, number>()
  readonly #connectionsOf = new Map<number, number>()

  /** @throws the system's error, EADDRINUSE where another program answers at that address already */
  static async open(options: DnsRelayOptions): Promise<DnsRelay> {
    const relay = new DnsRelay(options)
    const host = formatIpv4(options.gateway.address)
    const port = options.port ?? 53
    try {
      relay.#udp.bind({ address: host, port, exclusive: true })
      await once(relay.#udp, 'listening')
      relay.#tcp.listen({ host, port, exclusive: true })
      await once(relay.#tcp, 'listening')
    } catch (error) {
      await relay.close()
      throw error
    }
    // Of one datagram, or of one connection: there is nothing to do about it.
    relay.#udp.on('error', () => {})
    relay.#tcp.on('error', () => {})
    return relay
  }

  private constructor(options: DnsRelayOptions) {
    const { resolvers, upstreamPort = 53, patience = PATIENCE, now, random32 } = options
    this.#options = options
    this.#upstream = new Upstream({ resolvers, port: upstreamPort, patience, now, random32 })
    this.#udp = createSocket('udp4')
    this.#udp.on('message', (message, from) => void this.#answerDatagram(message, from))
    // A client may end its side behind its last query, and still be answered.
    this.#tcp = createServer({ allowHalfOpen: true }, socket => void this.#answerConnection(socket))
    this.#tcp.maxConnections = MOST_CONNECTIONS
  }

  /** How much is under way. */
  get load(): { queries: number; connections: number } {
    return { queries: this.#queries.size, connections: this.#connections.size }
  }

  /** Resolves when nothing of it is left. Once only. */
  async close(): Promise<void> {
    for (const abort of [...this.#queries, ...this.#connections.values()]) abort.abort()
    for (const socket of this.#connections.keys()) socket.destroy()
    const closed = [new Promise<void>(resolve => this.#tcp.close(() => resolve()))]
    closed.push(new Promise(resolve => this.#udp.close(resolve)))
    await Promise.all(closed)
  }

  async #answerDatagram(message: Buffer, { address, port }: RemoteInfo): Promise<void> {
    const source = this.#clientOf(address)
    if (source === undefined) return
    if (!isDnsQuery(message)) {
      this.drops.malformed++
      return
    }
    if (!take(this.#queriesOf, source, MOST_QUERIES_OF_ONE)) {
      this.drops.full++
      return
    }
    if (this.#queries.size === MOST_QUERIES) {
      const [oldest] = this.#queries
      this.#queries.delete(oldest!)
      oldest!.abort()
      this.drops.full++
    }
    const abort = new AbortController()
    this.#queries.add(abort)
    const answer = await this.#upstream.ask(askUdp, message, abort.signal)
    this.#queries.delete(abort)
    release(this.#queriesOf, source)
    // Given up, or the socket may be closed.
    if (answer === undefined || abort.signal.aborted) return
    this.#udp.send(answer, port, address, () => {})
  }

  /** One query after the other; the client's next bytes are not read before. */
  async #answerConnection(socket: Socket): Promise<void> {
    // Before anything else: one that resets at once must not be an error that nobody hears.
    socket.on('error', () => {})
    const source = this.#clientOf(socket.remoteAddress)
    if (source === undefined || !take(this.#connectionsOf, source, MOST_CONNECTIONS_OF_ONE)) {
      if (source !== undefined) this.drops.full++
      socket.destroy()
      return
    }
    const abort = new AbortController()
    this.#connections.set(socket, abort)
    const life = setTimeout(() => socket.destroy(), LIFE)
    socket.setTimeout(IDLE, () => socket.destroy())
    socket.once('close', () => {
      clearTimeout(life)
      abort.abort()
      this.#connections.delete(socket)
      release(this.#connectionsOf, source)
    })
    const reader = new MessageReader()
    try {
      for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        for (let query = reader.push(chunk); query !== undefined; query = reader.next()) {
          if (!isDnsQuery(query)) {
            this.drops.malformed++
            socket.destroy()
            return
          }
          const answer = await this.#upstream.ask(askTcp, query, abort.signal)
          if (answer === undefined) return
          if (!socket.write(framed(answer))) await once(socket, 'drain', { signal: abort.signal })
        }
      }
      socket.end()
    } catch {
      // It was reset or destroyed, which `close` has seen.
    }
  }

  /** The source as a number, if it is a station of the subnet; else it is counted. */
  #clientOf(address = ''): number | undefined {
    const source = parseIpv4(address)
    const { network, broadcast } = this.#options.gateway
    if (source !== undefined && source > network && source < broadcast) return source
    this.drops.foreign++
    return undefined
  }
}

/** Counts one more of a client, unless it has as many as it may. */
function take(counts: Map<number, number>, source: number, most: number): boolean {
  const count = counts.get(source) ?? 0
  if (count >= most) return false
  counts.set(source, count + 1)
  return true
}

function release(counts: Map<number, number>, source: number): void {
  const count = counts.get(source) ?? 0
  if (count <= 1) counts.delete(source)
  else counts.set(source, count - 1)
}
