// Where leases outlive the process: what the server asks of it. journal.ts is the one on disk.

import type { LeaseChange, StoredState } from './leases.js'

/** What the server logs through: pino's face. */
export interface DhcpLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface LeaseStore {
  /** The state after the last change that was saved. Never rejects: without any, it starts afresh. */
  load(): Promise<StoredState>
  /**
   * Resolves once `changes`, in order after those of earlier calls, would survive a crash; `snapshot` is the state
   * with them, for a store that would rather write it anew; undefined changes are too many to list, the snapshot has
   * them. Never called while an earlier call is under way. Rejects with ERR_LEASE_STORE; the next call's snapshot
   * makes up for what was lost then.
   */
  save(changes: readonly LeaseChange[] | undefined, snapshot: () => StoredState): Promise<void>
  /** Lets go of the file; nothing is saved any more. */
  close(): Promise<void>
}
