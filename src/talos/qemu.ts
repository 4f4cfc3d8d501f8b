/**
 * The real QEMU behind a stand-in: where it is, and what its `-netdev stream` can do.
 */

import { spawnSync } from 'node:child_process'
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readSync,
  realpathSync,
  statSync,
  type Stats,
} from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { BridgeError } from '../errors.js'
import { printable } from '../printable.js'
import { streamNetdev, type Reconnect } from './argv.js'
import { readSettings } from './settings.js'

/** What a QEMU says of itself. */
export interface QemuFacts {
  /** As in `7.2.22`; empty where it did not say. */
  version: string
  /** Undefined where it has no `-netdev stream` at all: that came with 7.2. */
  reconnect?: Reconnect
}

export interface QemuWanted {
  /** Of the program: `qemu-system-aarch64`. */
  name: string
  /** A path that was configured: then it is this one or none. */
  configured?: string
  /** Folders with colons between them. */
  path: string
  /** The stand-in that asks, which is not it. */
  self?: string
}

/**
 * The path of the real QEMU: the one that was configured, or the first in PATH that is no stand-in.
 * @throws BridgeError ERR_NO_QEMU
 */
export function findQemu({ name, configured, path, self }: QemuWanted): string {
  const own = self === undefined ? undefined : statOf(self)
  const isReal = (file: string): boolean => isProgram(file) && !isSame(statOf(file), own) && !isStandIn(file)
  if (configured !== undefined) {
    if (isReal(configured)) return configured
    throw new BridgeError('ERR_NO_QEMU', `${configured} is no program that could be the real ${name}`, {
      hint: `vmbridge talos install --qemu PATH, with the path of the real one`,
    })
  }
  // As Go's exec.LookPath, by which talosctl finds this one: a relative folder does not count.
  const found = path
    .split(':')
    .filter(isAbsolute)
    .map(folder => join(folder, name))
    .find(isReal)
  if (found !== undefined) return found
  throw new BridgeError('ERR_NO_QEMU', `there is no real ${name} in PATH (${path})`, {
    hint: `install QEMU, or name it: vmbridge talos install --qemu /opt/homebrew/bin/${name}`,
  })
}

/**
 * A PATH as the real QEMU must have it: a script may run a QEMU by name, which must not be the stand-in that started it.
 * Another program has PATH as it was.
 */
export function pathFor(
  file: string,
  { name, path, self }: Pick<QemuWanted, 'name' | 'path' | 'self'>,
): string {
  if (!isScript(file)) return path
  const own = self === undefined ? undefined : statOf(self)
  const leadsBack = (program: string): boolean =>
    isProgram(program) && (isSame(statOf(program), own) || isStandIn(program))
  return path
    .split(':')
    .filter(folder => !leadsBack(join(folder, name)))
    .join(':')
}

function isScript(file: string): boolean {
  const start = Buffer.alloc(2)
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY)
    return readSync(fd, start, 0, 2, 0) === 2 && start.toString('latin1') === '#!'
  } catch {
    // One that cannot be read is none: its interpreter could not either.
    return false
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

const statOf = (file: string): Stats | undefined => statSync(file, { throwIfNoEntry: false })

const isSame = (a: Stats | undefined, b: Stats | undefined): boolean =>
  a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino

/** Of whatever prefix: two of them would start each other for ever. */
const isStandIn = (file: string): boolean => readSettings(dirname(realpathSync(file))) !== undefined

/** A start for the version takes 20 ms; the first one on a Mac is looked at by the system, and takes seconds. */
const PATIENCE_MS = 10_000
const SOME_SOCKET = '/vmbridge'
const WAYS: readonly Reconnect[] = ['reconnect-ms', 'reconnect', 'none']

/**
 * Asks a QEMU for its version, and whether it takes the netdev that this version has: it reads a netdev where it stands,
 * complains if it does not know all of it, and else gets to `-version`. A build that has another one is found out. What
 * takes none of them so (a wrapper) has that of its version. Undefined for what does not answer as a QEMU does.
 */
export function askQemu(file: string): QemuFacts | undefined {
  const version = versionOf(file, [])
  if (version === undefined) return undefined
  const usual = usualWay(version)
  if (usual === undefined) return { version }
  const takes = (way: Reconnect): boolean =>
    versionOf(file, ['-netdev', streamNetdev('n', SOME_SOCKET, way)]) !== undefined
  const reconnect = [usual, ...WAYS.filter(way => way !== usual)].find(takes)
  return { version, reconnect: reconnect ?? usual }
}

/** Of QEMU as it is released; undefined before `-netdev stream`. */
function usualWay(version: string): Reconnect | undefined {
  const [major = 0, minor = 0] = version.split('.').map(part => Number.parseInt(part, 10))
  const since = (wantedMajor: number, wantedMinor: number): boolean =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
  if (since(9, 2)) return 'reconnect-ms'
  if (since(8, 0)) return 'reconnect'
  return since(7, 2) ? 'none' : undefined
}

function versionOf(file: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(file, [...args, '-version'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  if (status !== 0) return undefined
  return /^QEMU emulator version (\d[\w.+-]{0,39})/m.exec(stdout)?.[1]
}

/** @throws BridgeError ERR_OLD_QEMU */
export function requireStream(file: string, { version, reconnect }: QemuFacts): Reconnect {
  if (reconnect !== undefined) return reconnect
  const message = `${printable(file)} is QEMU ${version}, which has no -netdev stream: that came with 7.2`
  throw new BridgeError('ERR_OLD_QEMU', message, { hint: 'install a newer QEMU' })
}
