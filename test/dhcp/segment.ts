// A segment with nothing on it but the DHCP server: clients that build real frames and read real replies, a
// clock that is turned by hand, a store in memory, and a log that is kept.

import type { DhcpLog, LeaseStore } from '../../src/dhcp/lease-store.js'
import type { DhcpClock } from '../../src/dhcp/clock.js'
import type { LeaseChange, StoredState } from '../../src/dhcp/leases.js'
import type { DhcpOption } from '../../src/dhcp/options.js'
import type { DhcpServerOptions } from '../../src/dhcp/server.js'
import type { DhcpMessage } from '../../src/wire/dhcp.js'
import type { Mac } from '../../src/wire/mac.js'
import * as option from '../../src/dhcp/options.js'
import { DhcpServer } from '../../src/dhcp/server.js'
import { checksum, pseudoHeader4 } from '../../src/wire/checksum.js'
import { emitDhcp, parseDhcp } from '../../src/wire/dhcp.js'
import { arpSenderIp, arpTargetIp } from '../../src/wire/arp.js'
import {
  emitEthernet,
  ETHERNET_HEADER,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  etherType,
} from '../../src/wire/ethernet.js'
import { PROBE_WAIT } from '../../src/dhcp/prober.js'
import * as ipv4 from '../../src/wire/ipv4.js'
import { MAC_BROADCAST, macAt, writeMac } from '../../src/wire/mac.js'
import { emitUdp, udpDestinationPort, udpLength, udpSourcePort } from '../../src/wire/udp.js'

export const SERVER_MAC = { hi: 0x5a94, lo: 0xef000001 }
export const START = Date.parse('2026-01-01T00:00:00Z')

export const ip = (text: string): number => ipv4.parseIpv4(text)!
export const range = (text: string): ipv4.Ipv4Range => ipv4.parseIpv4Range(text)!
export const station = (n: number): Mac => ({ hi: 0x5254, lo: n })

/** Stands still until it is turned; what was to be called by then is called, in order. */
export class FakeClock implements DhcpClock {
  #now = START
  /** Ms that went by, for timers: they do not go by the hands of the clock. */
  #elapsed = 0
  #timers: { at: number; call: () => void }[] = []

  now(): number {
    return this.#now
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#elapsed + ms, call }
    this.#timers.push(timer)
    this.#timers.sort((a, b) => a.at - b.at)
    return () => void (this.#timers = this.#timers.filter(other => other !== timer))
  }

  advance(seconds: number): void {
    const end = this.#now + seconds * 1000
    this.#run(this.#elapsed + seconds * 1000, by => (this.#now += by))
    this.#now = end
  }

  /** Timers of the next `ms` run, and the hands stand still: leases end at round times for all that. */
  pass(ms: number): void {
    this.#run(this.#elapsed + ms, () => {})
  }

  #run(end: number, turn: (by: number) => void): void {
    for (let next = this.#timers[0]; next && next.at <= end; next = this.#timers[0]) {
      this.#timers.shift()
      turn(next.at - this.#elapsed)
      this.#elapsed = next.at
      next.call()
    }
    this.#elapsed = end
  }
}

/** A store that fails, or holds its saves back, when it is told to. */
export class MemoryStore implements LeaseStore {
  saved: StoredState = { leases: [], declined: [] }
  saves = 0
  fails = false
  #gate: Promise<void> | undefined
  #open = (): void => {}

  async load(): Promise<StoredState> {
    return this.saved
  }

  async save(_changes: readonly LeaseChange[] | undefined, snapshot: () => StoredState): Promise<void> {
    this.saves++
    const state = snapshot()
    await this.#gate
    if (this.fails) throw new Error('no space left on device')
    this.saved = state
  }

  async close(): Promise<void> {}

  /** Saves do not end until release(). */
  hold(): void {
    this.#gate ??= new Promise(resolve => (this.#open = resolve))
  }

  release(): void {
    this.#gate = undefined
    this.#open()
  }
}

export class RecordedLog implements DhcpLog {
  readonly lines: { level: string; fields: Record<string, unknown>; message: string }[] = []

  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', fields: { ...fields }, message })
  }

  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields: { ...fields }, message })
  }

  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields: { ...fields }, message })
  }

  /** The messages so far. */
  get messages(): string[] {
    return this.lines.map(({ message }) => message)
  }
}

