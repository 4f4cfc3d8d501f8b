// The addresses of a range that nobody ever had, as a bitmap: finding the lowest walks one word for 32 addresses.

export class UnusedAddresses {
  readonly #first: number
  readonly #leasable: Uint8Array
  /** Bits of addresses that are not leasable or not unused, and of those beyond the range. */
  readonly #taken: Uint32Array

  /** `leasable` has a flag for each address of the range, which begins with `first`, a uint32. */
  constructor(first: number, leasable: Uint8Array) {
    this.#first = first
    this.#leasable = leasable
    this.#taken = new Uint32Array(Math.ceil(leasable.length / 32)).fill(0xffffffff)
    for (let i = 0; i < leasable.length; i++) this.set(first + i, true)
  }

  /** Notes whether an address is unused; nothing for one that is not leasable. */
  set(ip: number, isUnused: boolean): void {
    const i = ip - this.#first
    if (this.#leasable[i] !== 1) return
    if (isUnused) this.#taken[i >>> 5]! &= ~(1 << (i & 31))
    else this.#taken[i >>> 5]! |= 1 << (i & 31)
  }

  /** Calls for every unused address, the lowest first, until told to stop by `false`. */
  forEach(visit: (ip: number) => boolean): void {
    for (let word = 0; word < this.#taken.length; word++) {
      let open = ~this.#taken[word]!
      while (open !== 0) {
        const bit = 31 - Math.clz32(open & -open)
        if (!visit(this.#first + 32 * word + bit)) return
        open &= open - 1
      }
    }
  }
}
