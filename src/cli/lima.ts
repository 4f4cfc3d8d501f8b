/**
 * `vmbridge lima`: what Lima needs to start our socket_vmnet: the sudoers fragment, and every rule of Lima's looked at.
 */

import { resolve } from 'node:path'
import { UsageError } from '../errors.js'
import { print, printJson } from './ask.js'
import { checkCount, checkLines } from './check-lines.js'
import type { Command, Parsed } from './options.js'

export const command: Command = {
  name: 'lima',
  operands: 'print-sudoers|check',
  summary:
    'Says whether Lima would start vmbridge as its socket_vmnet, and prints the sudoers file that lets it. Changes nothing.',
  options: {
    networks: {
      value: 'FILE',
      help: "Lima's networks.yaml",
      fallback: '$LIMA_HOME/_config/networks.yaml, or in ~/.lima',
    },
    'socket-vmnet': {
      value: 'PATH',
      help: 'print-sudoers: for that program, whatever networks.yaml names',
      fallback: 'paths.socketVMNet; without that file the first that Lima finds',
    },
    json: { help: 'check: print everything as JSON' },
  },
  examples: [
    ['sudo vmbridge install --prefix /opt/socket_vmnet', 'where Lima looks first'],
    [
      'vmbridge lima print-sudoers >lima.sudoers && sudo install -o root -m 0644 lima.sudoers /etc/sudoers.d/lima',
      'as `limactl sudoers` prints it',
    ],
    ['vmbridge lima check', 'what would fail, why, and what to do; as the user of Lima, not as root'],
  ],
}

const HINT = 'vmbridge lima --help'

export async function run(parsed: Parsed): Promise<number> {
  const { operands, get, has } = parsed
  const [verb, extra] = operands
  if (verb === undefined) throw new UsageError('lima takes a verb', HINT)
  if (verb !== 'check' && verb !== 'print-sudoers') throw new UsageError(`lima has no "${verb}"`, HINT)
  if (extra !== undefined) throw new UsageError(`lima ${verb} takes no operand, but got "${extra}"`, HINT)
  const [isCheck, program, json] = [verb === 'check', get('socket-vmnet'), has('json')]
  if (isCheck && program !== undefined)
    throw new UsageError('--socket-vmnet is for print-sudoers: Lima goes by networks.yaml', HINT)
  if (!isCheck && json) throw new UsageError('--json is for check: a sudoers file is text', HINT)
  for (const name of ['networks', 'socket-vmnet'])
    if (get(name) === '') throw new UsageError(`--${name} takes a path`, HINT)
  if (program !== undefined && !program.startsWith('/'))
    throw new UsageError(`--socket-vmnet ${program}: Lima takes an absolute path`, HINT)
  const [{ thisMachine }, { networksFile }] = await Promise.all([
    import('../compat/lima/machine.js'),
    import('../compat/lima/setup.js'),
  ])
  const machine = thisMachine()
  const given = get('networks')
  const file = given === undefined ? networksFile(machine) : resolve(given)
  if (!isCheck) {
    const { printSudoers } = await import('../compat/lima/print-sudoers.js')
    const { text, warnings } = printSudoers(machine, file, program)
    for (const warning of warnings) process.stderr.write(`vmbridge lima: ${warning}\n`)
    await print(text)
    return 0
  }
  const { checkLima } = await import('../compat/lima/check.js')
  const checks = await checkLima(machine, file)
  const isOk = checks.every(({ status }) => status !== 'failed')
  const text = checks.map(({ rule, fix, ...check }) => checkLines(check, { rule, fix })).join('')
  await (json ? printJson({ ok: isOk, checks }) : print(`${text}\n${checkCount(checks)}\n`))
  return isOk ? 0 : 1
}
