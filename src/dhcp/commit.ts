// Leases on their way to the disk. An ACK is a promise that outlives a crash, so it leaves only after a
// save that covers it. All that came in during one loop turn, or while a save was under way, share the
// next save.
//
// Saves start from setImmediate, an event of its own: frames come in by a plain native call that drains no
// promise, and a save begun there would stand still until something else did.
//
// When the disk fails, a lease that is on disk and not over yet is renewed from memory: the file knows
// who has the address, if not until when. A new lease is refused and what it displaced is put back. Until the disk
// is back a save is tried every RETRY, whether anybody asks for anything or not.

import type { DhcpClock } from './clock.js'
import type { DhcpLog, LeaseStore } from './lease-store.js'
import type { ClientKey, Lease } from './leases.js'
import type { AddressPool } from './pool.js'
import { BridgeError, hasCode } from '../errors.js'
import { MAX_POOL } from './range.js'

/** How long after a save that failed another is tried, in ms. */
export const RETRY = 2000

/**
 * What became of a lease: it `stands` and its ACK may leave; it is `gone`, since the client released or declined it
 * meanwhile or another took the address; it was `refused`, since it could not be saved.
 */
export type Outcome = 'stands' | 'gone' | 'refused'

/** Called once, and must not throw; never if the same client asked again before the save, which then answers that instead. */
export type Committed = (outcome: Outcome) => void

interface Commit {
  readonly lease: Lease
  readonly committed: Committed
  /** False if it was over before the save began: what the client has by the end of it is another lease. */
  isCovered: boolean
}

/** A client's lease that no save has covered yet. */
interface Unsaved {
  readonly ip: number
  /** The saved leases that it displaced. */
  before: Lease[]
}

/** What the committer needs of the pool. */
export type CommitPool = Pick<AddressPool, 'leaseOf' | 'leaseAt' | 'put' | 'remove' | 'takeChanges' | 'state'>

export interface LeaseCommitterOptions {
  pool: CommitPool
  store: LeaseStore
  log: DhcpLog
  clock: DhcpClock
}

export class LeaseCommitter {
  readonly #pool: CommitPool
  readonly #store: LeaseStore
  readonly #log: DhcpLog
  readonly #clock: DhcpClock
  /** What the next save will cover; a client that asks again replaces its own entry. */
  #waiting = new Map<ClientKey, Commit>()
  readonly #unsaved = new Map<ClientKey, Unsaved>()
  /** How often the next save was asked for: never less than half of the changes that it has to cover. */
  #asked = 0
  #isListed = true
  #running: Promise<void> | undefined
  #degraded = false
  #cancelRetry: (() => void) | undefined
  #isClosed = false

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
    const displaced = this.#pool.leaseAt(ip)
    const other = displaced === former ? undefined : displaced
    if (!this.#isKnown(lease)) {
      const before = this.#savedBehind(former)
      before.push(...this.#savedBehind(other))
      this.#unsaved.set(key, { ip, before })
    }
    const beaten = other && this.#waiting.get(other.key)
    if (beaten) this.#waiting.delete(beaten.lease.key)
    this.#pool.put(lease)
    this.#waiting.set(key, { lease, committed, isCovered: false })
    this.save()
    beaten?.committed('gone')
  }

  /** Has the pool saved as it is when the write begins; a failure shows as degraded. */
  save(): void {
    // While the disk hangs, a list of changes would grow with the traffic; the snapshot does not.
    if (++this.#asked % MAX_POOL === 0) {
      this.#pool.takeChanges()
      this.#isListed = false
    }
    this.#running ??= new Promise<void>(resolve => setImmediate(resolve)).then(() => this.#run())
  }

  /** Resolves once everything that was asked for before, and by then, is saved or has failed. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running
  }

  /** Closes the store once everything that was asked for is saved or has failed; nothing is tried again. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelRetry?.()
    await this.flush()
    await this.#store.close()
  }

  async #run(): Promise<void> {
    while (this.#asked > 0) {
      const batch = this.#waiting
      const changes = this.#pool.takeChanges()
      const listed = this.#isListed ? changes : undefined
      this.#waiting = new Map()
      this.#asked = 0
      this.#isListed = true
      for (const commit of batch.values()) {
        commit.isCovered = this.#pool.leaseAt(commit.lease.ip) === commit.lease
      }
      const error = await this.#store
        .save(listed, () => this.#pool.state())
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

  #saved({ lease, committed, isCovered }: Commit): void {
    const { key, ip } = lease
    const unsaved = this.#unsaved.get(key)
    if (unsaved && (isCovered ? unsaved.ip !== ip : this.#waiting.has(key))) {
      // It asked for another address meanwhile, and would now go back to this one, or to none.
      const others = unsaved.before.filter(old => old.key !== key)
      unsaved.before = isCovered ? [lease, ...others] : others
    } else {
      this.#unsaved.delete(key)
    }
    committed(isCovered && this.#stands(lease) ? 'stands' : 'gone')
  }

  #failed({ lease, committed, isCovered }: Commit): void {
    const stands = isCovered && this.#stands(lease)
    const unsaved = this.#unsaved.get(lease.key)
    // One that asked again meanwhile is put back when that fails too.
    if (unsaved?.ip === lease.ip && !this.#waiting.has(lease.key)) this.#putBack(lease, unsaved)
    if (!stands) committed('gone')
    else committed(unsaved ? 'refused' : 'stands')
  }

  #putBack(lease: Lease, { before }: Unsaved): void {
    this.#unsaved.delete(lease.key)
    const current = this.#pool.leaseOf(lease.key)
    if (current?.ip !== lease.ip) return
    this.#pool.remove(current)
    for (const old of before) {
      if (!this.#pool.leaseAt(old.ip) && !this.#pool.leaseOf(old.key)) this.#pool.put(old)
    }
  }

  /** True if the client has this address on disk and its time is not over. */
  #isKnown(lease: Lease): boolean {
    return this.#stands(lease) && !this.#unsaved.has(lease.key)
  }

  /** False if the client released or declined the address meanwhile. */
  #stands({ key, ip }: Lease): boolean {
    const current = this.#pool.leaseOf(key)
    return current?.ip === ip && current.expires > this.#clock.now()
  }

  /** The saved leases to go back to if the one in place of `lease` cannot be saved. */
  #savedBehind(lease: Lease | undefined): Lease[] {
    if (!lease) return []
    const unsaved = this.#unsaved.get(lease.key)
    this.#unsaved.delete(lease.key)
    return unsaved?.before ?? [lease]
  }

  #setDegraded(error: unknown): void {
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    const degraded = error !== undefined
    if (degraded && !this.#isClosed) this.#cancelRetry = this.#clock.after(RETRY, () => this.save())
    if (degraded === this.#degraded) return
    this.#degraded = degraded
    if (degraded) {
      const err = asStoreError(error)
      this.#log.error(
        { event: 'dhcp.store', err },
        `${err.code}: no new leases until the disk is back: ${err.message}`,
      )
    } else {
      this.#log.info({ event: 'dhcp.store' }, 'leases are saved again')
    }
  }
}

function asStoreError(error: unknown): BridgeError {
  if (error instanceof BridgeError && hasCode(error, 'ERR_LEASE_STORE')) return error
  return new BridgeError('ERR_LEASE_STORE', error instanceof Error ? error.message : String(error), {
    cause: error,
  })
}
