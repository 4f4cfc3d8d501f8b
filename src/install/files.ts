/**
 * Files as an install makes and removes them: regular files of root's own, written whole and synced, never through
 * a link that somebody laid.
 */

import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'

/** Ends the name of what is not whole yet: such a file or folder is an install's own, to be removed by the next. */
export const PARTIAL = '.partial'

/** Bytes of a file that are held at once. */
const CHUNK = 1024 * 1024

export const PLAIN = 0o644
export const EXECUTABLE = 0o755
const FOLDER = 0o755

export interface Entry {
  /** Below the folder that is walked, with slashes. */
  path: string
  stats: Stats
}

/** Everything below `folder`, what is in a folder before the folder itself. Links are not followed. */
export function* walk(folder: string, below = ''): Generator<Entry> {
  for (const name of readdirSync(join(folder, below)).sort()) {
    const path = below === '' ? name : `${below}/${name}`
    const stats = lstatSync(join(folder, path))
    if (stats.isDirectory()) yield* walk(folder, path)
    yield { path, stats }
  }
}

/**
 * A folder with the rights of an installed one, whether it was there or not; its parents must be there.
 * @param made gets the path of one that was not there
 */
export function makeFolder(path: string, made: string[] = []): void {
  try {
    mkdirSync(path, FOLDER)
    made.push(path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
  chownSync(path, 0, 0)
  chmodSync(path, FOLDER)
}

/**
 * Copies the bytes of a regular file, and nothing else of it, to a new file of root's.
 * @throws BridgeError ERR_INSTALL_SOURCE for what is no regular file
 */
export function copyFile(from: string, to: string, mode: number): void {
  const source = openRegular(from)
  try {
    writeFile(to, mode, chunksOf(source))
  } finally {
    closeSync(source)
  }
}

/** Writes beside `path` and renames, so that `path` has the old content or the new one at any moment. */
export function replaceFile(path: string, mode: number, chunks: Iterable<Uint8Array>): void {
  writeFile(`${path}${PARTIAL}`, mode, chunks)
  renameSync(`${path}${PARTIAL}`, path)
  syncFolder(dirname(path))
}

/** Puts a program in the place from which it is started, in one step. */
export function copyToFront(from: string, to: string): void {
  const fd = openRegular(from)
  try {
    replaceFile(to, EXECUTABLE, chunksOf(fd))
  } finally {
    closeSync(fd)
  }
}

/** The bytes of an open file from its beginning; a chunk is valid until the next is asked for. */
export function* chunksOf(fd: number): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(CHUNK)
  for (let at = 0; ;) {
    const length = readSync(fd, buffer, 0, CHUNK, at)
    if (length === 0) return
    at += length
    yield buffer.subarray(0, length)
  }
}

/** Writes a new file of root's and syncs it; whatever has its name already is an error. */
export function writeFile(path: string, mode: number, chunks: Iterable<Uint8Array>): void {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at)
    }
    settle(fd, mode)
  } finally {
    closeSync(fd)
  }
}

/** Makes a file root's, with that mode, and syncs it. */
export function setRights(path: string, mode: number): void {
  const fd = openRegular(path)
  try {
    settle(fd, mode)
  } finally {
    closeSync(fd)
  }
}

function settle(fd: number, mode: number): void {
  fchownSync(fd, 0, 0)
  fchmodSync(fd, mode)
  fsyncSync(fd)
}

/** In hexadecimal. */
export function sha256Of(path: string): string {
  const fd = openRegular(path)
  try {
    const hash = createHash('sha256')
    for (const chunk of chunksOf(fd)) hash.update(chunk)
    return hash.digest('hex')
  } finally {
    closeSync(fd)
  }
}

/** Opens for reading; a link, a pipe or a device is refused, not followed and not waited for. */
export function openRegular(path: string): number {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
  let fd: number
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const reason = hasCode(error, 'ELOOP') ? 'it is a symbolic link' : reasonOf(error)
    throw new BridgeError('ERR_INSTALL_SOURCE', `cannot read ${path}: ${reason}`, {
      hint: 'npm ci && npm run build, then the same again',
      cause: error,
    })
  }
  if (fstatSync(fd).isFile()) return fd
  closeSync(fd)
  throw new BridgeError('ERR_INSTALL_SOURCE', `cannot read ${path}: it is no regular file`)
}

/** What is in the folder, as a name, is on disk after this. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Removes a folder with all that is in it; one that is not there is no error. */
export function removeFolder(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return
  for (const entry of walk(path)) remove(join(path, entry.path), entry.stats)
  rmdirSync(path)
}

export function remove(path: string, stats: Stats): void {
  if (stats.isDirectory()) rmdirSync(path)
  else unlinkSync(path)
}

/** Removes a folder that is empty, and says whether it did. */
export function removeIfEmpty(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    // ENOTEMPTY as a rule; a mount point is EBUSY and stays, and what is gone or no folder is no matter.
    if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT', 'ENOTDIR'].some(code => hasCode(error, code))) return false
    throw error
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
