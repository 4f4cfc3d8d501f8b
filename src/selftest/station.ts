/**
 * A station inside this process, on the segment as a VM is: one MAC, any number of IPv4 addresses, ARP, echo both
 * ways, datagrams counted. No kernel stands behind it, so what it says and when is the self-test's alone to decide.
 *
 * It answers an echo request to the MAC that it came from, without a question of its own: a ping then needs one
 * thing of the host, that it knows where the address is.
 */

import type { Clock } from '../switch/switch.js'
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpFrame,
  arpOperation,
  arpSenderIp,
  arpTargetIp,
  isArpIpv4,
  ARP_SENDER_MAC,
} from '../wire/arp.js'
import { checksum } from '../wire/checksum.js'
import { DHCP_CLIENT_PORT, parseDhcp, type DhcpMessage } from '../wire/dhcp.js'
import {
  ETHERNET_DESTINATION,
  ETHERNET_HEADER,
  ETHERNET_SOURCE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  etherType,
} from '../wire/ethernet.js'
import {
  IPV4_PROTOCOL,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4Source,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_UDP,
} from '../wire/ipv4.js'
import { formatMac, MAC_BROADCAST, macAt, macHigh, macLow, type Mac } from '../wire/mac.js'
import { isUdpChecksumRight, UDP_HEADER, udpDestinationPort, udpLength } from '../wire/udp.js'
import {
  ECHO_REPLY,
  ECHO_REQUEST,
  echoIdentifier,
  echoSequence,
  ICMP_HEADER,
  icmpType,
  isEcho,
  PROTOCOL_ICMP,
} from '../wire/icmp.js'
import { Link } from './link.js'
import { echoFrame, udpFrame, type Addresses } from './packets.js'
import { Watchers } from './wait.js'

/** Server messages that are kept: more than any segment says to one client in the time of a run. */
const MAX_SERVER_MESSAGES = 100
/** Between two questions that nobody answered, in ms. */
const ASK_AGAIN = 500
const PING_DATA = new Uint8Array(56).fill(0x5a)
const UNKNOWN: Mac = { hi: 0, lo: 0 }

export interface StationOptions {
  name: string
  mac: Mac
  /** The socket of the network. */
  path: string
  clock: Clock
  random32: () => number
  /** Ends every wait. */
  signal: AbortSignal
}

/** An echo request that came to this station's MAC. */
export interface EchoRequest {
  /** The address that was pinged. */
  ip: number
  sequence: number
  /** Ms of the clock. */
  at: number
  /** False if the address is not the station's, and it kept silent. */
  answered: boolean
}

/** What a DHCP server said to this station or to everybody. */
export interface ServerMessage {
  message: DhcpMessage
  /** Of the frame's sender. */
  mac: Mac
  /** Of the packet's sender. */
  ip: number
  /** Ms of the clock. */
  at: number
}

export class Station {
  readonly name: string
  readonly mac: Mac
  readonly addresses = new Set<number>()
  /** Every MAC that ever answered for an address, as text. */
  readonly answers = new Map<number, Set<string>>()
  readonly echoes: EchoRequest[] = []
  readonly serverMessages: ServerMessage[] = []
  /** Datagrams to one of its addresses, by port. */
  readonly datagrams = new Map<number, number>()
  /** Frames that came in, and packets whose checksum was wrong, which are dropped. */
  frames = 0
  badChecksums = 0
  readonly watchers = new Watchers()
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly random32: () => number

  readonly #link: Link
  /** Who answered the last question for an address. */
  readonly #answered = new Map<number, Mac>()
  /** When the reply to a request came, once it has; of those that are waited for. */
  readonly #replies = new Map<number, number | undefined>()

