/**
 * The stand-ins for QEMU of an installed tree, in a folder of root's that talosctl's PATH begins with. They are copies of
 * the launcher, which starts the version that is current: an upgrade needs no more than `vmbridge install`.
 */

import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { BridgeError } from '../errors.js'
import { readSettings, SETTINGS, STAND_INS, TALOS, type TalosSettings } from '../talos/settings.js'
import { copyToFront, PLAIN, removeIfEmpty, replaceFile } from './files.js'
import { currentVersion, FRONT, LAUNCHER, readInstalled, versionFolder } from './layout.js'
import { withPrefix } from './prefix.js'
import { removeCopies, removeLeftovers, type Kept } from './removal.js'
import { checkPath, checkPrefixName, checkTree } from './rules.js'

export interface StandInsInstalled {
  /** What PATH has to begin with. */
  folder: string
  programs: string[]
  settings: TalosSettings
}

export interface StandInsRemoved {
  folder: string
  /** How many files were removed. */
  removed: number
  kept: Kept[]
}

const SCRIPT = 'dist/src/talos/bin.js'

/**
 * Puts the stand-ins and their settings below a prefix, as root; those of before are replaced, one by one in one step
 * each.
 * @throws UsageError, BridgeError ERR_NOT_INSTALLED, ERR_INSTALL_PATH, ERR_INSTALL_BUSY, ERR_INSTALL_WRITE
 */
export async function installStandIns(given: string, settings: TalosSettings): Promise<StandInsInstalled> {
  checkPrefixName(given)
  const prefix = resolve(given)
  const folder = join(prefix, TALOS)
  checkPath(folder)
  treeOf(prefix)
  process.umask(0o022)
  return withPrefix(prefix, [folder], () => {
    const tree = treeOf(prefix)
    removeLeftovers(prefix, readInstalled(prefix))
    replaceFile(join(folder, SETTINGS), PLAIN, [Buffer.from(`${JSON.stringify(settings, null, 2)}\n`)])
    const programs = STAND_INS.map(name => join(folder, name))
    for (const program of programs) copyToFront(join(tree, LAUNCHER), program)
    checkTree(folder)
    return { folder, programs, settings }
  })
}

/** The version that starts. */
function treeOf(prefix: string): string {
  const name = currentVersion(prefix)
  const hint = `sudo vmbridge install --prefix ${prefix}`
  if (name === undefined || !readInstalled(prefix).versions.has(name)) {
    throw new BridgeError('ERR_NOT_INSTALLED', `vmbridge is not installed in ${prefix}`, { hint })
  }
  const tree = versionFolder(prefix, name)
  if (existsSync(join(tree, SCRIPT))) return tree
  throw new BridgeError('ERR_NOT_INSTALLED', `what is installed in ${prefix} is older than this`, { hint })
}

/** Makes the stand-ins that are there those of a new version. */
export function refreshStandIns(prefix: string, tree: string): void {
  for (const name of STAND_INS) {
    const program = join(prefix, TALOS, name)
    if (lstatSync(program, { throwIfNoEntry: false })?.isFile()) copyToFront(join(tree, LAUNCHER), program)
  }
}

/**
 * Removes the stand-ins, and nothing that somebody put beside them.
 * @throws UsageError, BridgeError ERR_NOT_INSTALLED, ERR_INSTALL_PATH, ERR_INSTALL_BUSY, ERR_INSTALL_WRITE
 */
export async function uninstallStandIns(given: string): Promise<StandInsRemoved> {
  checkPrefixName(given)
  const prefix = resolve(given)
  const folder = join(prefix, TALOS)
  checkPath(folder)
  if (!existsSync(folder)) {
    throw new BridgeError('ERR_NOT_INSTALLED', `there are no stand-ins for QEMU in ${folder}`, {
      hint: 'give the --prefix that they were installed with',
    })
  }
  return withPrefix(prefix, [], () => {
    const before = ownFiles(folder).length
    const installed = readInstalled(prefix)
    removeLeftovers(prefix, installed)
    const front = FRONT.filter(([path]) => path.startsWith(`${TALOS}/`))
    const kept = [...removeCopies(prefix, front, installed.versions), ...removeSettings(prefix)]
    removeIfEmpty(folder)
    return { folder, removed: before - ownFiles(folder).length, kept }
  })
}

const ownFiles = (folder: string): string[] =>
  [SETTINGS, ...STAND_INS].filter(name => existsSync(join(folder, name)))

/** Removes the settings, which go by their form: people may change them by hand. */
export function removeSettings(prefix: string): Kept[] {
  const folder = join(prefix, TALOS)
  const path = join(folder, SETTINGS)
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return []
  if (readSettings(folder) === undefined) return [{ path, why: 'changed' }]
  unlinkSync(path)
  return []
}
