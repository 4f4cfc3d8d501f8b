// Who claims which address on the segment, and where: learnt from ARP and IPv6 neighbour discovery as the
// frames pass. A claim is what a station says of itself; who only asks for an address by ARP (a probe, sender 0.0.0.0) counts
// for a moment, so that nobody else gets it meanwhile.
//
// A claim that repeats, which is nearly every one, costs a look-up and a few writes, without an object. A
// port has a share of the table; past it, its own oldest claim goes. When the whole table is full, the
// oldest of the port with the most goes. So no port, whatever it claims, pushes out what a modest one said.
//
// A priority tag (VLAN 0) hides nothing, as hosts have it; a frame of a VLAN is on another segment.
//
// Times are milliseconds of one clock, the caller's: it is read once a run, not here.

import {
  ARP_REQUEST,
  ARP_SENDER_IP,
  ARP_SENDER_MAC,
  ARP_TARGET_IP,
  arpOperation,
  isArpIpv4,
} from '../wire/arp.js'
import { readI32 } from '../wire/bytes.js'
import {
  ETHERNET_HEADER,
  ETHERNET_SOURCE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  etherType,
} from '../wire/ethernet.js'
import * as nd from '../wire/icmpv6.js'
import { formatIpv4, parseIpv4 } from '../wire/ipv4.js'
import * as ipv6 from '../wire/ipv6.js'
import { formatMac, isStationMac, macHigh } from '../wire/mac.js'
import { skipPriorityTags } from '../wire/vlan.js'
import { ClaimTable, IPV4_MAPPED, NONE } from './claim-table.js'

/** Claims in all: more than any segment that this is for has addresses, in some 150 KB. */
export const MAX_NEIGHBORS = 2048
/** Claims a port: a VM with a dozen VIPs has three dozen. */
export const PORT_SHARE = 256
/** Claims of the uplink, behind which there is a whole LAN. */
export const UPLINK_SHARE = 1024
/** Unseen for this long, in ms, a claim is forgotten: hosts that talk ask again by ARP within minutes. */
export const MAX_AGE = 20 * 60_000

/**
 * For this long, in ms, an address counts as claimed by who asks whether anybody has it (a probe, RFC 5227 §2.1.1): who
 * finds that nobody does announces it within 7 s.
 */
export const PROBE_AGE = 10_000

/** How a claim was heard last. */
export type How = 'arp' | 'nd' | 'probe'

const HOW: readonly How[] = ['arp', 'nd', 'probe']
const ARP = HOW.indexOf('arp')
const ND = HOW.indexOf('nd')
const PROBE = HOW.indexOf('probe')

export interface Neighbor {
  /** Dotted decimal, or RFC 5952. */
  ip: string
  mac: string
  portId: number
  how: How
  firstSeen: number
  lastSeen: number
  /** How often the address went to another MAC or another port. */
  moves: number
}

/**
 * An IPv4 address that nobody claimed is claimed, or by another station than before; that it went to another port
 * with its station is no change. `ip` and `macLow` are uint32. Called within a run: it must be quick, and not call
 * into the switch. With `isProbe`, the station does not claim the address yet, and asks whether anybody has it.
 */
export type OnChange = (ip: number, macHigh: number, macLow: number, portId: number, isProbe: boolean) => void

export interface NeighborsOptions {
  maxEntries?: number
  /** Entries of a port that has no share of its own. */
  portShare?: number
  /** In ms. */
  maxAge?: number
}

export class Neighbors {
  /** Who is told of claims that change, if anybody is. */
  onChange: OnChange | undefined
  readonly #table: ClaimTable
  readonly #maxAge: number
  #moves = 0

  constructor({
    maxEntries = MAX_NEIGHBORS,
    portShare = PORT_SHARE,
    maxAge = MAX_AGE,
  }: NeighborsOptions = {}) {
    this.#table = new ClaimTable(maxEntries, Math.min(portShare, maxEntries))
    this.#maxAge = maxAge
  }

