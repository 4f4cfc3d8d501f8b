// Which addresses of the subnet the server may lease.

import type { Cidr, Ipv4Range } from '../wire/ipv4.js'
import { BridgeError } from '../errors.js'
import { formatCidr, formatIpv4Range } from '../wire/ipv4.js'

/** More than any segment has stations; keeps the tables and the work of one message bounded. */
export const MAX_POOL = 65_536

/**
 * The range that is leased from unless another is set: from the first address of the subnet to the last
 * below its top 7/32, a little over a fifth, which stays free for VIPs and static addresses. Of a /24
 * that is .1 to .199 with .200 to .254 free. The gateway (`subnet.address`) is cut off where it stands at
 * an end, as .1 mostly does, and left out by the pool elsewhere. No more than MAX_POOL addresses;
 * undefined where the subnet has no room (/31, /32).
 */
export function defaultRange(subnet: Cidr): Ipv4Range | undefined {
  const size = subnet.broadcast - subnet.network + 1
  let first = subnet.network + 1
  if (first === subnet.address) first++
  let last = Math.min(subnet.broadcast - Math.ceil((size * 7) / 32), first + MAX_POOL - 1)
  if (last === subnet.address) last--
  return size >= 4 && first <= last ? { first, last } : undefined
}

/**
 * The addresses of `range` that may be leased, as flags by offset from its first: never the subnet's own
 * network and broadcast address, never one of `exclude`.
 *
 * Throws ERR_DHCP_RANGE if the range is outside of the subnet, over MAX_POOL or has nothing to lease.
 */
export function leasable(subnet: Cidr, range: Ipv4Range, exclude: readonly Ipv4Range[]): Uint8Array {
  const size = range.last - range.first + 1
  const text = formatIpv4Range(range)
  if (range.first < subnet.network || range.last > subnet.broadcast || size < 1) {
    throw new BridgeError('ERR_DHCP_RANGE', `the DHCP range ${text} is not inside ${formatCidr(subnet)}`, {
      hint: `set --dhcp-range to addresses of that subnet`,
    })
  }
  if (size > MAX_POOL) {
    throw new BridgeError(
      'ERR_DHCP_RANGE',
      `the DHCP range ${text} has ${size} addresses, over ${MAX_POOL}`,
      {
        hint: 'set a smaller --dhcp-range',
      },
    )
  }
  const flags = new Uint8Array(size).fill(1)
  const ends = [subnet.network, subnet.broadcast].map(ip => ({ first: ip, last: ip }))
  for (const { first, last } of [...exclude, ...ends]) {
    const from = Math.max(0, first - range.first)
    const to = last - range.first + 1
    if (from < to) flags.fill(0, from, Math.max(0, to))
  }
  if (!flags.includes(1)) {
    throw new BridgeError('ERR_DHCP_RANGE', `nothing of the DHCP range ${text} is left to lease`, {
      hint: 'widen --dhcp-range, or take back a --dhcp-exclude',
    })
  }
  return flags
}
