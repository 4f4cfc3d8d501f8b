/**
 * `vmbridge talos uninstall`: removes the stand-ins for QEMU, and nothing else.
 */

import { uninstallStandIns } from '../../install/stand-ins.js'
import { print, printJson } from '../ask.js'
import { INSTALL_OPTIONS, prefixOf, warnOfKept } from '../install.js'
import type { Command, Parsed } from '../options.js'

export const command: Command = {
  name: 'talos uninstall',
  summary: 'Removes the stand-ins for QEMU. VMs that run go on, as they are QEMU itself by now.',
  options: INSTALL_OPTIONS,
  examples: [['sudo vmbridge talos uninstall', 'talosctl finds the real QEMU again; vmbridge itself stays']],
}

const EXIT_NOT_ALL = 1

export async function run(parsed: Parsed): Promise<number> {
  const result = await uninstallStandIns(prefixOf(command, parsed))
  warnOfKept(command, result.kept)
  await (parsed.has('json')
    ? printJson(result)
    : print(`removed ${result.removed} files from ${result.folder}\n`))
  return result.kept.length === 0 ? 0 : EXIT_NOT_ALL
}