  /** Since the start: addresses that went to another MAC or port, and claims that went for want of room. */
  get counters(): { moves: number; evicted: number } {
    return { moves: this.#moves, evicted: this.#table.evicted }
  }

  /** Sets how many claims (1 or more) a port may hold, such as UPLINK_SHARE; until forgetPort(). */
  setShare(portId: number, entries: number): void {
    this.#table.setLimit(portId, entries)
  }

  /**
   * Learns from the Ethernet frame of `length` octets at `at`, if it is ARP or neighbour discovery, that came
   * in by a port at `now` (ms). Any bytes, any length; never throws.
   */
  observe(bytes: Uint8Array, at: number, length: number, portId: number, now: number): void {
    if (length < ETHERNET_HEADER) return
    const inner = skipPriorityTags(bytes, at, length)
    const type = etherType(bytes, inner)
    const packet = inner + ETHERNET_HEADER
    const octets = at + length - packet
    if (type === ETHERTYPE_ARP) this.#observeArp(bytes, packet, octets, portId, now)
    else if (type === ETHERTYPE_IPV6) this.#observeNd(bytes, at, packet, octets, portId, now)
  }

  /** Forgets what a port that closed had claimed; its number may come back for another. */
  forgetPort(portId: number): void {
    this.#table.forgetPort(portId)
  }

  /** True if another station than `hi`, `lo` claims the IPv4 address `ip` (a uint32). */
  isClaimedByOther(ip: number, hi: number, lo: number, now: number): boolean {
    const slot = this.#table.find(0, 0, IPV4_MAPPED, ip)
    if (slot === NONE || this.#isStale(slot, now)) return false
    return this.#table.macHi[slot] !== hi || this.#table.macLo[slot] !== (lo | 0)
  }

  /** The port behind which an IPv4 address was claimed last, claimed or not by now; -1 if nobody did. */
  claimPort(ip: number): number {
    const slot = this.#table.find(0, 0, IPV4_MAPPED, ip)
    return slot === NONE ? -1 : this.#table.port[slot]!
  }

  /** How many IPv4 addresses that are `counted` a port claims. */
  countOf(portId: number, counted: (ip: number) => boolean): number {
    const { words } = this.#table
    let count = 0
    this.#table.forEachOf(portId, slot => {
      const at = 4 * slot
      const isV4 = words[at] === 0 && words[at + 1] === 0 && words[at + 2] === IPV4_MAPPED
      if (isV4 && counted(words[at + 3]! >>> 0)) count++
    })
    return count
  }

  /** Who claims an address, IPv4 or IPv6, in any of its spellings; undefined if nobody or if it is none. */
  lookup(ip: string, now: number): Neighbor | undefined {
    const v4 = parseIpv4(ip)
    const words = v4 === undefined ? parseIpv6Only(ip) : ([0, 0, IPV4_MAPPED, v4] as const)
    if (!words) return undefined
    const slot = this.#table.find(...words)
    return slot === NONE || this.#isStale(slot, now) ? undefined : this.#describe(slot)
  }

  /** The addresses that a station claims, as text, IPv4 before IPv6. */
  byMac(hi: number, lo: number, now: number): string[] {
    const { macHi, macLo } = this.#table
    return this.#select(now, slot => macHi[slot] === hi && macLo[slot] === (lo | 0)).map(({ ip }) => ip)
  }

  /** Every claim, IPv4 before IPv6, by address. Forgets the aged ones. */
  list(now: number): Neighbor[] {
    return this.#select(now, () => true)
  }

