/**
 * When a process started: with its PID the same process as before, and not another that got the number since.
 */

import { readFileSync } from 'node:fs'

/**
 * Clock ticks since the machine started (proc(5), field 22 of /proc/PID/stat), the same across exec. Undefined for a
 * process that is gone or not seen from here, and on macOS, which has no such file.
 */
export function processStart(pid: number): number | undefined {
  if (!(pid > 0)) return undefined
  try {
    return parseProcessStart(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return undefined
  }
}

/** @param stat whose second field, the program's name, may itself hold spaces and parentheses */
export function parseProcessStart(stat: string): number | undefined {
  const behindName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const start = Number(behindName[22 - 3])
  return Number.isSafeInteger(start) ? start : undefined
}
