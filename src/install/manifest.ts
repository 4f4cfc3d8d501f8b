/**
 * The manifest of an installed version: which files an install put there, by which removal knows them again.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PLAIN, sha256Of, walk, writeFile } from './files.js'

export const MANIFEST = 'manifest.json'

export interface ManifestFile {
  /** Below the version's folder, with slashes. */
  path: string
  /** In bytes. */
  size: number
  /** In hexadecimal. */
  sha256: string
}

export interface Manifest {
  format: 1
  name: 'vmbridge'
  /** Of the package. */
  version: string
  files: ManifestFile[]
}

/** Describes the files of a version as they lie there, and writes that down beside them. */
export function writeManifest(folder: string, version: string): Manifest {
  const files = [...walk(folder)]
    .filter(({ stats }) => !stats.isDirectory())
    .map(({ path, stats }) => ({ path, size: stats.size, sha256: sha256Of(join(folder, path)) }))
  const manifest: Manifest = { format: 1, name: 'vmbridge', version, files }
  writeFile(join(folder, MANIFEST), PLAIN, [Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`)])
  return manifest
}

/** The manifest in a folder; undefined where there is none that makes sense. */
export function readManifest(folder: string): Manifest | undefined {
  try {
    const manifest: unknown = JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8'))
    return isManifest(manifest) ? manifest : undefined
  } catch {
    return undefined
  }
}

function isManifest(value: unknown): value is Manifest {
  const { format, name, version, files } = (value ?? {}) as Record<string, unknown>
  return (
    format === 1 &&
    name === 'vmbridge' &&
    typeof version === 'string' &&
    Array.isArray(files) &&
    files.every(
      (file: Partial<ManifestFile> | null) =>
        typeof file?.path === 'string' && Number.isInteger(file.size) && typeof file.sha256 === 'string',
    )
  )
}

/** Whether the file at `path`, of that size, is the one that the manifest tells of. */
export function isUnchanged(path: string, size: number, expected: ManifestFile): boolean {
  return size === expected.size && sha256Of(path) === expected.sha256
}
