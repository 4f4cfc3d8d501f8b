// The built daemon as the tests meet it: a child process of bin/vmbridge with its sockets and state in a
// directory of its own, known to be up by its own log and by nothing else.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child, execute } from './child.js'
import type { Host } from './host.js'
import { VMBRIDGE } from './root.js'

/** One line of the JSON log. */
export type LogEntry = { event?: string; msg?: string; [field: string]: unknown }

/** What `vmbridge status --json` prints, as far as the tests read it. */
export type Status = {
  networks: {
    ports: {
      name: string
      role: 'vm' | 'uplink'
      macs: string[]
      ips: string[]
      rx: { frames: number; bytes: number }
      tx: { frames: number; bytes: number }
      drops: Record<string, number>
      peer?: { pid: number }
    }[]
    fdb: { mac: string; port: string; age: number }[]
    leases: { ip: string; mac: string }[]
  }[]
}

/** What is asked of tap's `t`: things to undo when the test is over. */
export type Scope = { teardown: (undo: () => unknown) => unknown }

export type DaemonOptions = {
  args?: readonly string[]
  netns?: Host
  env?: Record<string, string>
  /** An existing state directory, to start again on; a fresh one unless told otherwise. */
  stateDir?: string
  /** A daemon that has ended, to start again in its places: sockets and state. */
  again?: Daemon
  /** What runs it, in place of the built command. */
  program?: readonly string[]
  timeoutMs?: number
}

export class Daemon {
  readonly directory: string
  readonly socket: string
  readonly control: string
  readonly stateDir: string
  readonly child: Child

  constructor(child: Child, directory: string, stateDir: string) {
    this.child = child
    this.directory = directory
    this.socket = join(directory, 's')
    this.control = join(directory, 'c')
    this.stateDir = stateDir
  }

  get pid(): number {
    return this.child.pid
  }

  get log(): LogEntry[] {
    return this.child.lines.map(line => parseEntry(line.text)).filter(entry => entry !== undefined)
  }

  /** The first log entry that matches: a predicate on the entry, or an expression on the line as written. */
  async waitForLog(wanted: RegExp | ((entry: LogEntry) => boolean), timeoutMs = 10_000): Promise<LogEntry> {
    const matches = (line: string) => {
      const entry = parseEntry(line)
      if (entry === undefined) return false
      return typeof wanted === 'function' ? wanted(entry) : wanted.test(line)
    }
    return parseEntry(await this.child.waitForLine(matches, { timeoutMs }))!
  }

  /** Resident memory in bytes, as the kernel has it. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024
  }

  async status(): Promise<Status> {
    const argv = [VMBRIDGE, 'status', '--json', '--control', this.control]
    const { status, stdout, stderr } = await execute(argv, { timeoutMs: 10_000 })
    if (status !== 0) throw new Error(`vmbridge status: exit ${status}\n${stdout}${stderr}`)
    return JSON.parse(stdout) as Status
  }

  /** Asks the daemon to end, waits until it has, and says how it went and how long that took. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ status: number | null; ms: number }> {
    const start = performance.now()
    const late = setTimeout(() => this.child.kill('SIGKILL'), 10_000)
    const { code } = await this.child.close(signal)
    clearTimeout(late)
    return { status: code, ms: performance.now() - start }
  }
}

function parseEntry(line: string): LogEntry | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogEntry
  } catch {
    return undefined
  }
}

/** Starts a daemon, waits until it serves, and ends it with the test. */
export async function startDaemon(t: Scope, options: DaemonOptions = {}): Promise<Daemon> {
  const { args = [], netns, env = {}, again, program = [VMBRIDGE, 'daemon'], timeoutMs = 15_000 } = options
  // Short, for a socket's path may have 107 bytes.
  const directory = again?.directory ?? mkdtempSync(join(tmpdir(), 'vbt-'))
  const stateDir = options.stateDir ?? again?.stateDir ?? join(directory, 'state')
  const paths = ['--socket', join(directory, 's'), '--control', join(directory, 'c'), '--state-dir', stateDir]
  const argv = [...program, ...paths, '--log-format', 'json', ...args]
  const child = Child.launch(netns ? netns.wrap(argv) : argv, { env })
  const daemon = new Daemon(child, directory, stateDir)
  t.teardown(async () => {
    await daemon.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  await daemon.waitForLog(entry => entry.event === 'daemon.ready', timeoutMs)
  return daemon
}
