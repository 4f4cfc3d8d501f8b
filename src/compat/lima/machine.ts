/**
 * What Lima's rules ask of a machine: its files, users and groups, and the programs of the system. An interface, so
 * that a test can be a Mac with any fault; this machine is the other implementation.
 */

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { BridgeError, hasCode } from '../../errors.js'
import { runProgram, type Runner } from '../../install/machine.js'
import { native } from '../../native.js'
import { treeBehind, type Tree } from './tree.js'

export interface Facts {
  kind: 'file' | 'folder' | 'link' | 'other'
  uid: number
  gid: number
  /** The permission bits. */
  mode: number
}

/** What became of a connection to a socket that was closed at once. */
export type Knock = 'answered' | 'refused' | 'missing' | 'denied' | 'unknown'

export interface Machine {
  platform: NodeJS.Platform
  env: Readonly<Record<string, string | undefined>>
  home: string
  uid: number
  /** The groups that sudo and the kernel take this user to be in. */
  groups(): readonly number[]
  /** Of the file itself, not of what a link leads to; throws a system error. */
  lstat(path: string): Facts
  /** The text of a regular file of at most a megabyte; throws a system error, or BridgeError ERR_LIMA_FILE. */
  read(path: string): string
  /** Free of links; throws a system error. */
  realpath(path: string): string
  /** Whether this user can start the file there. */
  isProgram(path: string): boolean
  groupId(name: string): number | undefined
  /** The name of root's own group: wheel on macOS. */
  rootGroup(): string
  /** The group of the user daemon. */
  daemonGroup(): number | undefined
  run: Runner
  tree(program: string): Tree
  knock(socket: string): Promise<Knock>
  isAlive(pid: number): boolean
  /** What can be bridged; undefined where there is no vmnet to ask. */
  bridgeable(): readonly string[] | undefined
}

const MOST_BYTES = 1024 * 1024
const KNOCK_MS = 5000
const ID = '/usr/bin/id'

/** The machine that this runs on, as its present user sees it. */
export function thisMachine(env: NodeJS.ProcessEnv = process.env): Machine {
  return {
    platform: process.platform,
    env,
    get home() {
      return homeOf()
    },
    uid: process.geteuid!(),
    groups: () => idOf('-G').split(' ').map(Number),
    lstat: factsOf,
    read: readText,
    realpath: path => realpathSync(path),
    isProgram,
    groupId: name => native.groupId(name),
    rootGroup: () => idOf('-gn', 'root'),
    daemonGroup: () => {
      const { status, stdout } = runProgram([ID, '-g', 'daemon'])
      return status === 0 ? Number(stdout) : undefined
    },
    run: runProgram,
    tree: treeBehind,
    knock,
    isAlive,
    bridgeable: () => (native.VmnetInterface === undefined ? undefined : native.vmnetSharedInterfaces()),
  }
}

/** @throws BridgeError ERR_LIMA_USER for a user that the system does not know, without HOME */
function homeOf(): string {
  try {
    return homedir()
  } catch (cause) {
    throw new BridgeError('ERR_LIMA_USER', `the user ${process.geteuid!()} has no home`, {
      hint: 'set HOME or LIMA_HOME; or --networks FILE',
      cause,
    })
  }
}

function idOf(...args: string[]): string {
  const { status, stdout, stderr } = runProgram([ID, ...args])
  if (status === 0) return stdout.trim()
  throw new BridgeError('ERR_LIMA_USER', `${ID} ${args.join(' ')} failed: ${stderr.trim()}`, {
    hint: 'look at the users and groups of this machine',
  })
}

function factsOf(path: string): Facts {
  const stats = lstatSync(path)
  const kind = stats.isSymbolicLink()
    ? 'link'
    : stats.isDirectory()
      ? 'folder'
      : stats.isFile()
        ? 'file'
        : 'other'
  return { kind, uid: stats.uid, gid: stats.gid, mode: stats.mode & 0o7777 }
}

/** Others may have laid what is there: a pipe is not waited for, and a file without end not read. */
function readText(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw new BridgeError('ERR_LIMA_FILE', `${path} is no regular file`)
    if (stats.size > MOST_BYTES)
      throw new BridgeError('ERR_LIMA_FILE', `${path} is larger than ${MOST_BYTES} bytes`)
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return !statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** As Colima does: connect, and close at once. */
function knock(path: string): Promise<Knock> {
  return new Promise(resolve => {
    const done = (knock: Knock): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(knock)
    }
    const timer = setTimeout(done, KNOCK_MS, 'unknown')
    const socket = connect(path, () => done('answered'))
    socket.on('error', error => {
      if (hasCode(error, 'ECONNREFUSED')) done('refused')
      else if (hasCode(error, 'ENOENT')) done('missing')
      else done(hasCode(error, 'EACCES') ? 'denied' : 'unknown')
    })
  })
}

/** A process of another user is alive, too. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}
