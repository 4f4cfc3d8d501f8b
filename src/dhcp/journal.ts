// Leases on disk: a journal of every change (journal-record.ts has its lines) behind a header with its version.
//
// A save appends its changes by one write and one fsync, and is done when both are. The first save of a process, one
// after a failure, and one that finds the journal grown to four times what it was rewrite it instead: the state as it
// is goes into a file beside, which is fsynced, renamed over the journal, and made to last by an fsync of the folder.
// So a crash leaves the old file or the new one, whole, and of an append that nobody was told of any part.
//
// After a write or an fsync that failed, nobody knows what the file holds: Linux marks pages clean that it could not
// write, and the next fsync then succeeds without them. Hence a rewrite, to fresh pages, and never an append. The
// first save rewrites for the same reason: what load() read may be in memory and not on the disk.
//
// Each save also looks whether the path still leads to the file it wrote to, while the fsync runs: appends to one that
// somebody deleted or replaced would succeed and be gone with the process. It is rewritten then.

import type { DhcpLog, LeaseStore } from './lease-store.js'
import type { LeaseChange, StoredState } from './leases.js'
import { dirname } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'
import { type JournalDisk, type JournalFile, SYSTEM_DISK } from './journal-disk.js'
import { HEADER, JournalReader } from './journal-reader.js'
import { formatRecord, LONGEST_RECORD, readRecords, recordOf } from './journal-record.js'

/** Octets up to which a journal grows before it is compacted, however little of it is still true. */
export const LEAST_COMPACTED = 256 * 1024
/** How many times its size after the last compaction it grows to. */
const GROWTH = 4
/** The most octets of a journal: one of more is not ours and not read. The largest pool takes 52 MiB at worst. */
export const MAX_JOURNAL = 64 * 1024 * 1024
/** Records formatted or read in one go, about half a millisecond: frames pass between. */
const SLICE = 256

export interface LeaseJournalOptions {
  path: string
  log: DhcpLog
  /** Names a broken file that is set aside; ms since the epoch. */
  clock: { now(): number }
  disk?: JournalDisk
  /** See LEAST_COMPACTED. */
  leastCompacted?: number
}

/** How often, in ms, an append looks whether the journal is still in its place: each look is a trip to another thread. */
const LOOK_EVERY = 200

export class LeaseJournal implements LeaseStore {
  readonly #path: string
  readonly #log: DhcpLog
  readonly #clock: { now(): number }
  #lookedAt = -Infinity
  readonly #disk: JournalDisk
  readonly #leastCompacted: number
  /** What the next save may append to; undefined when it must rewrite. */
  #file: JournalFile | undefined
  /** Octets of it, and how many it may have before it is compacted. */
  #size = 0
  #limit = 0

  constructor({
    path,
    log,
    clock,
    disk = SYSTEM_DISK,
    leastCompacted = LEAST_COMPACTED,
  }: LeaseJournalOptions) {
    this.#path = path
    this.#log = log
    this.#clock = clock
    this.#disk = disk
    this.#leastCompacted = leastCompacted
  }

  async load(): Promise<StoredState> {
    let bytes
    try {
      bytes = await this.#disk.read(this.#path, MAX_JOURNAL)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) await this.#setAside('rename', reason(error))
      return { leases: [], declined: [] }
    }
    const reader = new JournalReader()
    let records = 0
    for (const record of readRecords(bytes)) {
      reader.take(record)
      if (++records % SLICE === 0) await new Promise(resolve => setImmediate(resolve))
    }
    const { isForeign, bad, good } = reader
    if (isForeign || good === 0) {
      await this.#setAside('rename', 'it is not a lease journal of this version')
      return { leases: [], declined: [] }
    }
    // The rest is good; what is lost stays to be looked at when the first save rewrites the journal.
    const state = reader.state()
    if (bad > 0) {
      await this.#setAside('copy', `${bad} of its ${bad + good} records cannot be read`)
      // Without them from here on, or every start would set one more copy aside.
      await this.#rewrite(() => state).catch(() => {})
    }
    return state
  }

