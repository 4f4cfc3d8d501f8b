/**
 * What a static route would swallow. A route to a part of the segment sends every address in it to one node: also the
 * gateway, the nodes and the API server, where they stand in it. `10.5.0.10/28` is 10.5.0.0 to 10.5.0.15, not .10 to .25.
 */

import { UsageError } from '../errors.js'
import { cidr, parseCidr, type Cidr, type Ipv4Range } from '../wire/ipv4.js'
import type { Holder } from './cluster.js'

/** @throws UsageError */
export function parseRoute(text: string): Cidr {
  const route = parseCidr(text)
  if (route !== undefined) return route
  throw new UsageError(`"${text}" is not a route such as 10.5.0.200/32`, 'vmbridge route-check 10.5.0.200/32')
}

/** Those of `holders` whose address the route takes. */
export function swallowed<T extends Pick<Holder, 'ip'>>(
  { network, broadcast }: Cidr,
  holders: readonly T[],
): T[] {
  return holders.filter(({ ip }) => network <= ip && ip <= broadcast)
}

/**
 * The largest route that swallows none of `holders`: around the address that was given, where it is one of the
 * segment, not held and no end of it, or else inside of `pool`.
 * @param pool addresses for VIPs; undefined where there is no room for any
 */
export function betterRoute(
  route: Cidr,
  holders: readonly Pick<Holder, 'ip'>[],
  { network, broadcast }: Cidr,
  pool: Ipv4Range | undefined,
): Cidr | undefined {
  const ends = [{ ip: network }, { ip: broadcast }]
  const isInside = network <= route.address && route.address <= broadcast
  for (let prefix = isInside ? route.prefix : 33; prefix <= 32; prefix++) {
    const each = cidr(route.address, prefix)
    if (swallowed(each, [...holders, ...ends]).length === 0) return cidr(each.network, prefix)
  }
  return pool === undefined ? undefined : largestInside(pool)
}

/** The largest aligned block of a range, the first of several. */
function largestInside({ first, last }: Ipv4Range): Cidr {
  for (let prefix = 1; prefix < 32; prefix++) {
    const size = 2 ** (32 - prefix)
    const start = Math.ceil(first / size) * size
    if (start + size - 1 <= last) return cidr(start, prefix)
  }
  return cidr(first, 32)
}
