/**
 * Ports that claim so much of the pool that heeding it would leave others nothing: one VM that announces every address
 * of the range. Their claims are not heeded; the uplink, behind which there is a whole LAN, is not asked.
 */

/** Claims of a port, on addresses that are leased to nobody, that are heeded whatever the size of the pool. */
const FEW = 8
/** More than these are no station's, however large the pool: a VM with a dozen VIPs has three dozen claims. */
const MANY = 192
/** What a port may hold and claim of the pool, together. */
const SHARE = 4 / 5
/** How long, in ms, a verdict stands. */
const FRESH = 100

export interface GreedyOptions {
  /** Addresses that can be leased. */
  size(): number
  /** Addresses of the pool, leased to nobody, that a port claims. */
  claims(id: number): number
  /** Addresses of the pool that it holds. */
  held(id: number): number
  /** Called when a port becomes greedy. */
  onGreedy(id: number, claims: number): void
}

export class GreedyClaims {
  readonly #options: GreedyOptions
  readonly #verdicts = new Map<number, { at: number; isGreedy: boolean }>()

  constructor(options: GreedyOptions) {
    this.#options = options
  }

  isGreedy(id: number, now: number): boolean {
    const known = this.#verdicts.get(id)
    if (known && now - known.at < FRESH) return known.isGreedy
    const { size, claims, held, onGreedy } = this.#options
    const count = claims(id)
    const isGreedy = count > MANY || (count > FEW && count + held(id) > SHARE * size())
    this.#verdicts.set(id, { at: now, isGreedy })
    if (isGreedy && !known?.isGreedy) onGreedy(id, count)
    return isGreedy
  }
}
