// What a test needs of the machine, and what to tell a person whose machine lacks it. A skip is for a
// developer's laptop; .ci/run sets VMBRIDGE_TEST_REQUIRE_ALL=1, and then a lack is a failure.

import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { guestIsBuilt, QEMU_10 } from './guest.js'

/** 'root', 'linux', 'tap', 'guest', 'qemu-10', or the name of a program that must be in PATH. */
export type Need = 'root' | 'linux' | 'tap' | 'guest' | 'qemu-10' | (string & {})

const inPath = (program: string) =>
  // A login shell of root has the sbin directories in PATH, sudo's or a container's may not.
  [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some(directory => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

const met = (need: Need): boolean => {
  switch (need) {
    case 'root':
      return process.getuid?.() === 0
    case 'linux':
      return process.platform === 'linux'
    case 'tap':
      return process.getuid?.() === 0 && existsSync('/dev/net/tun')
    case 'guest':
      return guestIsBuilt()
    case 'qemu-10':
      return existsSync(QEMU_10)
    default:
      return inPath(need)
  }
}

const remedy = (missing: readonly Need[]): string => {
  if (missing.includes('linux')) return 'Linux'
  const words = missing.map(need =>
    need === 'guest' ? 'the guest image' : need === 'tap' ? '/dev/net/tun' : need,
  )
  const command = missing.every(need => need === 'root') ? 'sudo npm test' : 'npm run test:deps'
  return `${words.join(', ')}: ${command}`
}

/**
 * False when the machine has all that is needed, else the reason to skip: made for tap's `{ skip }`.
 * Throws the reason instead when VMBRIDGE_TEST_REQUIRE_ALL is set.
 */
export function requires(needs: readonly Need[]): false | string {
  const missing = needs.filter(need => !met(need))
  if (missing.length === 0) return false
  const reason = `needs ${remedy(missing)}`
  if (process.env.VMBRIDGE_TEST_REQUIRE_ALL) throw new Error(reason)
  return reason
}

/** What the stories with real guests need: a namespace as the host, a TAP in it, QEMU and its guest. */
export const GUEST_LAB: readonly Need[] = [
  'linux',
  'root',
  'tap',
  'ip',
  'qemu-system-aarch64',
  'guest',
  'ping',
  'curl',
]
