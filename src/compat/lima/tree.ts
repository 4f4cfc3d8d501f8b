/**
 * What is behind a socket_vmnet: a tree of ours, known by its manifest. Nothing is started to find out, for it may be
 * a program of anybody's.
 */

import { lstatSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { BridgeError } from '../../errors.js'
import { BIN, currentVersion, readInstalled, versionFolder } from '../../install/layout.js'
import { isUnchanged } from '../../install/manifest.js'
import { checkTree } from '../../install/rules.js'

export type Tree =
  | { kind: 'foreign' }
  | {
      kind: 'ours'
      /** Of the package. */
      version: string
      /** The folder that it starts from, with its interpreter and addon. */
      folder: string
      files: number
      /** Why it is not as `vmbridge install` left it. */
      wrong?: string
    }

/** Looks at the tree that a program without links in its path belongs to; at all of its files. */
export function treeBehind(program: string): Tree {
  const prefix = dirname(dirname(program))
  const { versions } = readInstalled(prefix)
  const name = currentVersion(prefix) ?? ''
  const manifest = versions.get(name)
  const path = `${BIN}/${basename(program)}`
  const launcher = manifest?.files.find(file => file.path === path)
  if (manifest === undefined || launcher === undefined || join(prefix, path) !== program)
    return { kind: 'foreign' }
  const folder = versionFolder(prefix, name)
  const tree: Tree = { kind: 'ours', version: manifest.version, folder, files: manifest.files.length }
  try {
    if (!isUnchanged(program, lstatSync(program).size, launcher))
      return { ...tree, wrong: `${program} is not the file that was installed` }
    checkTree(join(prefix, BIN))
    checkTree(folder)
    const changed = manifest.files.find(file => {
      const stats = lstatSync(join(folder, file.path), { throwIfNoEntry: false })
      return stats === undefined || !isUnchanged(join(folder, file.path), stats.size, file)
    })
    return changed === undefined
      ? tree
      : { ...tree, wrong: `${join(folder, changed.path)} is not the file that was installed` }
  } catch (error) {
    // A file or folder that this user cannot look at is as wrong as one that others can change.
    const wrong = error instanceof BridgeError ? error.message : `not all of it can be read: ${String(error)}`
    return { ...tree, wrong }
  }
}
