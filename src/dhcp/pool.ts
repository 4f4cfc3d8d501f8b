// The pool: which address a client gets. It holds the leases, the offers that are out (60 s) and the
// addresses a client declined (10 min), and answers two questions: which address to offer a client, and
// whether a client may hold a certain one.
//
// The order of offers (RFC 2131 §4.3.1): the client's own address, leased or once leased; what it was
// offered a moment ago; what it asks for, if nobody ever had it; the lowest address nobody ever had; the
// expired one that was unused for longest. So a client keeps its address until the pool is tight.
//
// Everything in here is bounded by the number of addresses, whoever sends what: the work of a message is
// at most one walk of a bitmap (2,048 words for 65,536 addresses), and one of the leases when none is
// left that nobody had.

import type { Cidr, Ipv4Range } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import type { ClientKey, Lease } from './leases.js'
import { LeaseTable } from './leases.js'
import { leasable } from './range.js'

/** How long an offer keeps its address from others, in ms: dhclient takes up to 10 s to answer one. */
export const OFFER_HOLD = 60_000
/** How long a declined address is put aside, in ms. */
export const DECLINE_HOLD = 600_000

export interface PoolOptions {
  subnet: Cidr
  range: Ipv4Range
  /** Never leased; the server's and the router's address belong in here. */
  exclude: readonly Ipv4Range[]
  /** True if a station other than the one with `mac` claims `ip` on the segment. */
  isClaimed?: (ip: number, mac: Mac) => boolean
}

/** What the pool needs to know of a client. */
export interface PoolClient {
  readonly key: ClientKey
  readonly mac: Mac
}

interface Offer {
  readonly ip: number
  readonly client: PoolClient
  readonly until: number
}

export class AddressPool {
  readonly #leases = new LeaseTable()
  readonly #first: number
  readonly #leasable: Uint8Array
  /** One bit an address: set if it is not leasable, or has a lease (even an expired one), offer or decline. */
  readonly #taken: Uint32Array
  readonly #isClaimed: (ip: number, mac: Mac) => boolean
  // Both in the order in which they run out, since each has one holding time.
  readonly #offers = new Map<number, Offer>()
  readonly #declined = new Map<number, { until: number; mac: Mac }>()
  readonly #offerOf = new Map<ClientKey, Offer>()

