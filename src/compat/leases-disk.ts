/**
 * The leases file as the operating system has it: opened through no link, read within bounds, replaced by rename.
 */

import { constants, type BigIntStats } from 'node:fs'
import { lstat, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { BridgeError, hasCode } from '../errors.js'

/** Octets: more is no leases file. Some 28,000 entries; the longest ones of ours at their most are 4 MB (leases-file.ts). */
export const MAX_FILE = 8 * 1024 * 1024
/** Those 28,000 entries have fewer. What has more is short lines, each of which costs as much as a long one to look at. */
export const MAX_LINES = 250_000
const MODE = 0o644
const NEWLINE = 0x0a

/** A file that was opened to be read: while it is open, its inode is nobody else's. */
export interface OpenFile {
  readonly handle: FileHandle
  /** Tells one content from another, as far as the system does: the inode, its size, and when it was written to. */
  readonly identity: string
  readonly size: number
  readonly uid: number
  readonly gid: number
}

/**
 * The file; undefined if there is none. Only a regular file: root must not read, and then replace, what somebody linked.
 * Rejects with ERR_LEASES_FILE, or an error of the system.
 */
export async function openFile(path: string): Promise<OpenFile | undefined> {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
  let handle: FileHandle
  try {
    // Not waiting: a FIFO in its place has no writer.
    handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw hasCode(error, 'ELOOP') ? foreign('it is a symbolic link') : error
  }
  try {
    const stats = await handle.stat({ bigint: true })
    if (!stats.isFile()) throw foreign('it is no file')
    if (stats.size > MAX_FILE) throw foreign(`it has ${stats.size} bytes, over ${MAX_FILE}`)
    const { uid, gid, size } = stats
    return { handle, identity: identityOf(stats), size: Number(size), uid: Number(uid), gid: Number(gid) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * What it holds, one character an octet: up to the size that it had, if it grows meanwhile. Rejects with
 * ERR_LEASES_FILE where it has more than MAX_LINES lines.
 */
export async function readFile({ handle, size }: OpenFile): Promise<string> {
  const bytes = Buffer.alloc(size)
  let end = 0
  while (end < size) {
    const { bytesRead } = await handle.read(bytes, end, size - end, end)
    if (bytesRead === 0) break
    end += bytesRead
  }
  let lines = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0 && at < end; at = bytes.indexOf(NEWLINE, at + 1))
    if (++lines > MAX_LINES) throw foreign(`it has over ${MAX_LINES} lines`)
  return bytes.toString('latin1', 0, end)
}

/** What is at the path now, not followed; undefined if nothing is. */
export async function identityAt(path: string): Promise<string | undefined> {
  try {
    return identityOf(await lstat(path, { bigint: true }))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** The identity of an open file now: another one if somebody wrote to it. */
export async function identityNow({ handle }: OpenFile): Promise<string> {
  return identityOf(await handle.stat({ bigint: true }))
}

/**
 * Puts a file with this text in place of `former`, which has its owner. Written and synced as `beside`, in the same folder,
 * and renamed: who reads sees the old one or the new one, whole, whenever we die. Resolves to the new one's identity, or to
 * undefined if `former` is not what is there any more, which stays then.
 */
export async function replaceFile(
  path: string,
  beside: string,
  text: string,
  former: OpenFile | undefined,
): Promise<string | undefined> {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
  let isRenamed = false
  try {
    // Left by a crash.
    await rm(beside, { force: true })
    const file = await open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MODE)
    let identity: string
    try {
      await file.writeFile(text, 'latin1')
      // Whatever the umask is: those who look for their VM are not root.
      await file.chmod(MODE)
      if (former !== undefined && process.geteuid?.() === 0) await file.chown(former.uid, former.gid)
      await file.sync()
      identity = identityOf(await file.stat({ bigint: true }))
    } finally {
      await file.close()
    }
    // Between this look and the rename another's rename is overwritten: bootpd has its leases in memory, and with its
    // next one writes all of them again.
    if ((await identityAt(path)) !== former?.identity) return undefined
    await rename(beside, path)
    isRenamed = true
    return identity
  } finally {
    if (!isRenamed) await rm(beside, { force: true }).catch(() => {})
  }
}

function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}`
}

function foreign(why: string): BridgeError {
  return new BridgeError('ERR_LEASES_FILE', `${why}, and is left as it is`)
}
