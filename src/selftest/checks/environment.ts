/**
 * What this run stands on: a bug report begins with it.
 */

import { arch, release, version as kernel } from 'node:os'
import { version } from '../../version.js'
import type { Lab } from '../lab.js'
import { runProgram } from '../program.js'
import type { Check } from './check.js'

/** What a program of the system may take, in ms. */
const PROGRAM_LIMIT = 10_000
/** Either lets a program without root use vmnet, from macOS 26 on the second one. */
const ENTITLEMENTS = ['com.apple.vm.networking', 'com.apple.security.virtualization']

export const environment: Check = {
  name: 'environment',
  async run({ signal, settings }) {
    const uid = process.getuid?.() ?? -1
    const measured = {
      vmbridge: version(),
      platform: process.platform,
      arch: arch(),
      release: release(),
      kernel: kernel(),
      node: process.version,
      uid,
      uplink: settings.uplink,
      ...(process.platform === 'darwin' ? await macos(signal) : {}),
    }
    const { macos: system = `${process.platform} ${release()}`, entitlements } = measured as Described
    const who = uid === 0 ? 'root' : `uid ${uid}`
    const may =
      entitlements === undefined
        ? who
        : `${who}, node with ${entitlements.join(' ') || 'no entitlement for vmnet'}`
    return {
      detail: `vmbridge ${measured.vmbridge}, ${system} ${arch()}, node ${process.version}, ${may}`,
      measured,
    }
  },
}

interface Described {
  macos?: string
  entitlements?: string[]
}

async function macos(signal: Lab['signal']): Promise<Described> {
  const [product, signature] = await Promise.all([
    runProgram(['sw_vers'], PROGRAM_LIMIT, signal),
    runProgram(['codesign', '-d', '--entitlements', '-', '--xml', process.execPath], PROGRAM_LIMIT, signal),
  ])
  return {
    macos: readSwVers(product?.stdout ?? ''),
    entitlements: ENTITLEMENTS.filter(name => signature?.stdout.includes(`<key>${name}</key>`)),
  }
}

/** What `sw_vers` says, in one line: `macOS 15.5 (24F74)`. */
export function readSwVers(text: string): string {
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(text)?.[1].trim() ?? '?'
  return `${field('ProductName')} ${field('ProductVersion')} (${field('BuildVersion')})`
}
