// A child process whose output is read line by line as it comes, so that a test waits for what a program
// says and never for a clock, and which cannot outlive the test: not when the test fails, not when the test's
// own process is killed outright (the kernel then signals the child: PR_SET_PDEATHSIG), and not by children
// that it leaves in its process group.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** One line of output; `stream` is 1 for stdout and 2 for stderr. */
export type Line = { stream: 1 | 2; text: string }

export type LaunchOptions = {
  env?: Record<string, string>
  cwd?: string
  /** An open descriptor of this process that the child finds as its descriptor 3. */
  fd?: number
  /** Keep descriptor 0 open for `stdin`; otherwise it is /dev/null. */
  stdin?: boolean
}

export type WaitOptions = {
  timeoutMs?: number
  /** How many matching lines to wait for. */
  count?: number
  /** Look at lines from this index of `lines` on; everything said so far, unless told otherwise. */
  from?: number
}

type Pattern = RegExp | ((line: string) => boolean)

const living = new Set<Child>()

process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

export class Child {
  readonly argv: readonly string[]
  readonly exited: Promise<Exit>
  readonly lines: Line[] = []
  readonly stdin: Writable | null
  #exit: Exit | undefined
  #process: ChildProcess
  #watchers = new Set<() => void>()

  private constructor(argv: readonly string[], { env, cwd, fd, stdin }: LaunchOptions) {
    this.argv = argv
    // All of these exec in place: the pid is the program's own. tap would have every Node below it load its
    // instruments (NODE_OPTIONS), which measures tap, and which a script without an extension does not survive.
    const leash = process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', '--'] : []
    const [file, ...args] = [...leash, 'env', '-u', 'NODE_OPTIONS', ...argv]
    const stdio: StdioOptions = [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe']
    if (fd !== undefined) stdio.push(fd)
    this.#process = spawn(file, args, { stdio, cwd, env: { ...process.env, ...env }, detached: true })
    this.stdin = this.#process.stdin
    // A program that goes away while something is written to it is told by `exited`, not by EPIPE.
    this.stdin?.on('error', () => {})
    living.add(this)
    this.#read(this.#process.stdout!, 1)
    this.#read(this.#process.stderr!, 2)
    this.exited = new Promise(resolve => {
      const settle = (exit: Exit) => {
        living.delete(this)
        this.#exit = exit
        resolve(exit)
        this.#wake()
      }
      this.#process.once('error', error => {
        this.lines.push({ stream: 2, text: String(error) })
        settle({ code: 127, signal: null })
      })
      this.#process.once('exit', () => this.#killGroup())
      // 'close', not 'exit': the last words have been read by then.
      this.#process.once('close', (code, signal) => settle({ code, signal }))
    })
  }

  static launch(argv: readonly string[], options: LaunchOptions = {}): Child {
    return new Child(argv, options)
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  /** All that was said on stdout, on stderr, or on both. */
  text(stream?: 1 | 2): string {
    return this.lines
      .filter(line => stream === undefined || line.stream === stream)
      .map(line => line.text + '\n')
      .join('')
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#exit === undefined && this.#process.pid !== undefined) this.#process.kill(signal)
  }

  /** Ends the process, stopped or not, and waits until it is gone. */
  async close(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.kill(signal)
    if (signal !== 'SIGKILL') this.kill('SIGCONT')
    return this.exited
  }

  /**
   * The matching line, or the `count`th of them. Throws, with what the program said last, when it exits
   * before or when `timeoutMs` (20 s by default) are over.
   */
  waitForLine(
    pattern: Pattern,
    { timeoutMs = 20_000, count = 1, from = 0 }: WaitOptions = {},
  ): Promise<string> {
    const matches = typeof pattern === 'function' ? pattern : (line: string) => pattern.test(line)
    let next = from
    let left = count
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer)
        this.#watchers.delete(look)
        settle()
      }
      const fail = (what: string) =>
        finish(() => {
          const output = this.lines.slice(-20).map(line => line.text)
          reject(Object.assign(new Error(`${this}: ${what}`), { awaited: String(pattern), output }))
        })
      const look = () => {
        for (; next < this.lines.length; next++) {
          const { text } = this.lines[next]
          if (matches(text) && --left === 0) return finish(() => resolve(text))
        }
        if (this.#exit) fail(`exited (${this.#exit.signal ?? this.#exit.code}) before the awaited line`)
      }
      const timer = setTimeout(fail, timeoutMs, `no such line within ${timeoutMs} ms`)
      this.#watchers.add(look)
      look()
    })
  }

  /** The command as an error names it: QEMU's whole command line would bury what went wrong. */
  toString(): string {
    const words = this.argv.join(' ')
    return words.length > 100 ? `${words.slice(0, 100)}…` : words
  }

  #killGroup(): void {
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // it left nobody behind
    }
  }

  #read(stream: Readable, number: 1 | 2): void {
    stream.on('error', () => {})
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', text => {
      this.lines.push({ stream: number, text })
      this.#wake()
    })
  }

  #wake(): void {
    for (const look of this.#watchers) look()
  }
}

/** Runs a program to its end; its exit status is the caller's to judge (-1 when a signal ended it). */
export async function execute(
  argv: readonly string[],
  { timeoutMs = 30_000, input, ...options }: LaunchOptions & { timeoutMs?: number; input?: string } = {},
): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = Child.launch(argv, { ...options, stdin: input !== undefined })
  child.stdin?.end(input)
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const { code } = await child.exited
  clearTimeout(timer)
  if (late) throw new Error(`${child}: not done within ${timeoutMs} ms\n${child.text()}`)
  return { status: code ?? -1, stdout: child.text(1), stderr: child.text(2) }
}
