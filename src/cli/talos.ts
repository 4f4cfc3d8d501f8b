/**
 * `vmbridge talos`: everything for an unmodified talosctl, a file a verb. Each verb has options of its own, so what
 * follows it is left to it.
 */

import { writeSync } from 'node:fs'
import { UsageError } from '../errors.js'
import { helpOf, parseCommand, type Command, type Parsed } from './options.js'
import type { CommandModule } from './main.js'

export const VERBS: Record<string, () => Promise<CommandModule>> = {
  plan: () => import('./talos/plan.js'),
  doctor: () => import('./talos/doctor.js'),
}

export const command: Command = {
  name: 'talos',
  operands: `${Object.keys(VERBS).join('|')} [OPTION]...`,
  summary: 'For clusters of `talosctl cluster create qemu`. vmbridge talos VERB --help shows a verb.',
  options: {},
  examples: [
    [
      'vmbridge talos doctor',
      'whether talosctl would find everything here, and what to do about what is not',
    ],
    ['vmbridge talos plan --workers 2 | kubectl apply -f -', 'addresses for VIPs, as MetalLB takes them'],
  ],
  passthrough: true,
}

const HINT = 'vmbridge talos --help'

export async function run({ operands: [verb, ...args] }: Parsed): Promise<number | undefined> {
  if (verb === undefined) throw new UsageError('talos takes a verb', HINT)
  if (!Object.hasOwn(VERBS, verb)) throw new UsageError(`talos has no "${verb}"`, HINT)
  const module = await VERBS[verb]()
  const parsed = parseCommand(module.command, args)
  if (parsed !== undefined) return module.run(parsed)
  writeSync(1, helpOf(module.command))
  return 0
}
