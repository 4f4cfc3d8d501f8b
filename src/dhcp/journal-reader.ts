// What the records of a journal amount to, whatever they turn out to be. The last of an address wins; nothing in
// here is larger than the journal.

import type { DeclinedAddress, LeaseChange, StoredState } from './leases.js'
import { changeOf } from './journal-record.js'
import { LeaseTable } from './leases.js'

/** What a journal begins with. */
export const HEADER = { journal: 'vmbridge leases', version: 1 }

export class JournalReader {
  readonly #leases = new LeaseTable()
  readonly #declined = new Map<number, DeclinedAddress>()
  good = 0
  bad = 0
  /** True if the header names another version. */
  isForeign = false

  /** Takes what the next line holds: see readRecords(). */
  take(record: unknown): void {
    const change = changeOf(record)
    if (change) {
      this.good++
      this.#apply(change)
    } else if (isHeader(record)) {
      this.good++
      if (record.version !== HEADER.version) this.isForeign = true
    } else {
      this.bad++
    }
  }

  state(): StoredState {
    // The first to come back first, as the pool wants them: one that was taken back early was written last.
    const declined = [...this.#declined.values()].sort((a, b) => a.until - b.until)
    return { leases: [...this.#leases.values()], declined }
  }

  #apply(change: LeaseChange): void {
    if (change.kind === 'put') {
      this.#leases.put(change.lease)
      // It was leased again, so its time was over, whatever the clock says now.
      this.#declined.delete(change.lease.ip)
    } else if (change.kind === 'remove') {
      this.#leases.remove(this.#leases.at(change.ip))
    } else {
      this.#declined.delete(change.declined.ip)
      this.#declined.set(change.declined.ip, change.declined)
    }
  }
}

function isHeader(record: unknown): record is { version: unknown } {
  return typeof record === 'object' && record !== null && 'journal' in record && 'version' in record
}
