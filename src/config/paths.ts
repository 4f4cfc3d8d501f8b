/**
 * Where things are when nobody says otherwise. Root's daemon is the machine's, in /run and /var/lib; another
 * user's daemon is that user's own. A command without --socket looks at the user's own first.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { MAC_SOCKET_PATH } from '../socket-path.js'

export interface Place {
  /** The folder of the sockets. */
  run: string
  /** The folder of what outlives the daemon. */
  state: string
}

const SYSTEM: Place =
  process.platform === 'darwin'
    ? { run: '/var/run/vmbridge', state: '/var/db/vmbridge' }
    : { run: '/run/vmbridge', state: '/var/lib/vmbridge' }

/** The place of the daemon that this user would start. */
export function ownPlace(uid: number = process.getuid?.() ?? 0, env: NodeJS.ProcessEnv = process.env): Place {
  if (uid === 0) return SYSTEM
  const home = homedir()
  return {
    run: env['XDG_RUNTIME_DIR'] ? join(env['XDG_RUNTIME_DIR'], 'vmbridge') : join(home, '.vmbridge'),
    state: join(env['XDG_STATE_HOME'] || join(home, '.local', 'state'), 'vmbridge'),
  }
}

/** The configuration of the daemon that this user would start, if there is one. */
export function ownConfig(
  uid: number = process.getuid?.() ?? 0,
  env: NodeJS.ProcessEnv = process.env,
): string {
  if (uid === 0) return '/etc/vmbridge.yaml'
  return join(env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'vmbridge.yaml')
}

/** Where `vmbridge install` puts its tree, and services look for it. */
export const DEFAULT_PREFIX = '/opt/vmbridge'

export const SOCKET_NAME = 'vmbridge.sock'
export const CONTROL_NAME = 'control.sock'

/** The file of that name in the user's own place, or in the system's if only that one exists. */
export function findInRun(name: string): string {
  const own = join(ownPlace().run, name)
  const system = join(SYSTEM.run, name)
  return !existsSync(own) && existsSync(system) ? system : own
}

/** A folder below the state folder for the daemon whose first socket is `socket`: no two share their leases. */
export function stateFolderFor(place: Place, socket: string): string {
  const isDefault = socket === join(place.run, SOCKET_NAME)
  return join(place.state, isDefault ? 'default' : folderName(socket))
}

/** A path as the name of a folder: readable where that fits (NAME_MAX is 255), and never the same for two. */
function folderName(path: string): string {
  const name = encodeURIComponent(path)
  if (name.length <= 200) return name
  return `${name.slice(-180)}-${digestOf(path)}`
}

const digestOf = (path: string): string => createHash('sha256').update(path).digest('hex').slice(0, 16)

/** The folder of the networks on demand of the daemon with that control socket: no two daemons share one. */
export function demandFolderOf(control: string): string {
  return basename(control) === CONTROL_NAME ? join(dirname(control), 'networks') : `${control}.networks`
}

/**
 * The control socket of a daemon that could not have the default one: beside its socket or, where that makes a path
 * longer than a socket's may be on any system, in the folder of the default one.
 */
export function controlBeside(socket: string): string {
  const beside = `${socket}.control`
  return Buffer.byteLength(beside) <= MAC_SOCKET_PATH ? beside : findInRun(`${digestOf(socket)}.control`)
}
