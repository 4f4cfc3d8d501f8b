/**
 * What Lima would go by: its networks.yaml, or its defaults with the socket_vmnet that it finds.
 */

import { join } from 'node:path'
import { BridgeError, hasCode } from '../../errors.js'
import { defaultConfig, readConfig, type LimaConfig } from './config.js'
import type { Machine } from './machine.js'
import { existingPart, pathFaults, textFaults } from './paths.js'

/** Where Lima looks for socket_vmnet first, and where it says to install it. */
export const LIMA_PREFIX = '/opt/socket_vmnet'
export const LIMA_PROGRAM = `${LIMA_PREFIX}/bin/socket_vmnet`
/** The same name in PATH comes between the first and the rest. */
const HOMEBREW = [
  '/usr/local/opt/socket_vmnet/bin/socket_vmnet',
  '/opt/homebrew/opt/socket_vmnet/bin/socket_vmnet',
]

export interface Setup {
  file: string
  /** False where there is no such file, and the defaults hold. */
  isWritten: boolean
  config: LimaConfig
  unknown: string[]
}

/** LIMA_HOME/_config/networks.yaml, free of links as far as Lima makes it so. */
export function networksFile(machine: Machine): string {
  const home = machine.env['LIMA_HOME'] || join(machine.home, '.lima')
  try {
    return join(machine.realpath(home), '_config/networks.yaml')
  } catch {
    return join(home, '_config/networks.yaml')
  }
}

/** @throws BridgeError ERR_LIMA_CONFIG */
export function readSetup(machine: Machine, file: string): Setup {
  let text: string
  try {
    text = machine.read(file)
  } catch (error) {
    if (hasCode(error, 'ENOENT'))
      return { file, isWritten: false, config: defaultConfig(findProgram(machine)), unknown: [] }
    throw new BridgeError('ERR_LIMA_CONFIG', `cannot read ${file}: ${(error as Error).message}`, {
      hint: 'make it a file that you can read',
      cause: error,
    })
  }
  return { file, isWritten: true, ...readConfig(text, file) }
}

/**
 * The socket_vmnet that Lima writes into a new networks.yaml, free of links: what is in PATH is taken only from a
 * folder with an absolute path, as Go has it. Where there is none Lima writes the first place all the same.
 */
export function findProgram(machine: Machine): string {
  const folders = (machine.env['PATH'] ?? '').split(':')
  // The first that is there counts, and a relative one is refused, not passed over.
  const inPath = folders
    .map(folder => join(folder || '.', 'socket_vmnet'))
    .find(path => machine.isProgram(path))
  const places = [LIMA_PROGRAM, ...(inPath?.startsWith('/') ? [inPath] : []), ...HOMEBREW]
  const found = places.find(path => machine.isProgram(path))
  return found === undefined ? LIMA_PROGRAM : machine.realpath(found)
}

/** As Lima takes names that go into its sudoers: letters and digits, with single signs between them. */
const NAME = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/
const MOST_NAME = 76

export interface NameFault {
  /** What the name is of: `group`, or a network. */
  of: string
  name: string
}

/** The names that Lima refuses, and the empty group, which makes a fragment that sudo refuses. */
export function nameFaults({ group, networks }: LimaConfig): NameFault[] {
  const names: NameFault[] = [{ of: 'group', name: group }]
  for (const [name, network] of networks) {
    names.push({ of: 'the name of a network', name })
    for (const of of ['mode', 'interface'] as const)
      if (network[of] !== '') names.push({ of: `${of} of network ${name}`, name: network[of] })
  }
  return names.filter(({ name }) => !NAME.test(name) || name.length > MOST_NAME)
}

/**
 * Refuses what Lima would not let sudo run: a fragment for it would hand out root.
 * @param mayBeMissing whether the program may be yet to be installed
 * @throws BridgeError ERR_LIMA_CONFIG, ERR_LIMA_PATH
 */
export function refuseUnsafe(machine: Machine, { config, file }: Setup, mayBeMissing: boolean): void {
  const [bad] = nameFaults(config)
  if (bad !== undefined)
    throw new BridgeError('ERR_LIMA_CONFIG', `${file}: ${bad.of} ${JSON.stringify(bad.name)} is no name`, {
      hint: 'letters and digits, with single dots, dashes or underscores between them',
    })
  const { socketVmnet, varRun } = config
  const program = mayBeMissing ? existingPart(machine, socketVmnet) : socketVmnet
  // A path with a slash behind it, to sudo, is all that is in that folder.
  if ((program === socketVmnet || socketVmnet.endsWith('/')) && !machine.isProgram(socketVmnet))
    throw new BridgeError('ERR_LIMA_PATH', `there is no program ${JSON.stringify(socketVmnet)}`, {
      hint: `sudo vmbridge install --prefix ${LIMA_PREFIX}`,
    })
  const faults = [
    ...textFaults(socketVmnet),
    ...textFaults(varRun),
    ...(socketVmnet.startsWith('/') ? pathFaults(machine, program) : []),
    ...(varRun.startsWith('/')
      ? pathFaults(machine, existingPart(machine, varRun), machine.daemonGroup())
      : []),
  ]
  if (faults.length === 0) return
  throw new BridgeError('ERR_LIMA_PATH', `${faults[0].path} ${faults[0].what}: Lima refuses that`, {
    hint: 'vmbridge lima check',
  })
}
