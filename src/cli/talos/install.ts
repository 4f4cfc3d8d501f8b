/**
 * `vmbridge talos install`: puts the stand-ins for QEMU in place.
 */

import { basename, isAbsolute } from 'node:path'
import { UsageError } from '../../errors.js'
import { installStandIns } from '../../install/stand-ins.js'
import { shellQuote } from '../../shell.js'
import { findQemu } from '../../talos/qemu.js'
import { STAND_INS, type TalosSettings } from '../../talos/settings.js'
import { print, printJson } from '../ask.js'
import { INSTALL_OPTIONS, prefixOf } from '../install.js'
import type { Command, Option, Parsed } from '../options.js'
import { parseChoice } from '../values.js'

const OPTIONS: Record<string, Option> = {
  ...INSTALL_OPTIONS,
  dhcp: {
    value: 'MODE',
    help: "who answers DHCP: `answer`, the switch as talosctl's dhcpd would; `passthrough`, that dhcpd",
    fallback: 'answer',
  },
  qemu: {
    value: 'PATH',
    multiple: true,
    separator: ':',
    help: `a real QEMU to start, ${STAND_INS.join(' or ')}`,
    fallback: 'the next one in PATH',
  },
}

export const command: Command = {
  name: 'talos install',
  summary: `Puts stand-ins for ${STAND_INS.join(' and ')} below what \`vmbridge install\` made. Again to change how they work.`,
  options: OPTIONS,
  examples: [
    ['sudo vmbridge talos install', 'then: sudo -E vmbridge talos run -- talosctl cluster create qemu'],
    [
      'sudo vmbridge talos install --qemu /opt/homebrew/bin/qemu-system-aarch64',
      "where sudo's PATH does not lead to it",
    ],
  ],
}

export async function run(parsed: Parsed): Promise<number> {
  const dhcp = parseChoice('dhcp', parsed.get('dhcp') ?? 'answer', ['answer', 'passthrough'])
  const qemu = Object.fromEntries(parsed.all('qemu').map(readQemu))
  const chosen = ['--dhcp', dhcp, ...Object.values(qemu).flatMap(path => ['--qemu', path])]
  const prefix = prefixOf(command, parsed, chosen)
  for (const [name, configured] of Object.entries(qemu)) findQemu({ name, configured, path: '' })
  const settings: TalosSettings = { format: 1, name: 'vmbridge talos', dhcp, qemu }
  const result = await installStandIns(prefix, settings)
  if (parsed.has('json')) await printJson(result)
  else {
    for (const program of result.programs) await print(`installed ${program}\n`)
    const program = shellQuote(`${prefix}/bin/vmbridge`)
    await print(`next: sudo -E ${program} talos run -- talosctl cluster create qemu\n`)
  }
  return 0
}

function readQemu(path: string): [name: string, path: string] {
  const name = basename(path)
  if (isAbsolute(path) && STAND_INS.some(each => each === name)) return [name, path]
  const message = `--qemu ${path} is not an absolute path to ${STAND_INS.join(' or ')}`
  throw new UsageError(message, `--qemu /opt/homebrew/bin/${STAND_INS[0]}`)
}
