/**
 * The forwarding database: which MAC address was last heard on which port.
 *
 * An open-addressing hash table in typed arrays: a MAC is two numbers (high 16 bits, low 32 bits), a look-up
 * makes no object. Guests choose their MACs, so the two multipliers of the hash are random odd numbers
 * (multiply-shift hashing, Dietzfelbinger et al. 1997): a guest cannot aim at one slot. The table is at most
 * half full; deletion shifts the followers back, so there are no tombstones to clean up.
 *
 * It is bounded as a whole and by port: one guest that invents addresses fills its own share, and however many do,
 * each port keeps room for a few. What did not fit is counted, and frames to an address that is not known are flooded, which is slower but never wrong.
 */

export interface FdbOptions {
  /** How many addresses are kept in all. */
  maxEntries?: number
  /** How many addresses each of `maxPorts` ports may hold beyond that; none unless told otherwise. */
  reserved?: number
  maxPorts?: number
  /** After how many milliseconds without a frame an address is forgotten (IEEE 802.1D: 300 s). */
  maxAge?: number
  /** A source of 32 random bits; a parameter so that tests repeat. */
  random32: () => number
}

export const FDB_MAX_ENTRIES = 8192
export const FDB_MAX_AGE = 300_000

/** What `learn` did with an address. */
export const LEARN_KNOWN = 0
export const LEARN_NEW = 1
export const LEARN_MOVED = 2
export const LEARN_REFUSED = 3

const EMPTY = -1
/** How often a full table may be searched for aged entries, in ms: bounds what a flood of MACs can cost. */
const SWEEP_INTERVAL = 1000

export interface FdbEntry {
  high: number
  low: number
  port: number
  /** When the last frame from this address came, in ms of the switch's clock. */
  seen: number
}

export class Fdb {
  readonly maxEntries: number
  readonly maxAge: number
  size = 0

  readonly #reserved: number
  readonly #high: Uint16Array
  readonly #low: Int32Array
  readonly #port: Int32Array
  readonly #seen: Float64Array
  readonly #mask: number
  readonly #shift: number
  readonly #multiplyHigh: number
  readonly #multiplyLow: number
  /** Entries held by each port id, and the share that each may hold. */
  readonly #held: number[] = []
  readonly #share: number[] = []
  #nextSweep = 0

  constructor({
    maxEntries = FDB_MAX_ENTRIES,
    reserved = 0,
    maxPorts = 0,
    maxAge = FDB_MAX_AGE,
    random32,
  }: FdbOptions) {
    const bits = Math.max(2, Math.ceil(Math.log2((maxEntries + reserved * maxPorts) * 2)))
    const slots = 2 ** bits
    this.maxEntries = maxEntries
    this.#reserved = reserved
    this.maxAge = maxAge
    this.#high = new Uint16Array(slots)
    this.#low = new Int32Array(slots)
    this.#port = new Int32Array(slots).fill(EMPTY)
    this.#seen = new Float64Array(slots)
    this.#mask = slots - 1
    this.#shift = 32 - bits
    this.#multiplyHigh = random32() | 1
    this.#multiplyLow = random32() | 1
  }

  /** Opens an account for a port: it may hold `share` addresses. */
  addPort(port: number, share: number): void {
    this.#held[port] = 0
    this.#share[port] = share
  }

  /** The port of an address, or -1 when it is not known or too old. `now` in ms. */
  lookup(high: number, low: number, now: number): number {
    const slot = this.#find(high, low)
    const port = this.#port[slot]
    return port !== EMPTY && now - this.#seen[slot] < this.maxAge ? port : -1
  }

  /** Notes that `port` sent a frame from this address at `now` (ms). Returns one of the LEARN_ values. */
  learn(high: number, low: number, port: number, now: number): number {
    const slot = this.#find(high, low)
    const known = this.#port[slot]
    if (known === port) {
      this.#seen[slot] = now
      return LEARN_KNOWN
    }
    if (known !== EMPTY) return this.#move(slot, known, port, now)
    if (!this.#hasRoom(port)) {
      if (now < this.#nextSweep) return LEARN_REFUSED
      this.#nextSweep = now + SWEEP_INTERVAL
      this.sweep(now)
      if (!this.#hasRoom(port)) return LEARN_REFUSED
      return this.learn(high, low, port, now)
    }
    this.#high[slot] = high
    this.#low[slot] = low
    this.#port[slot] = port
    this.#seen[slot] = now
    this.#held[port]++
    this.size++
    return LEARN_NEW
  }

  /** Forgets every address of a port, as when it closes. */
  flushPort(port: number): void {
    if (this.#held[port]) this.#removeWhere(slot => this.#port[slot] === port)
  }

  /** Forgets every address that was not heard for the maximum age. `now` in ms. */
  sweep(now: number): void {
    this.#removeWhere(slot => now - this.#seen[slot] >= this.maxAge)
  }

  /** The addresses that are known at `now` (ms), in no particular order. */
  *entries(now: number): Generator<FdbEntry> {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#port[slot] === EMPTY || now - this.#seen[slot] >= this.maxAge) continue
      yield { high: this.#high[slot], low: this.#low[slot], port: this.#port[slot], seen: this.#seen[slot] }
    }
  }

  #hasRoom(port: number): boolean {
    const held = this.#held[port]
    return held < this.#share[port] && (this.size < this.maxEntries || held < this.#reserved)
  }

  /**
   * An address moved to another port: that is followed at once. Where the new port's share is used up the
   * address is forgotten instead, so that its frames are flooded, not sent to where it no longer is.
   */
  #move(slot: number, from: number, to: number, now: number): number {
    if (this.#held[to] >= this.#share[to]) {
      this.#removeAt(slot)
      return LEARN_REFUSED
    }
    const aged = now - this.#seen[slot] >= this.maxAge
    this.#held[from]--
    this.#held[to]++
    this.#port[slot] = to
    this.#seen[slot] = now
    return aged ? LEARN_NEW : LEARN_MOVED
  }

  #hash(high: number, low: number): number {
    return (Math.imul(low, this.#multiplyLow) + Math.imul(high, this.#multiplyHigh)) >>> this.#shift
  }

  /** The slot that holds the address, or the empty one where it would go. */
  #find(high: number, low: number): number {
    let slot = this.#hash(high, low)
    while (this.#port[slot] !== EMPTY && (this.#low[slot] !== low || this.#high[slot] !== high)) {
      slot = (slot + 1) & this.#mask
    }
    return slot
  }

  #removeWhere(matches: (slot: number) => boolean): void {
    for (let slot = 0; slot <= this.#mask; slot++) {
      // A removal shifts a follower into this slot, so it is looked at again.
      while (this.#port[slot] !== EMPTY && matches(slot)) this.#removeAt(slot)
    }
  }

  #removeAt(slot: number): void {
    this.#held[this.#port[slot]]--
    this.size--
    let hole = slot
    let next = slot
    for (;;) {
      next = (next + 1) & this.#mask
      if (this.#port[next] === EMPTY) break
      const home = this.#hash(this.#high[next], this.#low[next])
      // The follower may fill the hole unless its home lies behind the hole on its way here.
      if (((next - home) & this.#mask) < ((next - hole) & this.#mask)) continue
      this.#high[hole] = this.#high[next]
      this.#low[hole] = this.#low[next]
      this.#port[hole] = this.#port[next]
      this.#seen[hole] = this.#seen[next]
      hole = next
    }
    this.#port[hole] = EMPTY
  }
}
