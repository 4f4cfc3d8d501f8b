// Conflicts: an address that is leased to one station and claimed by another. Each is said once, and listed for as
// long as it lasts. At most one an address, so no more than there are leases.

import type { Mac } from '../wire/mac.js'
import type { Lease } from './leases.js'
import { formatIpv4 } from '../wire/ipv4.js'
import { formatMac } from '../wire/mac.js'

/** A station that was not heard with the address for this long, in ms, may have given it up. */
const OVER_AFTER = 60_000
/** Hosts that share an address by mistake ask for it again by ARP within minutes: that is no news. */
const NEWS_AFTER = 20 * 60_000

export interface ConflictStatus {
  ip: string
  lease: { mac: string; port: string; hostname?: string }
  /** The station that claimed the address last. */
  claim: { mac: string; port: string }
  /** ISO 8601: when it was first heard. */
  since: string
  /** Claims since then, as far as the address went from one station to the other. */
  count: number
}

interface Conflict {
  readonly lease: Lease
  readonly leasePort: string
  readonly since: number
  mac: Mac
  port: string
  last: number
  count: number
}

export class Conflicts {
  readonly #byIp = new Map<number, Conflict>()

  /**
   * Notes that the station `mac` behind `port` claims the address of a lease; true if that is news, and to be said.
   * Times are ms since the epoch.
   */
  note(lease: Lease, leasePort: string, mac: Mac, port: string, now: number): boolean {
    const known = this.#byIp.get(lease.ip)
    if (known && known.lease.key === lease.key && now - known.last < NEWS_AFTER) {
      known.mac = mac
      known.port = port
      known.last = now
      known.count++
      return false
    }
    this.#byIp.set(lease.ip, { lease, leasePort, since: now, mac, port, last: now, count: 1 })
    return true
  }

  /** Those that last at `now`; `current` gives the lease of an address, `isClaimed` whether another has it still. */
  list(
    now: number,
    current: (ip: number) => Lease | undefined,
    isClaimed: (ip: number, mac: Mac) => boolean,
  ): ConflictStatus[] {
    const lasting: ConflictStatus[] = []
    for (const [ip, conflict] of this.#byIp) {
      const lease = current(ip)
      const isLive = lease?.key === conflict.lease.key && lease.expires > now
      const isHeard = isClaimed(ip, conflict.lease.mac) || now - conflict.last < OVER_AFTER
      if (isLive && isHeard) lasting.push(describe(ip, conflict))
      if (!isLive || now - conflict.last >= NEWS_AFTER) this.#byIp.delete(ip)
    }
    return lasting
  }
}

function describe(ip: number, { lease, leasePort, mac, port, since, count }: Conflict): ConflictStatus {
  const { hostname } = lease
  return {
    ip: formatIpv4(ip),
    lease: {
      mac: formatMac(lease.mac.hi, lease.mac.lo),
      port: leasePort,
      ...(hostname !== undefined && { hostname }),
    },
    claim: { mac: formatMac(mac.hi, mac.lo), port },
    since: new Date(since).toISOString(),
    count,
  }
}