  #observeArp(bytes: Uint8Array, at: number, length: number, portId: number, now: number): void {
    if (!isArpIpv4(bytes, at, length)) return
    const sender = readI32(bytes, at + ARP_SENDER_IP)
    const isProbe = sender === 0 && arpOperation(bytes, at) === ARP_REQUEST
    const ip = isProbe ? readI32(bytes, at + ARP_TARGET_IP) : sender
    // 0.0.0.0/8 and 224.0.0.0 and above, 255.255.255.255 included, are no host's.
    if (ip >>> 24 === 0 || ip >>> 28 >= 0xe) return
    const mac = at + ARP_SENDER_MAC
    const how = isProbe ? PROBE : ARP
    this.#claim(0, 0, IPV4_MAPPED, ip, macHigh(bytes, mac), readI32(bytes, mac + 2), portId, how, now)
  }

  /** The packet at `ip` of `length` octets, in the frame whose addresses are at `frame`. */
  #observeNd(
    bytes: Uint8Array,
    frame: number,
    ip: number,
    length: number,
    portId: number,
    now: number,
  ): void {
    if (!ipv6.isIpv6(bytes, ip, length)) return
    const message = ip + ipv6.IPV6_HEADER
    const octets = ipv6.ipv6PayloadLength(bytes, ip)
    if (!nd.isNeighborMessage(bytes, ip, message, octets)) return
    const isSolicitation = bytes[message] === nd.NEIGHBOR_SOLICITATION
    const claimed = isSolicitation ? ip + ipv6.IPV6_SOURCE : message + nd.ND_TARGET
    if (ipv6.isIpv6Multicast(bytes, claimed) || ipv6.isIpv6Unspecified(bytes, claimed)) return
    const type = isSolicitation ? nd.OPTION_SOURCE_LINK_LAYER : nd.OPTION_TARGET_LINK_LAYER
    const option = nd.linkLayerOption(bytes, message, octets, type)
    if (option === nd.MALFORMED) return
    const a = readI32(bytes, claimed)
    const b = readI32(bytes, claimed + 4)
    const c = readI32(bytes, claimed + 8)
    if (a === 0 && b === 0 && c === IPV4_MAPPED) return
    // An answer to one asker may leave the option out: he has the address from the frame (RFC 4861 §4.4).
    const mac = option === nd.ABSENT ? frame + ETHERNET_SOURCE : option
    const d = readI32(bytes, claimed + 12)
    this.#claim(a, b, c, d, macHigh(bytes, mac), readI32(bytes, mac + 2), portId, ND, now)
  }

  /** All numbers but the time are int32 (see readI32). */
  #claim(
    a: number,
    b: number,
    c: number,
    d: number,
    hi: number,
    lo: number,
    portId: number,
    how: number,
    now: number,
  ): void {
    if (!isStationMac(hi, lo)) return
    const table = this.#table
    let slot = table.find(a, b, c, d)
    if (slot !== NONE && this.#isStale(slot, now)) {
      table.remove(slot)
      slot = NONE
    }
    // Who asks takes nothing from who has it, or asked before.
    if (how === PROBE && slot !== NONE) return
    let isOther = true
    if (slot === NONE) {
      slot = table.add(a, b, c, d, portId)
      table.firstSeen[slot] = now
    } else {
      const isElsewhere = table.port[slot] !== portId
      isOther = table.macHi[slot] !== hi || table.macLo[slot] !== lo
      if (isElsewhere) table.move(slot, portId)
      else table.touch(slot)
      // It was not anybody's before who only asked.
      if (table.how[slot] === PROBE) isOther = true
      else if (isElsewhere || isOther) this.#countMove(slot)
    }
    table.macHi[slot] = hi
    table.macLo[slot] = lo
    table.how[slot] = how
    table.lastSeen[slot] = now
    // IPv4-mapped addresses are kept out of neighbour discovery's claims: what has these words is IPv4.
    if (isOther && c === IPV4_MAPPED && a === 0 && b === 0)
      this.onChange?.(d >>> 0, hi, lo >>> 0, portId, how === PROBE)
  }

  #countMove(slot: number): void {
    this.#table.moves[slot]!++
    this.#moves++
  }

  #isStale(slot: number, now: number): boolean {
    const { how, lastSeen } = this.#table
    return lastSeen[slot]! + (how[slot] === PROBE ? PROBE_AGE : this.#maxAge) <= now
  }

  #select(now: number, wanted: (slot: number) => boolean): Neighbor[] {
    const table = this.#table
    table.expire(now - this.#maxAge)
    const slots: number[] = []
    table.forEach(slot => {
      if (wanted(slot) && !this.#isStale(slot, now)) slots.push(slot)
    })
    return slots.sort((x, y) => this.#compare(x, y)).map(slot => this.#describe(slot))
  }

  #compare(x: number, y: number): number {
    const { words } = this.#table
    for (let i = 0; i < 4; i++) {
      const difference = (words[4 * x + i]! >>> 0) - (words[4 * y + i]! >>> 0)
      if (difference !== 0) return difference
    }
    return 0
  }

  #describe(slot: number): Neighbor {
    const { words, macHi, macLo, port, how, firstSeen, lastSeen, moves } = this.#table
    const [a, b, c, d] = Array.from(words.subarray(4 * slot, 4 * slot + 4), word => word >>> 0)
    const isV4 = a === 0 && b === 0 && c === IPV4_MAPPED
    return {
      ip: isV4 ? formatIpv4(d!) : ipv6.formatIpv6([a!, b!, c!, d!]),
      mac: formatMac(macHi[slot]!, macLo[slot]! >>> 0),
      portId: port[slot]!,
      how: HOW[how[slot]!]!,
      firstSeen: firstSeen[slot]!,
      lastSeen: lastSeen[slot]!,
      moves: moves[slot]!,
    }
  }
}

/** The words of an IPv6 address that can be in the table: an IPv4-mapped one stands for IPv4 there. */
function parseIpv6Only(text: string): ipv6.Ipv6Words | undefined {
  const words = ipv6.parseIpv6(text)
  return words && words[0] === 0 && words[1] === 0 && words[2] === IPV4_MAPPED ? undefined : words
}
