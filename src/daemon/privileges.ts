/**
 * Gives root up for good, once everything that needs it is open: the groups, then the group, then the user (in this order,
 * since a user may not change groups). Then it tries to get root back, and fails loudly if that works.
 */

import { accessSync, constants, lchownSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'
import type { Logger } from '../log.js'

export interface User {
  name: string
  uid: number
  gid: number
}

/** What the process can do to itself (POSIX; each throws where it may not); a parameter for the tests. */
export interface Identity {
  getuid(): number
  geteuid(): number
  initgroups(user: string, group: number): void
  setgroups(groups: readonly number[]): void
  setgid(id: number): void
  setegid(id: number): void
  setuid(id: number): void
  seteuid(id: number): void
}

/** What the user must be able to change or remove once root is gone. */
export interface Belongings {
  /** Folders with the files in them. */
  folders: readonly string[]
  files: readonly string[]
}

/**
 * Makes this process `user`'s. One that is already does nothing.
 * @throws BridgeError ERR_USER when it is not root's, or when root can be had again afterwards
 */
export function becomeUser(
  user: User,
  belongings: Belongings,
  log: Logger,
  self = process as unknown as Identity,
): void {
  if (self.geteuid() === user.uid && self.getuid() === user.uid) return
  if (self.geteuid() !== 0) {
    throw new BridgeError('ERR_USER', `only root can become ${user.name}`, {
      hint: 'start it with sudo, or leave --user out',
    })
  }
  for (const folder of belongings.folders) handOverFolder(folder, user)
  for (const file of belongings.files) handOver(file, user)
  self.initgroups(user.name, user.gid)
  self.setgid(user.gid)
  self.setuid(user.uid)
  checkGone(user, self)
  log.info({ event: 'daemon.user', user: user.name, uid: user.uid }, `goes on as ${user.name}, without root`)
  for (const file of belongings.files) warnOfFolder(file, user, log)
}

/** @throws BridgeError ERR_USER when any way back is open */
function checkGone(user: User, self: Identity): void {
  const ways: [string, () => void][] = [
    ['setuid', () => self.setuid(0)],
    ['seteuid', () => self.seteuid(0)],
    ['setgroups', () => self.setgroups([0])],
  ]
  if (user.gid !== 0) ways.push(['setgid', () => self.setgid(0)], ['setegid', () => self.setegid(0)])
  for (const [name, tryBack] of ways) {
    try {
      tryBack()
    } catch {
      continue
    }
    throw new BridgeError('ERR_USER', `root was not given up: ${name} still works`, {
      hint: 'leave --user out, and report this with the versions of the system and of Node',
    })
  }
  const left = capabilities()
  if (left !== undefined && left !== 0n)
    throw new BridgeError('ERR_USER', `capabilities were not given up: ${left.toString(16)}`, {
      hint: 'leave --user out where capabilities are given to it by other means',
    })
}

/** What Linux still permits this process; undefined elsewhere. */
function capabilities(): bigint | undefined {
  try {
    const [, permitted] = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    return permitted === undefined ? undefined : BigInt(`0x${permitted}`)
  } catch {
    return undefined
  }
}

function handOverFolder(folder: string, user: User): void {
  try {
    for (const name of readdirSync(folder)) handOver(join(folder, name), user)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
  handOver(folder, user)
}

/** The group stays: it says who may plug in. What is not there yet needs nothing. */
function handOver(path: string, { uid }: User): void {
  try {
    lchownSync(path, uid, lstatSync(path).gid)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

/** A file can be removed by who may write its folder. */
function warnOfFolder(file: string, user: User, log: Logger): void {
  try {
    accessSync(dirname(file), constants.W_OK | constants.X_OK)
  } catch {
    log.warn(
      { event: 'daemon.leftover', path: file },
      `${file} will stay when the daemon ends, as ${user.name} may not write to ${dirname(file)}; the next start replaces it`,
    )
  }
}
