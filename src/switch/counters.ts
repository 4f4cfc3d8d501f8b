/**
 * Where each counter of a port lives in its Float64Array. Plain numbers, so that counting a frame is one
 * store; the native runs out write the TX cells of the same memory (native/counters.h holds the same list,
 * and a test compares the two). rx and tx are from the port's view, as `ip -s link` has it: rx is what the
 * station sent to the switch.
 */

export const TX_FRAMES = 0
export const TX_BYTES = 1
export const DROP_TX_FULL = 2
export const DROP_TX_ERROR = 3
export const DROP_TX_DOWN = 4
export const DROP_TX_TOO_BIG = 5
export const RX_FRAMES = 6
export const RX_BYTES = 7
export const DROP_RX_RUNT = 8
export const DROP_RX_SAME_PORT = 9
export const DROP_RX_GUARD = 10
export const DROP_RX_ROGUE = 11
export const DROP_RX_DHCP_RATE = 12
export const FDB_MOVES = 13
export const FDB_REFUSED = 14
export const DROP_RX_TOO_BIG = 15
export const COUNTERS = 16

/** The names that `status` and the metrics show for the drop cells. */
export const DROP_REASONS: readonly (readonly [index: number, reason: string])[] = [
  [DROP_TX_FULL, 'tx-queue-full'],
  [DROP_TX_ERROR, 'tx-error'],
  [DROP_TX_DOWN, 'tx-down'],
  [DROP_TX_TOO_BIG, 'tx-too-big'],
  [DROP_RX_RUNT, 'rx-runt'],
  [DROP_RX_TOO_BIG, 'rx-too-big'],
  [DROP_RX_SAME_PORT, 'rx-same-port'],
  [DROP_RX_GUARD, 'rx-dhcp-guard'],
  [DROP_RX_ROGUE, 'rx-rogue-dhcp'],
  [DROP_RX_DHCP_RATE, 'rx-dhcp-rate'],
]
