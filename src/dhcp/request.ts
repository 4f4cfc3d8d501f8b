// What a DHCPREQUEST deserves: RFC 2131 §4.3.2, where the state of the client is told by which fields it
// filled. This server is the segment's only one, so it also answers a client it has no record of when that
// client renews: an address that is free becomes its lease, any other is refused, and the client starts over.

import type { DhcpMessage } from '../wire/dhcp.js'
import type { Cidr } from '../wire/ipv4.js'
import type { AddressPool, PoolClient } from './pool.js'
import { getOption, REQUESTED_IP, SERVER_ID } from './options.js'

export type Verdict =
  | { readonly kind: 'ack'; readonly ip: number }
  | { readonly kind: 'nak'; readonly ip: number; readonly why: string }
  | { readonly kind: 'silence'; readonly why: 'malformed' | 'other-server' | 'unknown-client' }

export interface RequestContext {
  readonly pool: AddressPool
  readonly subnet: Cidr
  readonly serverIp: number
}

/** Judges a request of `client` at `now` (ms since the epoch). Takes back our offer if another server won. */
export function judgeRequest(
  context: RequestContext,
  client: PoolClient,
  message: DhcpMessage,
  now: number,
): Verdict {
  const server = getOption(message.options, SERVER_ID)
  const requested = getOption(message.options, REQUESTED_IP)
  if (message.options.has(SERVER_ID.code)) {
    if (server === undefined) return { kind: 'silence', why: 'malformed' }
    if (server !== context.serverIp) {
      context.pool.withdraw(client.key)
      return { kind: 'silence', why: 'other-server' }
    }
    // Some clients name the server and fill in ciaddr when they renew.
    return selecting(context, client, requested ?? message.ciaddr, now)
  }
  if (message.ciaddr !== 0) return renewing(context, client, message.ciaddr, now)
  if (requested !== undefined) return initReboot(context, client, requested, now)
  return { kind: 'silence', why: 'malformed' }
}

/** The client takes what it was offered, here. */
function selecting({ pool }: RequestContext, client: PoolClient, ip: number, now: number): Verdict {
  if (ip === 0) return { kind: 'silence', why: 'malformed' }
  const ours = pool.offerTo(client.key) ?? pool.leaseOf(client.key)?.ip ?? ip
  if (ours !== ip) return { kind: 'nak', ip, why: 'not the address offered' }
  return grant(pool, client, ip, now)
}

/** The client remembers an address from before it was rebooted or replugged. */
function initReboot(context: RequestContext, client: PoolClient, ip: number, now: number): Verdict {
  if (!isInside(context.subnet, ip)) return { kind: 'nak', ip, why: 'wrong network' }
  const known = context.pool.reservedFor(client, now) ?? context.pool.leaseOf(client.key)
  if (!known) return { kind: 'silence', why: 'unknown-client' }
  if (known.ip !== ip) return { kind: 'nak', ip, why: 'wrong address' }
  return grant(context.pool, client, ip, now)
}

/** The client uses the address: RENEWING if it came by unicast, REBINDING by broadcast, to one effect. */
function renewing(context: RequestContext, client: PoolClient, ip: number, now: number): Verdict {
  if (!isInside(context.subnet, ip)) return { kind: 'nak', ip, why: 'wrong network' }
  // A client that has a reservation by now is sent to it.
  const known = context.pool.reservedFor(client, now) ?? context.pool.leaseOf(client.key)
  if (known && known.ip !== ip) return { kind: 'nak', ip, why: 'wrong address' }
  return grant(context.pool, client, ip, now)
}

function grant(pool: AddressPool, client: PoolClient, ip: number, now: number): Verdict {
  return pool.mayHold(client, ip, now)
    ? { kind: 'ack', ip }
    : { kind: 'nak', ip, why: 'address not available' }
}

function isInside({ netmask, network }: Cidr, ip: number): boolean {
  return (ip & netmask) >>> 0 === network
}
