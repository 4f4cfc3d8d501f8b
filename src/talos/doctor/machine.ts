/**
 * What the doctor asks of a machine. An interface, so that a test can be a Mac, or any machine with a fault.
 */

import { lstatSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { NetworkSummary } from '../../control/api.js'
import { hasCode } from '../../errors.js'
import { programs, type Programs } from '../programs.js'
import { askQemu, findQemu, type QemuFacts, type QemuWanted } from '../qemu.js'

export interface FileFacts {
  kind: 'file' | 'folder' | 'other'
  uid: number
  gid: number
  /** The permission bits. */
  mode: number
}

/** What the daemon said, or why it said nothing. */
export type DaemonView =
  | { path: string; version: string; networks: NetworkSummary[] }
  | { path: string; error: { code: string; message: string } }

export interface Machine extends Programs {
  platform: NodeJS.Platform
  arch: string
  env: Readonly<Record<string, string | undefined>>
  uid: number
  /** Of the file itself; undefined where there is none, or none that this user can see. */
  stat(path: string): FileFacts | undefined
  /** Its IPv4 addresses, each with its prefix as in `10.5.0.1/24`. */
  addresses(): { name: string; cidr: string }[]
  /** @throws BridgeError ERR_NO_QEMU */
  findQemu(wanted: QemuWanted): string
  askQemu(file: string): QemuFacts | undefined
  daemon(): Promise<DaemonView>
}

export function thisMachine(
  daemon: () => Promise<DaemonView>,
  env: NodeJS.ProcessEnv = process.env,
): Machine {
  return {
    ...programs(env),
    platform: process.platform,
    arch: process.arch,
    env,
    uid: process.geteuid!(),
    stat: statOf,
    addresses: () =>
      Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
        all.flatMap(({ family, cidr }) => (family === 'IPv4' && cidr !== null ? [{ name, cidr }] : [])),
      ),
    findQemu,
    askQemu,
    daemon,
  }
}

function statOf(path: string): FileFacts | undefined {
  try {
    const stats = lstatSync(path)
    const kind = stats.isDirectory() ? 'folder' : stats.isFile() ? 'file' : 'other'
    return { kind, uid: stats.uid, gid: stats.gid, mode: stats.mode & 0o7777 }
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || hasCode(error, 'EACCES')) return undefined
    throw error
  }
}
