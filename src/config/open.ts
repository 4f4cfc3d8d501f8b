/**
 * The text of vmbridge.yaml. A daemon of root does what it says, so that only root may have written it.
 */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { BridgeError, hasCode } from '../errors.js'
import { shellQuote } from '../shell.js'

/** Bytes: several times what a daemon's most networks take, and read in a second at worst. */
export const MAX_CONFIG = 256 * 1024

/**
 * @param uid whose rights the reader has
 * @throws BridgeError ERR_NO_CONFIG where there is none, ERR_CONFIG_FILE, ERR_CONFIG_RIGHTS
 */
export function openConfig(path: string, uid: number = process.geteuid?.() ?? 0): string {
  const { O_RDONLY, O_NONBLOCK } = constants
  let fd: number | undefined
  try {
    // Not waiting: a FIFO would wait for its writer.
    fd = openSync(path, O_RDONLY | O_NONBLOCK)
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw refused(path, 'it is not a regular file')
    if (uid === 0) requireOurs(path, stats)
    return decode(path, readBounded(path, fd))
  } catch (error) {
    if (error instanceof BridgeError) throw error
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) {
      throw new BridgeError('ERR_NO_CONFIG', `there is no file ${path}`, {
        hint: `vmbridge config init ${shellQuote(path)}`,
        cause: error,
      })
    }
    throw refused(path, error instanceof Error ? error.message : String(error))
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function requireOurs(path: string, { uid, mode }: Stats): void {
  const isOthers = uid !== 0
  if (!isOthers && (mode & 0o022) === 0) return
  const who = isOthers ? `user ${uid} owns it` : 'others than root may write it'
  throw new BridgeError(
    'ERR_CONFIG_RIGHTS',
    `${path} is not read by root: ${who}, and root does what it says`,
    {
      hint: [...(isOthers ? [`chown root ${shellQuote(path)}`] : []), `chmod go-w ${shellQuote(path)}`].join(
        ' && ',
      ),
    },
  )
}

function readBounded(path: string, fd: number): Buffer {
  const bytes = Buffer.alloc(MAX_CONFIG + 1)
  let length = 0
  for (let got = -1; got !== 0 && length < bytes.length; length += got)
    got = readSync(fd, bytes, length, bytes.length - length, null)
  if (length > MAX_CONFIG) throw refused(path, `it has more than ${MAX_CONFIG} bytes`)
  return bytes.subarray(0, length)
}

function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw refused(path, 'it is not UTF-8')
  }
}

function refused(path: string, why: string): BridgeError {
  return new BridgeError('ERR_CONFIG_FILE', `cannot read ${path}: ${why}`, { hint: 'vmbridge config --help' })
}
