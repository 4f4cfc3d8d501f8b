// The leases: who holds which address until when, and who held it last. One lease an address and one a
// client, so the table is no larger than the pool. A lease that ran out or was released stays, so that
// its holder gets the same address again, until the address is given to another.

import type { Mac } from '../wire/mac.js'

/** What tells one client from another: `id:` and its client identifier, or `hw:` and its hardware address. */
export type ClientKey = string

export interface Lease {
  /** A uint32. */
  readonly ip: number
  readonly key: ClientKey
  readonly mac: Mac
  /** Option 61, where the client sent one. */
  readonly clientId?: Uint8Array
  /** A safe name (safeHostname), where the client gave one. */
  readonly hostname?: string
  /** Milliseconds since the epoch. */
  readonly expires: number
}

/** An address put aside because a client found another station with it. */
export interface DeclinedAddress {
  /** A uint32. */
  readonly ip: number
  /** Milliseconds since the epoch. */
  readonly until: number
  /** The client's station, not the other one's. */
  readonly mac: Mac
}

/** What outlives the process. */
export interface StoredState {
  /** The longest unused first. */
  readonly leases: readonly Lease[]
  readonly declined: readonly DeclinedAddress[]
}

/** One step from one state to the next, as a journal has it. */
export type LeaseChange =
  /** In place of the lease at its address and of the one of its client. */
  | { readonly kind: 'put'; readonly lease: Lease }
  /** The address has no lease any more. */
  | { readonly kind: 'remove'; readonly ip: number }
  | { readonly kind: 'decline'; readonly declined: DeclinedAddress }

/** After this long, in ms, what was of no use is looked at again. */
const LOOK_AGAIN = 1000

export class LeaseTable {
  // In order of use, the longest unused first: a lease that is put again moves to the end.
  readonly #byIp = new Map<number, Lease>()
  readonly #byKey = new Map<ClientKey, Lease>()
  /** No lease runs out before this: spares the walk when every address is in use. */
  #soonest = Infinity

  at(ip: number): Lease | undefined {
    return this.#byIp.get(ip)
  }

  of(key: ClientKey): Lease | undefined {
    return this.#byKey.get(key)
  }

  /** Every lease, the longest unused first. */
  values(): IterableIterator<Lease> {
    return this.#byIp.values()
  }

  /** Adds a lease as the last used, in place of the one at its address and the one of its client. */
  put(lease: Lease): void {
    this.remove(this.#byIp.get(lease.ip))
    this.remove(this.#byKey.get(lease.key))
    this.#byIp.set(lease.ip, lease)
    this.#byKey.set(lease.key, lease)
    this.#soonest = Math.min(this.#soonest, lease.expires)
  }

  /** Removes this very lease; nothing if another took its place. */
  remove(lease: Lease | undefined): void {
    if (!lease || this.#byIp.get(lease.ip) !== lease) return
    this.#byIp.delete(lease.ip)
    this.#byKey.delete(lease.key)
  }

  /** Moves a lease to the end of the order of use, as it is. */
  touch(lease: Lease): void {
    if (this.#byIp.get(lease.ip) !== lease) return
    this.#byIp.delete(lease.ip)
    this.#byIp.set(lease.ip, lease)
  }

  /** The longest unused lease that ran out by `now` (ms since the epoch) and is `usable`. */
  leastRecentlyUsed(now: number, usable: (lease: Lease) => boolean): Lease | undefined {
    if (now < this.#soonest) return undefined
    let soonest = Infinity
    for (const lease of this.#byIp.values()) {
      if (lease.expires > now) soonest = Math.min(soonest, lease.expires)
      else if (usable(lease)) return lease
      // It is claimed, or reserved: not every client makes us look at it again.
      else soonest = Math.min(soonest, now + LOOK_AGAIN)
    }
    this.#soonest = soonest
    return undefined
  }
}
