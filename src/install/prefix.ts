/**
 * The prefix while an install or a removal works on it: locked, so that two do not meet, and put back as it was when
 * it was not there before and something fails.
 */

import { closeSync, fstatSync, lstatSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'
import { makeFolder, removeIfEmpty, syncFolder } from './files.js'
import { readInstalled } from './layout.js'

/** @throws BridgeError ERR_INSTALL_FOREIGN for a folder with anything in it that is no install of ours */
export function refuseForeign(prefix: string): void {
  if (!readInstalled(prefix).isForeign) return
  throw new BridgeError(
    'ERR_INSTALL_FOREIGN',
    `${prefix} is not empty, and vmbridge is not installed there`,
    {
      hint: 'choose a --prefix that is empty or not there yet, such as /opt/vmbridge',
    },
  )
}

/**
 * Makes the folders, in that order, and calls `work` with the first of them locked. What it made is removed when that
 * throws and left nothing in them.
 * @throws BridgeError ERR_INSTALL_BUSY, ERR_INSTALL_WRITE, and what `work` throws
 */
export async function withPrefix<T>(prefix: string, folders: readonly string[], work: () => T): Promise<T> {
  const made: string[] = []
  let lock: number | undefined
  try {
    for (const path of missingParents(prefix)) makeFolder(path, made)
    lock = openSync(prefix, 'r')
    await takeLock(lock, prefix)
    for (const path of folders) makeFolder(path, made)
    for (const path of made) syncFolder(dirname(path))
    return work()
  } catch (error) {
    // Where another has the lock, what is empty is what that one is about to fill.
    if (!hasCode(error, 'ERR_INSTALL_BUSY')) for (const path of made.reverse()) removeIfEmpty(path)
    throw explain(error, prefix)
  } finally {
    if (lock !== undefined) closeSync(lock)
  }
}

/** Loaded late: where the addon does not load, it has been said why by then. */
async function takeLock(fd: number, prefix: string): Promise<void> {
  const { native } = await import('../native.js')
  // A removal that ended meanwhile took the folder away, and the lock on that is worth nothing.
  if (native.lock(fd) && isAt(prefix, fd)) return
  throw new BridgeError('ERR_INSTALL_BUSY', `another install or uninstall works on ${prefix}`, {
    hint: 'wait until it is done, then the same again',
  })
}

function isAt(path: string, fd: number): boolean {
  const now = lstatSync(path, { throwIfNoEntry: false })
  const { dev, ino } = fstatSync(fd)
  return now?.ino === ino && now.dev === dev
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined

/** The components of a path that are not there, and the last in any case; the outermost first. */
function missingParents(path: string): string[] {
  const parent = dirname(path)
  return [...(exists(parent) ? [] : missingParents(parent)), path]
}

/** A disk that is full or cannot be written is no bug. */
function explain(error: unknown, prefix: string): unknown {
  if (!(error instanceof Error) || error instanceof BridgeError || !('syscall' in error)) return error
  const isFull = hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT')
  return new BridgeError('ERR_INSTALL_WRITE', `cannot change what is in ${prefix}: ${error.message}`, {
    hint: isFull ? 'make room there, then the same again' : 'the same again, which finishes what was begun',
    cause: error,
  })
}
