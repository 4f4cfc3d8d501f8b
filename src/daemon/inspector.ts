/**
 * What this daemon looks at beyond addresses: who claims which IP (neighbours), and that DHCP stays where it
 * belongs (the guard). Only ARP, UDP over IPv4, ICMPv6 and what has a VLAN tag come here.
 *
 * The guard, where the built-in server answers: DHCP does not cross the uplink in either direction, so no other
 * server hears the VMs or is heard by them; what only a server says, from a VM's port, is dropped, and the server
 * reported; and what a port says to the server is limited, so that no VM takes all of its time.
 */

import { classifyDhcp, DHCP_FROM_SERVER, NOT_DHCP } from '../dhcp/guard.js'
import { UPLINK_SHARE, type Neighbors } from '../neighbors/neighbors.js'
import {
  DROP_GUARDED,
  DROP_RATE,
  DROP_ROGUE,
  KEEP_FROM_UPLINK,
  PASS,
  type FrameInspector,
} from '../switch/inspector.js'
import type { Port } from '../switch/port.js'
import { ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.js'
import { arpSenderIp } from '../wire/arp.js'
import { skipPriorityTags } from '../wire/vlan.js'
import { RateLimit, type Rate } from './rate-limit.js'
import { RogueServers, type RogueServer } from './rogue-servers.js'

/**
 * DHCP messages to the server that a port may say. A client says two for its address (DISCOVER, REQUEST), so that
 * one port brings 4,000 new clients a second, above what any load generator of one host was run at here (3,000), and
 * 1,000 at once, a segment of that size which boots behind one port. Copying and dropping more than that would cost
 * more than the switch spends on it.
 */
export const DHCP_RATE: Rate = { perSecond: 8000, burst: 2000 }

export interface SegmentInspectorOptions {
  neighbors: Neighbors
  /** Whether the built-in DHCP server answers here: without it, DHCP is like any other frame. */
  guarded: boolean
  rate?: Rate
  /** Another DHCP server was heard behind a VM's port. Called from an event, never within a run. */
  onRogue?: (rogue: RogueServer) => void
}

export class SegmentInspector implements FrameInspector {
  readonly #neighbors: Neighbors
  readonly #guarded: boolean
  readonly #rate: RateLimit
  readonly #rogues: RogueServers

  constructor({ neighbors, guarded, rate = DHCP_RATE, onRogue = () => {} }: SegmentInspectorOptions) {
    this.#neighbors = neighbors
    this.#guarded = guarded
    this.#rate = new RateLimit(rate)
    this.#rogues = new RogueServers(onRogue)
  }

  inspect(bytes: Uint8Array, at: number, length: number, from: Port, now: number): number {
    const inner = skipPriorityTags(bytes, at, length)
    const type = etherType(bytes, inner)
    if (type === ETHERTYPE_ARP || type === ETHERTYPE_IPV6) {
      // The DHCP server's own probes claim nothing for it.
      const isOwnProbe = from.role === 'service' && arpSenderIp(bytes, inner + ETHERNET_HEADER) === 0
      if (!isOwnProbe) this.#neighbors.observe(bytes, at, length, from.id, now)
      return PASS
    }
    if (!this.#guarded) return PASS
    const kind = classifyDhcp(bytes, inner, length - (inner - at))
    if (kind === NOT_DHCP) return PASS
    if (from.isUplink) return DROP_GUARDED
    if (from.role === 'service') return KEEP_FROM_UPLINK
    if (kind === DHCP_FROM_SERVER) {
      this.#rogues.note(bytes, at, length, inner - at, from, now)
      return DROP_ROGUE
    }
    return this.#rate.admit(from.id, now) ? KEEP_FROM_UPLINK : DROP_RATE
  }

  addPort({ id, isUplink }: Port): void {
    this.#rate.reset(id)
    if (isUplink) this.#neighbors.setShare(id, UPLINK_SHARE)
  }

  forgetPort(id: number): void {
    this.#neighbors.forgetPort(id)
    this.#rogues.forgetPort(id)
  }
}
