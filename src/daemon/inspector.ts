/**
 * What this daemon looks at beyond addresses: who claims which IP (neighbours), and that DHCP stays where it
 * belongs (the guard). Only ARP, UDP over IPv4, ICMPv6 and what has a VLAN tag come here.
 *
 * The guard, where the built-in server answers: DHCP does not cross the uplink in either direction, so no other
 * server hears the VMs or is heard by them; what only a server says, from a VM's port, is dropped.
 */

import { classifyDhcp, DHCP_FROM_SERVER, NOT_DHCP } from '../dhcp/guard.js'
import { UPLINK_SHARE, type Neighbors } from '../neighbors/neighbors.js'
import { DROP_GUARDED, DROP_ROGUE, KEEP_FROM_UPLINK, PASS, type FrameInspector } from '../switch/inspector.js'
import type { Port } from '../switch/port.js'
import { ETHERTYPE_ARP, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.js'
import { skipPriorityTags } from '../wire/vlan.js'

export class SegmentInspector implements FrameInspector {
  readonly #neighbors: Neighbors
  readonly #guarded: boolean

  constructor(neighbors: Neighbors, guarded: boolean) {
    this.#neighbors = neighbors
    this.#guarded = guarded
  }

  inspect(bytes: Uint8Array, at: number, length: number, from: Port, now: number): number {
    const type = etherType(bytes, at)
    if (type === ETHERTYPE_ARP || type === ETHERTYPE_IPV6) {
      this.#neighbors.observe(bytes, at, length, from.id, now)
      return PASS
    }
    if (!this.#guarded) return PASS
    const inner = skipPriorityTags(bytes, at, length)
    const kind = classifyDhcp(bytes, inner, length - (inner - at))
    if (kind === NOT_DHCP) return PASS
    if (from.isUplink) return DROP_GUARDED
    if (kind === DHCP_FROM_SERVER && from.role !== 'service') return DROP_ROGUE
    return KEEP_FROM_UPLINK
  }

  addPort({ id, isUplink }: Port): void {
    if (isUplink) this.#neighbors.setShare(id, UPLINK_SHARE)
  }

  forgetPort(id: number): void {
    this.#neighbors.forgetPort(id)
  }
}