  /** Throws ERR_DHCP_RANGE for a range that is no use (see leasable). */
  constructor({ subnet, range, exclude, isClaimed = () => false }: PoolOptions) {
    this.#first = range.first
    this.#leasable = leasable(subnet, range, exclude)
    this.#taken = new Uint32Array(Math.ceil(this.#leasable.length / 32)).fill(0xffffffff)
    this.#isClaimed = isClaimed
    for (let i = 0; i < this.#leasable.length; i++) this.#mark(range.first + i)
  }

  /** True if the address is one that this pool leases. */
  has(ip: number): boolean {
    return this.#leasable[ip - this.#first] === 1
  }

  /** The client's lease, live or expired. */
  leaseOf(key: ClientKey): Lease | undefined {
    return this.#leases.of(key)
  }

  /** The lease at an address, live or expired. */
  leaseAt(ip: number): Lease | undefined {
    return this.#leases.at(ip)
  }

  /** Every lease, live or expired, the longest unused first. */
  leases(): IterableIterator<Lease> {
    return this.#leases.values()
  }

  /** The address that is held for a client by an offer. */
  offerTo(key: ClientKey): number | undefined {
    return this.#offerOf.get(key)?.ip
  }

  offers(): IterableIterator<Offer> {
    return this.#offers.values()
  }

  /** Declined addresses, when they come back (ms since the epoch) and whose station declined them. */
  declined(): IterableIterator<[ip: number, { until: number; mac: Mac }]> {
    return this.#declined.entries()
  }

  /** Addresses that could be leased to somebody new at this moment; call expire() before. */
  free(now: number): number {
    let free = 0
    for (let i = 0; i < this.#leasable.length; i++) {
      const ip = this.#first + i
      const held = this.#offers.has(ip) || this.#declined.has(ip) || (this.#leases.at(ip)?.expires ?? 0) > now
      if (this.#leasable[i] && !held) free++
    }
    return free
  }

  /** Lets go of offers and declined addresses whose time is over. First call of every message. */
  expire(now: number): void {
    for (const offer of this.#offers.values()) {
      if (offer.until > now) break
      this.withdraw(offer.client.key)
    }
    for (const [ip, { until }] of this.#declined) {
      if (until > now) break
      this.#declined.delete(ip)
      this.#mark(ip)
    }
  }

  /** True if the client could hold this address from `now`: it does, or nobody else does, was offered it or claims it. */
  mayHold(client: PoolClient, ip: number, now: number): boolean {
    if (!this.has(ip) || this.#declined.has(ip)) return false
    const offer = this.#offers.get(ip)
    if (offer && offer.client.key !== client.key) return false
    const lease = this.#leases.at(ip)
    if (lease && lease.expires > now) {
      // A live lease stands against a claim: one forged ARP must not take a VM's address away.
      return lease.key === client.key
    }
    return !this.#isClaimed(ip, client.mac)
  }

  /** Picks an address for the client and holds it for OFFER_HOLD; undefined if none is left. */
  offer(client: PoolClient, wanted: number | undefined, now: number): number | undefined {
    const ip = this.#choose(client, wanted, now)
    if (ip === undefined) return undefined
    this.withdraw(client.key)
    const offer = { ip, client: { key: client.key, mac: client.mac }, until: now + OFFER_HOLD }
    this.#offers.set(ip, offer)
    this.#offerOf.set(client.key, offer)
    const lease = this.#leases.at(ip)
    // The next one to come for an unused address must not walk past this one.
    if (lease && lease.key !== client.key) this.#leases.touch(lease)
    this.#mark(ip)
    return ip
  }

  /** Takes back the offer to a client, if there is one. */
  withdraw(key: ClientKey): void {
    const offer = this.#offerOf.get(key)
    if (!offer) return
    this.#offerOf.delete(key)
    this.#offers.delete(offer.ip)
    this.#mark(offer.ip)
  }

  /** Puts a lease into the table, in place of the one at its address and the one of its client. */
  put(lease: Lease): void {
    const former = this.#leases.of(lease.key)
    this.withdraw(lease.key)
    this.#leases.put(lease)
    this.#mark(lease.ip)
    if (former) this.#mark(former.ip)
  }

  /** Removes this very lease; nothing if another took its place. */
  remove(lease: Lease): void {
    this.#leases.remove(lease)
    this.#mark(lease.ip)
  }

  /** Puts an address aside for DECLINE_HOLD: the client found that another station uses it. */
  decline(client: PoolClient, ip: number, now: number): void {
    this.withdraw(client.key)
    const lease = this.#leases.at(ip)
    if (lease?.key === client.key) this.#leases.remove(lease)
    this.#declined.set(ip, { until: now + DECLINE_HOLD, mac: client.mac })
    this.#mark(ip)
  }

  #choose(client: PoolClient, wanted: number | undefined, now: number): number | undefined {
    const own = this.#leases.of(client.key)?.ip
    if (own !== undefined && this.mayHold(client, own, now)) return own
    const offered = this.#offerOf.get(client.key)?.ip
    if (offered !== undefined && this.mayHold(client, offered, now)) return offered
    if (wanted !== undefined && !this.#leases.at(wanted) && this.mayHold(client, wanted, now)) return wanted
    return (
      this.#neverUsed(client) ??
      this.#leases.leastRecentlyUsed(now, ({ ip }) => this.mayHold(client, ip, now))?.ip
    )
  }

  /** The lowest address without a lease, offer or decline that no other station claims. */
  #neverUsed(client: PoolClient): number | undefined {
    for (let word = 0; word < this.#taken.length; word++) {
      let open = ~this.#taken[word]!
      while (open !== 0) {
        const bit = 31 - Math.clz32(open & -open)
        const ip = this.#first + 32 * word + bit
        if (!this.#isClaimed(ip, client.mac)) return ip
        open &= open - 1
      }
    }
    return undefined
  }

  /** Sets the address's bit in #taken from the tables. */
  #mark(ip: number): void {
    const i = ip - this.#first
    if (i < 0 || i >= this.#leasable.length) return
    const taken =
      this.#leasable[i] === 0 || this.#leases.at(ip) || this.#offers.has(ip) || this.#declined.has(ip)
    if (taken) this.#taken[i >>> 5]! |= 1 << (i & 31)
    else this.#taken[i >>> 5]! &= ~(1 << (i & 31))
  }
}
