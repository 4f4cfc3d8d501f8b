/**
 * The sudoers fragment for this machine's networks.yaml, once Lima's own rules hold: a fragment for a program that
 * others can change would hand out root.
 */

import { printable } from '../../printable.js'
import { shellQuote } from '../../shell.js'
import { sudoersFragment } from './commands.js'
import type { Machine } from './machine.js'
import { LIMA_PREFIX, readSetup, refuseUnsafe } from './setup.js'

/**
 * @param file networks.yaml
 * @param program in place of the one that Lima takes; it may be yet to be installed
 * @throws BridgeError ERR_LIMA_CONFIG, ERR_LIMA_PATH
 */
export function printSudoers(
  machine: Machine,
  file: string,
  program?: string,
): { text: string; warnings: string[] } {
  const setup = readSetup(machine, file)
  const { config, isWritten } = setup
  const named = config.socketVmnet
  config.socketVmnet = program ?? named
  refuseUnsafe(machine, setup, program !== undefined)
  const warnings: string[] = []
  if (program !== undefined && program !== named) {
    const source = isWritten ? file : 'Lima'
    warnings.push(
      `${source} takes ${named}: Lima will ask for another fragment until paths.socketVMNet is ${program}`,
    )
  }
  if (!machine.isProgram(config.socketVmnet)) {
    const prefix = shellQuote(config.socketVmnet.replace(/\/bin\/socket_vmnet$/, '') || LIMA_PREFIX)
    warnings.push(`${config.socketVmnet} is not there yet: sudo vmbridge install --prefix ${prefix}`)
  }
  return { text: sudoersFragment(config, machine.rootGroup()), warnings: warnings.map(printable) }
}
