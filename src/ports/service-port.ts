/**
 * A port for a service inside this process, such as the DHCP server: one more host on the segment.
 *
 * Frames reach it in the middle of a run, in borrowed memory and outside of any callback scope. So those that
 * the service wants are copied into a bounded queue, and handed over from an event of the loop (setImmediate),
 * where promises and timers work and answers may be sent at once.
 */

import { DROP_TX_DOWN, DROP_TX_FULL, DROP_TX_TOO_BIG, TX_BYTES, TX_FRAMES } from '../switch/counters.js'
import { Port, type PortDriver } from '../switch/port.js'
import { LENGTH_BYTES, Run } from '../switch/run.js'
import type { Switch } from '../switch/switch.js'

export interface Service {
  /** Whether the frame at `at` is worth a copy. Called on the data path: offset reads only. */
  wants(bytes: Uint8Array, at: number, length: number): boolean
  /** One frame, borrowed for the call. It never throws. */
  handleFrame(bytes: Uint8Array, at: number, length: number): void
}

/** Frames a service takes: DHCP and ARP fit an Ethernet frame of the usual MTU, and nothing else is wanted. */
const MAX_SERVICE_FRAME = 1518

/** How much may wait for the service: about 200 DHCP messages of the usual size. */
const QUEUE_BYTES = 64 * 1024

export class ServicePort implements PortDriver {
  readonly port: Port
  readonly #switch: Switch
  readonly #queue = Run.allocate(QUEUE_BYTES)
  readonly #out = Run.allocate(LENGTH_BYTES + MAX_SERVICE_FRAME)
  #service: Service | undefined
  #queued = 0
  #scheduled: NodeJS.Immediate | undefined

  constructor(sw: Switch, name: string) {
    this.#switch = sw
    this.port = new Port({ name, role: 'service' })
    this.port.driver = this
    sw.attach(this.port)
  }

  /** Starts handing frames to `service`. */
  serve(service: Service): void {
    this.#service = service
  }

  /** Puts a frame onto the segment, as if it came from a cable. Not to be called from within a run. */
  send(frame: Uint8Array): void {
    if (this.port.id < 0 || frame.length > MAX_SERVICE_FRAME) return
    const { bytes, view } = this.#out
    view.setUint32(0, frame.length)
    bytes.set(frame, LENGTH_BYTES)
    this.#switch.ingress(this.port, this.#out, LENGTH_BYTES + frame.length)
  }

  transmit(run: Uint8Array, stretches: number): void {
    const list = this.port.stretches
    for (let i = 0; i < stretches; i++) {
      let at = list[2 * i]
      const end = at + list[2 * i + 1]
      while (at < end) {
        const length = (run[at] << 24) | (run[at + 1] << 16) | (run[at + 2] << 8) | run[at + 3]
        this.#take(run, at, length)
        at += LENGTH_BYTES + length
      }
    }
  }

  close(): void {
    clearImmediate(this.#scheduled)
    this.#scheduled = undefined
    this.#service = undefined
    this.#switch.detach(this.port)
  }

  #take(run: Uint8Array, at: number, length: number): void {
    const service = this.#service
    const { counters } = this.port
    if (service === undefined) {
      counters[DROP_TX_DOWN]++
      return
    }
    if (!service.wants(run, at + LENGTH_BYTES, length)) return
    const size = LENGTH_BYTES + length
    if (length > MAX_SERVICE_FRAME) {
      counters[DROP_TX_TOO_BIG]++
      return
    }
    if (this.#queued + size > QUEUE_BYTES) {
      counters[DROP_TX_FULL]++
      return
    }
    this.#queue.bytes.set(run.subarray(at, at + size), this.#queued)
    this.#queued += size
    counters[TX_FRAMES]++
    counters[TX_BYTES] += length
    this.#scheduled ??= setImmediate(() => this.#deliver())
  }

  #deliver(): void {
    this.#scheduled = undefined
    const { bytes, view } = this.#queue
    const end = this.#queued
    let at = 0
    // A service may answer, and an answer may come back here: what that adds stands behind `end`.
    while (at < end) {
      const length = view.getUint32(at)
      this.#service?.handleFrame(bytes, at + LENGTH_BYTES, length)
      at += LENGTH_BYTES + length
    }
    if (this.#queued > end) {
      bytes.copyWithin(0, end, this.#queued)
      this.#scheduled ??= setImmediate(() => this.#deliver())
    }
    this.#queued -= end
  }
}
