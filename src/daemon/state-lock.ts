/**
 * Holding a state folder for one network: two that keep their leases or the names of their ports in it would overwrite
 * each other's.
 */

import { accessSync, closeSync, constants, mkdirSync, openSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BridgeError } from '../errors.js'
import { native } from '../native.js'

/** A folder that is held until it is let go in one of these ways, or this process ends. */
export interface HeldState {
  release(): void
  /** As release, and takes away the folder if it was made for this and nothing was kept in it: the start has failed. */
  abandon(): void
}

const LOCK = 'lock'

/**
 * Makes the folder and holds it. By a file that others cannot open, since whoever can open a file can lock it.
 * @throws BridgeError ERR_STATE_DIR where nothing can be kept in it, ERR_STATE_IN_USE where another holds it
 */
export function lockState(folder: string): HeldState {
  let fd: number
  /** The outermost folder that was not there. */
  let made: string | undefined
  try {
    made = mkdirSync(folder, { recursive: true, mode: 0o755 })
    const { O_WRONLY, O_CREAT, O_APPEND, O_NONBLOCK, O_NOFOLLOW, W_OK, X_OK } = constants
    accessSync(folder, W_OK | X_OK)
    // Not waiting, and through no link: after --user the folder is not root's, and the next start is.
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOFOLLOW
    fd = openSync(join(folder, LOCK), flags, 0o600)
  } catch (error) {
    throw new BridgeError(
      'ERR_STATE_DIR',
      `cannot use the state folder ${folder}: ${error instanceof Error ? error.message : error}`,
      {
        hint: 'choose another with --state-dir',
        cause: error,
      },
    )
  }
  if (native.lock(fd)) {
    return {
      release: () => closeSync(fd),
      abandon() {
        // While it is held still: nobody else's lock is removed.
        if (made !== undefined) removeMade(folder, made)
        closeSync(fd)
      },
    }
  }
  closeSync(fd)
  throw new BridgeError('ERR_STATE_IN_USE', `another daemon keeps its state in ${folder}`, {
    hint: 'give each daemon a folder of its own with --state-dir',
  })
}

/** The same where no disk may fail a start: a folder that is no use is not held. */
export function lockUsableState(folder: string): HeldState | undefined {
  try {
    return lockState(folder)
  } catch (error) {
    if (error instanceof BridgeError && error.code === 'ERR_STATE_DIR') return undefined
    throw error
  }
}

/** Removes the lock and the folders from `folder` up to `outermost`, as far as nothing else is in them. */
function removeMade(folder: string, outermost: string): void {
  try {
    unlinkSync(join(folder, LOCK))
    for (let each = folder; each.length >= outermost.length; each = dirname(each)) rmdirSync(each)
  } catch {
    // Something was kept there after all.
  }
}
