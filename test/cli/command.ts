// The built command as a person calls it: run to its end, and judged by its exit status and what it wrote.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execute, type LaunchOptions } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { VMBRIDGE } from '../helpers/root.js'

export type Outcome = { status: number; stdout: string; stderr: string }

export const vmbridge = (
  args: readonly string[],
  options: LaunchOptions & { timeoutMs?: number } = {},
): Promise<Outcome> => execute([VMBRIDGE, ...args], options)

/** A folder of the test's own that anybody may enter; its path is short, for a socket's may have 107 bytes. */
export function scratch(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The options that keep a daemon's sockets inside a folder. */
export const socketsIn = (folder: string): string[] => [
  '--socket',
  join(folder, 's'),
  '--control',
  join(folder, 'c'),
]

/**
 * The argument vector that runs a program as a user without rights. CAP_DAC_READ_SEARCH stays, so that the
 * user may read a checkout that lies in root's home; it gives no right to write or to make a device.
 */
export const asNobody = (argv: readonly string[]): string[] => [
  'setpriv',
  '--reuid=65534',
  '--regid=65534',
  '--clear-groups',
  '--inh-caps=+dac_read_search',
  '--ambient-caps=+dac_read_search',
  '--',
  ...argv,
]

export const NOBODY = 65534
