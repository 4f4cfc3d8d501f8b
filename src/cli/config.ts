/**
 * `vmbridge config`: vmbridge.yaml, checked, shown with all that it means, or begun.
 */

import { basename, dirname, resolve } from 'node:path'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { faultLine } from '../config/faults.js'
import { openConfig } from '../config/open.js'
import { ownConfig } from '../config/paths.js'
import { BridgeError, hasCode, UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { print, printJson } from './ask.js'
import { EXAMPLE } from './config-example.js'
import { environmentName, type Command, type Parsed } from './options.js'

const OWN = '/etc/vmbridge.yaml for root, ~/.config/vmbridge.yaml for a user'

export const command: Command = {
  name: 'config',
  operands: 'validate|show|init [FILE]',
  summary: `Checks vmbridge.yaml, shows it with all that is left out, or writes one to begin with. Without FILE: ${OWN}.`,
  options: {
    json: { help: 'validate: the faults as JSON; show: what it means as JSON' },
  },
  examples: [
    ['sudo vmbridge config init', 'an example with comments; a file that is there stays'],
    ['vmbridge config init -', 'to look at it'],
    [
      'vmbridge config validate lab.yaml',
      'every fault with its line and column; exit status 1 if there is one',
    ],
    ['vmbridge config show', 'with all defaults filled in'],
    ['sudo vmbridge daemon --config /etc/vmbridge.yaml', 'runs its networks; SIGHUP reads it again'],
  ],
}

const HINT = 'vmbridge config --help'

export async function run({ operands, has }: Parsed): Promise<number> {
  const [verb, given, extra] = operands
  if (verb === undefined) throw new UsageError('config takes a verb', HINT)
  if (extra !== undefined) throw new UsageError(`config ${verb} takes one file, but got "${extra}" too`, HINT)
  if (given === '') throw new UsageError(`config ${verb} takes a path`, HINT)
  const isJson = has('json')
  if (verb === 'init') {
    if (isJson) throw new UsageError('--json is for validate and show: the example is YAML', HINT)
    return init(given)
  }
  if (verb !== 'validate' && verb !== 'show') throw new UsageError(`config has no "${verb}"`, HINT)
  const shown = given ?? daemonsFile()
  const [{ command: daemon }, { NO_FLAGS, readConfigText }, { shownConfig, shownYaml }] = await Promise.all([
    import('./daemon.js'),
    import('./daemon-config.js'),
    import('./daemon-shown.js'),
  ])
  const file = resolve(shown)
  const context = { options: daemon.options, file, flags: NO_FLAGS }
  const { config, faults } = readConfigText(openConfig(file), context)
  const lines = faults.map(fault => `${printable(faultLine(shown, fault))}\n`).join('')
  if (verb === 'validate') {
    if (isJson) await printJson({ file, ok: config !== undefined, faults })
    else
      await print(config === undefined ? lines : `${shown}: ok, ${count(config.settings.networks.length)}\n`)
    return config === undefined ? 1 : 0
  }
  if (config === undefined) {
    process.stderr.write(lines)
    return 1
  }
  await (isJson ? printJson(shownConfig(config)) : print(printable(shownYaml(config))))
  return 0
}

const count = (networks: number): string => (networks === 1 ? '1 network' : `${networks} networks`)

/** The file that `vmbridge daemon` would read. */
const daemonsFile = (): string => process.env[environmentName('config')] || ownConfig()

async function init(given: string | undefined): Promise<number> {
  if (given === '-') {
    await print(EXAMPLE)
    return 0
  }
  const path = resolve(given ?? daemonsFile())
  try {
    // The folder of the default place is ours to make, any other may be a slip of the hand.
    if (given === undefined) mkdirSync(dirname(path), { recursive: true })
    writeNew(path, EXAMPLE)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) {
      throw new BridgeError('ERR_CONFIG_EXISTS', `${path} is there already`, {
        hint: 'another name, or - to print the example',
        cause: error,
      })
    }
    throw new BridgeError('ERR_CONFIG_FILE', `cannot write ${path}: ${(error as Error).message}`, {
      hint: 'another place, or sudo',
      cause: error,
    })
  }
  await print(`wrote ${path}\n`)
  return 0
}

/** A file that is there whole or not at all, and takes nobody's place. */
function writeNew(path: string, text: string): void {
  const beside = `${dirname(path)}/.${basename(path)}.${process.pid}`
  const fd = openSync(beside, 'wx', 0o644)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
    linkSync(beside, path)
  } finally {
    closeSync(fd)
    unlinkSync(beside)
  }
}
