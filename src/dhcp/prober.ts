// ARP probes (RFC 5227 §2.1.1): before an address is offered to a client that never had it, every station on the
// segment is asked for it. One with a static address that never spoke is found so. An answer is not taken here:
// the neighbour table learns it as it passes the switch, and tells by heard().
//
// Waiting costs each new client PROBE_WAIT, which is nothing to a booting VM and much to hundreds a second. So
// while many come, addresses are probed before anybody needs them, and less is waited for. Such a result is good for
// FRESH only: a silent station may be plugged in at any time.

import type { DhcpClock } from './clock.js'

/** How long an answer is waited for, in ms. One that is later is heard when the client asks for the address. */
export const PROBE_WAIT = 120
/** The same while many clients come: a namespace answers within 1 ms, a guest without KVM within a few. */
export const HURRIED_WAIT = 15
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
  /** Who waits: an offer may be taken back, and its address go to another, while the probe is under way. */
  readonly waiters: Probed[]
}

export class Prober {
  readonly #options: ProberOptions
  readonly #waiting = new Map<number, Probe>()
  readonly #silent = new Map<number, Probe>()
  /** Of those that are under way. */
  #spare = 0

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** Addresses whose silence is known, or will be, and that nobody waits for. */
  get ahead(): number {
    return this.#silent.size + this.#spare
  }

  /** True if the address was found silent a moment ago; it is so once. */
  takeSilent(ip: number): boolean {
    return this.#silent.delete(ip)
  }

  /** Asks for an address and waits for `wait` ms, or joins the probe that is under way. */
  probe(ip: number, wait: number, probed: Probed): void {
    const underWay = this.#waiting.get(ip)
    if (underWay) {
      if (underWay.waiters.length === 0) this.#spare--
      underWay.waiters.push(probed)
    } else {
      this.#start([ip], wait, probed)
    }
  }

  /** Asks for addresses before anybody needs them. */
  probeAhead(ips: readonly number[], wait: number): void {
    const unknown = ips.filter(ip => !this.#waiting.has(ip) && !this.#silent.has(ip))
    this.#spare += unknown.length
    this.#start(unknown, wait)
  }

  /** Whoever waits now waits no longer than `wait` ms from here on. */
  hurry(wait: number): void {
    const probes = [...this.#waiting]
    this.#options.clock.after(wait, () => this.#end(probes))
  }

  /** A station claims the address. Called while a frame passes: whoever waits hears of it afterwards. */
  heard(ip: number): void {
    this.#silent.delete(ip)
    const probe = this.#waiting.get(ip)
    if (!probe) return
    this.#waiting.delete(ip)
    if (probe.waiters.length === 0) this.#spare--
    this.#options.clock.after(0, () => {
      for (const probed of probe.waiters) probed(false)
    })
  }

  #start(ips: readonly number[], wait: number, probed?: Probed): void {
    if (ips.length === 0) return
    const { clock, send } = this.#options
    const probes = ips.map(ip => {
      const probe: Probe = { waiters: probed ? [probed] : [] }
      this.#waiting.set(ip, probe)
      send(ip)
      return [ip, probe] as const
    })
    clock.after(wait, () => this.#end(probes))
    clock.after(wait + FRESH, () => {
      for (const [ip, probe] of probes) if (this.#silent.get(ip) === probe) this.#silent.delete(ip)
    })
  }
  /** Nobody answered for those that are still under way. */
  #end(probes: readonly (readonly [ip: number, probe: Probe])[]): void {
    for (const [ip, probe] of probes) {
      if (this.#waiting.get(ip) !== probe) continue
      this.#waiting.delete(ip)
      if (probe.waiters.length === 0) {
        this.#spare--
        this.#silent.set(ip, probe)
      }
      for (const waiter of probe.waiters) waiter(true)
    }
  }
}
