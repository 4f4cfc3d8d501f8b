/**
 * `vmbridge talos run`: becomes talosctl with the stand-ins for QEMU first in its PATH, where sudo may have left nothing of
 * the caller's own.
 */

import { existsSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CONTROL_NAME, DEFAULT_PREFIX, findInRun } from '../../config/paths.js'
import { ControlClient } from '../../control/client.js'
import { BridgeError, hasCode, UsageError } from '../../errors.js'
import { bytesOf, native } from '../../native.js'
import { findQemu } from '../../talos/qemu.js'
import { readSettings, STAND_INS, TALOS } from '../../talos/settings.js'
import { shellQuote } from '../../shell.js'
import type { Command, Parsed } from '../options.js'

export const command: Command = {
  name: 'talos run',
  operands: '[--] CMD ARGS...',
  summary: 'Starts talosctl so that its VMs sit on the switch: same PID, its exit status passes through.',
  passthrough: true,
  options: {
    prefix: {
      value: 'DIR',
      help: 'where `vmbridge install` and `vmbridge talos install` put their files',
      fallback: DEFAULT_PREFIX,
    },
    control: { value: 'PATH', help: "the daemon's control socket", fallback: "the daemon's default" },
  },
  examples: [
    [
      `sudo -E ${DEFAULT_PREFIX}/bin/vmbridge talos run -- talosctl cluster create qemu`,
      '-E keeps HOME, where talosctl has its state',
    ],
  ],
}

/** As env(1) and nohup(1) have it. */
const EXIT_NOT_EXECUTABLE = 126
const EXIT_NOT_FOUND = 127

export async function run({ get, operands }: Parsed): Promise<number> {
  const [program] = operands
  if (program === undefined)
    throw new UsageError('talos run needs a program to start', 'vmbridge talos run --help')
  // Absolute, as what PATH has else Go does not start, and a stand-in may be started in any folder.
  const prefix = resolve(get('prefix') ?? DEFAULT_PREFIX)
  const control = resolve(get('control') ?? findInRun(CONTROL_NAME))
  const folder = join(prefix, TALOS)
  const path = process.env['PATH'] ?? ''
  requireStandIns(prefix, folder)
  requireQemu(folder, path)
  await requireDaemon(control)
  process.env['PATH'] = path === '' ? folder : `${folder}:${path}`
  if (get('control') !== undefined) process.env['VMBRIDGE_CONTROL'] = control
  const inherited = process.env['VMBRIDGE_INHERITED']
  try {
    return native.exec({ args: bytesOf(operands), ...(inherited !== undefined && { inherited }) })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    writeSync(2, `vmbridge: cannot start ${program}: ${reason}\n`)
    return hasCode(error, 'ENOENT') ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE
  }
}

function requireStandIns(prefix: string, folder: string): void {
  const isThere = STAND_INS.every(name => existsSync(join(folder, name)))
  if (isThere && readSettings(folder) !== undefined) return
  const option = prefix === DEFAULT_PREFIX ? '' : ` --prefix ${shellQuote(prefix)}`
  throw new BridgeError('ERR_NOT_INSTALLED', `there are no stand-ins for QEMU in ${folder}`, {
    hint: `sudo vmbridge install${option} && sudo vmbridge talos install${option}`,
  })
}

/** One of the two is enough: which one a cluster needs talosctl decides. */
function requireQemu(folder: string, path: string): void {
  const settings = readSettings(folder)
  const reasons = STAND_INS.map(name => {
    try {
      const configured = settings?.qemu[name]
      findQemu({ name, path, self: join(folder, name), ...(configured !== undefined && { configured }) })
      return undefined
    } catch (error) {
      return error
    }
  })
  if (!reasons.includes(undefined)) throw reasons[0]
}

/** @throws BridgeError ERR_NO_DAEMON with the command that starts one */
async function requireDaemon(control: string): Promise<void> {
  try {
    await new ControlClient(control).networks()
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    const hint =
      error.hint ??
      (error.code === 'ERR_NO_DAEMON'
        ? 'sudo vmbridge service start, after sudo vmbridge service install'
        : 'restart the daemon: it may be older than this vmbridge')
    throw new BridgeError(error.code, error.message, { hint, cause: error })
  }
}
