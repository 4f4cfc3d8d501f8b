/**
 * Uninstall: removes what installs put below a prefix, by their manifests, with its folders that are empty then. What
 * somebody added or changed stays, an empty folder, too, and so do the parents of the prefix.
 */

import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { BridgeError } from '../errors.js'
import { removeIfEmpty, walk } from './files.js'
import { BIN, readInstalled, VERSIONS } from './layout.js'
import { withPrefix } from './prefix.js'
import { removeFront, removeLeftovers, removeVersion, type Kept } from './removal.js'
import { checkPath, checkPrefixName } from './rules.js'
import { TALOS } from '../talos/settings.js'
import type { Progress } from './stage.js'
import { removeSettings } from './stand-ins.js'

export interface UninstallResult {
  prefix: string
  /** How many files were removed. */
  removed: number
  /** What was left, as it is not what an install put there. */
  kept: Kept[]
}

/** Where launchd and systemd are told what to start. */
const SERVICE_FOLDERS = ['/Library/LaunchDaemons', '/etc/systemd/system']

/**
 * Removes, as root, what is installed below the prefix; programs that run from it go on.
 * @param services folders of what is started at boot
 * @throws UsageError, BridgeError ERR_NOT_INSTALLED, ERR_UNINSTALL_SERVICE, ERR_INSTALL_PATH, ERR_INSTALL_BUSY,
 *   ERR_INSTALL_WRITE
 */
export async function uninstall(
  given: string,
  progress: Progress,
  services: readonly string[] = SERVICE_FOLDERS,
): Promise<UninstallResult> {
  checkPrefixName(given)
  const prefix = resolve(given)
  checkPath(join(prefix, VERSIONS))
  refuseWithoutInstall(prefix)
  refuseUnderService(prefix, services)
  return withPrefix(prefix, [], () => {
    refuseWithoutInstall(prefix)
    const before = filesIn(prefix)
    const installed = readInstalled(prefix)
    const changed = [...removeFront(prefix, installed), ...removeSettings(prefix)].map(({ path }) => path)
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
const OURS = new RegExp(`^(${VERSIONS}|${BIN}|${TALOS})(/|$)`)

/** A service whose program goes would be started, and fail, for ever. */
function refuseUnderService(prefix: string, folders: readonly string[]): void {
  const program = join(prefix, BIN, 'vmbridge')
  for (const path of folders.flatMap(definitionsIn)) {
    if (!readFileSync(path, 'utf8').includes(program)) continue
    throw new BridgeError('ERR_UNINSTALL_SERVICE', `the service of ${path} starts ${program}`, {
      hint: `sudo ${program} service uninstall, with --bridged NAME for a bridged one`,
    })
  }
}

/** Files there that may be a service of ours: others are none of our business, and need not be readable. */
function definitionsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(entry => entry.isFile() && entry.name.includes('vmbridge'))
      .map(({ name }) => join(folder, name))
  } catch {
    return []
  }
}

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
