/**
 * What an install copies: the list of files, from a built package. Only what is needed to run: no sources, no tests,
 * no development dependencies.
 */

import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BridgeError } from '../errors.js'
import { EXECUTABLE, PLAIN, walk } from './files.js'
import { MANIFEST } from './manifest.js'
import { runtimePackages } from './packages.js'

export interface Source {
  /** Of the package. */
  version: string
  files: SourceFile[]
}

export interface SourceFile {
  from: string
  /** Below the root of the tree, with slashes. */
  to: string
  mode: number
  /** In bytes. */
  size: number
}

/** The interpreter's place in the tree. */
export const NODE = 'node'
export const ADDON = 'build/Release/vmbridge.node'

/** What packages carry that no program loads; among it are paths with spaces, which Lima would not take. */
const NOT_NEEDED = /^(\.github|benchmarks?|docs?|examples?|tests?)\//

/**
 * What a tree is made of, from the package at `root` and the interpreter `node`.
 * @throws BridgeError ERR_INSTALL_SOURCE naming what is missing and how to build it
 */
export function readSource(root: string, node: string): Source {
  if (existsSync(join(root, MANIFEST))) {
    throw new BridgeError('ERR_INSTALL_SOURCE', `${root} is an installed tree, not what one is made from`, {
      hint: 'run install from the package: a checkout, or what npm installed',
    })
  }
  const launcher = join(root, 'build/Release/launcher')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const files = [
    file(node, NODE, EXECUTABLE),
    file(join(root, ADDON), ADDON, EXECUTABLE),
    // One program that goes by its name; and copies, since a link would be followed to the wrong one.
    file(launcher, 'bin/vmbridge', EXECUTABLE),
    file(launcher, 'bin/socket_vmnet', EXECUTABLE),
    file(join(root, 'build/Release/socket_vmnet_client'), 'bin/socket_vmnet_client', EXECUTABLE),
    file(join(root, 'package.json'), 'package.json', PLAIN),
    file(join(root, 'LICENSE'), 'LICENSE', PLAIN),
    ...folder(root, 'dist/src').filter(({ to }) => to.endsWith('.js')),
    ...folder(root, 'launchd'),
    ...runtimePackages(root).flatMap(({ from, to }) =>
      folder(from, '', to).filter(file => !NOT_NEEDED.test(file.to.slice(to.length + 1))),
    ),
  ]
  return { version, files }
}

function file(from: string, to: string, mode: number): SourceFile {
  const stats = lstatSync(from, { throwIfNoEntry: false })
  if (stats?.isFile() === true) return { from, to, mode, size: stats.size }
  const what = stats === undefined ? 'missing' : 'no regular file'
  throw new BridgeError('ERR_INSTALL_SOURCE', `${from} is ${what}`, {
    hint: 'npm ci && npm run build, then the same again',
  })
}

/** The files of a folder of the package at `root`; the packages in it are found by themselves. */
function folder(root: string, below: string, to = below): SourceFile[] {
  if (!existsSync(join(root, below))) file(join(root, below), below, PLAIN)
  return [...walk(join(root, below))]
    .filter(({ path, stats }) => !stats.isDirectory() && !/(^|\/)node_modules\//.test(path))
    .map(({ path, stats }) => {
      const mode = stats.mode & 0o100 ? EXECUTABLE : PLAIN
      return file(join(root, below, path), join(to, path), mode)
    })
}
