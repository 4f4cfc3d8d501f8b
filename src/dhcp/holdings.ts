// Which port holds how many of the pool's addresses, so that one VM cannot drain it.
//
// The bound moves with what is left (a dynamic threshold, as switches share buffers among queues): a port may
// take one more address while it holds less than SHARE times what is free. Alone, it gets four fifths of the
// pool; of several greedy ones each gets less, and something is left for the next. A port with one client is
// never refused while there is an address. Held is what is leased, offered or was declined.

/** How many addresses a port may hold for each that is free. */
export const SHARE = 4

/** How long, in ms, addresses that ran out may count as held: a walk of all of them tells. */
const SWEEP_EVERY = 1000

export interface HoldingsOptions {
  /** The number of addresses in all. */
  size: number
  /** Whether an address is still held at `now`. */
  isHeld(ip: number, now: number): boolean
  /** How many addresses are not held, and yet nobody new can have them at `now`: a walk of all of them. */
  outOfReach(now: number): number
}

export class Holdings {
  readonly #options: HoldingsOptions
  readonly #ports = new Map<number, string>()
  readonly #counts = new Map<string, number>()
  #sweptAt = -Infinity
  #countedAt = -Infinity
  #outOfReach = 0

  constructor(options: HoldingsOptions) {
    this.#options = options
  }

  /** The port that holds an address, by name. */
  portOf(ip: number): string | undefined {
    return this.#ports.get(ip)
  }

  /** How many addresses a port holds. */
  countOf(port: string): number {
    return this.#counts.get(port) ?? 0
  }

  hold(ip: number, port: string): void {
    if (this.#ports.get(ip) === port) return
    this.drop(ip)
    this.#ports.set(ip, port)
    this.#counts.set(port, (this.#counts.get(port) ?? 0) + 1)
  }

  drop(ip: number): void {
    const port = this.#ports.get(ip)
    if (port === undefined) return
    this.#ports.delete(ip)
    const left = this.#counts.get(port)! - 1
    if (left === 0) this.#counts.delete(port)
    else this.#counts.set(port, left)
  }

  /** True if the port may take one more, at `now` in ms. */
  allows(port: string, now: number): boolean {
    if (!this.#counts.has(port)) return true
    const { size, isHeld, outOfReach } = this.#options
    // Every 20 ms for a /24, every 6 s for the largest range, whose walk takes some ms. Clocks go back, too.
    if (Math.abs(now - this.#countedAt) >= Math.floor(size / 10)) {
      this.#countedAt = now
      this.#outOfReach = outOfReach(now)
    }
    if (this.#hasRoom(port)) return true
    if (Math.abs(now - this.#sweptAt) < SWEEP_EVERY) return false
    this.#sweptAt = now
    for (const ip of this.#ports.keys()) if (!isHeld(ip, now)) this.drop(ip)
    return this.#hasRoom(port)
  }

  #hasRoom(port: string): boolean {
    const free = this.#options.size - this.#ports.size - this.#outOfReach
    return this.countOf(port) < SHARE * Math.max(0, free)
  }
}
