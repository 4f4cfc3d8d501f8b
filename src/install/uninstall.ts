/**
 * Uninstall: removes what installs put below a prefix, by their manifests, with its folders that are empty then. What
 * somebody added or changed stays, an empty folder, too, and so do the parents of the prefix.
 */

import { lstatSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { BridgeError } from '../errors.js'
import { removeIfEmpty, walk } from './files.js'
import { BIN, readInstalled, VERSIONS } from './layout.js'
import { withPrefix } from './prefix.js'
import { removeFront, removeLeftovers, removeVersion, type Kept } from './removal.js'
import { checkPath, checkPrefixName } from './rules.js'
import type { Progress } from './stage.js'

export interface UninstallResult {
  prefix: string
  /** How many files were removed. */
  removed: number
  /** What was left, as it is not what an install put there. */
  kept: Kept[]
}

/**
 * Removes, as root, what is installed below the prefix; programs that run from it go on.
 * @throws UsageError, BridgeError ERR_NOT_INSTALLED, ERR_INSTALL_PATH, ERR_INSTALL_BUSY, ERR_INSTALL_WRITE
 */
export async function uninstall(given: string, progress: Progress): Promise<UninstallResult> {
  checkPrefixName(given)
  const prefix = resolve(given)
  checkPath(join(prefix, VERSIONS))
  refuseWithoutInstall(prefix)
  return withPrefix(prefix, [], () => {
    refuseWithoutInstall(prefix)
    const before = filesIn(prefix)
    const installed = readInstalled(prefix)
    const changed = removeFront(prefix, installed).map(({ path }) => path)
    for (const [name, manifest] of installed.versions) {
      progress(`removing ${name}`)
      for (const { path, why } of removeVersion(prefix, name, manifest))
        if (why === 'changed') changed.push(path)
    }
    removeLeftovers(prefix, readInstalled(prefix))
    for (const { path, stats } of walk(prefix))
      if (stats.isDirectory() && OURS.test(path)) removeIfEmpty(join(prefix, path))
    const left = filesIn(prefix)
    removeIfEmpty(prefix)
    const kept = left.map((path): Kept => ({ path, why: changed.includes(path) ? 'changed' : 'added' }))
    return { prefix, removed: before.length - left.length, kept }
  })
}

/** Folders of an install, and not what somebody has beside them: the prefix may be one of several programs. */
const OURS = new RegExp(`^(${VERSIONS}|${BIN})(/|$)`)

/** Where nothing of ours is, nothing is removed. */
function refuseWithoutInstall(prefix: string): void {
  const { versions, leftovers, isForeign } = readInstalled(prefix)
  const isInstall = versions.size > 0 || leftovers.length > 0 || isInterrupted(prefix)
  if (isInstall && !isForeign) return
  throw new BridgeError(
    'ERR_NOT_INSTALLED',
    `vmbridge is not installed in ${prefix}: there is no manifest of it`,
    {
      hint: 'give the --prefix that it was installed with',
    },
  )
}

/** The folder of versions, which is made first and removed last, is there even when it is empty. */
const isInterrupted = (prefix: string): boolean =>
  lstatSync(join(prefix, VERSIONS), { throwIfNoEntry: false })?.isDirectory() === true

const filesIn = (prefix: string): string[] =>
  [...walk(prefix)].filter(({ stats }) => !stats.isDirectory()).map(({ path }) => join(prefix, path))
