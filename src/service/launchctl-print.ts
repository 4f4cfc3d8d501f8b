/**
 * What `launchctl print system/LABEL` tells of a job. The text is made for people ("not API in any sense", says its
 * manual page), so only what cannot be had elsewhere is read: state, PID and last exit, each undefined where it is not
 * found. launchctl-print.test.ts holds texts of the form that macOS 11 to 26 are known to print.
 */

import type { Outcome } from './host.js'

export interface LaunchdJob {
  /** `running`, `not running`, `waiting`, `spawn scheduled`, `xpcproxy`. */
  state: string
  pid?: number
  lastExit?: string
}

/** launchctl's status for a label that the domain does not have. */
const NOT_FOUND = 113
const NO_SUCH_PROCESS = 3

export function isMissing({ status, stderr, stdout }: Outcome): boolean {
  return (
    (status === NOT_FOUND || status === NO_SUCH_PROCESS) && /Could not find service/.test(stderr + stdout)
  )
}

export function parsePrint(text: string): LaunchdJob {
  // One tab: the job's own fields. Its endpoints and coalitions, further in, have a `state` and an `active` as well.
  const fields = new Map<string, string>()
  for (const [, key, value] of text.matchAll(/^\t([^\t=]+?) = (.*)$/gm)) fields.set(key, value)
  const pid = Number(fields.get('pid'))
  const lastExit = exitOf(fields.get('last exit code'), fields.get('last terminating signal'))
  return {
    state: fields.get('state') ?? 'unknown',
    ...(Number.isInteger(pid) && pid > 0 ? { pid } : {}),
    ...(lastExit === undefined ? {} : { lastExit }),
  }
}

/** `1`, `78: EX_CONFIG` or `(never exited)`; in its place, after a signal, `Killed: 9`. */
function exitOf(code: string | undefined, signal: string | undefined): string | undefined {
  if (signal !== undefined) return `signal ${signal.replace(/^(.*): (\d+)$/, '$2 ($1)')}`
  if (code === undefined || !/^\d/.test(code)) return undefined
  return `status ${code.replace(/^(\d+): (.*)$/, '$1 ($2)')}`
}
