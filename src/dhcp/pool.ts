// The pool: which address a client gets. It holds the leases, the offers that are out (60 s) and the
// addresses a client declined (10 min), and answers two questions: which address to offer a client, and
// whether a client may hold a certain one.
//
// The order of offers (RFC 2131 §4.3.1): what is reserved for the client; the client's own address, leased or
// once leased; what it was offered a moment ago; what it asks for, if nobody ever had it; the lowest address
// nobody ever had; the expired one that was unused for longest. So a client keeps its address until the pool
// is tight. An address that another station claims is none of these.
//
// Everything in here is bounded by the number of addresses, whoever sends what: the work of a message is
// at most one walk of a bitmap (2,048 words for 65,536 addresses), and one of the leases when none is
// left that nobody had. What one port may hold of it is bounded as well (holdings.ts).

import type { Cidr, Ipv4Range } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import type { OptionConfig } from './option-config.js'
import type { ClientKey, DeclinedAddress, Lease, LeaseChange, StoredState } from './leases.js'
import { Holdings } from './holdings.js'
import { LeaseTable } from './leases.js'
import { leasable } from './range.js'
import { UnusedAddresses } from './unused.js'

/** How long an offer keeps its address from others, in ms: dhclient takes up to 10 s to answer one. */
export const OFFER_HOLD = 60_000
/** How long a declined address is put aside, in ms. */
export const DECLINE_HOLD = 600_000

/** Who holds the leases that were loaded, until their clients are heard. */
const UNKNOWN_PORT = ''

/** No station: every claim is another's. */
const NOBODY: Mac = { hi: 0, lo: 0 }

/** What is reserved for whom; addresses may lie outside of the range. */
export interface ReservationLookup {
  of(client: PoolClient): ReservedAddress | undefined
  at(ip: number): ReservedAddress | undefined
}

export interface ReservedAddress {
  readonly ip: number
  /** The name that the client is told. */
  readonly hostname?: string
  /** What it is told in place of what the segment's clients are told. */
  readonly options?: OptionConfig
}

const NO_RESERVATIONS: ReservationLookup = { of: () => undefined, at: () => undefined }

export interface PoolOptions {
  subnet: Cidr
  range: Ipv4Range
  /** Never leased; the server's and the router's address belong in here. */
  exclude: readonly Ipv4Range[]
  /** True if a station other than the one with `mac` claims `ip` on the segment. */
  isClaimed?: (ip: number, mac: Mac) => boolean
  reservations?: ReservationLookup
  /** Whether a port of that name is there now. */
  isPlugged?: (port: string) => boolean
}

/** What the pool needs to know of a client. */
export interface PoolClient {
  readonly key: ClientKey
  readonly mac: Mac
  readonly clientId?: Uint8Array
  readonly hostname?: string
  /** The name of the port that it is behind. */
  readonly port: string
}

/** Why a client gets no address. */
export type NoOffer = 'no-address' | 'port-limit'

interface Offer {
  readonly ip: number
  readonly client: PoolClient
  readonly until: number
}

export class AddressPool {
  /** Addresses of the range that may be leased. */
  readonly size: number = 0
  readonly #leases = new LeaseTable()
  readonly #first: number
  readonly #leasable: Uint8Array
  /** Without a lease, even an expired one, an offer or a decline. */
  readonly #unused: UnusedAddresses
  readonly #isClaimed: (ip: number, mac: Mac) => boolean
  readonly #reservations: ReservationLookup
  readonly #holdings: Holdings
  readonly #isPlugged: (port: string) => boolean
  // Both in the order in which they run out, since each has one holding time.
  readonly #offers = new Map<number, Offer>()
  readonly #declined = new Map<number, DeclinedAddress>()
  readonly #offerOf = new Map<ClientKey, Offer>()
  #changes: LeaseChange[] = []

