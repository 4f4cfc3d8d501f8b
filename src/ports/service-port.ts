/**
 * A port for a service inside this process, such as the DHCP server: one more host on the segment.
 *
 * Frames reach it in the middle of a run, in borrowed memory and outside of any callback scope. So those that
 * the service wants are copied into a bounded queue, and handed over from an event of the loop (setImmediate),
 * where promises and timers work: a slice at a time, so that a flood for the service does not hold up what others
 * forward. What the service says is collected too, and leaves as one run: at the end of the slice that it answers,
 * else at the end of the loop's turn. So a service never calls into the switch, which may be in the middle of a run.
 */

import { DROP_TX_DOWN, DROP_TX_FULL, DROP_TX_TOO_BIG, TX_BYTES, TX_FRAMES } from '../switch/counters.js'
import { Port, type PortDriver } from '../switch/port.js'
import { LENGTH_BYTES, Run } from '../switch/run.js'
import type { Clock, Switch } from '../switch/switch.js'
import { FairQueue } from './fair-queue.js'

export interface Service {
  /** Whether the frame at `at` is worth a copy. Called on the data path: offset reads only. */
  wants(bytes: Uint8Array, at: number, length: number): boolean
  /**
   * One frame, borrowed for the call, that came in by `port`, which may have closed since; undefined if the switch
   * did not say. It never throws.
   */
  handleFrame(bytes: Uint8Array, at: number, length: number, port: Port | undefined): void
}

/** Frames a service takes: DHCP and ARP fit an Ethernet frame of the usual MTU, and nothing else is wanted. */
const MAX_SERVICE_FRAME = 1518

/** How much may wait for the service: some 3,400 DHCP messages of the usual size, half of them from one port. */
const QUEUE_BYTES = 1024 * 1024

/**
 * What a service gets in one turn of the loop: forwarding waits for it. A DHCP message takes some tens of
 * microseconds, so the frames are the bound in life, and the time is one for what takes longer than thought.
 */
const SLICE_FRAMES = 64
const SLICE_MS = 2

/** What a service may say before it leaves in a run: more than the answers of a slice. */
const OUT_BYTES = 64 * 1024

export class ServicePort implements PortDriver {
  readonly port: Port
  readonly #switch: Switch
  readonly #clock: Clock
  readonly #queue = new FairQueue(QUEUE_BYTES)
  readonly #out = Run.allocate(OUT_BYTES)
  #outEnd = 0
  #service: Service | undefined
  #delivery: NodeJS.Immediate | undefined
  #departure: NodeJS.Immediate | undefined

  /** `clock` times the slices: one that goes on within a turn of the loop, which that of the switch does not. */
  constructor(sw: Switch, name: string, clock: Clock = performance) {
    this.#switch = sw
    this.#clock = clock
    this.port = new Port({ name, role: 'service' })
    this.port.driver = this
    sw.attach(this.port)
  }

  /** Starts handing frames to `service`. */
  serve(service: Service): void {
    this.#service = service
  }

  /**
   * Puts a frame onto the segment, as if it came from a cable, after those that were sent before: by the end of the
   * loop's turn, or of `close`. It is copied. May be called from anywhere, the middle of a run included: only what
   * is sent there beyond OUT_BYTES is lost.
   */
  send(frame: Uint8Array): void {
    const { length } = frame
    if (this.port.id < 0 || length === 0 || length > MAX_SERVICE_FRAME) return
    const size = LENGTH_BYTES + length
    if (this.#outEnd + size > OUT_BYTES) this.#flush()
    if (this.#outEnd + size > OUT_BYTES) return
    const { bytes, view } = this.#out
    view.setUint32(this.#outEnd, length)
    bytes.set(frame, this.#outEnd + LENGTH_BYTES)
    this.#outEnd += size
    this.#departure ??= setImmediate(this.#depart)
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

  /** Sends what was said, and hears no more. Not to be called from within a run. */
  close(): void {
    this.#flush()
    clearImmediate(this.#delivery)
    clearImmediate(this.#departure)
    this.#delivery = undefined
    this.#departure = undefined
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
    if (length > MAX_SERVICE_FRAME) {
      counters[DROP_TX_TOO_BIG]++
      return
    }
    if (!this.#queue.put(run, at, LENGTH_BYTES + length, this.#switch.ingressPort)) {
      counters[DROP_TX_FULL]++
      return
    }
    counters[TX_FRAMES]++
    counters[TX_BYTES] += length
    this.#delivery ??= setImmediate(this.#deliver)
  }

  readonly #deliver = (): void => {
    const queue = this.#queue
    const until = this.#clock.now() + SLICE_MS
    // What comes while frames are handed over waits for the next slice.
    let left = Math.min(queue.frames, SLICE_FRAMES)
    while (left-- > 0 && this.#service !== undefined) {
      this.#service.handleFrame(queue.bytes, queue.at, queue.length, queue.port)
      queue.shift()
      if (this.#clock.now() >= until) break
    }
    queue.compact()
    this.#delivery = queue.frames > 0 && this.#service !== undefined ? setImmediate(this.#deliver) : undefined
    this.#flush()
  }

  readonly #depart = (): void => {
    this.#departure = undefined
    this.#flush()
  }

  /** Hands the switch what the service said. In the middle of a run that must wait. */
  #flush(): void {
    const end = this.#outEnd
    if (end === 0 || this.#switch.ingressPort !== undefined) return
    this.#switch.ingress(this.port, this.#out, end)
    // Who looks at that run may have had the service say more: it stands behind.
    this.#out.bytes.copyWithin(0, end, this.#outEnd)
    this.#outEnd -= end
  }
}
