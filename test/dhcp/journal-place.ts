// Where the tests of the journal have theirs: a folder, a log that is kept, and leases by number.

import type { JournalDisk } from '../../src/dhcp/journal-disk.js'
import type { Lease, LeaseChange, StoredState } from '../../src/dhcp/leases.js'
import type { Test } from 'tap'
import { join } from 'node:path'
import { clientKey } from '../../src/dhcp/client.js'
import { SYSTEM_DISK } from '../../src/dhcp/journal-disk.js'
import { formatRecord, recordOf } from '../../src/dhcp/journal-record.js'
import { LeaseJournal } from '../../src/dhcp/journal.js'
import { FakeClock, ip, RecordedLog, station, START } from './segment.js'

export const NAME = 'leases.journal'
export const EMPTY: StoredState = { leases: [], declined: [] }
export const HEADER = '\n956243b9 {"journal":"vmbridge leases","version":1}\n'

/** The nth client's, at the nth address. */
export function lease(n: number, more: Partial<Lease> = {}): Lease {
  const mac = station(n)
  return { ip: ip('192.168.0.1') + n, key: clientKey(mac, more.clientId), mac, expires: START + n, ...more }
}

export const put = (each: Lease): LeaseChange => ({ kind: 'put', lease: each })
export const textOf = (each: Lease): string => formatRecord(recordOf(put(each)))
export const stateOf = (...leases: Lease[]): StoredState => ({ leases, declined: [] })
/** For a save that has no use for the state. */
export const never = (): StoredState => {
  throw new Error('nobody should have asked for the state')
}

/** A journal in a folder, and more of them on the same file: each is another process's. */
export function journalIn(t: Test, directory: string, disk: JournalDisk = SYSTEM_DISK) {
  const path = join(directory, NAME)
  const log = new RecordedLog()
  const clock = new FakeClock()
  const open = () => {
    const journal = new LeaseJournal({ path, log, clock, disk })
    t.teardown(() => journal.close())
    return journal
  }
  return { path, log, clock, open, journal: open() }
}
