// Processes as talosctl handles them: programs found in PATH, daemons known by a pidfile, QEMU with three descriptors
// and no more.

import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, closeSync, constants, openSync, readFileSync, statSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Go's exec.LookPath: the first executable file of that name in PATH; one by a relative entry is an error. */
function lookPath(name: string): string | undefined {
  for (const entry of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(entry || '.', name)
    try {
      if (!statSync(path).isFile()) continue
      accessSync(path, constants.X_OK)
    } catch {
      continue
    }
    return isAbsolute(path) ? path : undefined
  }
  return undefined
}

/** Looked up anew at every call, so also at every start of a VM. */
export function qemuExecutable(): string {
  const found = lookPath('qemu-system-aarch64') ?? lookPath('qemu-kvm')
  if (found === undefined) throw new Error('qemu-system-aarch64 not found')
  return found
}

/** Appends stdout and stderr to a file; stdin is /dev/null, or an open descriptor. */
export function spawnLogged(argv: readonly string[], log: string, stdin?: number): ChildProcess {
  const fd = openSync(log, 'a')
  try {
    // Detached is setsid: a daemon of its own.
    return spawn(argv[0], argv.slice(1), { stdio: [stdin ?? 'ignore', fd, fd], detached: true })
  } finally {
    closeSync(fd)
  }
}

/** A program of this stand-in, as talosctl starts itself over. */
export const selfArgv = (verb: string, ...args: string[]) => [
  process.execPath,
  process.argv[1],
  verb,
  ...args,
]

/** Whether a process runs. One that only waits for its parent has ended: launchd takes it in at once, not every PID 1 does. */
function runs(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}

/** vm.StopProcessByPidfile: SIGTERM, and up to 30 s until it is gone. */
export async function stopByPidfile(path: string): Promise<void> {
  let pid
  try {
    pid = Number(readFileSync(path, 'utf8'))
  } catch {
    return
  }
  if (!runs(pid)) return
  process.kill(pid, 'SIGTERM')
  for (let left = 300; runs(pid); left--) {
    if (left === 0) throw new Error(`process ${pid} still running`)
    await pause(100)
  }
}
