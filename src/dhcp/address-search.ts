// From a DISCOVER to an address that may be offered: the pool picks one, a probe shows that no silent station has
// it (prober.ts), and if one has, the pool picks another. One search a client, however often it asks meanwhile.

import type { DhcpClient } from './client.js'
import type { DhcpClock } from './clock.js'
import type { DhcpLog } from './lease-store.js'
import type { AddressPool, NoOffer } from './pool.js'
import type { Prober } from './prober.js'
import { logEvent } from './events.js'
import { DISCOVER } from './options.js'
import { HURRIED_WAIT, PROBE_WAIT } from './prober.js'

/** How long a client waits for its offer, in ms. */
const PATIENCE = 200

// Hundreds of clients a second come from a load test or a rack that was switched on, not from a few VMs.
/** Clients that need a new address within CROWD_WINDOW ms, from which on addresses are probed ahead. */
const CROWD = 16
const CROWD_WINDOW = 250
/** For how long, in ms, what is probed ahead should do: longer than a probe takes, and shorter than it is good for. */
const AHEAD = 250
const MOST_AHEAD = 1024

/** An address that is held for the client; or why there is none, `probing` if those tried in time were all in use. */
export type Found = number | NoOffer | 'probing'

export interface AddressSearchOptions {
  pool: AddressPool
  prober: Prober
  clock: DhcpClock
  log: DhcpLog
}

interface Search {
  client: DhcpClient
  wanted: number | undefined
  /** No other address than the wanted one will do. */
  readonly isFixed: boolean
  found: (found: Found) => void
  readonly since: number
  /** The address whose probe is under way. */
  ip?: number
}

export class AddressSearch {
  readonly #options: AddressSearchOptions
  readonly #searches = new Map<string, Search>()
  /** Who needs a new address, and how many do. */
  readonly #crowd = new Crowd()

  constructor(options: AddressSearchOptions) {
    this.#options = options
  }

  /** Calls `found` once, now or within PATIENCE; never, if the client asks again before: then the later one. */
  find(client: DhcpClient, wanted: number | undefined, found: (found: Found) => void): void {
    const underWay = this.#searches.get(client.key)
    if (underWay && !underWay.isFixed) Object.assign(underWay, { client, found })
    else this.#attempt({ client, wanted, isFixed: false, found, since: this.#options.clock.now() })
  }

  /**
   * The same for the one address that a client asks for: at once, if it has a lease of it or was offered it, else as for
   * an offer.
   */
  check(client: DhcpClient, ip: number, found: (found: Found) => void): void {
    this.#attempt({ client, wanted: ip, isFixed: true, found, since: this.#options.clock.now() })
  }

  #attempt(search: Search): void {
    const { pool, prober, clock } = this.#options
    const { client, wanted, isFixed } = search
    const now = clock.now()
    pool.expire(now)
    const offered = pool.offerTo(client.key)
    const ip = isFixed ? pool.offerThis(client, wanted!, now) : pool.offer(client, wanted, now)
    if (typeof ip === 'string') return search.found(ip)
    // It is held for the client while its probe is on, and not offered yet.
    const isProbed = this.#searches.get(client.key)?.ip === ip
    if (!isProbed) {
      if (ip === offered || pool.holds(client, ip, now)) return search.found(ip)
      this.#lookAhead(now)
      if (prober.takeSilent(ip)) return search.found(ip)
    }
    search.ip = ip
    this.#searches.set(client.key, search)
    prober.probe(ip, this.#wait, () => this.#probed(search, ip))
  }

  #probed(search: Search, ip: number): void {
    const { pool, clock, log } = this.#options
    const { client, since } = search
    // A later search of the same client took its place.
    if (this.#searches.get(client.key) !== search) return
    this.#searches.delete(client.key)
    // The client may have chosen another server, or another address, meanwhile.
    if (pool.offerTo(client.key) !== ip) return
    const now = clock.now()
    if (pool.mayHold(client, ip, now)) return search.found(ip)
    const why = 'not given: a station that has no lease of it answers there'
    logEvent(log, 'warn', { type: DISCOVER, client, ip, name: 'taken', why })
    if (now - since + this.#wait <= PATIENCE) return this.#attempt(search)
    pool.withdraw(client.key)
    search.found('probing')
  }

  get #wait(): number {
    return this.#crowd.isThere ? HURRIED_WAIT : PROBE_WAIT
  }

  #lookAhead(now: number): void {
    const { pool, prober } = this.#options
    const wasThere = this.#crowd.isThere
    this.#crowd.arrive(now)
    if (!this.#crowd.isThere) return
    if (!wasThere) prober.hurry(HURRIED_WAIT)
    const enough = Math.min(MOST_AHEAD, Math.ceil(this.#crowd.rate * AHEAD))
    if (prober.ahead < 0.75 * enough) prober.probeAhead(pool.upcoming(enough), this.#wait)
  }
}

/** When the last clients came that need a new address. */
class Crowd {
  /** A ring of times, in ms. */
  readonly #times = new Float64Array(32).fill(-Infinity)
  #next = 0
  /** Clients a ms, of those in the window. */
  rate = 0
  isThere = false

  arrive(now: number): void {
    const times = this.#times
    times[this.#next] = now
    this.#next = (this.#next + 1) % times.length
    let count = 0
    let oldest = now
    for (const time of times) {
      // A clock that was set back leaves times to come.
      if (time > now || now - time >= CROWD_WINDOW) continue
      count++
      oldest = Math.min(oldest, time)
    }
    this.rate = (count - 1) / Math.max(1, now - oldest)
    this.isThere = count >= CROWD
  }
}
