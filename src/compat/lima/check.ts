/**
 * Every rule by which Lima would start and stop our socket_vmnet, in the order in which Lima meets them.
 */

import { BridgeError } from '../../errors.js'
import { checkNetworks, checkRests } from './check-networks.js'
import { checkProgram } from './check-program.js'
import { checkGroup, checkSudoers, checkVarRun } from './check-sudo.js'
import { failed, ok, skipped, type Finding } from './finding.js'
import type { Machine } from './machine.js'
import { nameFaults, readSetup, type Setup } from './setup.js'

/** Makes every check that can be made; `file` is the networks.yaml. */
export async function checkLima(machine: Machine, file: string): Promise<Finding[]> {
  const first = [checkSystem(machine), checkUser(machine)]
  let setup: Setup
  try {
    setup = readSetup(machine, file)
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    const rule = 'without it Lima starts no network, and nothing below can be looked at'
    return [...first, failed('config', error.message, rule, error.hint ?? file)]
  }
  const findings = [...first, ...checkConfig(setup)]
  const checks = [checkProgram, checkVarRun, checkGroup, checkSudoers, checkNetworks, checkRests]
  for (const check of checks) findings.push(...(await check(machine, setup)))
  return findings
}

function checkSystem({ platform }: Machine): Finding {
  return platform === 'darwin'
    ? ok('system', 'macOS')
    : skipped(
        'system',
        'Lima starts socket_vmnet on macOS alone; its rules hold for what is here all the same',
      )
}

function checkUser({ uid }: Machine): Finding {
  return uid === 0
    ? failed(
        'user',
        'this is root',
        'Lima refuses to run as root',
        'the same without sudo, as the user of Lima',
      )
    : ok('user', `user ${uid}`)
}

function checkConfig({ file, isWritten, config, unknown }: Setup): Finding[] {
  const faults = nameFaults(config).map(({ of, name }) =>
    failed(
      'config',
      `${file}: ${of} ${JSON.stringify(name)} is no name`,
      'letters and digits, with single dots, dashes or underscores between them',
      `another name in ${file}`,
    ),
  )
  if (faults.length > 0) return faults
  if (!isWritten) return [ok('config', `no ${file}: Lima's defaults`)]
  const rest = unknown.length === 0 ? '' : `; Lima warns of what it does not know: ${unknown.join(', ')}`
  return [ok('config', `${file}${rest}`)]
}
