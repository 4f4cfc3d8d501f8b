/**
 * A port: anything that hands frames to the switch and takes frames from it. This class is the part that the
 * switch touches for every frame, so it is concrete and monomorphic; what is behind the port (a stream socket,
 * a TAP, a service inside this process) is its driver, called once a run.
 *
 * Egress is a list of stretches (offset, length) of the run that is being forwarded, in `stretches`. A stretch
 * holds whole frames with their 32-bit lengths; frames that touch grow the last stretch, so that a run which
 * goes to one port as it came is one stretch, and one system call.
 */

import { COUNTERS } from './counters.js'

/** How many stretches a port's list holds before it is flushed early: IOV_MAX of one sendmsg. */
export const MAX_STRETCHES = 1024

/** The default limit towards a stream port: limactl's copy buffer closes its link above this. */
export const STREAM_MAX_FRAME = 32_768

export type PortRole = 'vm' | 'uplink' | 'service'

export interface PortDriver {
  /**
   * Sends `frames` frames that stand in the first `stretches` pairs of the port's list, and counts what was
   * sent and dropped. `run` is borrowed for the length of the call. It never throws and never closes a port.
   */
  transmit(run: Uint8Array, stretches: number, frames: number): void
}

/** Until a port has its driver, which is before it carries anything, frames towards it go nowhere. */
const NO_DRIVER: PortDriver = { transmit() {} }

export interface PortOptions {
  name: string
  role: PortRole
  /** Largest Ethernet frame towards this port, in bytes without FCS; longer ones are dropped and counted. */
  maxFrame?: number
}

export class Port {
  readonly name: string
  readonly role: PortRole
  readonly isUplink: boolean
  readonly counters = new Float64Array(COUNTERS)
  /** (offset, length) pairs into the run; shared with the native runs out. */
  readonly stretches = new Int32Array(2 * MAX_STRETCHES)
  maxFrame: number
  driver: PortDriver = NO_DRIVER

  /**
   * Bytes from one frame to the next in this port's runs, where each has a slot of that size however short it is (the
   * reader had to give out buffers before it knew the lengths); 0: frames follow each other. A longer one stands alone.
   */
  slotBytes = 0
  /** Where native code finds the port's driver to send its list by itself after a run; -1: by `transmit` only. */
  slot = -1
  /** The switch's index of this port, or -1 while it is not attached. */
  id = -1
  /** Pairs in use. */
  count = 0
  /** Frames in those pairs. */
  frames = 0
  /** Where the last stretch ends, so that a frame that touches it only grows it. */
  end = 0

  constructor({ name, role, maxFrame = STREAM_MAX_FRAME }: PortOptions) {
    this.name = name
    this.role = role
    this.isUplink = role === 'uplink'
    this.maxFrame = maxFrame
  }
}