  async save(changes: readonly LeaseChange[] | undefined, snapshot: () => StoredState): Promise<void> {
    try {
      if (!changes || !this.#file) await this.#rewrite(snapshot)
      else if (changes.length > 0) await this.#append(this.#file, changes, snapshot)
    } catch (cause) {
      await this.close()
      throw new BridgeError('ERR_LEASE_STORE', `cannot write the leases to ${this.#path}: ${reason(cause)}`, {
        hint: `make room and give write access to ${dirname(this.#path)}`,
        cause,
      })
    }
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    // Nothing is lost with it: every save that was told of has been synced.
    await file?.close().catch(() => {})
  }

  async #append(
    file: JournalFile,
    changes: readonly LeaseChange[],
    snapshot: () => StoredState,
  ): Promise<void> {
    const isFull = this.#size + changes.length * LONGEST_RECORD > MAX_JOURNAL
    if (isFull) return this.#rewrite(snapshot)
    if (this.#size >= this.#limit && (await this.#compacted(snapshot))) return
    this.#size += await writeAll(file, changes)
    const [, isThere] = await Promise.all([file.datasync(), this.#isInPlace(file)])
    if (isThere) return
    this.#log.warn(
      { event: 'dhcp.store', path: this.#path },
      `the lease journal ${this.#path} was removed or replaced; it is written anew`,
    )
    await this.#rewrite(snapshot)
  }

  /** False if somebody removed, replaced or changed it since the last look. */
  async #isInPlace(file: JournalFile): Promise<boolean> {
    const now = this.#clock.now()
    if (Math.abs(now - this.#lookedAt) < LOOK_EVERY) return true
    this.#lookedAt = now
    return file.isAt(this.#path)
  }

  /** Rewrites a journal that grew; false if there is no room for a second file, and the one that is may go on. */
  async #compacted(snapshot: () => StoredState): Promise<boolean> {
    try {
      await this.#rewrite(snapshot)
      return true
    } catch (error) {
      if (!this.#file) throw error
      this.#limit = this.#size * 2
      this.#log.warn(
        { event: 'dhcp.store', path: this.#path, err: error },
        `the lease journal grows on, it cannot be compacted: ${reason(error)}`,
      )
      return false
    }
  }

  /** Rejects with #file as it was if the journal at its path is still the one that was there. */
  async #rewrite(snapshot: () => StoredState): Promise<void> {
    const { leases, declined } = snapshot()
    const beside = `${this.#path}.new`
    let file: JournalFile | undefined
    let size: number
    try {
      file = await this.#disk.create(beside)
      size = await writeAll(file, changesOf(leases, declined), formatRecord(HEADER))
      await file.datasync()
      await this.#disk.rename(beside, this.#path)
    } catch (error) {
      await file?.close().catch(() => {})
      // On a full disk, half of a journal would keep the room that others need.
      await this.#disk.remove(beside).catch(() => {})
      throw error
    }
    await this.close()
    try {
      await this.#disk.syncFolder(dirname(this.#path))
    } catch (error) {
      await file.close().catch(() => {})
      throw error
    }
    this.#file = file
    this.#size = size
    this.#limit = Math.max(this.#leastCompacted, GROWTH * size)
  }

  /** Keeps a file that cannot be read, or not whole, under another name. */
  async #setAside(how: 'rename' | 'copy', why: string): Promise<void> {
    const aside = `${this.#path}.broken-${new Date(this.#clock.now()).toISOString().replaceAll(':', '')}`
    const fields = { event: 'dhcp.store', path: this.#path, aside, why }
    try {
      await this.#disk[how](this.#path, aside)
      const done = how === 'rename' ? 'set aside' : 'copied'
      this.#log.warn(fields, `the lease journal is broken and was ${done} as ${aside}: ${why}`)
    } catch (error) {
      this.#log.warn(fields, `the lease journal is broken (${why}) and cannot be set aside: ${reason(error)}`)
    }
  }
}

function* changesOf(
  leases: StoredState['leases'],
  declined: StoredState['declined'],
): Generator<LeaseChange, void, undefined> {
  for (const lease of leases) yield { kind: 'put', lease }
  for (const entry of declined) yield { kind: 'decline', declined: entry }
}

/** Writes changes, one write a SLICE, so that the loop turns between; how many octets these were. */
async function writeAll(file: JournalFile, changes: Iterable<LeaseChange>, text = ''): Promise<number> {
  let size = 0
  let count = 0
  const write = async (): Promise<void> => {
    const bytes = Buffer.from(text)
    text = ''
    size += bytes.length
    await file.write(bytes)
  }
  for (const change of changes) {
    text += formatRecord(recordOf(change))
    if (++count % SLICE === 0) await write()
  }
  if (text !== '') await write()
  return size
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
