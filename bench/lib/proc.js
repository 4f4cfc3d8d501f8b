// What /proc tells of the machine and of a process.

import { readdirSync, readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError } from './errors.js'

const SAMPLE_MS = 500

/** What the numbers were measured on. */
export function machine() {
  const cores = cpus()
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  }
}

/** How many cores are at work just now, with nothing of ours running: what the numbers suffer from. */
export async function busyCores() {
  const before = cpuTicks()
  await sleep(SAMPLE_MS)
  const after = cpuTicks()
  const total = after.total - before.total
  return total === 0 ? 0 : ((total - (after.idle - before.idle)) / total) * cpus().length
}

function cpuTicks() {
  const fields = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1, 9)
    .map(Number)
  return { total: fields.reduce((a, b) => a + b), idle: fields[3] + fields[4] }
}

/** How often the tasks of a process have gone to sleep, which is how often they were woken. */
export function wakeups(pid) {
  let total = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
    const count = /^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)
    if (!count) throw new BenchError(`/proc/${pid}/task/${task}/status tells no context switches`)
    total += Number(count[1])
  }
  return total
}

// Of the fields after the program's name, which may hold anything; /proc counts hundredths of a second on every Linux.
const USER_TIME = 11
const SYSTEM_TIME = 12
const TICKS_PER_SECOND = 100

/** CPU time that a process has used, in s: user and system, all threads. */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[USER_TIME]) + Number(fields[SYSTEM_TIME])) / TICKS_PER_SECOND
}
