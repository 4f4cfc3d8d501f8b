/**
 * `vmbridge install`: a root-owned tree that a service can start, made from this package and this Node.
 */

import { arch, release } from 'node:os'
import { basename, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEFAULT_PREFIX } from '../config/paths.js'
import { BridgeError, UsageError } from '../errors.js'
import { install } from '../install/install.js'
import { runProgram } from '../install/machine.js'
import type { Kept } from '../install/removal.js'
import { shellQuote } from '../shell.js'
import { print, printJson } from './ask.js'
import type { Command, Option, Parsed } from './options.js'

export const INSTALL_OPTIONS: Record<string, Option> = {
  prefix: {
    value: 'DIR',
    help: 'where; only root may be able to change it and its parents',
    fallback: DEFAULT_PREFIX,
  },
  json: { help: 'print the result as JSON' },
}

export const command: Command = {
  name: 'install',
  summary:
    'Installs vmbridge for a service: a tree of root with its own copy of Node. Again to upgrade or repair.',
  options: INSTALL_OPTIONS,
  examples: [
    ['sudo vmbridge install', `in ${DEFAULT_PREFIX}; what is there and runs is not disturbed`],
    [
      'sudo vmbridge install --prefix /opt/socket_vmnet',
      'where Lima, Colima and minikube look for bin/socket_vmnet',
    ],
  ],
}

/** The root of the package, from dist/src/cli. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

export async function run(parsed: Parsed): Promise<number> {
  const prefix = prefixOf(command, parsed)
  const machine = { platform: process.platform, release: release(), arch: arch(), run: runProgram }
  const result = await install({
    prefix,
    root: ROOT,
    node: process.execPath,
    machine,
    progress: progressOf(command),
  })
  warnOfKept(command, result.kept)
  if (parsed.has('json')) await printJson(result)
  else {
    const megabytes = Math.round(result.bytes / 1_000_000)
    const start = join(result.prefix, 'bin/vmbridge')
    await print(
      `installed vmbridge ${result.version} in ${result.tree} (${result.files} files, ${megabytes} MB)\n`,
    )
    await print(`start it with: ${shellQuote(start)} daemon\n`)
  }
  return 0
}

/**
 * @param more options of that line beside --prefix and --json
 * @throws UsageError, BridgeError ERR_NOT_ROOT with the line that has the rights
 */
export function prefixOf(
  { name }: Command,
  { get, has, operands }: Parsed,
  more: readonly string[] = [],
): string {
  if (operands.length > 0) {
    throw new UsageError(`${name} takes no operand, but got "${operands[0]}"`, `vmbridge ${name} --help`)
  }
  const prefix = get('prefix') ?? DEFAULT_PREFIX
  if (process.geteuid?.() === 0) return prefix
  // sudo looks for programs in folders of its own choice, where neither node nor vmbridge need be.
  const { argv0 } = process
  const isLauncher = isAbsolute(argv0) && basename(argv0) === 'vmbridge'
  const program = isLauncher ? [argv0] : [process.execPath, join(ROOT, 'bin/vmbridge')]
  const options = ['--prefix', prefix, ...more, ...(has('json') ? ['--json'] : [])]
  const line = ['sudo', ...program, ...name.split(' '), ...options]
  throw new BridgeError('ERR_NOT_ROOT', `${name} needs root: what is in ${prefix} is started as root`, {
    hint: line.map(shellQuote).join(' '),
  })
}

export const progressOf =
  ({ name }: Command) =>
  (step: string): void => {
    process.stderr.write(`vmbridge ${name}: ${step}\n`)
  }

export function warnOfKept({ name }: Command, kept: readonly Kept[]): void {
  for (const { path, why } of kept) {
    process.stderr.write(`vmbridge ${name}: ${path} stays: somebody ${why} it\n`)
  }
}
