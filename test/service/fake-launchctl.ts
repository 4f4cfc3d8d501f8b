// A Mac as src/service/launchd.ts meets it: files in a folder, a clock that turns when somebody waits, and a launchctl
// that answers as real ones were seen to (statuses, words, and what comes late), recording each call. It shows that our
// handling fits these answers; only a Mac shows the answers themselves.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Host, Outcome } from '../../src/service/host.js'

export type FakeJob = { pid?: number; state: string; last?: string }

const done: Outcome = { status: 0, stdout: '', stderr: '' }
const failed = (status: number, stderr: string): Outcome => ({ status, stdout: '', stderr: `${stderr}\n` })

export class FakeMac implements Host {
  readonly platform = 'darwin'
  uid = 0
  readonly root: string
  /** Without `print` and `print-disabled`, which change nothing. */
  readonly calls: string[] = []
  readonly jobs = new Map<string, FakeJob>()
  readonly disabled = new Set<string>()
  /** How often `print` still finds a job that was booted out. */
  lingers = 0
  /** How often `bootstrap` fails before it works; and whether it then says so of a job that it has loaded. */
  refusals = 0
  lies = false
  /** Background items are switched off: nothing is ever loaded. */
  forbidden = false
  #leaving = new Map<string, number>()
  #now = 0
  #pids = 500

  constructor(root: string) {
    this.root = root
    this.write('/opt/vmbridge/bin/vmbridge', '#!/bin/sh\n', 0o755)
  }

  write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true, mode: 0o755 })
    writeFileSync(join(this.root, path), text, { mode })
  }

  read(path: string): string | undefined {
    const real = join(this.root, path)
    return existsSync(real) ? readFileSync(real, 'utf8') : undefined
  }

  now(): number {
    return this.#now
  }

  async pause(ms: number): Promise<void> {
    this.#now += ms
  }

  async run(file: string, args: readonly string[]): Promise<Outcome> {
    if (file !== '/bin/launchctl') throw new Error(`${file} is not what launchd is asked with`)
    const [verb, ...rest] = args
    if (!verb.startsWith('print')) this.calls.push(args.join(' '))
    switch (verb) {
      case 'print':
        return this.#print(label(rest[0]))
      case 'print-disabled':
        return { ...done, stdout: this.#printDisabled() }
      case 'enable':
        this.disabled.delete(label(rest[0]))
        return done
      case 'bootstrap':
        return this.#bootstrap(rest)
      case 'bootout':
        return this.#bootout(label(rest[0]))
      case 'kickstart':
        return this.#kickstart(label(rest.at(-1)!))
      default:
        return failed(64, `Unrecognized subcommand: ${verb}`)
    }
  }

  /** As after a crash, before launchd's next try. */
  crash(name: string, last: string): void {
    this.jobs.set(name, { state: 'spawn scheduled', last })
  }

  #bootstrap([domain, path]: string[]): Outcome {
    const text = this.read(path)
    if (domain !== 'system' || text === undefined) return failed(5, 'Bootstrap failed: 5: Input/output error')
    const name = /<key>Label<\/key>\s*<string>(.*)<\/string>/.exec(text)![1]
    if (this.disabled.has(name)) return failed(119, 'Bootstrap failed: 119: Service is disabled')
    if (this.forbidden || this.jobs.has(name) || this.refusals-- > 0)
      return failed(5, 'Bootstrap failed: 5: Input/output error')
    this.jobs.set(name, { state: 'running', pid: this.#pids++ })
    return this.lies ? failed(5, 'Bootstrap failed: 5: Input/output error') : done
  }

  #bootout(name: string): Outcome {
    if (!this.jobs.has(name)) return failed(3, 'Boot-out failed: 3: No such process')
    this.#leaving.set(name, this.lingers)
    return this.lingers > 0 ? failed(36, 'Boot-out failed: 36: Operation now in progress') : done
  }

  #kickstart(name: string): Outcome {
    const job = this.jobs.get(name)
    if (job === undefined) return failed(113, `Could not find service "${name}" in domain for system`)
    this.jobs.set(name, { ...job, state: 'running', pid: this.#pids++ })
    return done
  }

  #print(name: string): Outcome {
    const leaving = this.#leaving.get(name)
    if (leaving === 0) {
      this.#leaving.delete(name)
      this.jobs.delete(name)
    } else if (leaving !== undefined) this.#leaving.set(name, leaving - 1)
    const job = this.jobs.get(name)
    if (job === undefined)
      return failed(113, `Bad request.\nCould not find service "${name}" in domain for system`)
    return { ...done, stdout: printed(name, job) }
  }

  #printDisabled(): string {
    const lines = [...this.disabled].map(name => `\t\t"${name}" => disabled`)
    return ['\tdisabled services = {', '\t\t"com.apple.ftpd" => disabled', ...lines, '\t}', ''].join('\n')
  }
}

const label = (target: string): string => {
  if (!target.startsWith('system/')) throw new Error(`${target} is not in the system's domain`)
  return target.slice('system/'.length)
}

/** `launchctl print`, of the form of macOS 12 to 26, with the blocks that hold a `state` of their own. */
export const printed = (name: string, { pid, state, last }: FakeJob): string =>
  [
    `system/${name} = {`,
    `\tactive count = ${pid === undefined ? 0 : 1}`,
    `\tpath = /Library/LaunchDaemons/${name}.plist`,
    '\ttype = LaunchDaemon',
    `\tstate = ${state}`,
    '',
    '\tprogram = /opt/vmbridge/bin/vmbridge',
    '\targuments = {',
    '\t\t/opt/vmbridge/bin/vmbridge',
    '\t\tdaemon',
    '\t}',
    '',
    '\tstdout path = /var/log/vmbridge.log',
    '\tstderr path = /var/log/vmbridge.log',
    '\tdefault environment = {',
    '\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin',
    '\t}',
    '',
    '\tenvironment = {',
    `\t\tXPC_SERVICE_NAME => ${name}`,
    '\t}',
    '',
    '\tdomain = system',
    '\tusername = root',
    '\tminimum runtime = 10',
    '\texit timeout = 20',
    '\truns = 1',
    ...(pid === undefined ? [] : [`\tpid = ${pid}`]),
    '\timmediate reason = speculative',
    '\tforks = 0',
    '\texecs = 1',
    '\tinitialized = 1',
    '\ttrampolined = 1',
    '\tstarted suspended = 0',
    '\tproxy started suspended = 0',
    `\t${last ?? 'last exit code = (never exited)'}`,
    '',
    '\tresource coalition = {',
    '\t\tID = 1622',
    '\t\ttype = resource',
    '\t\tstate = active',
    '\t\tactive count = 1',
    `\t\tname = ${name}`,
    '\t}',
    '',
    '\tspawn type = interactive (4)',
    '\tjetsam priority = 40',
    '\tjetsam memory limit (active) = (unlimited)',
    '',
    '\tproperties = keepalive | runatload | inferred program',
    '}',
    '',
  ].join('\n')
