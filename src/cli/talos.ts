/**
 * `vmbridge talos`: an unmodified talosctl whose VMs sit on the switch. A verb is a command of its own, one file each.
 */

import { UsageError } from '../errors.js'
import { print } from './ask.js'
import type { CommandModule } from './main.js'
import { helpOf, parseCommand, type Command, type Parsed } from './options.js'

const VERBS: Record<string, () => Promise<CommandModule>> = {
  install: () => import('./talos/install.js'),
  uninstall: () => import('./talos/uninstall.js'),
  run: () => import('./talos/run.js'),
  status: () => import('./talos/status.js'),
}

export const command: Command = {
  name: 'talos',
  operands: `${Object.keys(VERBS).join('|')} ...`,
  summary:
    'Puts the VMs of `talosctl cluster create qemu` on the switch, by stand-ins for QEMU that talosctl finds in its PATH.',
  passthrough: true,
  options: {},
  examples: [
    ['sudo vmbridge talos install', 'once, after `vmbridge install` and `vmbridge service install`'],
    [
      'sudo -E vmbridge talos run -- talosctl cluster create qemu',
      'talosctl as it is, with the stand-ins first in its PATH',
    ],
    ['vmbridge talos status', 'what is installed, and which nodes have a port'],
    ['vmbridge talos run --help', 'a verb with its options'],
  ],
}

export async function run({ operands }: Parsed): Promise<number | undefined> {
  const [name = '', ...rest] = operands
  if (!Object.hasOwn(VERBS, name)) {
    const what = name === '' ? 'talos takes a verb' : `talos has no "${name}"`
    throw new UsageError(what, 'vmbridge talos --help')
  }
  const verb = await VERBS[name]()
  const parsed = parseCommand(verb.command, rest)
  if (parsed !== undefined) return verb.run(parsed)
  await print(helpOf(verb.command))
  return 0
}