  constructor({ name, mac, path, clock, random32, signal }: StationOptions) {
    this.name = name
    this.mac = mac
    this.clock = clock
    this.random32 = random32
    this.signal = signal
    this.#link = new Link({
      path,
      onFrame: frame => this.#receive(frame),
      onRead: () => this.watchers.wake(),
    })
  }

  /** Why its cable is down, once it is. */
  get down(): string | undefined {
    return this.#link.down
  }

  close(): void {
    this.#link.close()
  }

  send(frame: Uint8Array): void {
    this.#link.send(frame)
  }

  /** Frames behind their lengths. */
  sendRun(run: Uint8Array): void {
    this.#link.write(run)
  }

  /** What `look` gives, looked at whenever frames came, or undefined after `ms`. */
  until<T>(look: () => T | undefined, ms: number): Promise<T | undefined> {
    return this.watchers.until(look, ms, this.signal)
  }

  /** Says to everybody that it has `ip`: a gratuitous ARP in its request form (RFC 5227 §3). */
  announce(ip: number): void {
    this.#ask(ip, ip)
  }

  /** The MAC that answers for `ip` within `ms`; `from` 0 asks without a claim (an ARP probe). */
  async resolve(ip: number, from: number, ms: number): Promise<Mac | undefined> {
    const until = this.clock.now() + ms
    this.#answered.delete(ip)
    for (let left = ms; left > 0; left = until - this.clock.now()) {
      this.#ask(ip, from)
      const mac = await this.until(() => this.#answered.get(ip), Math.min(left, ASK_AGAIN))
      if (mac !== undefined) return mac
    }
    return undefined
  }

  /** Sends an echo request to a neighbour and waits up to `ms`: the round trip in ms, or undefined. */
  async ping(route: Route, sequence: number, ms: number): Promise<number | undefined> {
    const identifier = this.random32() & 0xffff
    const key = replyKey(identifier, sequence)
    const start = this.clock.now()
    this.#replies.set(key, undefined)
    this.send(echoFrame(this.#addresses(route), { type: ECHO_REQUEST, identifier, sequence }, PING_DATA))
    const at = await this.until(() => this.#replies.get(key), ms)
    this.#replies.delete(key)
    return at === undefined ? undefined : at - start
  }

  /** A datagram as a frame to be sent. */
  datagram(route: Route, ports: { source: number; destination: number }, payload: Uint8Array): Uint8Array {
    return udpFrame(this.#addresses(route), ports, payload)
  }

  #addresses({ from, to, mac }: Route): Addresses {
    return { source: this.mac, destination: mac, sourceIp: from, destinationIp: to }
  }

  #ask(ip: number, from: number): void {
    const message = {
      operation: ARP_REQUEST,
      senderMac: this.mac,
      senderIp: from,
      targetMac: UNKNOWN,
      targetIp: ip,
    }
    this.send(arpFrame(MAC_BROADCAST, message))
  }

  #receive(frame: Uint8Array): void {
    this.frames++
    if (frame.length < ETHERNET_HEADER) return
    // A switch floods what it does not know: frames for others are no concern of a station.
    if (!this.#isFor(frame)) return
    const length = frame.length - ETHERNET_HEADER
    const type = etherType(frame, 0)
    if (type === ETHERTYPE_ARP && isArpIpv4(frame, ETHERNET_HEADER, length)) this.#receiveArp(frame)
    else if (type === ETHERTYPE_IPV4) this.#receiveIpv4(frame, length)
  }

  #isFor(frame: Uint8Array): boolean {
    const hi = macHigh(frame, ETHERNET_DESTINATION)
    const lo = macLow(frame, ETHERNET_DESTINATION)
    return (hi === this.mac.hi && lo === this.mac.lo) || (hi === 0xffff && lo === 0xffffffff)
  }

  #receiveArp(frame: Uint8Array): void {
    const at = ETHERNET_HEADER
    const senderIp = arpSenderIp(frame, at)
    const senderMac = macAt(frame, at + ARP_SENDER_MAC)
    const targetIp = arpTargetIp(frame, at)
    if (arpOperation(frame, at) === ARP_REPLY) {
      this.#answered.set(senderIp, senderMac)
      const macs = this.answers.get(senderIp) ?? new Set()
      this.answers.set(senderIp, macs.add(formatMac(senderMac.hi, senderMac.lo)))
    } else if (this.addresses.has(targetIp) && senderIp !== targetIp) {
      const answer = {
        operation: ARP_REPLY,
        senderMac: this.mac,
        senderIp: targetIp,
        targetMac: senderMac,
        targetIp: senderIp,
      }
      this.send(arpFrame(senderMac, answer))
    }
  }

  #receiveIpv4(frame: Uint8Array, length: number): void {
    const ip = ETHERNET_HEADER
    const header = ipv4HeaderLength(frame, ip, length)
    const total = header === 0 ? 0 : ipv4TotalLength(frame, ip)
    // Shorter frames are padded, so there may be more than the header says, and never less.
    if (total < header || total > length || header === 0 || isIpv4Fragment(frame, ip)) return
    if (checksum(frame, ip, header) !== 0) {
      this.badChecksums++
      return
    }
    const protocol = frame[ip + IPV4_PROTOCOL]
    if (protocol === PROTOCOL_UDP) this.#receiveUdp(frame, ip + header, total - header)
    else if (protocol === PROTOCOL_ICMP) this.#receiveIcmp(frame, ip + header, total - header)
  }

  #receiveUdp(frame: Uint8Array, at: number, length: number): void {
    if (length < UDP_HEADER || udpLength(frame, at) !== length) return
    if (!isUdpChecksumRight(frame, ETHERNET_HEADER, at, length)) {
      this.badChecksums++
      return
    }
    const port = udpDestinationPort(frame, at)
    if (port === DHCP_CLIENT_PORT) {
      const message = parseDhcp(frame, at + UDP_HEADER, length - UDP_HEADER)
      if (typeof message === 'string' || this.serverMessages.length === MAX_SERVER_MESSAGES) return
      const mac = macAt(frame, ETHERNET_SOURCE)
      this.serverMessages.push({ message, mac, ip: ipv4Source(frame, ETHERNET_HEADER), at: this.clock.now() })
    } else if (this.addresses.has(ipv4Destination(frame, ETHERNET_HEADER))) {
      this.datagrams.set(port, (this.datagrams.get(port) ?? 0) + 1)
    }
  }

  #receiveIcmp(frame: Uint8Array, at: number, length: number): void {
    if (!isEcho(frame, at, length)) {
      if (length >= ICMP_HEADER && checksum(frame, at, length) !== 0) this.badChecksums++
      return
    }
    const identifier = echoIdentifier(frame, at)
    const sequence = echoSequence(frame, at)
    if (icmpType(frame, at) === ECHO_REPLY) {
      const key = replyKey(identifier, sequence)
      if (this.#replies.has(key)) this.#replies.set(key, this.clock.now())
      return
    }
    const ip = ipv4Destination(frame, ETHERNET_HEADER)
    const answered = this.addresses.has(ip)
    this.echoes.push({ ip, sequence, at: this.clock.now(), answered })
    if (!answered) return
    const route = { from: ip, to: ipv4Source(frame, ETHERNET_HEADER), mac: macAt(frame, ETHERNET_SOURCE) }
    const data = frame.subarray(at + ICMP_HEADER, at + length)
    this.send(echoFrame(this.#addresses(route), { type: ECHO_REPLY, identifier, sequence }, data))
  }
}

/** From an address of the station to another, whose MAC is known. */
export interface Route {
  from: number
  to: number
  mac: Mac
}

const replyKey = (identifier: number, sequence: number): number => identifier * 0x10000 + sequence
