/**
 * Taking a path for a Unix socket: a stale socket is replaced, a living one belongs to somebody and is named,
 * anything that is not a socket is never touched. Two daemons that start at once do not both win: the look and
 * the bind happen under a lock on the folder, which leaves nothing behind.
 */

import { closeSync, constants, lstatSync, openSync, renameSync, unlinkSync, type Stats } from 'node:fs'
import { dirname } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'
import { native } from '../native.js'
import { shellQuote } from '../shell.js'
import { MAX_SOCKET_PATH } from '../socket-path.js'

export interface SocketRights {
  /** Mode of the socket file, such as 0o660. */
  mode: number
  /** Group that owns it, or undefined to leave it. */
  gid?: number
}

export interface ClaimedSocket {
  path: string
  /** Non-blocking: it listens for streams, or takes datagrams. */
  fd: number
  /** Whether the file is still this socket's. */
  isThere(): boolean
  /** Removes the file, unless another has taken its place since. Does not close the descriptor. */
  unlink(): void
}

/** Streams, each connection of which is somebody; or datagrams, told apart by the address that they come from. */
export type SocketKind = 'stream' | 'datagram'

/** How long another daemon may take to claim a socket in the same folder, in ms, and how often we look. */
const LOCK_PATIENCE = 2000
const LOCK_INTERVAL = 10

/**
 * Binds `path`, and listens on it for streams.
 * @throws BridgeError ERR_SOCKET_IN_USE, ERR_NOT_A_SOCKET, ERR_SOCKET_PATH or ERR_SOCKET, with a hint.
 */
export function claimSocket(path: string, rights: SocketRights, kind: SocketKind = 'stream'): ClaimedSocket {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new BridgeError(
      'ERR_SOCKET_PATH',
      `${path} is longer than the ${MAX_SOCKET_PATH} bytes a socket path may have`,
      {
        hint: 'choose a shorter path, such as /tmp/vmbridge.sock',
      },
    )
  }
  let unlock = (): void => {}
  try {
    unlock = lockFolder(path)
    removeStale(path)
    const fd = bind(path, rights, kind)
    return claim(path, fd, lstatSync(path))
  } catch (error) {
    throw error instanceof BridgeError ? error : explainPath(path, error)
  } finally {
    unlock()
  }
}

function bind(path: string, { mode, gid = -1 }: SocketRights, kind: SocketKind): number {
  return kind === 'stream' ? native.listen(path, mode, gid) : native.bindDatagram(path, mode, gid)
}

/** Behind the path of a socket that is about to take its place. */
const FRESH = '.new'

/**
 * A fresh datagram socket in place of one that was claimed, whose descriptor stays as it is. The path leads to one of
 * the two at any moment.
 * @throws a system error, or BridgeError ERR_SOCKET if another has taken the place; nothing has changed then
 */
export function renewSocket(claimed: ClaimedSocket, rights: SocketRights): ClaimedSocket {
  const { path } = claimed
  const fresh = `${path}${FRESH}`
  // Not waiting: who may read the folder may hold it, and the whole switch would wait.
  const unlock = lockFolder(path, 0)
  let fd: number | undefined
  try {
    if (!claimed.isThere()) throw new BridgeError('ERR_SOCKET', `${path} is another's by now`)
    removeStale(fresh)
    fd = bind(fresh, rights, 'datagram')
    const made = lstatSync(fresh)
    renameSync(fresh, path)
    return claim(path, fd, made)
  } catch (error) {
    if (fd !== undefined) {
      closeSync(fd)
      unlinkSync(fresh)
    }
    throw error
  } finally {
    unlock()
  }
}

function claim(path: string, fd: number, made: Stats): ClaimedSocket {
  return {
    path,
    fd,
    isThere: () => isSame(path, made),
    unlink: () => unlinkIfSame(path, made),
  }
}

/** What keeps a process from removing a file that it made: it gave its rights up, or the disk is read-only by now. */
const KEEPS = ['EACCES', 'EPERM', 'EROFS']

