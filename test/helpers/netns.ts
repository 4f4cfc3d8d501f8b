// A network namespace of the test's own: "the host" of a story, whose interfaces, routes and neighbours are
// nobody else's. It is named after the process that made it, so that one left by a test that was killed is
// found and removed by the next.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Host } from './host.js'

const PREFIX = 'vbt-'
const NAMESPACES = '/run/netns'

let count = 0
const living = new Set<string>()

/** Removes a namespace with the processes in it: they are all the test's, nothing else can enter it. */
function remove(name: string): void {
  try {
    const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).split('\n').filter(Boolean)
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
  } catch {
    // gone already, in part or whole
  }
  try {
    execFileSync('ip', ['netns', 'delete', name], { stdio: 'ignore' })
  } catch {
    // likewise
  }
  living.delete(name)
}

function removeStale(): void {
  if (!existsSync(NAMESPACES)) return
  for (const name of readdirSync(NAMESPACES)) {
    const maker = name.startsWith(PREFIX) ? name.split('-')[1] : undefined
    if (maker !== undefined && !existsSync(`/proc/${maker}`)) remove(name)
  }
}

process.on('exit', () => {
  for (const name of living) remove(name)
})

export class NetNs extends Host {
  override readonly name: string

  private constructor(name: string) {
    super()
    this.name = name
  }

  /** A fresh namespace with nothing but its loopback, which is up. */
  static async create(): Promise<NetNs> {
    removeStale()
    const ns = new NetNs(`${PREFIX}${process.pid}-${count++}`)
    execFileSync('ip', ['netns', 'add', ns.name])
    living.add(ns.name)
    await ns.sh('ip', 'link', 'set', 'lo', 'up')
    return ns
  }

  /** `ip` execs the program in place: the pid is the program's. */
  override wrap(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.name, ...argv]
  }

  async delete(): Promise<void> {
    remove(this.name)
  }
}

/**
 * For programs that rewrite /etc/resolv.conf (dhclient's script, dhcpcd's hook): an argument vector to put
 * before theirs, that runs them in a private mount namespace where a scratch copy lies over the file.
 * `path` is that copy, to read what was written; `close` removes it.
 */
export function withPrivateResolv(): { prefix: string[]; path: string; close: () => void } {
  const resolv = '/etc/resolv.conf'
  // A mount covers what the link points to, and a rename over the link itself would pass beneath it.
  if (lstatSync(resolv).isSymbolicLink())
    throw new Error(`${resolv} is a symbolic link: it cannot be covered`)
  const directory = mkdtempSync(join(tmpdir(), 'vbt-resolv-'))
  const path = join(directory, 'resolv.conf')
  copyFileSync(resolv, path)
  const script = `mount --bind "$0" ${resolv} && exec "$@"`
  return {
    prefix: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, path],
    path,
    close: () => rmSync(directory, { recursive: true, force: true }),
  }
}
