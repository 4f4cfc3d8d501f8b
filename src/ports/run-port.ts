/**
 * A port on a descriptor that native code reads and writes as framed runs: the stream socket of a VM or of an
 * uplink that we dialled, or a TAP. The bytes move in native code (native/stream_io.h, native/tap_linux.h); this
 * joins them to the switch.
 */

import { closeSync } from 'node:fs'
import { BridgeError } from '../errors.js'
import { native, type RunIo, type StreamIo } from '../native.js'
import type { Port } from '../switch/port.js'
import type { Run } from '../switch/run.js'
import { BROKEN_EMPTY, BROKEN_TOO_LONG, MAX_PORTS, type Switch } from '../switch/switch.js'

export interface RunPortOptions {
  switch: Switch
  /** The port to drive: attached here, detached when the descriptor ends. */
  port: Port
  /** Non-blocking; owned by the port from here on, also when it cannot be made. */
  fd: number
  /** The network's run buffer. */
  run: Run
  /**
   * The port ended by itself: `eof`, `reset`, `truncated` (inside a frame), `empty-frame`, `frame-too-long`,
   * `gone` (a TAP whose namespace went), or the name of an errno.
   */
  onEnd: (reason: string) => void
}

export class RunPort<Io extends RunIo = RunIo> {
  readonly port: Port
  readonly io: Io
  readonly #switch: Switch

  constructor(kind: typeof native.StreamIo | typeof native.TapIo, options: RunPortOptions) {
    const { switch: sw, port, fd, run, onEnd } = options
    this.port = port
    this.#switch = sw
    let broken = ''
    const onRun = (end: number, now: number): number => {
      const used = sw.ingressFromNative(port, run, end, now)
      if (used === BROKEN_EMPTY) broken = 'empty-frame'
      else if (used === BROKEN_TOO_LONG) broken = 'frame-too-long'
      return used
    }
    const ended = (reason: string): void => {
      this.#unplug()
      onEnd(broken || reason)
    }
    try {
      if (!sw.attach(port)) throw new BridgeError('ERR_SWITCH_FULL', `the switch has its ${MAX_PORTS} ports`)
      const { stretches, counters } = port
      this.io = new kind(fd, run.bytes, run.departures, stretches, counters, onRun, ended) as Io
    } catch (error) {
      this.#unplug()
      closeSync(fd)
      throw error
    }
    port.driver = this.io
    port.slot = this.io.slot()
  }

  close(): void {
    this.io.close()
    this.#unplug()
  }

  #unplug(): void {
    this.port.slot = -1
    this.#switch.detach(this.port)
  }
}

export type StreamPort = RunPort<StreamIo>

export function streamPort(options: RunPortOptions): StreamPort {
  return new RunPort<StreamIo>(native.StreamIo, options)
}

export function tapPort(options: RunPortOptions): RunPort {
  return new RunPort(native.TapIo, options)
}
