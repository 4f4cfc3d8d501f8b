/**
 * The shape of an installed tree. A version is whole in a folder of its own, and one small file says which one
 * starts: it is replaced by one rename, so at any moment either the old version starts or the new one. The
 * launchers are regular files, because Lima takes no symbolic link in the path of what it starts as root.
 *
 *   PREFIX/current                   the name of the version that starts, one line
 *   PREFIX/bin/NAME                  the launchers (native/launcher.c reads `current`) and the client
 *   PREFIX/talos/qemu-system-ARCH    launchers too, where `vmbridge talos install` was asked for (src/talos/settings.ts)
 *   PREFIX/versions/0.1.0-2/         node, dist/src, build/Release, node_modules, bin, manifest.json, …
 *   PREFIX/versions/0.1.0-1/         what started before: programs that still run from it find their files
 *   PREFIX/versions/0.1.0-3.partial  being written, or left by an install that was cut short
 *
 * Launchers and versions of different releases meet during an upgrade: these names stay.
 */

import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PARTIAL } from './files.js'
import { readManifest, type Manifest } from './manifest.js'
import { SETTINGS, STAND_INS, TALOS } from '../talos/settings.js'

export const CURRENT = 'current'
export const BIN = 'bin'
export const VERSIONS = 'versions'

/** The launcher in a version; its copies go by their names. */
export const LAUNCHER = `${BIN}/vmbridge`

/** What lies in bin, here and in each version: by that name a launcher knows what to start. */
export const EXECUTABLES = ['vmbridge', 'socket_vmnet', 'socket_vmnet_client'] as const

/** What starts from a fixed place: below the prefix, and the file of a version that it is a copy of. */
export const FRONT: readonly (readonly [path: string, of: string])[] = [
  ...EXECUTABLES.map(name => [`${BIN}/${name}`, `${BIN}/${name}`] as const),
  ...STAND_INS.map(name => [`${TALOS}/${name}`, LAUNCHER] as const),
]

/** The version of the package and a count, as installs of the same version must not meet in one folder. */
const VERSION_NAME = /^\d[\w.+]*(?:-[\w.+]+)*-(\d+)$/

export const versionFolder = (prefix: string, name: string): string => join(prefix, VERSIONS, name)

export const isVersionName = (name: string): boolean => VERSION_NAME.test(name)

const isPartialName = (name: string): boolean =>
  name.endsWith(PARTIAL) && isVersionName(name.slice(0, -PARTIAL.length))

export interface Installed {
  /** The versions that are whole, by name. */
  versions: Map<string, Manifest>
  /** Paths below the prefix that an interrupted install or removal left. */
  leftovers: string[]
  /** Whether the prefix holds anything that is not an install of ours, whole or interrupted. */
  isForeign: boolean
}

/** What is installed below `prefix`, which need not exist. */
export function readInstalled(prefix: string): Installed {
  const versions = new Map<string, Manifest>()
  const leftovers: string[] = []
  let isForeign = false
  for (const name of namesIn(join(prefix, VERSIONS))) {
    const manifest = isVersionName(name) ? readManifest(versionFolder(prefix, name)) : undefined
    if (isPartialName(name)) leftovers.push(`${VERSIONS}/${name}`)
    else if (manifest === undefined) isForeign = true
    else versions.set(name, manifest)
  }
  for (const path of [CURRENT, `${TALOS}/${SETTINGS}`, ...FRONT.map(([path]) => path)]) {
    const partial = `${path}${PARTIAL}`
    if (lstatSync(join(prefix, partial), { throwIfNoEntry: false }) !== undefined) leftovers.push(partial)
  }
  // Where a version is whole the prefix is ours, whatever somebody put beside it. Before the first one is, and
  // after the last one was, an install or a removal has its folders there and nothing of its own in them.
  isForeign ||= namesIn(prefix).some(name => ![VERSIONS, BIN, TALOS].includes(name))
  for (const folder of [BIN, TALOS])
    isForeign ||= namesIn(join(prefix, folder)).some(name => !leftovers.includes(`${folder}/${name}`))
  return { versions, leftovers, isForeign: isForeign && versions.size === 0 }
}

/** The name of the version that starts, if any does. */
export function currentVersion(prefix: string): string | undefined {
  try {
    return readFileSync(join(prefix, CURRENT), 'utf8').trimEnd()
  } catch {
    return undefined
  }
}

/** A name for the next install of `version`, which no entry of the folder of versions has. */
export function nextVersionName(prefix: string, version: string): string {
  const counts = namesIn(join(prefix, VERSIONS))
    .filter(name => name.startsWith(`${version}-`))
    .map(name => Number(VERSION_NAME.exec(name.replace(PARTIAL, ''))?.[1] ?? 0))
  return `${version}-${Math.max(0, ...counts) + 1}`
}

/** The names in a folder; none for one that is not there or is no folder. */
function namesIn(folder: string): string[] {
  const isFolder = lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
  return isFolder ? readdirSync(folder) : []
}