/** A frame that the server sent, taken apart; every checksum was found right. */
export interface Received {
  frame: Uint8Array
  destination: Mac
  source: Mac
  destinationIp: number
  sourceIp: number
  message: DhcpMessage
  type: number
  codes: number[]
}

export class Segment {
  readonly clock = new FakeClock()
  readonly log = new RecordedLog()
  readonly frames: Uint8Array[] = []
  readonly store: LeaseStore
  server: DhcpServer
  readonly #options: Partial<DhcpServerOptions>

  constructor(options: Partial<DhcpServerOptions> = {}) {
    this.#options = options
    this.store = options.store ?? new MemoryStore()
    this.server = this.#create()
  }

  /** A segment whose server runs. */
  static async start(options: Partial<DhcpServerOptions> = {}): Promise<Segment> {
    const segment = new Segment(options)
    await segment.server.start()
    return segment
  }

  /** As after a crash: another server on the same store. */
  async restart(): Promise<void> {
    this.server = this.#create()
    await this.server.start()
  }

  /** Hands a client's message to the server; the replies that left by the time a probe and the disk are done. */
  async ask(client: Client, fields: Fields = {}): Promise<Received[]> {
    this.tell(client, fields)
    this.clock.pass(PROBE_WAIT)
    await this.server.flush()
    return this.take()
  }

  tell(client: Client, fields: Fields = {}): void {
    this.feed(client.frame(fields), client.port)
  }

  /** Hands over a frame the way the switch does: inside of a larger buffer that is reused afterwards. */
  feed(frame: Uint8Array, port = 'vm1'): void {
    const run = new Uint8Array(frame.length + 12).fill(0xa5)
    run.set(frame, 8)
    this.server.handleFrame(run, 8, frame.length, port)
    run.fill(0xa5)
  }

  /** The replies since the last call. */
  take(): Received[] {
    return this.#takeIf(frame => etherType(frame, 0) === ETHERTYPE_IPV4).map(receive)
  }

  /** The addresses that were probed since the last call. */
  takeProbes(): string[] {
    const probes = this.#takeIf(
      frame => etherType(frame, 0) === ETHERTYPE_ARP && arpSenderIp(frame, ETHERNET_HEADER) === 0,
    )
    return probes.map(frame => ipv4.formatIpv4(arpTargetIp(frame, ETHERNET_HEADER)))
  }

  #takeIf(isWanted: (frame: Uint8Array) => boolean): Uint8Array[] {
    const taken = this.frames.filter(isWanted)
    this.frames.splice(0, this.frames.length, ...this.frames.filter(frame => !isWanted(frame)))
    return taken
  }

  /** DISCOVER to ACK; the ACK. */
  async lease(client: Client, fields: Fields = {}): Promise<Received> {
    const [offer] = await this.ask(client, { ...fields, type: option.DISCOVER })
    if (offer?.type !== option.OFFER) throw new Error('no offer')
    const [ack] = await this.ask(client, {
      ...fields,
      type: option.REQUEST,
      options: [
        ...(fields.options ?? []),
        [option.SERVER_ID, ip('192.168.105.1')],
        [option.REQUESTED_IP, offer.message.yiaddr],
      ],
    })
    if (ack?.type !== option.ACK) throw new Error('no ACK')
    return ack
  }

  #create(): DhcpServer {
    return new DhcpServer({
      serverMac: SERVER_MAC,
      serverIp: ip('192.168.105.1'),
      subnet: ipv4.parseCidr('192.168.105.1/24')!,
      range: range('192.168.105.2-192.168.105.11'),
      router: ip('192.168.105.1'),
      dns: [ip('192.168.105.1'), ip('1.1.1.1')],
      clock: this.clock,
      log: this.log,
      send: frame => void this.frames.push(frame),
      answersArp: true,
      ...this.#options,
      store: this.store,
    })
  }
}

// oxlint-disable-next-line typescript/no-explicit-any -- an option with a value of its own type
type OptionValue = [DhcpOption<any>, unknown]