  /** Throws ERR_DHCP_RANGE for a range that is no use (see leasable). */
  constructor(options: PoolOptions) {
    const { subnet, range, exclude, isClaimed = () => false, reservations = NO_RESERVATIONS } = options
    this.#first = range.first
    this.#leasable = leasable(subnet, range, exclude)
    this.#unused = new UnusedAddresses(range.first, this.#leasable)
    this.#isClaimed = isClaimed
    this.#reservations = reservations
    this.#isPlugged = options.isPlugged ?? (() => false)
    for (const flag of this.#leasable) this.size += flag
    this.#holdings = new Holdings({
      size: this.size,
      isHeld: (ip, now) => this.#isHeld(ip, now),
      outOfReach: now => this.#outOfReach(now),
    })
  }

  /** True if the address is one that this pool leases to anybody, or to the one for whom it is reserved. */
  has(ip: number): boolean {
    return this.#leasable[ip - this.#first] === 1 || this.#reservations.at(ip) !== undefined
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

  /** The port behind which an address is held; undefined if it is not known since the start. */
  portOf(ip: number): string | undefined {
    return this.#holdings.portOf(ip) || undefined
  }

  /** What is reserved for the client, if nothing stands against it now. */
  reservedFor(client: PoolClient, now: number): ReservedAddress | undefined {
    const reserved = this.#reservations.of(client)
    return reserved && this.mayHold(client, reserved.ip, now) ? reserved : undefined
  }

  /** The address that is held for a client by an offer. */
  offerTo(key: ClientKey): number | undefined {
    return this.#offerOf.get(key)?.ip
  }

  offers(): IterableIterator<Offer> {
    return this.#offers.values()
  }

  offerAt(ip: number): Offer | undefined {
    return this.#offers.get(ip)
  }

  declinedAt(ip: number): DeclinedAddress | undefined {
    return this.#declined.get(ip)
  }

  /** Addresses that are put aside, the first to come back first. */
  declined(): IterableIterator<DeclinedAddress> {
    return this.#declined.values()
  }

  /** All that is to outlive the process, as it is now. */
  state(): StoredState {
    return { leases: [...this.#leases.values()], declined: [...this.#declined.values()] }
  }

  /** What changed of it since the last call, in order. */
  takeChanges(): LeaseChange[] {
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  /** Takes over what was stored, as far as it is of this pool; how many leases were not. */
  restore({ leases, declined }: StoredState): number {
    let outside = 0
    for (const lease of leases) {
      if (this.has(lease.ip)) this.put(lease)
      else outside++
    }
    for (const entry of declined) {
      if (this.has(entry.ip)) this.#putAside(entry)
    }
    this.#changes = []
    return outside
  }

  /** Addresses that could be leased to somebody new at this moment; call expire() before. */
  free(now: number): number {
    return this.#count(ip => !this.#isHeld(ip, now) && this.#isForAll(ip))
  }

  /**
   * Lets go of offers and declined addresses whose time is over, or further away than one can be (the clock was set
   * back: all that came after would wait behind). First call of every message.
   */
  expire(now: number): void {
    for (const offer of this.#offers.values()) {
      if (offer.until > now && offer.until <= now + OFFER_HOLD) break
      this.withdraw(offer.client.key)
    }
    for (const { ip, until } of this.#declined.values()) {
      if (until > now && until <= now + DECLINE_HOLD) break
      this.#declined.delete(ip)
      this.#letGo(ip)
    }
  }

  /**
   * True if the client could hold this address from `now`: it does, or nobody else does, was offered it, has it
   * reserved or claims it.
   */
  mayHold(client: PoolClient, ip: number, now: number): boolean {
    if (!this.#isOpenTo(client, ip) || this.#declined.has(ip)) return false
    const offer = this.#offers.get(ip)
    if (
      offer &&
      offer.client.key !== client.key &&
      !this.#isSameStation({ ip, mac: offer.client.mac }, client)
    )
      return false
    const lease = this.#leases.at(ip)
    if (lease && lease.expires > now) {
      // A live lease stands against a claim: one forged ARP must not take a VM's address away.
      return lease.key === client.key || this.#isSameStation(lease, client)
    }
    return !this.#isClaimed(ip, client.mac)
  }

  /** Picks an address for the client and holds it for OFFER_HOLD, or says why there is none. */
  offer(client: PoolClient, wanted: number | undefined, now: number): number | NoOffer {
    const ip = this.#choose(client, wanted, now)
    return ip === undefined ? 'no-address' : this.#offer(client, ip, now)
  }

  /** Holds this very address for the client, which may be one that another had; or says why not. */
  offerThis(client: PoolClient, ip: number, now: number): number | NoOffer {
    return this.mayHold(client, ip, now) ? this.#offer(client, ip, now) : 'no-address'
  }

  #offer(client: PoolClient, ip: number, now: number): number | NoOffer {
    const isFree = !this.#isOwn(client, ip, now) && !this.#reservations.at(ip)
    if (isFree && !this.#holdings.allows(client.port, now)) return 'port-limit'
    this.withdraw(client.key)
    const former = this.#offers.get(ip)
    if (former) this.withdraw(former.client.key)
    const offer = { ip, client, until: now + OFFER_HOLD }
    this.#offers.set(ip, offer)
    this.#offerOf.set(client.key, offer)
    // A lease stays where it is held: see foundAt().
    if (!this.holds(client, ip, now)) this.#hold(ip, client.port)
    const lease = this.#leases.at(ip)
    // The next one to come for an unused address must not walk past this one.
    if (lease && lease.key !== client.key) this.#leases.touch(lease)
    this.#mark(ip)
    return ip
  }

  /** True if the client has a lease of the address that is not over. */
  holds({ key }: PoolClient, ip: number, now: number): boolean {
    const lease = this.#leases.at(ip)
    return lease?.key === key && lease.expires > now
  }

  /** Takes back the offer to a client, if there is one. */
  withdraw(key: ClientKey): void {
    const offer = this.#offerOf.get(key)
    if (!offer) return
    this.#offerOf.delete(key)
    this.#offers.delete(offer.ip)
    this.#letGo(offer.ip)
  }

  /**
   * Puts a lease into the table, in place of the one at its address and the one of its client.
   */
  put(lease: Lease): void {
    const former = this.#leases.of(lease.key)
    this.#hold(lease.ip, this.#holdings.portOf(lease.ip) ?? UNKNOWN_PORT)
    this.#leases.put(lease)
    this.withdraw(lease.key)
    this.#changes.push({ kind: 'put', lease })
    this.#mark(lease.ip)
    if (former && former.ip !== lease.ip) this.#letGo(former.ip)
  }

  /**
   * Notes the port behind which the holder of an address is. As long as its former port is there, that stands: a message
   * in another's name must not move it.
   */
  foundAt(ip: number, port: string): void {
    const former = this.portOf(ip)
    if (former === undefined || !this.#isPlugged(former)) this.#hold(ip, port)
  }

  /** How many addresses are held behind a port. */
  heldBy(port: string): number {
    return this.#holdings.countOf(port)
  }

  /** True if the address may be leased, and is held for nobody at `now`. */
  isOpen(ip: number, now: number): boolean {
    return this.#leasable[ip - this.#first] === 1 && !this.#isHeld(ip, now)
  }

  /** Ends a lease at `now`; its client is remembered. */
  end(lease: Lease, now: number): void {
    this.put({ ...lease, expires: now })
    this.#holdings.drop(lease.ip)
  }

  /** Removes this very lease; nothing if another took its place. */
  remove(lease: Lease): void {
    if (this.#leases.at(lease.ip) !== lease) return
    this.#leases.remove(lease)
    this.#changes.push({ kind: 'remove', ip: lease.ip })
    this.#letGo(lease.ip)
  }

  /** Puts an address aside for DECLINE_HOLD: the client found that another station uses it. */
  decline(client: PoolClient, ip: number, now: number): void {
    this.withdraw(client.key)
    const lease = this.#leases.at(ip)
    if (lease?.key === client.key) this.remove(lease)
    this.#putAside({ ip, until: now + DECLINE_HOLD, mac: client.mac })
    // It still counts as its port's: who declines one after the other drains nothing.
    this.#hold(ip, client.port)
  }

  /** Takes an address back that was put aside; false if it was not. */
  takeBack(ip: number, now: number): boolean {
    const declined = this.#declined.get(ip)
    if (!declined) return false
    this.#declined.delete(ip)
    this.#changes.push({ kind: 'decline', declined: { ...declined, until: now } })
    this.#letGo(ip)
    return true
  }

  /** The `count` addresses that new clients would get next, as far as nobody ever had them. */
  upcoming(count: number): number[] {
    const next: number[] = []
    this.#eachUnused(ip => {
      if (!this.#isClaimed(ip, NOBODY)) next.push(ip)
      return next.length < count
    })
    return next
  }

  #choose(client: PoolClient, wanted: number | undefined, now: number): number | undefined {
    const reserved = this.reservedFor(client, now)?.ip
    if (reserved !== undefined) return reserved
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
    let found: number | undefined
    this.#eachUnused(ip => {
      if (this.#isClaimed(ip, client.mac)) return true
      found = ip
      return false
    })
    return found
  }

  /** Calls for every unused address that is reserved for nobody, lowest first, until told to stop by `false`. */
  #eachUnused(visit: (ip: number) => boolean): void {
    this.#unused.forEach(ip => this.#reservations.at(ip) !== undefined || visit(ip))
  }

  /** In the range and reserved for nobody, or reserved for this client. */
  #isOpenTo(client: PoolClient, ip: number): boolean {
    return this.#reservations.at(ip)
      ? this.#reservations.of(client)?.ip === ip
      : this.#leasable[ip - this.#first] === 1
  }

  /**
   * One machine comes with several client identifiers: its firmware's, then its system's. What is reserved for the
   * machine passes from one to the other.
   */
  #isSameStation(lease: Pick<Lease, 'ip' | 'mac'>, { mac }: PoolClient): boolean {
    return this.#reservations.at(lease.ip) !== undefined && lease.mac.hi === mac.hi && lease.mac.lo === mac.lo
  }

  /** True if the client has the address already, by a lease or an offer: it costs the pool nothing. */
  #isOwn(client: PoolClient, ip: number, now: number): boolean {
    return this.holds(client, ip, now) || this.#offerOf.get(client.key)?.ip === ip
  }

  #isHeld(ip: number, now: number): boolean {
    return this.#offers.has(ip) || this.#declined.has(ip) || (this.#leases.at(ip)?.expires ?? 0) > now
  }

  /** The bound is on the range: what is reserved outside of it takes nothing from anybody. */
  #hold(ip: number, port: string): void {
    if (this.#leasable[ip - this.#first] === 1) this.#holdings.hold(ip, port)
  }

  /** Not held, but kept for one client or claimed by a station. */
  #outOfReach(now: number): number {
    return this.#count(ip => !this.#isForAll(ip) && !this.#isHeld(ip, now))
  }

  #isForAll(ip: number): boolean {
    return this.#reservations.at(ip) === undefined && !this.#isClaimed(ip, NOBODY)
  }

  /** How many addresses of the range that may be leased are such. */
  #count(isSuch: (ip: number) => boolean): number {
    let count = 0
    for (let i = 0; i < this.#leasable.length; i++) {
      if (this.#leasable[i] === 1 && isSuch(this.#first + i)) count++
    }
    return count
  }

  #putAside(declined: DeclinedAddress): void {
    // Behind the others: they run out in the order of the map.
    this.#declined.delete(declined.ip)
    this.#declined.set(declined.ip, declined)
    this.#changes.push({ kind: 'decline', declined })
    this.#mark(declined.ip)
  }

  /** An offer, a lease or a putting aside is over; what else there is at the address stands. */
  #letGo(ip: number): void {
    if (!this.#offers.has(ip) && !this.#declined.has(ip) && !this.#leases.at(ip)) this.#holdings.drop(ip)
    this.#mark(ip)
  }

  /** Notes whether the address is unused, from the tables. */
  #mark(ip: number): void {
    this.#unused.set(ip, !this.#leases.at(ip) && !this.#offers.has(ip) && !this.#declined.has(ip))
  }
}
