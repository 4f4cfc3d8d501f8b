// A container whose PID 1 is systemd: name spaces and a cgroup of its own, and files that are an overlay over this
// machine's. The checkout is in /srv/vmbridge, Node in /srv/node. It ends with the test, also when the test's own process
// is killed: the kernel then signals `unshare`, and with PID 1 all of the name space goes.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Child, execute, type LaunchOptions } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { ROOT } from '../helpers/root.js'

export const CONTAINER_NEEDS = [
  'linux',
  'root',
  'tap',
  'unshare',
  'nsenter',
  'systemctl',
  'ip',
  'journalctl',
] as const

const PREFIX = 'vbt-'
const NAMESPACES = ['--mount', '--pid', '--net', '--uts', '--ipc']

/** Where the kernel shows version 2 of the control groups: alone, or beside those of version 1. */
function cgroupRoot(): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const found = mounts.map(line => line.split(' ')).find(([, , type]) => type === 'cgroup2')
  if (found === undefined) throw new Error('no cgroup2 is mounted: systemd needs one')
  return found[1]
}

/** Removes a control group with those below it, once the last process has left. */
async function removeCgroup(path: string): Promise<void> {
  for (let tries = 100; ; tries--) {
    try {
      for (const entry of readdirSync(path, { recursive: true, withFileTypes: true }).reverse())
        if (entry.isDirectory()) rmdirSync(join(entry.parentPath, entry.name))
      return rmdirSync(path)
    } catch (error) {
      // Killed processes need a moment to leave it.
      if (tries === 0) throw error
      await sleep(50)
    }
  }
}

async function removeStale(cgroups: string): Promise<void> {
  for (const name of readdirSync(cgroups)) {
    const maker = name.startsWith(PREFIX) ? name.split('-')[1] : undefined
    if (maker !== undefined && !existsSync(`/proc/${maker}`)) await removeCgroup(join(cgroups, name))
  }
}

export class Container {
  readonly #pid: string

  private constructor(pid: string) {
    this.#pid = pid
  }

  /** Resolves when systemd is up. */
  static async start(t: Scope): Promise<Container> {
    const cgroups = cgroupRoot()
    await removeStale(cgroups)
    const cgroup = join(cgroups, `${PREFIX}${process.pid}`)
    mkdirSync(cgroup)
    const work = mkdtempSync(join(tmpdir(), PREFIX))
    const up = join(work, 'up')
    execFileSync('mkfifo', [up])
    const init = [join(ROOT, 'test/service/container-init'), work, ROOT, process.execPath]
    const enter = 'echo $$ >"$0/cgroup.procs" && exec unshare --fork --kill-child --cgroup "$@"'
    const systemd = Child.launch(['sh', '-c', enter, cgroup, ...NAMESPACES, ...init])
    const ready = Child.launch(['cat', up])
    t.teardown(async () => {
      await ready.close()
      await systemd.close()
      await removeCgroup(cgroup)
      rmSync(work, { recursive: true, force: true })
    })
    const [, pid] = (await systemd.waitForLine(/^pid \d+$/)).split(' ')
    await ready.waitForLine(/^up$/, { timeoutMs: 40_000 })
    return new Container(pid)
  }

  wrap(argv: readonly string[]): string[] {
    // Nothing of the caller's environment: the commands are called as a person there would.
    const env = [
      'env',
      '-i',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin:/opt/vmbridge/bin',
      'LC_ALL=C',
      'HOME=/root',
    ]
    return ['nsenter', '--target', this.#pid, ...NAMESPACES, '--', ...env, ...argv]
  }

  exec(argv: readonly string[], options: LaunchOptions & { timeoutMs?: number; input?: string } = {}) {
    return execute(this.wrap(argv), { timeoutMs: 60_000, ...options })
  }

  /** As `exec`, for a program that must succeed: its stdout. */
  async sh(...argv: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.exec(argv)
    if (status !== 0)
      throw new Error(`${argv.join(' ')}: status ${status}\n${stdout}${stderr}${await this.log()}`)
    return stdout
  }

  spawn(argv: readonly string[]): Child {
    return Child.launch(this.wrap(argv))
  }

  /** The end of the journal. */
  async log(): Promise<string> {
    return (await this.exec(['journalctl', '--no-pager', '--lines=40'])).stdout
  }
}
