// ARP probes (RFC 5227 §2.1.1): before an address is offered to a client that never had it, every station on the
// segment is asked for it. One with a static address that never spoke is found so. An answer is not taken here:
// the neighbour table learns it as it passes the switch, and tells by heard().
//
// Waiting costs each new client PROBE_WAIT, which is nothing to a booting VM and much to hundreds a second. So
// while many come, addresses are probed before anybody needs them. Such a result is good for FRESH only: a
// silent station may be plugged in at any time.

import type { DhcpClock } from './clock.js'

/** How long an answer is waited for, in ms. An answer that is later is heard when the client asks for the address. */
export const PROBE_WAIT = 80
/** How long the silence of an address is trusted, in ms. */
export const FRESH = 1000

export interface ProberOptions {
  clock: DhcpClock
  /** Sends a probe for an address, a uint32. */
  send(ip: number): void
}

/** Called once, from an event of its own: true if nobody answered. */
export type Probed = (isSilent: boolean) => void

interface Probe {
  probed: Probed | undefined
}

export class Prober {
  readonly #options: ProberOptions
  readonly #waiting = new Map<number, Probe>()
  readonly #silent = new Map<number, Probe>()

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** Addresses whose silence is known, or will be. */
  get ahead(): number {
    return this.#silent.size + this.#waiting.size
  }

  /** True if the address was found silent a moment ago; it is so once. */
  takeSilent(ip: number): boolean {
    return this.#silent.delete(ip)
  }

  /** Asks for an address, or joins the probe that is under way. */
  probe(ip: number, probed: Probed): void {
    const underWay = this.#waiting.get(ip)
    if (underWay) underWay.probed = probed
    else this.#start([ip], probed)
  }

  /** Asks for addresses before anybody needs them. */
  probeAhead(ips: readonly number[]): void {
    this.#start(ips.filter(ip => !this.#waiting.has(ip) && !this.#silent.has(ip)))
  }

  /** Nobody waits for the address any more; its probe goes on. */
  forget(ip: number): void {
    const probe = this.#waiting.get(ip)
    if (probe) probe.probed = undefined
  }

  /** A station claims the address. Called while a frame passes: whoever waits hears of it afterwards. */
  heard(ip: number): void {
    this.#silent.delete(ip)
    const probe = this.#waiting.get(ip)
    if (!probe) return
    this.#waiting.delete(ip)
    this.#options.clock.after(0, () => probe.probed?.(false))
  }

  #start(ips: readonly number[], probed?: Probed): void {
    if (ips.length === 0) return
    const { clock, send } = this.#options
    const probe = ips.map(ip => {
      const entry: Probe = { probed }
      this.#waiting.set(ip, entry)
      send(ip)
      return [ip, entry] as const
    })
    clock.after(PROBE_WAIT, () => {
      for (const [ip, entry] of probe) {
        if (this.#waiting.get(ip) !== entry) continue
        this.#waiting.delete(ip)
        if (entry.probed) entry.probed(true)
        else this.#silent.set(ip, entry)
      }
    })
    clock.after(PROBE_WAIT + FRESH, () => {
      for (const [ip, entry] of probe) if (this.#silent.get(ip) === entry) this.#silent.delete(ip)
    })
  }
}
