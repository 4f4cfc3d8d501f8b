// A crash or a full disk at a chosen call: from one call that changes the disk on, all of them fail (nothing can be
// tidied up, as after a kill), or those fail that need room. What is on disk then is what a process killed before that
// call would have left.

import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const CHANGING = [
  'openSync',
  'writeSync',
  'mkdirSync',
  'renameSync',
  'unlinkSync',
  'rmdirSync',
  'chmodSync',
  'chownSync',
  'fchmodSync',
  'fchownSync',
  'fsyncSync',
] as const

const NEEDS_ROOM = ['openSync', 'writeSync', 'mkdirSync', 'fsyncSync', 'renameSync']

type Call = (...args: never[]) => unknown

export class Crash extends Error {}

/**
 * Runs `work` with the disk failing at the `at`th changing call, for good as by a crash, or as a disk does that stays
 * full. Returns what was thrown, and whether that call was reached.
 */
export async function withFault(
  kind: 'crash' | 'full',
  at: number,
  work: () => Promise<unknown>,
): Promise<{ reached: boolean; error: unknown }> {
  const originals = new Map<string, Call>()
  const table = fs as unknown as Record<string, Call>
  let calls = 0
  for (const name of CHANGING) {
    const original = table[name]
    originals.set(name, original)
    table[name] = (...args: never[]) => {
      const changes = name !== 'openSync' || (Number(args[1]) & fs.constants.O_CREAT) !== 0
      if (!changes) return original(...args)
      const room = kind === 'crash' || NEEDS_ROOM.includes(name)
      if (room) calls++
      if (room && calls >= at) {
        if (kind === 'crash') throw new Crash(`at call ${at}, ${name}`)
        throw Object.assign(new Error(`ENOSPC: no space left on device, ${name}`), {
          code: 'ENOSPC',
          syscall: name,
        })
      }
      // What is not written needs no syncing here; it takes most of the time.
      return name === 'fsyncSync' ? undefined : original(...args)
    }
  }
  syncBuiltinESMExports()
  let error: unknown
  try {
    await work()
  } catch (thrown) {
    error = thrown
  } finally {
    for (const [name, original] of originals) table[name] = original
    syncBuiltinESMExports()
  }
  return { reached: calls >= at, error }
}

/** Runs `work` without waiting for the disk, which is no matter of it. */
export async function withoutSync(work: () => Promise<unknown>): Promise<void> {
  const { error } = await withFault('crash', Infinity, work)
  if (error !== undefined) throw error
}
