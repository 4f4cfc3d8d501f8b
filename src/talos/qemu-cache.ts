/**
 * What QEMUs said of themselves, kept in one file: asking takes up to four starts of 20 ms each, and a node is
 * restarted with every reboot. An entry holds for a file of the same path, time of change and size. The file is
 * believed only where nobody else can write it, and whatever is wrong with it costs one more question.
 */

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { askQemu, type QemuFacts } from './qemu.js'

const MOST_BYTES = 64 * 1024
/** One machine has a handful. */
const MOST_ENTRIES = 16
const OTHERS_WRITE = 0o022

interface Entry extends QemuFacts {
  path: string
  /** In ms. */
  changed: number
  size: number
}

/**
 * What is known of a QEMU, by the file `cache` or by asking it; undefined for what does not answer as a QEMU does.
 * @param ask a parameter for tests
 */
export function factsOf(path: string, cache: string, ask = askQemu): QemuFacts | undefined {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return undefined
  const key = { path, changed: stats.mtimeMs, size: stats.size }
  const entries = readEntries(cache)
  const known = entries.find(each => isOf(each, key))
  if (known !== undefined) return factsIn(known)
  const facts = ask(path)
  if (facts === undefined) return undefined
  const others = entries.filter(each => each.path !== path).slice(0, MOST_ENTRIES - 1)
  writeEntries(cache, [{ ...key, ...facts }, ...others])
  return facts
}

const isOf = (entry: Entry, { path, changed, size }: Pick<Entry, 'path' | 'changed' | 'size'>): boolean =>
  entry.path === path && entry.changed === changed && entry.size === size

const factsIn = ({ version, reconnect }: Entry): QemuFacts => ({
  version,
  ...(reconnect !== undefined && { reconnect }),
})

function readEntries(cache: string): Entry[] {
  let fd: number | undefined
  try {
    fd = openSync(cache, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stats = fstatSync(fd)
    const isOurs = stats.isFile() && stats.uid === process.geteuid?.() && (stats.mode & OTHERS_WRITE) === 0
    if (!isOurs || stats.size > MOST_BYTES) return []
    const bytes = Buffer.alloc(stats.size)
    const entries: unknown = JSON.parse(bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0)))
    return Array.isArray(entries) ? entries.filter(isEntry) : []
  } catch {
    return []
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function isEntry(value: unknown): value is Entry {
  const { path, changed, size, version, reconnect } = (value ?? {}) as Partial<Record<string, unknown>>
  return (
    typeof path === 'string' &&
    typeof changed === 'number' &&
    typeof size === 'number' &&
    typeof version === 'string' &&
    ['reconnect-ms', 'reconnect', 'none', undefined].includes(reconnect as undefined)
  )
}

/** Renamed into place, so that three nodes that start at once read a whole file; one that cannot be written is no matter. */
function writeEntries(cache: string, entries: readonly Entry[]): void {
  const partial = `${cache}.${process.pid}.partial`
  try {
    mkdirSync(dirname(cache), { recursive: true, mode: 0o755 })
    writeFileSync(partial, JSON.stringify(entries), { flag: 'wx', mode: 0o644 })
    renameSync(partial, cache)
  } catch {
    try {
      unlinkSync(partial)
    } catch {
      // It was not made.
    }
  }
}
