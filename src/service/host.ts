/**
 * The machine that a service is put on, as far as putting it there needs it: which system it is, who asks, its files
 * and its programs. All of it is a parameter, so that what a Mac does is tested where there is none.
 */

import { execFile } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BridgeError, hasCode } from '../errors.js'

export interface Outcome {
  /** The exit status; -1 when a signal ended the program. */
  status: number
  stdout: string
  stderr: string
}

export interface Host {
  readonly platform: NodeJS.Platform
  /** The effective user. */
  readonly uid: number
  /** Where the file system begins: `/`, but for tests. */
  readonly root: string
  /** Runs a program to its end; rejects with BridgeError ERR_SERVICE_PROGRAM when there is none of that path. */
  run(file: string, args: readonly string[]): Promise<Outcome>
  /** Monotonic ms. */
  now(): number
  pause(ms: number): Promise<void>
}

/** A program of the system that has not answered by then, in ms, hangs. systemctl waits for a daemon's end. */
const PATIENCE = 120_000

export const thisHost: Host = {
  platform: process.platform,
  uid: process.geteuid?.() ?? -1,
  root: '/',
  now: () => performance.now(),
  pause: ms => sleep(ms),
  run(file, args) {
    // Nothing of the caller's environment: sudo may have kept a PATH that others can write to, and the words of an
    // answer are read, so they are asked for in English.
    const env = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0' }
    return new Promise((resolve, reject) => {
      execFile(file, args, { env, timeout: PATIENCE, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
        if (hasCode(error, 'ENOENT') || hasCode(error, 'EACCES')) {
          const message = `${file} cannot be started`
          return reject(new BridgeError('ERR_SERVICE_PROGRAM', message, { cause: error }))
        }
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
        resolve({ status, stdout, stderr })
      })
    })
  },
}

/** @throws BridgeError ERR_NOT_ROOT */
export function requireRoot({ uid }: Host, verb: string, { flags }: { flags: string }): void {
  if (uid === 0) return
  throw new BridgeError('ERR_NOT_ROOT', `only root may ${verb} the service`, {
    hint: `sudo vmbridge service ${verb}${flags}`,
  })
}

/** The text of a file of the host, or undefined where there is none. */
export function readText({ root }: Host, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined
    throw error
  }
}

/** Whether `path` holds `text` and is a file that root alone can change: another's, or a link, is as good as none. */
export function isOwned(host: Host, path: string, text: string): boolean {
  if (readText(host, path) !== text) return false
  const stats = lstatSync(join(host.root, path))
  const isRoots = stats.uid === 0 || process.geteuid?.() !== 0
  return stats.isFile() && isRoots && (stats.mode & 0o777) === MODE
}

const MODE = 0o644

/**
 * Makes `path` hold `text`, root's and 0644; its folder is made where it is missing. Nobody ever sees half of it, and a
 * file that says the same already stays as it is. True when it was written.
 */
export function writeOwned(host: Host, path: string, text: string): boolean {
  if (isOwned(host, path, text)) return false
  const target = join(host.root, path)
  // launchd takes every *.plist of its folder: a name that begins with a dot and ends otherwise is none.
  const draft = join(dirname(target), `.${basename(target)}.${process.pid}`)
  try {
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 })
    writeFileSync(draft, text, { flag: 'wx', mode: MODE })
    chmodSync(draft, MODE)
    if (process.geteuid?.() === 0) chownSync(draft, 0, 0)
    renameSync(draft, target)
  } catch (error) {
    rmSync(draft, { force: true })
    throw new BridgeError('ERR_SERVICE_FILE', `cannot write ${path}: ${(error as Error).message}`, {
      cause: error,
    })
  }
  return true
}

/** Removes a file; true when there was one. */
export function removeOwned(host: Host, path: string): boolean {
  const had = readText(host, path) !== undefined
  rmSync(join(host.root, path), { force: true })
  return had
}

/** What a program said about its failure, as one line. */
export function wordsOf({ status, stdout, stderr }: Outcome): string {
  const text = (stderr.trim() || stdout.trim()).split('\n').filter(Boolean).join('; ')
  return text === '' ? `status ${status}` : text
}
