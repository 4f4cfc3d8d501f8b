/**
 * The system's own programs, run with a limit: the switch is in this very process, so nothing may wait for them
 * without turning the loop.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { Interrupted } from './wait.js'

/** A login shell of root has these in PATH; sudo's and a container's may not. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`
/** Output beyond this is cut. */
const MOST_OUTPUT = 256 * 1024
/** How long a program that was asked to end may take for it, in ms. */
const FAREWELL = 2000

export interface Outcome {
  /** Undefined where a signal ended it. */
  status: number | undefined
  stdout: string
  stderr: string
}

export class Program {
  /** Rejects where there is no such program, and when interrupted. */
  readonly ended: Promise<Outcome | undefined>
  readonly #child: ChildProcess
  #isOver = false

  /** Starts it; `ms` later, or with the signal, it is ended. `ended` is undefined where there is no such program. */
  constructor(argv: readonly string[], ms: number, signal: AbortSignal) {
    const [file, ...args] = argv
    // The C locale: what it says is read.
    const env = { ...process.env, PATH, LC_ALL: 'C' }
    this.#child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      this.#child[name]!.setEncoding('utf8').on('data', (text: string) => {
        if (said[name].length < MOST_OUTPUT) said[name] += text
      })
    }
    const end = (): void => this.end()
    const late = setTimeout(end, ms)
    signal.addEventListener('abort', end)
    this.ended = new Promise<Outcome | undefined>((resolve, reject) => {
      const finish = (outcome: Outcome | undefined): void => {
        this.#isOver = true
        clearTimeout(late)
        signal.removeEventListener('abort', end)
        if (signal.aborted) reject(new Interrupted())
        else resolve(outcome)
      }
      this.#child.once('error', () => finish(undefined))
      this.#child.once('close', status => finish({ status: status ?? undefined, ...said }))
    })
    // Whoever never comes to ask is interrupted elsewhere.
    this.ended.catch(() => {})
    if (signal.aborted) end()
  }

  /** Asks it to end as Ctrl-C does, so that it says what it has to; ends it for good if it does not. */
  end(): void {
    if (this.#isOver) return
    this.#child.kill('SIGINT')
    setTimeout(() => {
      if (!this.#isOver) this.#child.kill('SIGKILL')
    }, FAREWELL).unref()
  }
}

/** Runs a program to its end: undefined where there is none of that name. */
export function runProgram(
  argv: readonly string[],
  ms: number,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  return new Program(argv, ms, signal).ended
}
