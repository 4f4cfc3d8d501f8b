/**
 * Who may change things over the control socket. Looking is for whoever the file's mode lets in; changing is for root,
 * for the user that the daemon runs as, and for the group that was given the sockets with --socket-group. That group does not
 * change where the host's own traffic goes: a network that the host is in is for the first two.
 *
 * The kernel says of a peer its user and its primary group when it connected, not its other groups. Those need not be
 * asked for: where the file's mode keeps strangers out, the kernel let the peer in as the owner or as one of the group,
 * and that is the answer. What stands in /proc under the peer's PID would be no answer: it may be another process
 * by now. Where strangers may look (mode 0666), the primary group must do; `sg GROUP -c COMMAND` sets it.
 */

import { lstatSync } from 'node:fs'
import { BridgeError } from '../errors.js'
import type { Peer } from './api.js'

const S_IRWXO = 0o007
const ROOT = 0

export interface Access {
  /** The socket's file. */
  path: string
  /** The group of --socket-group, if one was given. */
  gid: number | undefined
}

/** Whether the peer may do all that the daemon may. */
export const isMaster = ({ uid }: Pick<Peer, 'uid'>): boolean => uid === ROOT || uid === process.geteuid?.()

/** @throws BridgeError ERR_FORBIDDEN, with what would help */
export function requireChange({ path, gid }: Access, { uid, gid: primary }: Peer): void {
  if (isMaster({ uid })) return
  if (gid !== undefined && uid >= 0 && (primary === gid || isClosedToOthers(path))) return
  throw new BridgeError('ERR_FORBIDDEN', `user ${uid} may look, but not change anything`, {
    hint: gid === undefined ? 'use sudo' : `use sudo, or sg with the group ${gid} of the socket`,
  })
}

/** As the mode is now, for people change it under a running daemon. */
function isClosedToOthers(path: string): boolean {
  try {
    return (lstatSync(path).mode & S_IRWXO) === 0
  } catch {
    return false
  }
}
