// The DHCP server as `vmbridge status` shows it.

import type { Mac } from '../wire/mac.js'
import type { ConflictStatus } from './conflicts.js'
import type { Lease } from './leases.js'
import type { AddressPool } from './pool.js'
import { formatIpv4 } from '../wire/ipv4.js'
import { formatMac } from '../wire/mac.js'
import { CLIENT_ID } from './options.js'

export interface LeaseStatus {
  ip: string
  mac: string
  /** Hexadecimal. */
  clientId?: string
  hostname?: string
  /** ISO 8601: when the lease, the offer or the setting aside ends or ended. */
  expires: string
  state: 'bound' | 'expired' | 'offered' | 'declined'
}

export interface DhcpStatus {
  /** `A-B`. */
  range: string
  exclude: string[]
  /** Addresses that could be leased to somebody new. */
  free: number
  /** One entry an address, by address. */
  leases: LeaseStatus[]
  /** Addresses that are leased to one station and claimed by another. */
  conflicts: ConflictStatus[]
  /** How often since the start, by message or by reason. */
  counters: {
    received: Record<string, number>
    sent: Record<string, number>
    dropped: Record<string, number>
  }
  /** True while leases cannot be saved: known ones are renewed, new ones refused. */
  degraded: boolean
}

/** What became of every address that is not untouched, at `now` in ms since the epoch, by address. */
export function leaseStatus(pool: AddressPool, now: number): LeaseStatus[] {
  const byIp = new Map<number, LeaseStatus>()
  for (const lease of pool.leases()) byIp.set(lease.ip, ofLease(lease, now))
  for (const { ip, client, until } of pool.offers()) {
    if (byIp.get(ip)?.state !== 'bound') byIp.set(ip, ofHold(ip, client.mac, until, 'offered'))
  }
  for (const { ip, mac, until } of pool.declined()) byIp.set(ip, ofHold(ip, mac, until, 'declined'))
  return [...byIp.entries()].sort(([a], [b]) => a - b).map(([, status]) => status)
}

/** What became of one address; undefined if it is untouched. */
export function addressStatus(pool: AddressPool, ip: number, now: number): LeaseStatus | undefined {
  const declined = pool.declinedAt(ip)
  if (declined) return ofHold(ip, declined.mac, declined.until, 'declined')
  const lease = pool.leaseAt(ip)
  const offer = pool.offerAt(ip)
  if (offer && !(lease && lease.expires > now)) return ofHold(ip, offer.client.mac, offer.until, 'offered')
  return lease && ofLease(lease, now)
}

/** A lease, live or expired at `now` in ms since the epoch. */
export function ofLease({ ip, mac, clientId, hostname, expires }: Lease, now: number): LeaseStatus {
  return {
    ip: formatIpv4(ip),
    mac: formatMac(mac.hi, mac.lo),
    ...(clientId && { clientId: CLIENT_ID.text(clientId) }),
    ...(hostname !== undefined && { hostname }),
    expires: new Date(expires).toISOString(),
    state: expires > now ? 'bound' : 'expired',
  }
}

function ofHold(ip: number, mac: Mac, until: number, state: 'offered' | 'declined'): LeaseStatus {
  return { ip: formatIpv4(ip), mac: formatMac(mac.hi, mac.lo), expires: new Date(until).toISOString(), state }
}
