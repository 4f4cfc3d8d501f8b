/**
 * What the switch asks about the few frames that more than their addresses decide about: ARP, DHCP and IPv6
 * neighbour discovery. The daemon puts a neighbour table and a DHCP guard behind it; the switch itself knows
 * neither.
 */

import type { Port } from './port.js'

/** Forward it by its addresses. */
export const PASS = 0
/** Drop it and count it as guarded (DHCP that came in over the uplink). */
export const DROP_GUARDED = 1
/** Drop it and count it as a rogue DHCP server's. */
export const DROP_ROGUE = 2
/** Forward it, but never out of the uplink; where the uplink alone would get it, the service port does. */
export const KEEP_FROM_UPLINK = 3
/** Drop it and count it as one DHCP message too many of its port. */
export const DROP_RATE = 4

export interface FrameInspector {
  /**
   * Called for ARP, for IPv4 UDP, for ICMPv6 over IPv6, and for frames with a VLAN tag, which may hide one of
   * these. The frame stands at `at` in the borrowed `bytes`, is `length` bytes long and no shorter than an
   * Ethernet header, but of any length beyond; `now` is in ms of the switch's clock. Called on the data path: it
   * allocates nothing that it can help, never throws, and never calls into the switch.
   */
  inspect(bytes: Uint8Array, at: number, length: number, from: Port, now: number): number
  /** A port was plugged in; it has its id. */
  addPort(port: Port): void
  /** A port was unplugged; its id will be another's. */
  forgetPort(id: number): void
}

export const NO_INSPECTOR: FrameInspector = {
  inspect: () => PASS,
  addPort() {},
  forgetPort() {},
}
