/**
 * The DHCP server as a service on the switch: picks DHCP (and ARP for the server's address, where nobody else
 * answers it) out of what its port gets.
 */

import { classifyDhcp, DHCP_TO_SERVER } from '../dhcp/guard.js'
import type { Service } from '../ports/service-port.js'
import type { Port } from '../switch/port.js'
import { arpTargetIp, isArpIpv4 } from '../wire/arp.js'
import { ETHERNET_HEADER, ETHERTYPE_ARP, etherType } from '../wire/ethernet.js'
import { MAC_LENGTH } from '../wire/mac.js'
import { skipPriorityTags } from '../wire/vlan.js'

/** Destination and source, in front of any tag. */
const ADDRESSES = 2 * MAC_LENGTH

/** What answers DHCP: the server, or what stands in for one. */
export interface DhcpHost {
  handleFrame(bytes: Uint8Array, at: number, length: number, portName: string): void
}

export interface DhcpServiceOptions {
  serverIp: number
  answersArp: boolean
}

export class DhcpService implements Service {
  readonly #server: DhcpHost
  readonly #serverIp: number
  readonly #answersArp: boolean

  constructor(server: DhcpHost, { serverIp, answersArp }: DhcpServiceOptions) {
    this.#server = server
    this.#serverIp = serverIp
    this.#answersArp = answersArp
  }

  wants(bytes: Uint8Array, frame: number, whole: number): boolean {
    const at = skipPriorityTags(bytes, frame, whole)
    const length = whole - (at - frame)
    if (etherType(bytes, at) !== ETHERTYPE_ARP) return classifyDhcp(bytes, at, length) === DHCP_TO_SERVER
    const arp = at + ETHERNET_HEADER
    return (
      this.#answersArp &&
      isArpIpv4(bytes, arp, length - ETHERNET_HEADER) &&
      arpTargetIp(bytes, arp) === this.#serverIp
    )
  }

  handleFrame(bytes: Uint8Array, at: number, length: number, port: Port | undefined): void {
    const name = port?.name ?? '-'
    const tags = skipPriorityTags(bytes, at, length) - at
    if (tags === 0) return this.#server.handleFrame(bytes, at, length, name)
    const untagged = new Uint8Array(length - tags)
    untagged.set(bytes.subarray(at, at + ADDRESSES))
    untagged.set(bytes.subarray(at + ADDRESSES + tags, at + length), ADDRESSES)
    this.#server.handleFrame(untagged, 0, untagged.length, name)
  }
}
