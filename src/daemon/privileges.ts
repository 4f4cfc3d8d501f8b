/**
 * Gives root up for good, once everything that needs it is open: the groups, then the group, then the user (in this order,
 * since a user may not change groups). Then it tries to get root back, and fails loudly if that works.
 */

import {
  accessSync,
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'
import type { Logger } from '../log.js'
import { shellQuote } from '../shell.js'

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
  /** The folders of what outlives the daemon, with the files in them; they need not be there. */
  states: readonly string[]
  /** The default folder of the sockets, where they lie in it: it stays root's where others have things in it, too. */
  run?: string
  files: readonly string[]
}

/** What the daemon keeps in its state folder, and the names that the parts of it have while they are written or broken. */
const STATE_FILE = /^(lock|leases\.journal|reservations\.json|vmnet\.json|ports\.json)(\..*)?$/

/**
 * Makes this process `user`'s. One that is already does nothing.
 * @throws BridgeError ERR_USER when it is not root's, when something else would become the user's, or when root can be
 * had again afterwards
 */
export function becomeUser(
  user: User,
  belongings: Belongings,
  log: Logger,
  self = process as unknown as Identity,
): void {
  if (self.geteuid() === user.uid && self.getuid() === user.uid) return warnOfCapabilities(user, log)
  if (self.geteuid() !== 0) {
    throw new BridgeError('ERR_USER', `only root can become ${user.name}`, {
      hint: 'start it with sudo, or leave --user out',
    })
  }
  try {
    handOverAll(belongings, user)
    self.initgroups(user.name, user.gid)
    self.setgid(user.gid)
    self.setuid(user.uid)
  } catch (error) {
    if (error instanceof BridgeError) throw error
    throw new BridgeError('ERR_USER', `cannot become ${user.name}: ${(error as Error).message}`, {
      hint: 'leave --user out, or name a user that this system, or its container, lets root become',
      cause: error,
    })
  }
  checkGone(user, self)
  for (const state of belongings.states) requireState(state, user)
  log.info({ event: 'daemon.user', user: user.name, uid: user.uid }, `goes on as ${user.name}, without root`)
  for (const file of belongings.files) warnOfFolder(file, user, log)
}

/**
 * A state folder that the user owns is of no use below one that it may not enter: no lease could be kept.
 * @throws BridgeError ERR_USER
 */
function requireState(folder: string, user: User): void {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw new BridgeError('ERR_USER', `${user.name} may not write to the state folder ${folder}`, {
      hint: `--state-dir with a folder that ${user.name} can reach: sudo install -d -o ${user.name} FOLDER`,
      cause: error,
    })
  }
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

function handOverAll({ states, run, files }: Belongings, user: User): void {
  for (const state of states) {
    const stranger = handOverFolder(state, user, name => STATE_FILE.test(name))
    if (stranger === undefined) continue
    throw new BridgeError('ERR_USER', `${state} holds ${stranger}, so it is not given to ${user.name}`, {
      hint: 'choose a --state-dir that holds nothing else',
    })
  }
  if (run !== undefined) handOverFolder(run, user, name => files.includes(join(run, name)))
  for (const file of files) handOver(file, user)
}

/**
 * Gives the user a folder with the files in it that are the daemon's own, unless it holds anything else: then it
 * returns the name of that, and leaves the folder. A folder that the user has already may hold anything.
 */
function handOverFolder(folder: string, user: User, isOwn: (name: string) => boolean): string | undefined {
  const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants
  let fd: number
  try {
    fd = openSync(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw new BridgeError('ERR_USER', `${folder} is no folder that can be given to ${user.name}`, {
      hint: 'choose another --state-dir; where this one is a symbolic link, what it leads to',
      cause: error,
    })
  }
  const { uid, gid } = fstatSync(fd)
  let owner = uid
  try {
    // Root's for the moment: between the look at a file and the gift of it nobody else may put another in its place.
    fchownSync(fd, 0, gid)
    const names = readdirSync(folder)
    const stranger = uid === user.uid ? undefined : names.find(name => !isOwn(name))
    if (stranger !== undefined) return stranger
    for (const name of names.filter(isOwn)) handOver(join(folder, name), user)
    owner = user.uid
    return undefined
  } finally {
    fchownSync(fd, owner, gid)
    closeSync(fd)
  }
}

/** The group stays: it says who may plug in. What is not there yet needs nothing. */
function handOver(path: string, { name, uid }: User): void {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined || stats.uid === uid || !(stats.isFile() || stats.isSocket())) return
  // Whoever had the folder before may have linked a file of root's into it.
  if (stats.nlink !== 1) {
    throw new BridgeError(
      'ERR_USER',
      `${path} is not given to ${name}: it has another name, too (a hard link)`,
      {
        hint: `if it is the daemon's own: cp -p ${shellQuote(path)} COPY, and put the copy in its place`,
      },
    )
  }
  lchownSync(path, uid, stats.gid)
}

function warnOfCapabilities({ name }: User, log: Logger): void {
  const left = capabilities()
  if (left === undefined || left === 0n) return
  log.warn(
    { event: 'daemon.capabilities', capabilities: left.toString(16) },
    `runs as ${name} already, and keeps the capabilities that it was started with: --user gives up root only`,
  )
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
