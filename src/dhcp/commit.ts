// Leases on their way to the disk. An ACK is a promise that outlives a crash, so it leaves only after a
// save that covers it. All that came in during one loop turn, or while a save was under way, share the
// next save.
//
// Saves start from setImmediate, an event of its own: frames come in by a plain native call that drains no
// promise, and a save begun there would stand still until something else did.
//
// When the disk fails, a lease that is on disk and not over yet is renewed from memory: the file knows
// who has the address, if not until when. A new lease is refused and what it displaced is put back.

import type { DhcpLog, LeaseStore } from './lease-store.js'
import type { ClientKey, Lease } from './leases.js'
import type { AddressPool } from './pool.js'

/** Called once: true if the lease stands and its ACK may leave. */
export type Committed = (stands: boolean) => void

interface Commit {
  readonly lease: Lease
  readonly isRenewal: boolean
  readonly committed: Committed
}

export interface LeaseCommitterOptions {
  pool: AddressPool
  store: LeaseStore
  log: DhcpLog
  clock: { now(): number }
}

export class LeaseCommitter {
  readonly #pool: AddressPool
  readonly #store: LeaseStore
  readonly #log: DhcpLog
  readonly #clock: { now(): number }
  /** What the next save will cover; a client that asks again replaces its own entry. */
  #waiting = new Map<ClientKey, Commit>()
  /** Clients whose lease no save has covered yet, with the saved leases that it displaced. */
  readonly #unsaved = new Map<ClientKey, Lease[]>()
  #dirty = false
  #running: Promise<void> | undefined
  #degraded = false

  constructor({ pool, store, log, clock }: LeaseCommitterOptions) {
    this.#pool = pool
    this.#store = store
    this.#log = log
    this.#clock = clock
  }

  /** True while the last save failed. */
  get degraded(): boolean {
    return this.#degraded
  }

  /** Puts a lease into the pool at once, so that nobody else gets the address, and has it saved. */
  commit(lease: Lease, committed: Committed): void {
    const { key, ip } = lease
    const former = this.#pool.leaseOf(key)
    const isLive = former?.ip === ip && former.expires > this.#clock.now()
    const isRenewal = isLive && !this.#unsaved.has(key)
    if (!isRenewal) {
      const displaced = this.#pool.leaseAt(ip)
      const before = this.#savedBehind(former)
      if (displaced && displaced !== former) {
        before.push(...this.#savedBehind(displaced))
        this.#waiting.delete(displaced.key)
      }
      this.#unsaved.set(key, before)
    }
    this.#pool.put(lease)
    this.#waiting.set(key, { lease, isRenewal, committed })
    this.save()
  }

  /** Has the pool saved as it is when the write begins; a failure shows as degraded. */
  save(): void {
    this.#dirty = true
    this.#running ??= new Promise<void>(resolve => setImmediate(resolve)).then(() => this.#run())
  }

  /** Resolves once everything that was asked for before, and by then, is saved or has failed. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running
  }

  async #run(): Promise<void> {
    while (this.#dirty) {
      const batch = this.#waiting
      this.#waiting = new Map()
      this.#dirty = false
      const error = await this.#store
        .save(() => this.#pool.leases())
        .then(
          () => undefined,
          (reason: unknown) => reason ?? new Error('the lease store failed'),
        )
      this.#setDegraded(error)
      for (const commit of batch.values()) {
        if (error === undefined) this.#saved(commit)
        else this.#failed(commit)
      }
    }
    this.#running = undefined
  }

  #saved({ lease, committed }: Commit): void {
    this.#unsaved.delete(lease.key)
    committed(this.#stands(lease))
  }

  #failed({ lease, isRenewal, committed }: Commit): void {
    if (isRenewal) return committed(this.#stands(lease))
    const before = this.#unsaved.get(lease.key)
    this.#unsaved.delete(lease.key)
    const current = this.#pool.leaseOf(lease.key)
    if (before && current?.ip === lease.ip) {
      this.#pool.remove(current)
      for (const old of before) {
        if (!this.#pool.leaseAt(old.ip) && !this.#pool.leaseOf(old.key)) this.#pool.put(old)
      }
    }
    committed(false)
  }

  /** False if the client released or declined the address meanwhile. */
  #stands({ key, ip }: Lease): boolean {
    const current = this.#pool.leaseOf(key)
    return current?.ip === ip && current.expires > this.#clock.now()
  }

  /** The saved leases to go back to if the one in place of `lease` cannot be saved. */
  #savedBehind(lease: Lease | undefined): Lease[] {
    if (!lease) return []
    const before = this.#unsaved.get(lease.key)
    this.#unsaved.delete(lease.key)
    return before ?? [lease]
  }

  #setDegraded(error: unknown): void {
    const degraded = error !== undefined
    if (degraded === this.#degraded) return
    this.#degraded = degraded
    if (degraded) {
      const why = error instanceof Error ? error.message : String(error)
      this.#log.error({ event: 'dhcp.store', err: error }, `no new leases until the disk is back: ${why}`)
    } else {
      this.#log.info({ event: 'dhcp.store' }, 'leases are saved again')
    }
  }
}
