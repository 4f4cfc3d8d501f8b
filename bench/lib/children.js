// The programs that the bench starts: each is a direct child, started without a shell between (or with one that
// execs), so that its PID is the one whose CPU time is read, and the one that is signalled.

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError } from './errors.js'

const READY_MS = 10_000
const RETRY_MS = 10
const STOP_MS = 3_000
const CAPTURE_BYTES = 64 << 20

const running = new Set()

/** Kills what is still running; for the way out, whatever the reason. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL')
}

/**
 * Starts a program.
 *
 * @param name what errors call it
 * @param command its argument vector
 * @param options `cpu`: the core it is tied to; `stdin`: as in node:child_process; `quiet`: what it says goes to
 *   /dev/null, for a server whose log would cost the bench what it is to measure
 */
export function launch(name, command, { cpu, stdin = 'ignore', quiet = false } = {}) {
  const [file, ...args] = cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command]
  const output = quiet ? 'ignore' : 'pipe'
  const child = spawn(file, args, { stdio: [stdin, output, output] })
  const racer = { name, child, said: '', error: undefined }
  running.add(child)
  child.stdout?.resume()
  child.stderr?.on('data', text => (racer.said = (racer.said + text).slice(-2000)))
  racer.gone = new Promise(resolve => {
    child.once('error', error => resolve((racer.error = error)))
    child.once('close', resolve)
  }).then(() => running.delete(child))
  return racer
}

const hasEnded = ({ child, error }) =>
  error !== undefined || child.exitCode !== null || child.signalCode !== null

function deathOf({ name, child, said, error }) {
  const how = error?.message ?? `exit ${child.exitCode ?? child.signalCode}`
  return new BenchError(`${name} ended before it was ready (${how})\n${said.trim()}`)
}

/** Resolves when the program has said anything on its stdout. Throws a BenchError when it ends before. */
export async function firstOutput(racer) {
  const output = new Promise(resolve => racer.child.stdout.once('data', resolve))
  await Promise.race([output, racer.gone])
  if (hasEnded(racer)) throw deathOf(racer)
}

/** Asks `isReady` until it says yes. Throws a BenchError when the program ends before, or after 10 s. */
export async function untilReady(racer, isReady, what) {
  const deadline = Date.now() + READY_MS
  while (!(await isReady())) {
    if (hasEnded(racer)) throw deathOf(racer)
    if (Date.now() > deadline) throw new BenchError(`${racer.name} ${what} for ${READY_MS} ms`)
    await sleep(RETRY_MS)
  }
}

/** Asks it to end, and makes it end after 3 s. */
export async function stopRacer(racer, signal = 'SIGTERM') {
  if (!hasEnded(racer)) racer.child.kill(signal)
  const force = setTimeout(() => racer.child.kill('SIGKILL'), STOP_MS)
  await racer.gone
  clearTimeout(force)
}

/**
 * Runs a program to its end: its exit status, and what it said. Throws a BenchError when it cannot be run, takes longer
 * than `timeoutMs`, or says more than 64 MiB. When `until` resolves it gets SIGINT.
 */
export async function capture(name, command, { timeoutMs, until }) {
  const racer = launch(name, command)
  void until?.then(() => racer.child.kill('SIGINT'))
  const said = { stdout: [], stderr: [] }
  let bytes = 0
  let reason
  const giveUp = why => {
    reason ??= why
    racer.child.kill('SIGKILL')
  }
  for (const stream of ['stdout', 'stderr']) {
    racer.child[stream].on('data', data => {
      bytes += data.length
      if (bytes > CAPTURE_BYTES) giveUp('said too much')
      else said[stream].push(data)
    })
  }
  const timer = setTimeout(giveUp, timeoutMs, `took longer than ${timeoutMs} ms`)
  await racer.gone
  clearTimeout(timer)
  if (racer.error) reason = racer.error.message
  if (reason) throw new BenchError(`${name} ${reason}`)
  const text = stream => Buffer.concat(said[stream]).toString()
  return { status: racer.child.exitCode, stdout: text('stdout'), stderr: text('stderr') }
}
