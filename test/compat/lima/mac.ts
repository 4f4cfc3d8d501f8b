// A Mac on which all of Lima's rules hold, as data: each test spoils one thing.

import { dirname } from 'node:path'
import type { Facts, Knock, Machine } from '../../../src/compat/lima/machine.js'
import type { Tree } from '../../../src/compat/lima/tree.js'
import type { Ran } from '../../../src/install/machine.js'

export const PROGRAM = '/opt/socket_vmnet/bin/socket_vmnet'
export const FILE = '/Users/anna/.lima/_config/networks.yaml'
export const VAR_RUN = '/private/var/run/lima'
export const SUDOERS = '/private/etc/sudoers.d/lima'

const DAEMON = 1
const GROUPS: Record<string, number> = { wheel: 0, daemon: DAEMON, staff: 20, admin: 80 }

interface Entry extends Facts {
  text?: string
  /** What a link leads to. */
  target?: string
  /** A system error for whoever looks at it, or reads it. */
  error?: string
}

const systemError = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: no such luck, '${path}'`), { code })

export class FakeMac implements Machine {
  platform: NodeJS.Platform = 'darwin'
  env: Record<string, string | undefined> = { PATH: '/usr/bin:/bin' }
  home = '/Users/anna'
  uid = 501
  memberOf = [20, 80]
  daemon: number | undefined = DAEMON
  files = new Map<string, Entry>()
  trees = new Map<string, Tree>()
  knocks = new Map<string, Knock>()
  living = new Set<number>()
  interfaces: string[] | undefined = ['en0', 'en7']
  ran: string[] = []
  answers = new Map<string, Ran>()

  constructor() {
    this.put('/Users/anna', { kind: 'folder', uid: 501, gid: 20, mode: 0o755 })
    // As macOS has it.
    this.put('/private/var/run', { kind: 'folder', uid: 0, gid: DAEMON, mode: 0o775 })
    this.put(PROGRAM, { kind: 'file', uid: 0, gid: 0, mode: 0o755 })
    this.trees.set(PROGRAM, {
      kind: 'ours',
      version: '1.2.3',
      folder: '/opt/socket_vmnet/versions/1.2.3-1',
      files: 9,
    })
  }

  /** Puts a file there, with the folders that it needs. */
  put(path: string, entry: Partial<Entry>): void {
    if (dirname(path) !== path && !this.files.has(dirname(path)))
      this.put(dirname(path), { kind: 'folder', mode: 0o755 })
    this.files.set(path, { kind: 'file', uid: 0, gid: 0, mode: 0o644, ...this.files.get(path), ...entry })
  }

  remove(path: string): void {
    for (const each of this.files.keys())
      if (each === path || each.startsWith(`${path}/`)) this.files.delete(each)
  }

  #entry(path: string): Entry {
    const entry = this.files.get(path)
    if (entry === undefined) throw systemError('ENOENT', path)
    if (entry.error !== undefined) throw systemError(entry.error, path)
    return entry
  }

  groups = (): number[] => this.memberOf
  lstat = (path: string): Facts => this.#entry(path)
  read = (path: string): string => this.#entry(path).text ?? ''
  realpath = (path: string): string => this.#entry(path).target ?? path
  isProgram = (path: string): boolean => {
    const entry = this.files.get(path)
    const { kind, mode } = this.files.get(entry?.target ?? path) ?? { kind: 'other', mode: 0 }
    return kind === 'file' && (mode & 0o001) !== 0
  }
  groupId = (name: string): number | undefined => GROUPS[name]
  rootGroup = (): string => 'wheel'
  daemonGroup = (): number | undefined => this.daemon
  run = (argv: readonly string[]): Ran => {
    this.ran.push(argv.join(' '))
    return this.answers.get(argv[0]) ?? { status: 0, stdout: '', stderr: '' }
  }
  tree = (program: string): Tree => this.trees.get(program) ?? { kind: 'foreign' }
  knock = (socket: string): Promise<Knock> => Promise.resolve(this.knocks.get(socket) ?? 'missing')
  isAlive = (pid: number): boolean => this.living.has(pid)
  bridgeable = (): string[] | undefined => this.interfaces
}
