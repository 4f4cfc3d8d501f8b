/**
 * Which socket_vmnet Lima takes, and whether root may start it: the path, and the tree of ours behind it.
 */

import { dirname } from 'node:path'
import { shellQuote } from '../../shell.js'
import { failed, ok, type Finding } from './finding.js'
import type { Machine } from './machine.js'
import { pathFaults, textFaults } from './paths.js'
import { LIMA_PREFIX, LIMA_PROGRAM, type Setup } from './setup.js'

const INSTALL = `sudo vmbridge install --prefix ${LIMA_PREFIX}`
const COMPONENTS =
  "every component of the path: of root, no link, not to be written by a group but root's nor by everybody"

export function checkProgram(machine: Machine, setup: Setup): Finding[] {
  const { config, file, isWritten } = setup
  const program = config.socketVmnet
  const name = 'program'
  const elsewhere = elsewhereFix(machine, setup)
  if (program === '')
    return [failed(name, 'paths.socketVMNet is empty', 'it names what Lima starts', elsewhere)]
  const source = isWritten ? file : 'no networks.yaml, so the first that Lima finds'
  if (!machine.isProgram(program)) {
    const rule = 'it must be there, and be a program'
    return [failed(name, `${program} is none (${source})`, rule, elsewhere)]
  }
  const found = ok(name, `Lima takes ${program} (${source})`)
  const faults = textFaults(program)
  const paths = faults.length > 0 ? faults : pathFaults(machine, program)
  const path = paths.map(({ path, what, fix }) =>
    // Folders of Homebrew and of users are theirs on purpose: what root starts goes elsewhere.
    failed('path', `${path} ${what}`, COMPONENTS, isOurPlace(program) && fix !== undefined ? fix : elsewhere),
  )
  return [
    found,
    ...(path.length > 0 ? path : [ok('path', "every component is root's alone")]),
    checkTree(machine, program, elsewhere),
  ]
}

const isOurPlace = (program: string): boolean => program === LIMA_PROGRAM

/** What makes Lima take a program of ours. */
function elsewhereFix(machine: Machine, { file, isWritten, config }: Setup): string {
  const install = machine.isProgram(LIMA_PROGRAM) ? [] : [INSTALL]
  const isNamed = isWritten && config.socketVmnet !== LIMA_PROGRAM
  const write = isNamed ? [`in ${file}: paths.socketVMNet: ${LIMA_PROGRAM}`] : []
  const steps = [...install, ...write]
  return steps.length > 0 ? steps.join('; then ') : INSTALL
}

function checkTree(machine: Machine, program: string, elsewhere: string): Finding {
  const name = 'tree'
  const tree = machine.tree(program)
  const rule = 'vmbridge knows its own by the manifest of its install'
  if (tree.kind === 'foreign') {
    // Where ours is, but Lima has another one's path, that path is what is wrong.
    const isTaken = program === LIMA_PROGRAM
    const fix = isTaken ? `move ${LIMA_PREFIX} away; then ${INSTALL}` : elsewhere
    return failed(name, `${program} is not vmbridge's, but another's`, rule, fix)
  }
  if (tree.wrong !== undefined) {
    const fix = `sudo vmbridge install --prefix ${shellQuote(dirname(dirname(program)))}`
    return failed(name, tree.wrong, 'root starts it: interpreter, addon and all must be as installed', fix)
  }
  return ok(
    name,
    `vmbridge ${tree.version}, as installed: interpreter, addon, ${tree.files} files in ${tree.folder}`,
  )
}
