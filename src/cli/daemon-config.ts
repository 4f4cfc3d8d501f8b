/**
 * Reads vmbridge.yaml: the settings of a daemon and of its standing networks, or all that is wrong with it.
 */

import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { faultLine, type Fault } from '../config/faults.js'
import { readWords, type FileWords, type KeyKind, type Keys, type NetworkWords } from '../config/file.js'
import { openConfig } from '../config/open.js'
import { ownConfig, ownPlace, SOCKET_NAME } from '../config/paths.js'
import type { DaemonSettings } from '../daemon/settings.js'
import { BridgeError, UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { shellQuote } from '../shell.js'
import { refuseShared } from './daemon-apart.js'
import { readDaemonLevel, type DaemonLevel } from './daemon-level.js'
import { DHCP_KEY, readNetwork, type FileContext } from './daemon-networks.js'
import { demandUplink, type NetworkFrame } from './daemon-settings.js'
import { layered, parsedOf, readAll, refuseRelative } from './daemon-words.js'
import { environmentName, type Option, type Parsed } from './options.js'

/** Options of `vmbridge daemon` that are the daemon's and not a network's: they stand at the top of the file. */
const LEVEL = [
  'control',
  'socket-group',
  'socket-mode',
  'user',
  'pidfile',
  'state-dir',
  'log-level',
  'log-file',
  'log-format',
]
/** Those that say which file is read. */
const WHICH = ['config', 'no-config']

export interface DaemonConfig {
  settings: DaemonSettings
  /** As the file has them, for who shows it. */
  words: FileWords
}

export interface ConfigReading {
  /** There where there are no faults. */
  config?: DaemonConfig
  faults: Fault[]
}

export interface ConfigContext {
  /** The options of `vmbridge daemon`, from which the keys come. */
  options: Readonly<Record<string, Option>>
  /** An absolute path. */
  file: string
  /** The command line, which wins over the file in what is the daemon's. */
  flags: Parsed
  platform?: NodeJS.Platform
}

/** A command line that says nothing. */
export const NO_FLAGS: Parsed = { get: () => undefined, all: () => [], has: () => false, operands: [] }

/**
 * What the text of a file means. Any text has a meaning or faults.
 * @throws UsageError for what is wrong with the flags
 */
export function readConfigText(
  text: string,
  { options, file, flags, platform = process.platform }: ConfigContext,
): ConfigReading {
  // Theirs are told as theirs.
  readDaemonLevel(flags)
  const words = readWords(text, keysOf(options))
  const { faults } = words
  const context: FileContext = { file, folder: dirname(file), faults, platform }
  const top = new Map(words.top)
  refuseRelative(top, faults, context.folder)
  const level = readAll(top, faults, 0, [], left => readDaemonLevel(layered(flags, parsedOf(left))))
  const state = resolve(layered(flags, parsedOf(top)).get('state-dir') ?? ownPlace().state)
  // A file that does not speak of networks has the one that a command line without options has.
  const all: NetworkWords[] = words.networks ?? [
    { name: 'default', at: 0, entries: new Map(), reservations: [] },
  ]
  const read = all.flatMap(each => {
    const settings = readNetwork(each, frameOf(each.name, state, level?.rights ?? { mode: 0 }), context)
    return settings === undefined ? [] : [{ words: each, settings }]
  })
  refuseShared(read, level, words)
  const found = faults.list()
  if (found.length > 0 || level === undefined) return { faults: found }
  const networks = read.map(({ settings }) => settings)
  const settings = { ...level, networks, ...demandUplink(level, networks, platform) }
  return { config: { settings, words }, faults: [] }
}

function frameOf(name: string, state: string, rights: DaemonLevel['rights']): NetworkFrame {
  const own = name === 'default' ? SOCKET_NAME : `${name}.sock`
  const stateDir = join(state, name)
  return { name, socket: join(ownPlace().run, own), stateDir: () => stateDir, rights }
}

/** The keys of the file, and of each network: the options, and who answers DHCP. */
function keysOf(options: ConfigContext['options']): { top: Keys; network: Keys } {
  const kinds = Object.entries(options).map(([name, { value, multiple }]): [string, KeyKind] => [
    name,
    value === undefined ? 'switch' : multiple === true ? 'list' : 'text',
  ])
  const network = kinds.filter(([name]) => isNetworks(name) || name === 'state-dir')
  return {
    top: Object.fromEntries(kinds.filter(([name]) => LEVEL.includes(name))),
    network: { ...Object.fromEntries(network), [DHCP_KEY]: 'text' },
  }
}

const isNetworks = (option: string): boolean => !LEVEL.includes(option) && !WHICH.includes(option)

/**
 * The file that a command line means; undefined where it means none.
 * @throws UsageError for options of a network beside --config
 */
export function configFileOf(
  { get, has }: Parsed,
  options: ConfigContext['options'],
): { file: string; isNamed: boolean } | undefined {
  const named = get('config')
  if (named === '') throw new UsageError('--config takes a path', '--config /etc/vmbridge.yaml')
  if (has('no-config')) {
    if (named === undefined) return undefined
    throw new UsageError('--config and --no-config contradict each other', 'leave one of them out')
  }
  const given = networkOption({ get, has }, options)
  if (named === undefined) return given === undefined ? { file: ownConfig(), isNamed: false } : undefined
  if (given === undefined) return { file: resolve(named), isNamed: true }
  throw new UsageError(
    `--${given}${fromWhere(given)} with --config: the file says what its networks are`,
    `write it there, or leave --${given} out`,
  )
}

/** The first option of a network that there is. */
function networkOption(
  { get, has }: Pick<Parsed, 'get' | 'has'>,
  options: ConfigContext['options'],
): string | undefined {
  return Object.keys(options).find(name => isNetworks(name) && (get(name) !== undefined || has(name)))
}

function fromWhere(option: string): string {
  const environment = environmentName(option)
  return process.env[environment] === undefined ? '' : ` (${environment} in the environment)`
}

/** A warning where the user's own file is there, and not read: options of a network have the daemon do without it. */
export function passedOver(
  parsed: Parsed,
  options: ConfigContext['options'],
  file = ownConfig(),
): string | undefined {
  const given = networkOption(parsed, options)
  if (given === undefined || parsed.has('no-config') || !existsSync(file)) return undefined
  return `${printable(file)} is not read: --${given}${fromWhere(given)} says what the network is`
}

/**
 * The settings of the file, whole; again for a reload.
 * @throws BridgeError where the file cannot be read, UsageError with all faults, a line each
 */
export function loadConfig(context: ConfigContext): DaemonSettings {
  const { config, faults } = readConfigText(openConfig(context.file), context)
  if (config !== undefined) return config.settings
  const lines = faults.map(fault => printable(faultLine(context.file, fault)))
  throw new UsageError(lines.join('\n'), `vmbridge config validate ${shellQuote(context.file)}`)
}

/**
 * The settings of the file that the command line means; undefined where it means none, or the default one and there is
 * none.
 * @throws as loadConfig
 */
export function readConfig(parsed: Parsed, options: ConfigContext['options']): DaemonSettings | undefined {
  const { operands } = parsed
  if (operands.length > 0)
    throw new UsageError(`daemon takes no operand, but got "${operands[0]}"`, 'vmbridge daemon --help')
  const which = configFileOf(parsed, options)
  if (which === undefined) return undefined
  const context = { options, file: which.file, flags: parsed }
  try {
    return { ...loadConfig(context), reload: () => loadConfig(context).networks }
  } catch (error) {
    if (!which.isNamed && error instanceof BridgeError && error.code === 'ERR_NO_CONFIG') return undefined
    throw error
  }
}
