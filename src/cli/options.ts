/**
 * Command lines: a command lists its options once; from that list come the parsing (node:util parseArgs, which
 * costs nothing to load, where yargs takes 0.15 s), the environment, and the help.
 */

import { parseArgs, type ParseArgsConfig } from 'node:util'
import { UsageError } from '../errors.js'

export interface Option {
  /** What stands for the value in the help; an option without is a switch. */
  value?: string
  /** May be given more than once. */
  multiple?: boolean
  /** What stands between several in the environment; a comma unless values hold commas. */
  separator?: string
  /** The environment may name several, for a command that takes them all; this one takes the first. */
  environmentList?: boolean
  /** The environment does not count: under its name it has another command's, or what only a person should say. */
  isFlagOnly?: true
  help: string
  /** The default, in words; the command fills it in. */
  fallback?: string
}

export interface Command {
  name: string
  /** What follows the options in the usage line. */
  operands?: string
  summary: string
  options: Record<string, Option>
  examples: readonly (readonly [line: string, meaning: string])[]
  /** Takes the first operand and all that follows as they are, options included. */
  passthrough?: boolean
}

export interface Parsed {
  /** The option's value, from the flag or else the environment. */
  get(name: string): string | undefined
  all(name: string): string[]
  has(name: string): boolean
  operands: string[]
}

const HELP: Option = { help: 'show this help' }

/** The environment's name of an option: VMBRIDGE_DHCP_RANGE for --dhcp-range. */
export function environmentName(option: string): string {
  return `VMBRIDGE_${option.toUpperCase().replaceAll('-', '_')}`
}

/**
 * Parses `args`; undefined when help was asked for.
 * @throws UsageError naming the option and the help
 */
export function parseCommand(
  command: Command,
  args: readonly string[],
  env = process.env,
): Parsed | undefined {
  const options: ParseArgsConfig['options'] = { help: { type: 'boolean', short: 'h' } }
  for (const [name, option] of Object.entries(command.options)) {
    options[name] = {
      type: option.value === undefined ? 'boolean' : 'string',
      multiple: option.multiple === true,
    }
  }
  const cut = command.passthrough === true ? endOfOptions(command, args) : args.length
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: args.slice(0, cut), options, allowPositionals: true, strict: true })
  } catch (error) {
    const message =
      error instanceof Error ? error.message.split('. To specify')[0].split('\n')[0] : String(error)
    throw new UsageError(message, `vmbridge ${command.name} --help`)
  }
  const values = parsed.values
  if (values['help'] === true) return undefined
  const rest = args.slice(cut)
  const operands = [...parsed.positionals, ...(rest[0] === '--' ? rest.slice(1) : rest)]
  const fromEnv = (name: string): string | undefined =>
    command.options[name]?.isFlagOnly ? undefined : env[environmentName(name)]
  const all = (name: string): string[] => {
    const given = values[name]
    if (Array.isArray(given)) return given.map(String)
    if (typeof given === 'string') return [given]
    const fromEnvironment = fromEnv(name)
    if (fromEnvironment === undefined || fromEnvironment === '') return []
    const { multiple, environmentList, separator = ',' } = command.options[name] ?? {}
    return multiple || environmentList ? fromEnvironment.split(separator) : [fromEnvironment]
  }
  return {
    get: name => all(name)[0],
    all,
    has: name => values[name] === true || /^(1|true|yes)$/.test(fromEnv(name) ?? ''),
    operands,
  }
}

/** Where the first operand stands, so that what follows it is not read as ours. */
function endOfOptions(command: Command, args: readonly string[]): number {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]
    if (arg === '--' || !arg.startsWith('-') || arg === '-') return i
    if (arg.startsWith('--') && !arg.includes('=') && command.options[arg.slice(2)]?.value !== undefined) i++
  }
  return args.length
}

/** A wider one has its help on the line below. */
const WIDEST_FLAG = 28

export function helpOf(command: Command): string {
  const rows = Object.entries({ ...command.options, help: HELP }).map(([name, option]) => {
    const flag = `--${name}${option.value === undefined ? '' : ` ${option.value}`}${option.multiple === true ? '...' : ''}`
    const fallback = option.fallback === undefined ? '' : ` (default: ${option.fallback})`
    const flagOnly = option.isFlagOnly ? '; not from the environment' : ''
    return [name === 'help' ? '-h, --help' : flag, `${option.help}${flagOnly}${fallback}`] as const
  })
  const width = Math.min(WIDEST_FLAG, Math.max(...rows.map(([flag]) => flag.length)))
  const wide = `\n${' '.repeat(width + 4)}`
  const hasOptions = Object.keys(command.options).length > 0
  return [
    `${command.summary}\n`,
    `usage: vmbridge ${command.name}${hasOptions ? ' [OPTION]...' : ''}${command.operands ? ` ${command.operands}` : ''}\n`,
    ...rows.map(([flag, help]) => `  ${flag.padEnd(width)}${flag.length > width ? wide : '  '}${help}`),
    '\nAn option --some-name may also be given as VMBRIDGE_SOME_NAME in the environment; the flag wins.',
    '\nexamples:',
    ...command.examples.map(([line, meaning]) => `  ${line}\n      ${meaning}`),
    '',
  ].join('\n')
}
