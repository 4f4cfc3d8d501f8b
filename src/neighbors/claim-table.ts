// The columns behind the neighbour table: a fixed number of slots, one a claimed address. Slots hang in two
// kinds of chains: one a hash bucket, and one a port in the order of last sight, the longest unseen first.
// Numbers only, in typed arrays: nothing is allocated after the constructor but a small record a port.
//
// An address is four 32-bit words; an IPv4 one stands in the last, behind ::ffff:0:0/96, which is no address
// that IPv6 neighbour discovery may speak of.

/** No slot. */
export const NONE = -1

/** The third word of an IPv4 address (RFC 4291 §2.5.5.2). */
export const IPV4_MAPPED = 0xffff

interface Share {
  limit: number
  count: number
  oldest: number
  newest: number
}

export class ClaimTable {
  /** Claims held. */
  count = 0
  /** Claims that went to make room for others. */
  evicted = 0

  // By slot. Words and the low half of a MAC are kept as int32: compare them after `| 0`.
  readonly words: Int32Array
  readonly macHi: Int32Array
  readonly macLo: Int32Array
  readonly port: Int32Array
  readonly how: Uint8Array
  readonly moves: Uint32Array
  readonly firstSeen: Float64Array
  readonly lastSeen: Float64Array

  readonly #buckets: Int32Array
  /** The next of a bucket's chain, or of the free slots. */
  readonly #next: Int32Array
  readonly #older: Int32Array
  readonly #newer: Int32Array
  readonly #shares = new Map<number, Share>()
  readonly #portShare: number
  #free = 0

  constructor(slots: number, portShare: number) {
    this.words = new Int32Array(4 * slots)
    this.macHi = new Int32Array(slots)
    this.macLo = new Int32Array(slots)
    this.port = new Int32Array(slots)
    this.how = new Uint8Array(slots)
    this.moves = new Uint32Array(slots)
    this.firstSeen = new Float64Array(slots)
    this.lastSeen = new Float64Array(slots)
    this.#next = Int32Array.from({ length: slots }, (_, i) => (i + 1 < slots ? i + 1 : NONE))
    this.#older = new Int32Array(slots)
    this.#newer = new Int32Array(slots)
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(2 * slots))).fill(NONE)
    this.#portShare = portShare
  }

  /** The slot of an address, or NONE. */
  find(a: number, b: number, c: number, d: number): number {
    const { words } = this
    let slot = this.#buckets[this.#hash(a, b, c, d)]!
    while (slot !== NONE) {
      const at = 4 * slot
      if (
        words[at + 3] === (d | 0) &&
        words[at + 2] === (c | 0) &&
        words[at + 1] === (b | 0) &&
        words[at] === (a | 0)
      ) {
        return slot
      }
      slot = this.#next[slot]!
    }
    return NONE
  }

  /** A new slot for an address that has none, the newest of its port; others go if there is no room. */
  add(a: number, b: number, c: number, d: number, port: number): number {
    const share = this.#shareOf(port)
    if (share.count >= share.limit) this.#evict(share)
    else if (this.#free === NONE) this.#evict(this.#largest())
    const slot = this.#free
    this.#free = this.#next[slot]!
    const bucket = this.#hash(a, b, c, d)
    this.#next[slot] = this.#buckets[bucket]!
    this.#buckets[bucket] = slot
    this.words[4 * slot] = a
    this.words[4 * slot + 1] = b
    this.words[4 * slot + 2] = c
    this.words[4 * slot + 3] = d
    this.port[slot] = port
    this.moves[slot] = 0
    this.count++
    this.#link(slot, share)
    return slot
  }

  /** Makes a slot the newest of its port. */
  touch(slot: number): void {
    if (this.#newer[slot] === NONE) return
    const share = this.#shareOf(this.port[slot]!)
    this.#unlink(slot, share)
    this.#link(slot, share)
  }

  /** Makes a slot the newest of another port, whose oldest goes if its share is full. */
  move(slot: number, port: number): void {
    this.#unlink(slot, this.#shareOf(this.port[slot]!))
    const share = this.#shareOf(port)
    if (share.count >= share.limit) this.#evict(share)
    this.port[slot] = port
    this.#link(slot, share)
  }

  remove(slot: number): void {
    const at = 4 * slot
    const { words } = this
    const bucket = this.#hash(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!)
    if (this.#buckets[bucket] === slot) {
      this.#buckets[bucket] = this.#next[slot]!
    } else {
      let before = this.#buckets[bucket]!
      while (this.#next[before] !== slot) before = this.#next[before]!
      this.#next[before] = this.#next[slot]!
    }
    this.#unlink(slot, this.#shareOf(this.port[slot]!))
    this.#next[slot] = this.#free
    this.#free = slot
    this.count--
  }

  /** Sets the share of a port; its oldest claims go if it holds more. */
  setLimit(port: number, limit: number): void {
    const share = this.#shareOf(port)
    share.limit = limit
    while (share.count > limit) this.#evict(share)
  }

  /** Removes every claim of a port, and its share. */
  forgetPort(port: number): void {
    const share = this.#shares.get(port)
    if (!share) return
    while (share.oldest !== NONE) this.remove(share.oldest)
    this.#shares.delete(port)
  }

  /** Removes what was last seen at `until` or before. */
  expire(until: number): void {
    for (const share of this.#shares.values()) {
      while (share.oldest !== NONE && this.lastSeen[share.oldest]! <= until) this.remove(share.oldest)
    }
  }

  /** Calls back for every slot in use, port by port, the longest unseen first. */
  forEach(visit: (slot: number) => void): void {
    for (const share of this.#shares.values()) {
      for (let slot = share.oldest; slot !== NONE; slot = this.#newer[slot]!) visit(slot)
    }
  }

  /** The same for the slots of one port. */
  forEachOf(port: number, visit: (slot: number) => void): void {
    const share = this.#shares.get(port)
    for (let slot = share?.oldest ?? NONE; slot !== NONE; slot = this.#newer[slot]!) visit(slot)
  }

  #shareOf(port: number): Share {
    let share = this.#shares.get(port)
    if (!share) {
      share = { limit: this.#portShare, count: 0, oldest: NONE, newest: NONE }
      this.#shares.set(port, share)
    }
    return share
  }

  #largest(): Share {
    let largest: Share | undefined
    for (const share of this.#shares.values()) if (share.count > (largest?.count ?? 0)) largest = share
    return largest!
  }

  #evict(share: Share): void {
    this.remove(share.oldest)
    this.evicted++
  }

  #link(slot: number, share: Share): void {
    this.#older[slot] = share.newest
    this.#newer[slot] = NONE
    if (share.newest === NONE) share.oldest = slot
    else this.#newer[share.newest] = slot
    share.newest = slot
    share.count++
  }

  #unlink(slot: number, share: Share): void {
    const older = this.#older[slot]!
    const newer = this.#newer[slot]!
    if (older === NONE) share.oldest = newer
    else this.#newer[older] = newer
    if (newer === NONE) share.newest = older
    else this.#older[newer] = older
    share.count--
  }

  /** Multiplies by odd constants and takes the upper bits, so that neighbouring addresses spread. */
  #hash(a: number, b: number, c: number, d: number): number {
    let hash = Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0xc2b2ae35)
    hash = Math.imul(hash ^ (hash >>> 15) ^ c, 0x27d4eb2f)
    hash = Math.imul(hash ^ (hash >>> 13) ^ d, 0x9e3779b1)
    return (hash ^ (hash >>> 16)) & (this.#buckets.length - 1)
  }
}
