/**
 * An uplink joins the host, or another segment, to the network: one port among the others, with a life of its
 * own.
 */

import type { Logger } from '../log.js'
import type { Port } from '../switch/port.js'
import type { Run } from '../switch/run.js'
import type { Switch } from '../switch/switch.js'

/** `auto`: what joins the host where this system and user can have it (vmnet on macOS), else none, saying what is missing. */
export type UplinkChoice =
  | { kind: 'auto'; vmnet?: VmnetChoice | undefined; mode?: TapMode }
  | { kind: 'none' }
  | TapChoice
  | { kind: 'socket'; path: string }
  | VmnetChoice

/** As vmnet has them. `host` is the TAP with the gateway's address; `shared` that, and the way out for VMs. */
export type TapMode = 'host' | 'shared' | 'bridged'

export interface TapChoice {
  kind: 'tap'
  /** Of the device; the kernel numbers it where nothing is said. */
  name?: string
  /** `host` where nothing is said. */
  mode?: TapMode
  /** The bridge of the host to join, in bridged mode. */
  interface?: string
}

/** What of vmnet.framework is asked for; the gateway and the MTU are the network's. */
export interface VmnetChoice {
  kind: 'vmnet'
  mode: 'bridged' | 'shared' | 'host'
  /** The interface of the host to bridge. */
  interface?: string
  /** macOS picks the subnet, and the network's gateway says nothing: for who relied on that with another program. */
  subnet?: 'macos'
  /** Where Apple's DHCP pool ends, a uint32; the addresses behind it are free for static use. */
  dhcpEnd?: number
  /** UUIDs; those of the state folder where nothing is said. */
  interfaceId?: string
  /** Host mode: a network of that name, apart from all others. */
  networkId?: string
  /** Shared mode: a ULA prefix of 64 bits, such as fd00:1234::. */
  nat66Prefix?: string
  isolate: boolean
  /**
   * Apple's DHCP server on a shared or host network: `on`, `off` (or there is no such network), or `unheard`: off where
   * this macOS can do that, else kept from the VMs by the guard.
   */
  appleDhcp: 'on' | 'off' | 'unheard'
}

/** Whether the network is the LAN that it is bridged to. */
export function isBridged(uplink: UplinkChoice): uplink is (TapChoice | VmnetChoice) & { mode: 'bridged' } {
  return (uplink.kind === 'tap' || uplink.kind === 'vmnet') && uplink.mode === 'bridged'
}

export interface UplinkStatus {
  kind: 'none' | 'tap' | 'socket' | 'vmnet'
  /**
   * The device or the path behind it, of a device its mode as well unless that is `host`; of vmnet the mode, and the
   * interface that is bridged.
   */
  name?: string
  state: 'up' | 'down'
  /** Why it is down, or what it lacks. */
  detail?: string
}

export interface Uplink {
  readonly port?: Port
  /** Bytes of an IP packet, where the uplink decides that and not the settings. */
  readonly mtu?: number
  status(): UplinkStatus
  /** Resolves when nothing of it is left, or when it has waited for that long enough. */
  close(): void | Promise<void>
}

/** What every uplink gets from the network that it belongs to. */
export interface UplinkContext {
  switch: Switch
  run: Run
  log: Logger
  /** Bytes of an IP packet; an Ethernet frame is 14 bytes more, 18 with a VLAN tag. */
  mtu: number
  /** Where what outlives the daemon is kept. */
  stateDir: string
}

/** The longest frame of an MTU: Ethernet header and one VLAN tag. */
export function maxFrameOf(mtu: number): number {
  return mtu + 18
}
