/**
 * `vmbridge talos doctor`: whether an unmodified talosctl would put its VMs on the switch, and if not, what to do.
 */

import { resolve } from 'node:path'
import { DEFAULT_PREFIX } from '../../config/paths.js'
import { ControlClient } from '../../control/client.js'
import { BridgeError, UsageError } from '../../errors.js'
import { clusterOf } from '../../talos/cluster.js'
import { rootControl } from '../../talos/doctor/check-network.js'
import { checkTalos } from '../../talos/doctor/check.js'
import { thisMachine, type DaemonView } from '../../talos/doctor/machine.js'
import { print, printJson } from '../ask.js'
import { checkCount, checkLines } from '../check-lines.js'
import { DEFAULT_CIDR } from '../cluster-options.js'
import type { Command, Parsed } from '../options.js'

export const command: Command = {
  name: 'talos doctor',
  summary:
    'Says whether `talosctl cluster create qemu` would put its VMs on the switch, and what to do where not. Changes nothing.',
  options: {
    cidr: { value: 'CIDR', help: "the cluster's subnet", fallback: DEFAULT_CIDR },
    prefix: { value: 'DIR', help: 'where vmbridge is installed', fallback: DEFAULT_PREFIX },
    control: { value: 'PATH', help: "the daemon's control socket", fallback: "that of root's daemon" },
    json: { help: 'print everything as JSON' },
  },
  examples: [
    ['vmbridge talos doctor', 'before the first cluster, and whenever one does not come up'],
    ['sudo vmbridge talos doctor', "with root's own PATH, where sudo asks for a password"],
  ],
}

export async function run({ operands, get, has }: Parsed): Promise<number> {
  const [extra] = operands
  const hint = 'vmbridge talos doctor --help'
  if (extra !== undefined) throw new UsageError(`talos doctor takes no operand, but got "${extra}"`, hint)
  for (const name of ['prefix', 'control'])
    if (get(name) === '') throw new UsageError(`--${name} takes a path`, hint)
  const cidr = get('cidr') ?? DEFAULT_CIDR
  const { subnet } = clusterOf({ cidr, controlplanes: 1, workers: 0, useVip: false })
  const prefix = resolve(get('prefix') ?? DEFAULT_PREFIX)
  const control = get('control') ?? rootControl()
  const checks = await checkTalos(
    thisMachine(() => viewOf(control)),
    { prefix, subnet },
  )
  const isOk = checks.every(({ status }) => status !== 'failed')
  const text = checks.map(({ fix, ...check }) => checkLines(check, { fix })).join('')
  await (has('json') ? printJson({ ok: isOk, checks }) : print(`${text}\n${checkCount(checks)}\n`))
  return isOk ? 0 : 1
}

async function viewOf(path: string): Promise<DaemonView> {
  const daemon = new ControlClient(path)
  try {
    const { version } = await daemon.status()
    const { networks } = await daemon.networks()
    return { path, version, networks }
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    return { path, error: { code: error.code, message: error.message } }
  }
}
