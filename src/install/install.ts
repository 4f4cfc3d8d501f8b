/**
 * Install. What starts is replaced by one rename of one file (layout.ts), after the new version is whole, synced,
 * checked and started once: a run that is cut short at any moment leaves the old version or the new one working, and
 * the next run removes what it left. Only a first install has none to work until it is done.
 *
 * The window: the launchers are renamed in one by one before the new version is the current one, so for that moment
 * new launchers start the old version. Both know the same few names.
 */

import { renameSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { copyToFront, PARTIAL, PLAIN, replaceFile, syncFolder } from './files.js'
import {
  BIN,
  CURRENT,
  currentVersion,
  EXECUTABLES,
  nextVersionName,
  readInstalled,
  versionFolder,
  VERSIONS,
} from './layout.js'
import { checkLibraries, type Machine } from './machine.js'
import type { Manifest } from './manifest.js'
import { refuseForeign, withPrefix } from './prefix.js'
import { removeLeftovers, removeVersion, type Kept } from './removal.js'
import { checkPath, checkPrefixName, checkTree } from './rules.js'
import { ADDON, readSource, type Source } from './source.js'
import { stageTree, type Progress } from './stage.js'
import { refreshStandIns } from './stand-ins.js'

export interface InstallOptions {
  prefix: string
  /** The root of the package that is installed. */
  root: string
  /** The interpreter that is copied. */
  node: string
  machine: Machine
  progress: Progress
}

export interface InstallResult {
  prefix: string
  /** Of the package. */
  version: string
  /** The folder of the version that starts now. */
  tree: string
  files: number
  bytes: number
  /** Whether the interpreter was signed with the entitlement that stands for root on macOS 26. */
  signed: boolean
  /** What somebody had put into versions that were removed, and was left there. */
  kept: Kept[]
}

/**
 * Installs below the prefix, as root.
 * @throws UsageError, BridgeError ERR_INSTALL_SOURCE, ERR_INSTALL_NODE, ERR_INSTALL_PATH, ERR_INSTALL_FOREIGN,
 * ERR_INSTALL_BUSY, ERR_INSTALL_WRITE, ERR_INSTALL_SIGNATURE, ERR_INSTALL_START
 */
export async function install(options: InstallOptions): Promise<InstallResult> {
  checkPrefixName(options.prefix)
  const prefix = resolve(options.prefix)
  const folders = [join(prefix, VERSIONS), join(prefix, BIN)]
  const source = readSource(options.root, options.node)
  for (const file of [options.node, join(options.root, ADDON)]) checkLibraries(options.machine, file)
  folders.forEach(checkPath)
  refuseForeign(prefix)
  // Folders are made with the rights that they keep, whatever the caller's umask.
  process.umask(0o022)
  return withPrefix(prefix, folders, () => {
    const kept = clean(prefix, options.progress)
    const name = nextVersionName(prefix, source.version)
    try {
      const { manifest, signed } = addVersion(prefix, name, source, options)
      folders.forEach(checkPath)
      const bytes = manifest.files.reduce((sum, { size }) => sum + size, 0)
      const tree = versionFolder(prefix, name)
      return { prefix, version: source.version, tree, files: manifest.files.length, bytes, signed, kept }
    } catch (error) {
      undo(prefix, name)
      throw error
    }
  })
}

/**
 * Removes what no program starts from any more. The current version stays, and stays once more when it is the former
 * one: a daemon that runs from it may still read its files.
 */
function clean(prefix: string, progress: Progress): Kept[] {
  const installed = readInstalled(prefix)
  removeLeftovers(prefix, installed)
  const current = currentVersion(prefix)
  return [...installed.versions]
    .filter(([name]) => name !== current)
    .flatMap(([name, manifest]) => {
      progress(`removing ${name}, which is not the current version`)
      return removeVersion(prefix, name, manifest)
    })
}

function addVersion(
  prefix: string,
  name: string,
  source: Source,
  { machine, progress }: InstallOptions,
): { manifest: Manifest; signed: boolean } {
  const tree = versionFolder(prefix, name)
  const staged = stageTree(`${tree}${PARTIAL}`, source, machine, progress)
  renameSync(`${tree}${PARTIAL}`, tree)
  syncFolder(dirname(tree))
  progress(`switching to ${name}`)
  for (const executable of EXECUTABLES) {
    copyToFront(join(tree, BIN, executable), join(prefix, BIN, executable))
  }
  refreshStandIns(prefix, tree)
  checkTree(join(prefix, BIN))
  replaceFile(join(prefix, CURRENT), PLAIN, [Buffer.from(`${name}\n`)])
  return staged
}

/** Takes back a version that did not become the current one. */
function undo(prefix: string, name: string): void {
  const installed = readInstalled(prefix)
  removeLeftovers(prefix, installed)
  const manifest = installed.versions.get(name)
  if (manifest !== undefined && currentVersion(prefix) !== name) removeVersion(prefix, name, manifest)
}
