// A committer with nothing around it: a pool of its own, a clock that is turned by hand, and clients by number.

import type { LeaseStore } from '../../src/dhcp/lease-store.js'
import type { Lease, StoredState } from '../../src/dhcp/leases.js'
import { clientKey } from '../../src/dhcp/client.js'
import { LeaseCommitter, type Outcome } from '../../src/dhcp/commit.js'
import { AddressPool } from '../../src/dhcp/pool.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { FakeClock, ip, range, RecordedLog, station } from './segment.js'

/** The first address of the pool. */
export const A = ip('192.168.105.2')
/** Of a lease, in seconds. */
export const HOUR = 3600

export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** A committer with a pool of ten addresses, and the outcomes that it told, in their order. */
export class Desk<Store extends LeaseStore> {
  readonly clock = new FakeClock()
  readonly log = new RecordedLog()
  readonly pool = new AddressPool({
    subnet: parseCidr('192.168.105.1/24')!,
    range: range('192.168.105.2-192.168.105.11'),
    exclude: [],
  })
  readonly outcomes: string[] = []
  readonly store: Store
  readonly committer: LeaseCommitter

  constructor(store: Store) {
    this.store = store
    this.committer = new LeaseCommitter({ pool: this.pool, store, log: this.log, clock: this.clock })
  }

  lease(who: number, address: number, seconds = HOUR): Lease {
    const mac = station(who)
    return { ip: address, key: keyOf(who), mac, expires: this.clock.now() + 1000 * seconds }
  }

  /** Has a lease committed; its outcome is told as `1 stands`. */
  commit(who: number, address: number, told = (_outcome: Outcome): void => {}): void {
    this.committer.commit(this.lease(who, address), outcome => {
      this.outcomes.push(`${who} ${outcome}`)
      told(outcome)
    })
  }

  release(who: number): void {
    const lease = this.pool.leaseOf(keyOf(who))
    if (!lease) return
    this.pool.put({ ...lease, expires: this.clock.now() })
    this.committer.save()
  }

  decline(who: number): void {
    const lease = this.pool.leaseOf(keyOf(who))
    if (!lease) return
    this.pool.decline({ ...lease, port: 'vm1' }, lease.ip, this.clock.now())
    this.committer.save()
  }

  /** What was told since the last call, once nothing waits any more. */
  async told(): Promise<string[]> {
    await this.committer.flush()
    return this.outcomes.splice(0)
  }

  /** Who has which address, as the pool has it. */
  get holders(): Record<number, string> {
    return holdersIn(this.pool.state())
  }
}

export const keyOf = (who: number): string => clientKey(station(who), undefined)
export const holdersIn = ({ leases }: StoredState): Record<number, string> =>
  Object.fromEntries(leases.map(lease => [lease.ip, lease.key]))
