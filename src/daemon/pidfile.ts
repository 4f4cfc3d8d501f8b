/**
 * The pidfile: the decimal PID without a newline, never seen empty or half written, locked while the daemon lives
 * and removed at its end.
 */

import {
  closeSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs'
import { BridgeError, hasCode } from '../errors.js'
import { native } from '../native.js'
import { explainPath, lockFolder, unlinkIfSame } from '../ports/claim.js'

export class Pidfile {
  readonly path: string
  readonly #fd: number
  readonly #made: Stats

  /** @throws BridgeError ERR_PIDFILE_IN_USE, naming the PID; ERR_PIDFILE; as claimSocket does */
  constructor(path: string) {
    let unlock = (): void => {}
    try {
      unlock = lockFolder(path)
      refuseIfLive(path)
      const temporary = `${path}.${process.pid}`
      // In a folder of another's, root must not write through a link that waits there.
      rmSync(temporary, { force: true })
      this.#fd = openSync(temporary, 'wx', 0o644)
      native.lock(this.#fd)
      writeSync(this.#fd, String(process.pid))
      this.#made = lstatSync(temporary)
      renameSync(temporary, path)
      this.path = path
    } catch (error) {
      throw error instanceof BridgeError ? error : explainPath(path, error, '--pidfile')
    } finally {
      unlock()
    }
  }

  /** Returns whether the file was still ours, and is gone. */
  remove(): boolean {
    const isGone = unlinkIfSame(this.path, this.#made)
    closeSync(this.#fd)
    return isGone
  }
}

function refuseIfLive(path: string): void {
  let fd: number
  try {
    if (!lstatSync(path).isFile()) {
      throw new BridgeError('ERR_PIDFILE', `${path} exists and is not a regular file; it was not touched`, {
        hint: 'choose another --pidfile',
      })
    }
    fd = openSync(path, 'r')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  try {
    // The lock alone proves nothing, as anybody who can read the file can hold it; nor does the PID, which may be
    // another program's by now.
    if (native.lock(fd) || !isAlive(Number(readFileSync(path, 'utf8')))) return unlinkSync(path)
  } finally {
    closeSync(fd)
  }
  throw new BridgeError(
    'ERR_PIDFILE_IN_USE',
    `${path} belongs to the running PID ${readFileSync(path, 'utf8').trim()}`,
    {
      hint: 'stop that one first, or choose another --pidfile',
    },
  )
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}
