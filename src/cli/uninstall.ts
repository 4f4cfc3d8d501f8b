/**
 * `vmbridge uninstall`: removes what `vmbridge install` put there, and nothing else.
 */

import { uninstall } from '../install/uninstall.js'
import { print, printJson } from './ask.js'
import { DEFAULT_PREFIX } from '../config/paths.js'
import { INSTALL_OPTIONS, prefixOf, progressOf, warnOfKept } from './install.js'
import type { Command, Parsed } from './options.js'

export const command: Command = {
  name: 'uninstall',
  summary:
    'Removes what vmbridge install put there. Files that somebody added or changed stay and are named; status 1 then.',
  options: INSTALL_OPTIONS,
  examples: [
    [`sudo ${DEFAULT_PREFIX}/bin/vmbridge uninstall`, 'programs that run from there go on until they end'],
    ['sudo vmbridge uninstall --prefix /opt/socket_vmnet', 'what was installed elsewhere'],
  ],
}

const EXIT_NOT_ALL = 1

export async function run(parsed: Parsed): Promise<number> {
  const result = await uninstall(prefixOf(command, parsed), progressOf(command))
  warnOfKept(command, result.kept)
  await (parsed.has('json')
    ? printJson(result)
    : print(`removed ${result.removed} files from ${result.prefix}\n`))
  return result.kept.length === 0 ? 0 : EXIT_NOT_ALL
}
