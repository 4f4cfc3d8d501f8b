/**
 * Removal of what an install put there, and of nothing else: a file that the manifest does not tell of, or that is not
 * as the manifest tells, is somebody's.
 */

import { lstatSync, readFileSync, renameSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { PARTIAL, remove, removeFolder, removeIfEmpty, walk } from './files.js'
import { CURRENT, FRONT, isVersionName, versionFolder, type Installed } from './layout.js'
import { isUnchanged, MANIFEST, type Manifest } from './manifest.js'

export interface Kept {
  /** Absolute. */
  path: string
  why: 'added' | 'changed'
}

/** Removes what interrupted installs and removals left. */
export function removeLeftovers(prefix: string, { leftovers }: Installed): void {
  for (const path of leftovers) {
    const whole = join(prefix, path)
    if (lstatSync(whole).isDirectory()) removeFolder(whole)
    else unlinkSync(whole)
  }
}

/** Removes a version, cut short at any moment to be finished by the next; returns what stays as it is not ours. */
export function removeVersion(prefix: string, name: string, manifest: Manifest): Kept[] {
  const folder = versionFolder(prefix, name)
  const kept = findKept(folder, manifest)
  if (kept.length === 0) {
    renameSync(folder, `${folder}${PARTIAL}`)
    removeFolder(`${folder}${PARTIAL}`)
    return []
  }
  const isKept = new Set(kept.map(({ path }) => path))
  // The manifest goes last: until then it tells the next removal what is left to do.
  const last = join(folder, MANIFEST)
  for (const { path, stats } of walk(folder)) {
    const whole = join(folder, path)
    if (stats.isDirectory()) removeIfEmpty(whole)
    else if (whole !== last && !isKept.has(whole)) remove(whole, stats)
  }
  unlinkSync(last)
  return kept
}

function findKept(folder: string, manifest: Manifest): Kept[] {
  const expected = new Map(manifest.files.map(file => [file.path, file]))
  const kept: Kept[] = []
  for (const { path, stats } of walk(folder)) {
    const whole = join(folder, path)
    const file = expected.get(path)
    if (stats.isDirectory() || path === MANIFEST) continue
    if (file === undefined) kept.push({ path: whole, why: 'added' })
    else if (!stats.isFile() || !isUnchanged(whole, stats.size, file))
      kept.push({ path: whole, why: 'changed' })
  }
  return kept
}

/** Removes the launchers and the file that names the version that starts; returns what stays. */
export function removeFront(prefix: string, { versions }: Installed): Kept[] {
  const kept: Kept[] = []
  const current = join(prefix, CURRENT)
  const named = lstatSync(current, { throwIfNoEntry: false })
  if (named?.isFile() && isVersionName(readFileSync(current, 'utf8').trimEnd())) unlinkSync(current)
  else if (named !== undefined) kept.push({ path: current, why: 'changed' })
  return [...kept, ...removeCopies(prefix, FRONT, versions)]
}

/** Removes those files of FRONT that are as an install made them; returns what stays. */
export function removeCopies(prefix: string, front: typeof FRONT, versions: Installed['versions']): Kept[] {
  const kept: Kept[] = []
  for (const [name, of] of front) {
    const path = join(prefix, name)
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats === undefined) continue
    // An interrupted upgrade leaves those of one version with another.
    const isOurs = [...versions.values()].some(({ files }) =>
      files.some(file => file.path === of && stats.isFile() && isUnchanged(path, stats.size, file)),
    )
    if (isOurs) unlinkSync(path)
    else kept.push({ path, why: 'changed' })
  }
  return kept
}