/** Removes `path` if it is still the file that `made` describes, and this process may. Returns whether it has. */
export function unlinkIfSame(path: string, made: Stats): boolean {
  try {
    if (!isSame(path, made)) return false
    unlinkSync(path)
    return true
  } catch (error) {
    if (!hasCode(error, 'ENOENT') && !KEEPS.some(code => hasCode(error, code))) throw error
    return false
  }
}

function isSame(path: string, made: Stats): boolean {
  const now = lstatSync(path)
  return now.ino === made.ino && now.dev === made.dev
}

/**
 * Holds the folder of `path` for this process, or goes on without when another has it for longer than `patience` ms.
 * Returns what lets it go; throws a system error.
 */
export function lockFolder(path: string, patience = LOCK_PATIENCE): () => void {
  const folder = dirname(path)
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  const wait = new Int32Array(new SharedArrayBuffer(4))
  for (let waited = 0; !tryLock(fd); waited += LOCK_INTERVAL) {
    if (waited >= patience) break
    Atomics.wait(wait, 0, 0, LOCK_INTERVAL)
  }
  return () => closeSync(fd)
}

/** A file system without locks is no reason not to start. */
function tryLock(fd: number): boolean {
  try {
    return native.lock(fd)
  } catch {
    return true
  }
}

function removeStale(path: string): void {
  let found: Stats
  try {
    found = lstatSync(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  if (!found.isSocket()) {
    throw new BridgeError('ERR_NOT_A_SOCKET', `${path} exists and is not a socket; it was not touched`, {
      hint: 'choose another path, or remove it yourself',
    })
  }
  const owner = ownerOf(path)
  if (owner !== undefined) {
    throw new BridgeError('ERR_SOCKET_IN_USE', `${path} is held by ${owner}`, {
      hint: 'stop that one first, or choose another path with --socket and --control',
    })
  }
  unlinkSync(path)
}

/** Who listens on a socket file, as text, or undefined when nobody does. */
function ownerOf(path: string): string | undefined {
  let fd: number
  try {
    fd = native.dial(path, true)
  } catch (error) {
    if (hasCode(error, 'ECONNREFUSED') || hasCode(error, 'ENOENT')) return undefined
    // A full backlog (EAGAIN) is a living process that does not answer just now.
    if (hasCode(error, 'EAGAIN')) return 'a process that does not accept connections now'
    // Nobody at all would be ECONNREFUSED.
    if (hasCode(error, 'EPROTOTYPE')) return 'a process with a socket of another kind'
    throw error
  }
  const { pid } = native.peerCredentials(fd)
  closeSync(fd)
  return pid > 0 ? `PID ${pid}` : 'another process'
}

/** What a system error on the way to `path` means; `option` is where another path can be given. */
export function explainPath(path: string, error: unknown, option = '--socket'): BridgeError {
  const reason = error instanceof Error ? error.message : String(error)
  if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) {
    return new BridgeError('ERR_SOCKET_PATH', `the folder of ${path} does not exist`, {
      hint: `mkdir -p ${dirname(path)}`,
      cause: error,
    })
  }
  if ((error as NodeJS.ErrnoException).syscall === 'chown') {
    return new BridgeError('ERR_SOCKET_PATH', `no right to give ${path} to that group (${reason})`, {
      hint: 'choose a group of yours with --socket-group, or start as root',
      cause: error,
    })
  }
  if (hasCode(error, 'EACCES') || hasCode(error, 'EPERM') || hasCode(error, 'EROFS')) {
    return new BridgeError('ERR_SOCKET_PATH', `no right to make ${path} (${reason})`, {
      hint: `choose a path in a folder of yours with ${option}, or start as root`,
      cause: error,
    })
  }
  const isFull = hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT')
  return new BridgeError('ERR_SOCKET', `cannot make ${path}: ${reason}`, {
    ...(isFull && { hint: `make room: df -h ${shellQuote(dirname(path))}` }),
    cause: error,
  })
}