export interface Fields extends Partial<Omit<DhcpMessage, 'options'>> {
  /** Option 53; DISCOVER if not given. */
  type?: number
  options?: OptionValue[]
  /** Options as bytes, after the others. */
  raw?: [code: number, bytes: number[]][]
  sourceIp?: number
  destinationIp?: number
  sourcePort?: number
  destinationPort?: number
}

/** A DHCP client with a MAC, and with a client identifier if it was given one. */
export class Client {
  readonly mac: Mac
  /** The port it is behind: each client is a VM of its own, unless a test says otherwise. */
  port: string
  readonly #id: Uint8Array | undefined
  xid = 0x1000

  constructor(n: number, id?: number[]) {
    this.mac = station(n)
    this.port = `vm${n}`
    this.#id = id && Uint8Array.from(id)
  }

  /** The frame of a message. */
  frame(fields: Fields = {}): Uint8Array {
    const { type = option.DISCOVER, options = [], raw = [] } = fields
    const map = new Map<number, Uint8Array>([[option.MESSAGE_TYPE.code, option.MESSAGE_TYPE.encode(type)]])
    for (const [{ code, encode }, value] of options) map.set(code, encode(value))
    if (this.#id) map.set(option.CLIENT_ID.code, this.#id)
    for (const [code, bytes] of raw) map.set(code, Uint8Array.from(bytes))
    if (type === 0) map.delete(option.MESSAGE_TYPE.code)
    const chaddr = new Uint8Array(16)
    writeMac(chaddr, 0, this.mac.hi, this.mac.lo)
    const payload = emitDhcp({
      op: 1,
      htype: 1,
      hlen: 6,
      hops: 0,
      xid: ++this.xid,
      secs: 3,
      flags: 0,
      ciaddr: 0,
      yiaddr: 0,
      siaddr: 0,
      giaddr: 0,
      chaddr,
      sname: '',
      file: '',
      ...fields,
      options: map,
    })
    return udpFrame(this.mac, payload, fields)
  }
}

/** An Ethernet frame with a UDP payload, from port 68 to port 67 by broadcast unless told otherwise. */
export function udpFrame(source: Mac, payload: Uint8Array, fields: Fields = {}): Uint8Array {
  const { sourceIp = 0, destinationIp = 0xffffffff, sourcePort = 68, destinationPort = 67 } = fields
  const frame = new Uint8Array(42 + payload.length)
  frame.set(payload, 42)
  const destination = destinationIp === 0xffffffff ? MAC_BROADCAST : SERVER_MAC
  emitEthernet(frame, 0, { destination, source, type: ETHERTYPE_IPV4 })
  const protocol = ipv4.PROTOCOL_UDP
  ipv4.emitIpv4(frame, 14, {
    source: sourceIp,
    destination: destinationIp,
    protocol,
    payload: 8 + payload.length,
  })
  emitUdp(frame, 34, { ip: 14, sourcePort, destinationPort, payload: payload.length })
  return frame
}

/** Takes a reply apart as a client would, and throws for what one would not take. */
function receive(frame: Uint8Array): Received {
  const check = (isRight: boolean, what: string): void => {
    if (!isRight) throw new Error(`a reply with a wrong ${what}`)
  }
  check(checksum(frame, 14, 20) === 0, 'IP checksum')
  check(ipv4.ipv4TotalLength(frame, 14) === frame.length - 14, 'IP length')
  const length = frame.length - 34
  check(udpLength(frame, 34) === length, 'UDP length')
  check(checksum(frame, 34, length, pseudoHeader4(frame, 14, 17, length)) === 0, 'UDP checksum')
  const message = parseDhcp(frame, 42, frame.length - 42)
  if (typeof message === 'string') throw new Error(message)
  check(udpSourcePort(frame, 34) === 67, 'source port')
  check(udpDestinationPort(frame, 34) === (message.giaddr === 0 ? 68 : 67), 'port')
  check(message.op === 2 && message.htype === 1 && message.hlen === 6, 'BOOTP header')
  check(frame.length - 42 >= 300, 'BOOTP length')
  return {
    frame,
    destination: macAt(frame, 0),
    source: macAt(frame, 6),
    destinationIp: ipv4.ipv4Destination(frame, 14),
    sourceIp: ipv4.ipv4Source(frame, 14),
    message,
    type: option.getOption(message.options, option.MESSAGE_TYPE) ?? 0,
    codes: [...message.options.keys()],
  }
}
