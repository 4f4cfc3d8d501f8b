/**
 * A port on a descriptor that native code reads and writes as framed runs: the stream socket of a VM or of an
 * uplink that we dialled, a datagram socket of a VM, a TAP or an interface of vmnet. The bytes move in native code
 * (native/stream_io.h, dgram_io.h, tap_linux.h, vmnet_darwin.h); this joins them to the switch.
 */

import { closeSync } from 'node:fs'
import { BridgeError } from '../errors.js'
import {
  native,
  type DgramIo,
  type DgramSource,
  type RunIo,
  type StreamIo,
  type VmnetInterface,
  type VmnetIo,
} from '../native.js'
import type { Port } from '../switch/port.js'
import { LENGTH_BYTES, MAX_FRAME, MIN_FRAME, type Run } from '../switch/run.js'
import { BROKEN_EMPTY, BROKEN_TOO_LONG, MAX_PORTS, type Switch } from '../switch/switch.js'
import { ETHERNET_SOURCE } from '../wire/ethernet.js'
import { isStationMac, macHigh, macLow } from '../wire/mac.js'

export interface PortOptions {
  switch: Switch
  /** The port to drive: attached here, detached when what is behind it ends. */
  port: Port
  /** The network's run buffer. */
  run: Run
  /**
   * The port ended by itself: `eof`, `reset`, `truncated` (inside a frame), `empty-frame`, `frame-too-long`,
   * `gone` (a TAP whose namespace went, a VM whose datagram socket did), `datagrams` (a stream that goes on by
   * StreamIo.passed), the name of an errno, or the status of a vmnet call.
   */
  onEnd: (reason: string) => void
  /**
   * Called once, before the first run with a whole frame is forwarded, with that frame's source address as hi * 2^32 +
   * lo; not at all when that is no station's. Runts do not count. On the data path, and not within a run.
   */
  onFirstFrame?: (source: number) => void
}

export interface RunPortOptions extends PortOptions {
  /** Non-blocking; owned by the port from here on, also when it cannot be made. */
  fd: number
}

/** What native code wants to make the other half of a port, besides what it reads and writes. */
type Shared = ConstructorParameters<typeof native.TapIo> extends [number, ...infer Rest] ? Rest : never

export class RunPort<Io extends RunIo = RunIo> {
  readonly port: Port
  readonly io: Io
  readonly #switch: Switch

  constructor(make: (...shared: Shared) => Io, options: PortOptions) {
    const { switch: sw, port, run, onEnd, onFirstFrame } = options
    this.port = port
    this.#switch = sw
    let broken = ''
    let isSilent = onFirstFrame !== undefined
    const onRun = (end: number, now: number, start: number): number => {
      if (isSilent) {
        const source = firstSource(run, start, end, port.slotBytes)
        isSilent = source < 0
        if (source > 0) onFirstFrame!(source)
      }
      const used = sw.ingressFromNative(port, run, end, now, start)
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
      this.io = make(run.bytes, run.departures, stretches, counters, onRun, ended)
    } catch (error) {
      this.#unplug()
      throw error
    }
    port.driver = this.io
    port.slot = this.io.slot()
  }

  /** Bytes that wait to be taken. */
  queuedBytes(): number {
    return this.io.queuedBytes?.() ?? 0
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
  return onDescriptor(
    options.fd,
    () => new RunPort((...shared) => new native.StreamIo(options.fd, ...shared), options),
  )
}

export function tapPort(options: RunPortOptions): RunPort {
  return onDescriptor(
    options.fd,
    () => new RunPort((...shared) => new native.TapIo(options.fd, ...shared), options),
  )
}

export type DgramPort = RunPort<DgramIo>

/** @param from a descriptor in it is owned by the port from here on, also when it cannot be made */
export function dgramPort(from: DgramSource, options: PortOptions): DgramPort {
  const make = (): DgramPort => new RunPort((...shared) => new native.DgramIo(from, ...shared), options)
  const made = 'fd' in from ? onDescriptor(from.fd, make) : make()
  options.port.slotBytes = made.io.slotBytes()
  return made
}

/** @param from an interface that runs; it is not stopped by the port's end */
export function vmnetPort(from: VmnetInterface, options: PortOptions): RunPort<VmnetIo> {
  const made = new RunPort((...shared) => new native.VmnetIo(from, ...shared), options)
  options.port.slotBytes = made.io.slotBytes()
  return made
}

function onDescriptor<P>(fd: number, make: () => P): P {
  try {
    return make()
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/**
 * The source of the first whole frame from `start` to `end` of a run, as hi * 2^32 + lo; 0 when it is no station's
 * address, and -1 when there is no such frame yet.
 */
export function firstSource({ bytes, view }: Run, start: number, end: number, slotBytes: number): number {
  for (let at = start; at + LENGTH_BYTES <= end;) {
    const length = view.getUint32(at)
    const frame = at + LENGTH_BYTES
    if (length === 0 || length > MAX_FRAME || frame + length > end) return -1
    if (length >= MIN_FRAME) {
      const [high, low] = [macHigh(bytes, frame + ETHERNET_SOURCE), macLow(bytes, frame + ETHERNET_SOURCE)]
      return isStationMac(high, low) ? high * 2 ** 32 + low : 0
    }
    at = Math.max(frame + length, at + slotBytes)
  }
  return -1
}
