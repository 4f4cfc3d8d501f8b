/**
 * The addon's face: its types, and the one place that loads it. Errors of native calls are system errors with
 * `code`, `errno` and `syscall`, as Node's own have.
 */

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The native half of a port: reads framed runs from a descriptor and writes a port's list to it. */
export interface RunIo {
  /** Sends the first `stretches` pairs of the port's list, `frames` frames, out of `run`, and counts them. */
  transmit(run: Uint8Array, stretches: number, frames: number): void
  /** Closes the descriptor; neither callback is called again. */
  close(): void
  /** The number by which `departures` names this port. */
  slot(): number
}

export interface StreamIo extends RunIo {
  /** Bytes that wait for the socket to take them. */
  queuedBytes(): number
}

type RunIoConstructor<Io extends RunIo> = new (
  /** Owned from here on, unless the constructor throws. */
  fd: number,
  /** The run buffer that this network's ports share; filled before each onRun. */
  run: Uint8Array,
  /** Where onRun leaves what is to be sent: how many ports, then (slot, stretches, frames) for each. */
  departures: Int32Array,
  stretches: Int32Array,
  counters: Float64Array,
  /**
   * Walks the first `end` bytes of the run buffer and returns how many it used, or a negative number when the
   * framing is broken; `now` is the loop's time, in ms as `now()` gives it. Called outside of any callback scope:
   * promises and ticks made here wait.
   */
  onRun: (end: number, now: number) => number,
  /** The port ended by itself, for example `eof`, `truncated`, `framing`, `reset`, `gone`, or an errno's name. */
  onEnd: (reason: string) => void,
) => Io

export interface Credentials {
  pid: number
  uid: number
  gid: number
}

export interface Listener {
  close(): void
  pause(): void
  resume(): void
}

export interface TapOptions {
  /** At most 15 bytes; may hold %d, for the kernel to fill. */
  name: string
  mtu: number
  /** IPv4 address as a number in host byte order, with the length of its prefix. */
  address?: number
  prefix?: number
  mac?: Uint8Array
  /** Path of a network namespace to make it in. */
  netns?: string
}

export interface ExecOptions {
  file: string
  /** argv, its name included: the last arguments of this process's own. */
  args: readonly string[]
  /** Becomes descriptor 3. */
  fd: number
  /** What the launcher noted before Node started (native/inherited.h). */
  inherited?: string
}

interface Native {
  StreamIo: RunIoConstructor<StreamIo>
  /** Linux only. */
  TapIo: RunIoConstructor<RunIo>
  Listener: new (
    fd: number,
    onConnection: (fd: number, pid: number, uid: number, gid: number) => void,
    onError: (code: string) => void,
  ) => Listener
  /** Binds, sets mode and group (gid -1: leave it) and listens. The path must be free. */
  listen(path: string, mode: number, gid: number): number
  dial(path: string, nonBlocking: boolean): number
  peerCredentials(fd: number): Credentials
  /** Linux only. */
  openTap(options: TapOptions): { fd: number; name: string; mac: Uint8Array }
  /** Returns only by throwing. */
  exec(options: ExecOptions): never
  /** Ends the process without waiting for anything. */
  exitNow(status: number): never
  /** Monotonic ms: the clock of onRun's `now`. */
  now(): number
  /** The number of a group, or undefined when there is none of that name. */
  groupId(name: string): number | undefined
  /** Takes an exclusive lock on an open file without waiting; false when another process has it. */
  lock(fd: number): boolean
}

const require = createRequire(import.meta.url)
const load = require('node-gyp-build') as (root: string) => Native

/** The package's root, from dist/src/native.js. */
const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

export const native = load(packageRoot)
