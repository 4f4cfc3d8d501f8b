/**
 * The folder of the stand-ins for QEMU in an installed tree, and what they are told: one file beside them, of root's.
 *
 *   PREFIX/talos/qemu-system-aarch64   launchers (native/launcher.c), by their names
 *   PREFIX/talos/qemu-system-x86_64
 *   PREFIX/talos/settings.json         TalosSettings; by it a folder is known to hold stand-ins
 */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const TALOS = 'talos'
export const STAND_INS = ['qemu-system-aarch64', 'qemu-system-x86_64'] as const
export const SETTINGS = 'settings.json'

export interface TalosSettings {
  format: 1
  name: 'vmbridge talos'
  /** Who answers DHCP on the networks that are made for talosctl: the switch, or talosctl's own dhcpd. */
  dhcp: 'answer' | 'passthrough'
  /** The QEMU to start, an absolute path, by the stand-in's name; the next one in PATH where none is named. */
  qemu: Record<string, string>
}

const MOST_BYTES = 64 * 1024

/**
 * What the stand-ins in `folder` are told; undefined where there are none. Any folder in PATH is asked, and what stands
 * there by that name may be anything.
 */
export function readSettings(folder: string): TalosSettings | undefined {
  let fd: number | undefined
  try {
    fd = openSync(join(folder, SETTINGS), constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(fd)
    if (!stats.isFile() || stats.size > MOST_BYTES) return undefined
    const value: unknown = JSON.parse(readFileSync(fd, 'utf8'))
    return isSettings(value) ? value : undefined
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function isSettings(value: unknown): value is TalosSettings {
  const { format, name, dhcp, qemu } = (value ?? {}) as Partial<Record<string, unknown>>
  return (
    format === 1 &&
    name === 'vmbridge talos' &&
    (dhcp === 'answer' || dhcp === 'passthrough') &&
    typeof qemu === 'object' &&
    qemu !== null &&
    Object.values(qemu).every(path => typeof path === 'string' && path.startsWith('/'))
  )
}
