/**
 * The identifiers by which macOS knows an interface and a network again: kept in the state folder, so that the MAC address
 * of the interface stays the same across restarts.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BridgeError } from '../errors.js'
import { parseUuid } from '../uuid.js'

export interface VmnetIdentity {
  /** UUIDs as text. */
  interfaceId: string
  networkId: string
}

const NAME = 'vmnet.json'

/**
 * The identity in `folder`, made at the first time. What cannot be read is made anew, since it is no more than a name.
 * @param makeUuid `randomUUID`
 * @throws BridgeError ERR_STATE_DIR when it cannot be kept
 */
export function loadIdentity(folder: string, makeUuid: () => string): VmnetIdentity {
  const path = join(folder, NAME)
  const kept = read(path)
  if (kept !== undefined) return kept
  const made = { interfaceId: makeUuid(), networkId: makeUuid() }
  const temporary = `${path}.${process.pid}`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    // Through no link: after --user the folder is not root's, and the next start is.
    rmSync(temporary, { force: true })
    writeFileSync(temporary, `${JSON.stringify(made, null, 2)}\n`, { flag: 'wx', mode: 0o644, flush: true })
    renameSync(temporary, path)
  } catch (error) {
    removeIfThere(temporary)
    throw new BridgeError(
      'ERR_STATE_DIR',
      `cannot keep the interface's identity in ${folder}: ${error instanceof Error ? error.message : error}`,
      { hint: 'choose another folder with --state-dir', cause: error },
    )
  }
  return made
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It was never made.
  }
}

function read(path: string): VmnetIdentity | undefined {
  try {
    const { interfaceId, networkId } = JSON.parse(readFileSync(path, 'utf8')) as Partial<VmnetIdentity>
    if (parseUuid(String(interfaceId)) === undefined || parseUuid(String(networkId)) === undefined)
      return undefined
    return { interfaceId: String(interfaceId), networkId: String(networkId) }
  } catch {
    return undefined
  }
}
