/**
 * The packages that the program needs at run time, found from package.json as Node finds them, and where they go in
 * a tree of their own so that Node finds the same ones there.
 */

import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BridgeError } from '../errors.js'

const MODULES = 'node_modules'

export interface Package {
  /** Where it lies now, free of links. */
  from: string
  /** Where it goes, below the root of the tree. */
  to: string
}

/**
 * The dependencies of the package at `root`, with theirs; no development, optional or peer dependencies.
 * @throws BridgeError ERR_INSTALL_SOURCE for one that is not installed
 */
export function runtimePackages(root: string): Package[] {
  const placed = new Map<string, Package>()
  const queue: Package[] = [{ from: realpathSync(root), to: '' }]
  // Level by level: what a package has of its own is in place before anything inside of it looks up.
  for (const user of queue) {
    for (const name of dependenciesOf(user.from)) {
      const from = resolvePackage(name, user.from)
      const seen = visibleFrom(user.to, name, placed)
      if (seen?.from === from) continue
      const found = { from, to: join(seen === undefined ? '' : user.to, MODULES, name) }
      placed.set(found.to, found)
      queue.push(found)
    }
  }
  return [...placed.values()]
}

function dependenciesOf(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>
  }
  return Object.keys(manifest.dependencies ?? {})
}

/** Which package `name` is to the modules of a folder: the nearest one upwards. */
function resolvePackage(name: string, folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    const candidate = join(at, MODULES, name)
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate)
    if (at !== dirname(at)) continue
    throw new BridgeError(
      'ERR_INSTALL_SOURCE',
      `${folder} needs the package ${name}, which is not installed`,
      {
        hint: 'npm ci, then the same again',
      },
    )
  }
}

/** The package of that name that a package placed at `to` would find in the new tree so far. */
function visibleFrom(to: string, name: string, placed: Map<string, Package>): Package | undefined {
  for (let at = to; ; at = dirname(at)) {
    const found = placed.get(join(at === '.' ? '' : at, MODULES, name))
    if (found !== undefined || at === '' || at === '.') return found
  }
}
