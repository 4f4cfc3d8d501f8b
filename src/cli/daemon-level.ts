/**
 * Reads what of a daemon's settings is not its networks': the control socket, the log, whose rights it has and gives.
 */

import { join, resolve } from 'node:path'
import { CONTROL_NAME, ownPlace } from '../config/paths.js'
import type { User } from '../daemon/privileges.js'
import type { DaemonSettings } from '../daemon/settings.js'
import { UsageError } from '../errors.js'
import { LOG_LEVELS } from '../log.js'
import { native } from '../native.js'
import type { SocketRights } from '../ports/claim.js'
import type { Parsed } from './options.js'
import { parseChoice, parseMode } from './values.js'

/** What of a daemon is said of it alone, and not of its networks. */
export type DaemonLevel = Omit<DaemonSettings, 'networks' | 'demandUplink' | 'reload' | 'controlFallback'>

const DEFAULT_MODE = '0660'
/** What lists the names that there are. */
const LIST =
  process.platform === 'darwin'
    ? { users: 'dscl . -list /Users', groups: 'dscl . -list /Groups' }
    : { users: 'getent passwd', groups: 'getent group' }
/** (gid_t)-1 means: leave it. */
const MAX_GID = 0xfffffffe

/** @throws UsageError */
export function readDaemonLevel(parsed: Parsed): DaemonLevel {
  const { get } = parsed
  const control = get('control')
  const pidfile = get('pidfile')
  const logFile = get('log-file')
  const user = parseUser(get('user'))
  return {
    rights: parseRights(parsed),
    control: control === undefined ? join(ownPlace().run, CONTROL_NAME) : resolve(control),
    ...(pidfile === undefined ? {} : { pidfile: resolve(pidfile) }),
    ...(user === undefined ? {} : { user }),
    ...(logFile === undefined ? {} : { logFile: resolve(logFile) }),
    logLevel: parseChoice('log-level', get('log-level') ?? 'info', LOG_LEVELS),
    logFormat: parseChoice('log-format', get('log-format') ?? 'pretty', ['pretty', 'json'] as const),
  }
}

function parseRights({ get }: Parsed): SocketRights {
  const mode = parseMode('socket-mode', get('socket-mode') ?? DEFAULT_MODE)
  const group = get('socket-group')
  if (group === undefined) return { mode }
  const gid = /^\d+$/.test(group) ? Number(group) : native.groupId(group)
  if (gid === undefined || gid > MAX_GID)
    throw new UsageError(
      `--socket-group ${group}: there is no such group`,
      `another --socket-group: ${LIST.groups}`,
    )
  return { mode, gid }
}

function parseUser(name: string | undefined): User | undefined {
  if (name === undefined) return undefined
  const user = native.userOf(name)
  if (user === undefined)
    throw new UsageError(`--user ${name}: there is no such user`, `another --user: ${LIST.users}`)
  if (user.uid === 0) throw new UsageError(`--user ${name} is root`, 'name a user without rights of its own')
  return user
}
