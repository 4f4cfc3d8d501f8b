/**
 * An uplink joins the host, or another segment, to the network: one port among the others, with a life of its
 * own.
 */

import type { Logger } from '../log.js'
import type { Port } from '../switch/port.js'
import type { Run } from '../switch/run.js'
import type { Switch } from '../switch/switch.js'

/** `auto`: a TAP where this system and user can make one, else none, saying what is missing. */
export type UplinkChoice =
  { kind: 'auto' } | { kind: 'none' } | { kind: 'tap'; name?: string } | { kind: 'socket'; path: string }

export interface UplinkStatus {
  kind: 'none' | 'tap' | 'socket'
  /** The device or the path behind it. */
  name?: string
  state: 'up' | 'down'
  /** Why it is down, or what it lacks. */
  detail?: string
}

export interface Uplink {
  readonly port?: Port
  status(): UplinkStatus
  close(): void
}

/** What every uplink gets from the network that it belongs to. */
export interface UplinkContext {
  switch: Switch
  run: Run
  log: Logger
  /** Bytes of an IP packet; an Ethernet frame is 14 bytes more, 18 with a VLAN tag. */
  mtu: number
}

/** The longest frame of an MTU: Ethernet header and one VLAN tag. */
export function maxFrameOf(mtu: number): number {
  return mtu + 18
}
