/**
 * Programs of other people that are asked about themselves: where PATH has them, and what they print.
 */

import { spawnSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

export interface Ran {
  /** The exit status; null when it could not be started, took too long, or died by a signal. */
  status: number | null
  stdout: string
  stderr: string
}

/** An interface, so that a test can be any machine. */
export interface Programs {
  /** Runs a program, by its absolute path, to its end. */
  run(argv: readonly string[]): Ran
  /** Where a program of that name is, by a PATH or by this process': every hit, as exec would try them. */
  find(name: string, path?: string): string[]
}

/** talosctl is 100 MB and may come from a cold disk. */
const PATIENCE_MS = 20_000
/** What these print is short. */
const MOST_BYTES = 1024 * 1024

export function programs(env: NodeJS.ProcessEnv = process.env): Programs {
  return {
    run: ([file, ...args]) => {
      const options = { env, encoding: 'utf8', timeout: PATIENCE_MS, maxBuffer: MOST_BYTES } as const
      const ran = spawnSync(file, args, {
        ...options,
        killSignal: 'SIGKILL',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      return {
        status: ran.status,
        stdout: ran.stdout ?? '',
        stderr: ran.stderr || (ran.error?.message ?? ''),
      }
    },
    find: (name, path = env['PATH'] ?? '') =>
      path
        .split(delimiter)
        // What stands below a relative entry, Go does not start.
        .filter(isAbsolute)
        .map(folder => join(folder, name))
        .filter(isProgram),
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
