// socket_vmnet as the programs that start it meet it: known by its streams, its exit status and the files that it makes.
// What it keeps as root (below /var/lib) goes to a folder of the test, in a private mount namespace.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Station } from '../daemon/station.js'
import { Child, execute } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import type { Host } from '../helpers/host.js'
import type { Need } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'

export const SOCKET_VMNET = join(ROOT, 'bin/socket_vmnet')
export const CLIENT = join(ROOT, 'build/Release/socket_vmnet_client')

export const COMPAT_NEEDS: readonly Need[] = ['linux', 'root', 'tap', 'ip', 'unshare', 'setpriv', 'pkill']

/** Folders of the system, each with the folder that lies over it for one process and its children. */
export type Mounts = Record<string, string>

/** The argument vector that runs a program, with its own PID, where the folders are others. */
export function withMounts(mounts: Mounts, argv: readonly string[]): string[] {
  const binds = Object.values(mounts).map((_, i) => `mount --bind "\${${2 * i + 1}}" "\${${2 * i + 2}}"`)
  const words = Object.entries(mounts).flatMap(([over, folder]) => [folder, over])
  const script = `${[...binds, `shift ${words.length}`].join(' && ')} && exec "$@"`
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...words, ...argv]
}

/** A short folder that anybody may enter, with `lib` in it for what is kept. */
export function place(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface Start {
  netns: Host
  /** Behind the options that put its files into the folder; SOCKET is added. */
  args?: readonly string[]
  env?: Record<string, string>
  folder?: string
}

export interface Running {
  child: Child
  folder: string
  socket: string
  pidfile: string
}

const command = ({ netns, args = [] }: Start, folder: string): string[] =>
  netns.wrap(withMounts({ '/var/lib': folder }, [SOCKET_VMNET, ...args]))

/** Starts it on `s` in the folder, with the pidfile `p`, and waits until it serves. */
export async function startSocketVmnet(t: Scope, options: Start): Promise<Running> {
  const folder = options.folder ?? place(t)
  const [socket, pidfile] = [join(folder, 's'), join(folder, 'p')]
  const argv = [...command(options, folder), '--pidfile', pidfile, socket]
  const child = Child.launch(argv, { env: options.env ?? {} })
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/^INFO \| ready: /)
  return { child, folder, socket, pidfile }
}

/** One that must not start: it is run to its end. */
export const refusedSocketVmnet = (
  options: Start & { folder: string },
): Promise<{ status: number; stdout: string; stderr: string }> =>
  execute(command(options, options.folder), { env: options.env ?? {} })

/** A VM whose port is there: the frames of others reach it from then on. */
export async function plug(t: Scope, { child, socket }: Running): Promise<Station> {
  const from = child.lines.length
  const station = await Station.connect(t, socket)
  await child.waitForLine(/^INFO \| Accepted a connection \(fd \d+\)$/, { from })
  return station
}
