/**
 * Builds a version: the whole tree in a folder that no program starts from yet, checked and started once.
 */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BridgeError } from '../errors.js'
import { copyFile, makeFolder, syncFolder, walk } from './files.js'
import { BIN, EXECUTABLES } from './layout.js'
import { lastLine, signTree, type Machine } from './machine.js'
import { writeManifest, type Manifest } from './manifest.js'
import { checkTree } from './rules.js'
import { NODE, type Source } from './source.js'

export interface Staged {
  manifest: Manifest
  /** Whether the interpreter has the entitlement that stands for root on macOS 26. */
  signed: boolean
}

/** Says what is being done, a line a step. */
export type Progress = (step: string) => void

const MEGABYTE = 1_000_000

/** Fills `folder`, which must not exist. Throws what went wrong and leaves the folder as it is then. */
export function stageTree(folder: string, source: Source, machine: Machine, progress: Progress): Staged {
  makeFolder(folder)
  for (const { from, to, mode, size } of source.files) {
    if (size > MEGABYTE) progress(`copying ${to}, ${Math.round(size / MEGABYTE)} MB`)
    makeFoldersFor(folder, to)
    copyFile(from, join(folder, to), mode)
  }
  progress(`copied ${source.files.length} files; checking and starting the new tree`)
  const signed = signTree(
    machine,
    folder,
    EXECUTABLES.map(name => `${BIN}/${name}`),
  )
  const manifest = writeManifest(folder, source.version)
  for (const { path, stats } of walk(folder)) if (stats.isDirectory()) syncFolder(join(folder, path))
  syncFolder(folder)
  checkTree(folder)
  tryStart(folder, source.version, machine)
  return { manifest, signed }
}

function makeFoldersFor(folder: string, path: string): void {
  const below = dirname(path)
  if (below === '.' || existsSync(join(folder, below))) return
  makeFoldersFor(folder, below)
  makeFolder(join(folder, below))
}

/** Where the package has none, that launcher says so. */
const SOCKET_VMNET_SCRIPT = 'dist/src/compat/socket-vmnet.js'
/** Imports nearly everything, the addon and the packages included, and starts nothing. */
const DAEMON_MODULE = 'dist/src/daemon/daemon.js'

/** @throws BridgeError ERR_INSTALL_START when the tree does not start from where it lies */
function tryStart(folder: string, version: string, { run }: Machine): void {
  const daemon = pathToFileURL(join(folder, DAEMON_MODULE)).href
  const load = ['--no-global-search-paths', '--input-type=module', '--eval', `await import('${daemon}')`]
  const starts: [argv: string[], stdout?: string][] = [
    [[join(folder, BIN, 'vmbridge'), '--version'], `${version}\n`],
    [[join(folder, NODE), ...load]],
  ]
  if (existsSync(join(folder, SOCKET_VMNET_SCRIPT))) starts.push([[join(folder, BIN, 'socket_vmnet'), '-v']])
  for (const [argv, expected] of starts) {
    const { status, stdout, stderr } = run(argv)
    if (status === 0 && (expected ?? stdout) === stdout) continue
    const what = status === 0 ? `said ${JSON.stringify(stdout)}` : `failed: ${lastLine(stderr)}`
    throw new BridgeError('ERR_INSTALL_START', `the new tree does not start: ${argv.join(' ')} ${what}`, {
      hint: 'npm ci && npm run build, then the same again; node must be one that starts anywhere',
    })
  }
}
