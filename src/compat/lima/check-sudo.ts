/**
 * Whether sudo lets this user's Lima start and stop networks: the group, the fragment, and the folder of pidfiles.
 */

import { hasCode } from '../../errors.js'
import { shellQuote } from '../../shell.js'
import { sudoersFragment } from './commands.js'
import { failed, ok, skipped, type Finding } from './finding.js'
import type { Machine } from './machine.js'
import { existingPart, pathFaults, textFaults, type PathFault } from './paths.js'
import type { Setup } from './setup.js'

const VISUDO = '/usr/sbin/visudo'
const SUDO = '/usr/bin/sudo'

export function checkGroup(machine: Machine, { config: { group }, file }: Setup): Finding[] {
  const name = 'group'
  const rule = 'sudo and the socket let in the members of that group'
  const gid = machine.groupId(group)
  const other = `in ${file}: group: a group that you are in (staff, on a Mac)`
  if (gid === undefined) return [failed(name, `there is no group ${JSON.stringify(group)}`, rule, other)]
  if (!machine.groups().includes(gid)) {
    const join = machine.platform === 'darwin' ? `dseditgroup -o edit -a "$USER" -t user` : 'adduser "$USER"'
    const fix = `sudo ${join} ${group}, and log in again; or ${other}`
    return [failed(name, `you are not in the group ${group}`, rule, fix)]
  }
  return [ok(name, `you are in the group ${group}`)]
}

export function checkVarRun(machine: Machine, { config: { varRun } }: Setup): Finding[] {
  const name = 'varRun'
  const rule = "every component: of root, no link, writable for no group but root's and daemon's"
  const daemon = machine.daemonGroup()
  if (daemon === undefined)
    return [failed(name, 'there is no user daemon', 'varRun is of its group', 'make one, with a group')]
  const inYaml = "paths.varRun: /private/var/run/lima, as in Lima's defaults"
  const report = (faults: PathFault[]): Finding[] =>
    faults.map(({ path, what, fix }) => failed(name, `${path} ${what}`, rule, fix ?? inYaml))
  const text = textFaults(varRun)
  if (text.length > 0) return report(text)
  const there = existingPart(machine, varRun)
  const faults = pathFaults(machine, there, daemon)
  if (faults.length > 0) return report(faults)
  const { gid, mode } = machine.lstat(there)
  const ofDaemon = 'the folder itself is of the group daemon, which can write'
  const right = `sudo chgrp daemon ${shellQuote(varRun)} && sudo chmod g+w ${shellQuote(varRun)}`
  if (there !== varRun) {
    // On macOS a new folder is of the group of the one that it is in.
    if (gid === daemon) return [ok(name, `${varRun}: Lima makes it, in ${there}`)]
    const make = `sudo mkdir -m 775 -p ${shellQuote(varRun)} && ${right}`
    return [failed(name, `${varRun} would be of the group ${gid}, as ${there} is`, ofDaemon, make)]
  }
  if (gid !== daemon || (mode & 0o020) === 0) {
    const octal = mode.toString(8).padStart(4, '0')
    return [failed(name, `${varRun} is of the group ${gid}, with the mode ${octal}`, ofDaemon, right)]
  }
  return [ok(name, `${varRun} is root's, and of the group daemon`)]
}

export function checkSudoers(machine: Machine, setup: Setup): Finding[] {
  const { sudoers } = setup.config
  const name = 'sudoers'
  if (sudoers === '') return [withoutFragment(machine, 'paths.sudoers is empty')]
  const rule = "every component: of root, no link, not to be written by a group but root's nor by everybody"
  const inYaml = `in ${setup.file}: paths.sudoers: /private/etc/sudoers.d/lima`
  const faults = textFaults(sudoers)
  // Where it is not there Lima does not look at the folders either.
  const isThere = faults.length === 0 && existingPart(machine, sudoers) === sudoers
  if (isThere) faults.push(...pathFaults(machine, sudoers))
  if (faults.length > 0)
    return faults.map(({ path, what, fix }) => failed(name, `${path} ${what}`, rule, fix ?? inYaml))
  if (!isThere) return [withoutFragment(machine, `${sudoers} is not there`)]
  return [compareFragment(machine, setup), checkSyntax(machine, sudoers)]
}

const put = (path: string): string =>
  `vmbridge lima print-sudoers >lima.sudoers && sudo install -o root -m 0644 lima.sudoers ${shellQuote(path)}`

function compareFragment(machine: Machine, setup: Setup): Finding {
  const { sudoers } = setup.config
  const name = 'sudoers'
  let present: string
  try {
    present = machine.read(sudoers)
  } catch (error) {
    const fix = `sudo chmod 0644 ${shellQuote(sudoers)}: there is no secret in it`
    const what = hasCode(error, 'EACCES') ? 'you may not read it' : (error as Error).message
    return failed(name, `${sudoers}: ${what}`, 'Lima compares it, as you, with what it would write', fix)
  }
  const wanted = sudoersFragment(setup.config, machine.rootGroup())
  if (present === wanted) return ok(name, `${sudoers} is what Lima would write`)
  const [here, there] = [present.split('\n'), wanted.split('\n')]
  const at = there.findIndex((line, i) => line !== here[i])
  const line = at < 0 ? there.length : at
  const what = `${sudoers} differs from line ${line + 1} on: ${JSON.stringify(here[line] ?? 'its end')}`
  return failed(
    name,
    what,
    `Lima wants it to the byte: ${JSON.stringify(there[line] ?? 'its end')}`,
    put(sudoers),
  )
}

/** Then Lima works where sudo asks no password of this user for anything. */
function withoutFragment(machine: Machine, why: string): Finding {
  // -k with a command: what was typed before does not count here, and goes on counting elsewhere.
  const argv = [SUDO, '-k', '--user', 'root', '--group', machine.rootGroup(), '--non-interactive', 'true']
  const { status, stderr } = machine.run(argv)
  if (status === 0) return ok('sudoers', `${why}, but sudo asks you for no password`)
  const said = stderr.trim().split('\n').at(-1) ?? ''
  const rule = `without it sudo must ask no password of you; it says: ${said}`
  return failed('sudoers', why, rule, put('/private/etc/sudoers.d/lima'))
}

function checkSyntax(machine: Machine, sudoers: string): Finding {
  const name = 'syntax'
  const { status, stdout, stderr } = machine.run([VISUDO, '-cf', sudoers])
  if (status === null) return skipped(name, `${VISUDO} does not run here`)
  if (status === 0) return ok(name, 'visudo takes it')
  const said = (stderr + stdout).trim().split('\n')[0]
  return failed(
    name,
    `visudo does not take it: ${said}`,
    'sudo reads no fragment with an error',
    put(sudoers),
  )
}
