// A switch between ports that only note what they are given, under a clock that tests turn.

import type { FrameInspector } from '../../src/switch/inspector.js'
import { Port, type PortDriver, type PortOptions } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { framesOf, runOf } from '../helpers/frames.js'

/** A port whose driver copies what it is to send, and checks that list and count agree. */
export class Tester implements PortDriver {
  readonly port: Port
  received: Buffer[] = []
  /** Calls of transmit. */
  calls = 0

  constructor(options: Partial<PortOptions> = {}) {
    this.port = new Port({ name: 'test', role: 'vm', ...options })
    this.port.driver = this
  }

  transmit(run: Uint8Array, stretches: number, frames: number): void {
    this.calls++
    const list = this.port.stretches
    let noted = 0
    let last = 0
    for (let i = 0; i < stretches; i++) {
      const at = list[2 * i]
      if (at < last) throw new Error('stretches overlap or go backwards')
      last = at + list[2 * i + 1]
      const whole = framesOf(run.slice(at, last))
      noted += whole.length
      this.received.push(...whole)
    }
    if (noted !== frames || frames === 0) throw new Error(`${frames} frames announced, ${noted} in the list`)
  }

  /** What came since the last call. */
  take(): Buffer[] {
    return this.received.splice(0)
  }
}

export class Segment {
  readonly clock = {
    time: 0,
    now() {
      return this.time
    },
  }
  readonly switch: Switch

  constructor(options: { inspector?: FrameInspector; maxAge?: number; maxEntries?: number } = {}) {
    this.switch = new Switch({ clock: this.clock, random32: () => 0x9e3779b9, ...options })
  }

  plug(options: Partial<PortOptions> = {}): Tester {
    const tester = new Tester(options)
    this.switch.attach(tester.port)
    return tester
  }

  /** Frames in one run; returns how many bytes the switch used. */
  send(from: Tester, ...frames: readonly Uint8Array[]): number {
    return this.sendBytes(from, runOf(...frames))
  }

  /** A run as it comes, which stands in a larger buffer full of something else. */
  sendBytes(from: Tester, bytes: Uint8Array): number {
    const run = new Run(new Uint8Array(bytes.length + 64).fill(0xa5))
    run.bytes.set(bytes)
    return this.switch.ingress(from.port, run, bytes.length)
  }
}
