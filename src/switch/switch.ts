/**
 * The switch: walks a framed run once, learns where each sender is, and notes every frame on the egress list of
 * the ports that it is for. When the run ends, each port that got something sends its list with one call.
 *
 * The walk is the hot path: it allocates nothing, calls nothing per frame but the inspector for ARP, DHCP and
 * neighbour discovery, and asks the time once a run. Frames of one flow follow each other in a run, so the
 * verdict of the last frame is kept: a frame with the same two addresses costs three compares and no look-up.
 *
 * Rules (IEEE 802.1D, as the Linux bridge reads them): a source is learnt unless it is a group address; a known
 * destination gets the frame alone; broadcast, multicast and unknown destinations get flooded; a frame never
 * leaves by the port it came from; order per sender is kept, since a run is walked in order and every list is
 * sent in order.
 */

import {
  DROP_RX_DHCP_RATE,
  DROP_RX_GUARD,
  DROP_RX_ROGUE,
  DROP_RX_RUNT,
  DROP_RX_SAME_PORT,
  DROP_TX_TOO_BIG,
  FDB_MOVES,
  FDB_REFUSED,
  RX_BYTES,
  RX_FRAMES,
} from './counters.js'
import { Fdb, LEARN_MOVED, LEARN_REFUSED, type FdbEntry, type FdbOptions } from './fdb.js'
import {
  DROP_GUARDED,
  DROP_RATE,
  DROP_ROGUE,
  KEEP_FROM_UPLINK,
  NO_INSPECTOR,
  PASS,
  type FrameInspector,
} from './inspector.js'
import { MAX_STRETCHES, type Port } from './port.js'
import { LENGTH_BYTES, MAX_DEPARTURES, MAX_FRAME, MIN_FRAME, type Run } from './run.js'

/** Returned by `ingress` when the port's framing is broken: it announced an empty frame, or one too long. */
export const BROKEN_EMPTY = -1
export const BROKEN_TOO_LONG = -2

/** How many ports a switch takes: bounds what a local user who opens connections can cost. */
export const MAX_PORTS = MAX_DEPARTURES

/** Addresses that a port may hold however many the others hold: a guest cannot make the switch a hub for others. */
const FDB_RESERVED = 16
const VM_FDB_SHARE = 1024
const UPLINK_FDB_SHARE = 4096

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_ARP = 0x0806
const ETHERTYPE_IPV6 = 0x86dd
const ETHERTYPE_VLAN = 0x8100
const ETHERTYPE_SERVICE_VLAN = 0x88a8
const PROTOCOL_UDP = 17
const PROTOCOL_ICMPV6 = 58

/** A verdict on a destination that is not one port. */
const FLOOD = -1
const SAME_PORT = -2

/** Milliseconds that never go back. */
export interface Clock {
  now(): number
}

export interface SwitchOptions extends FdbOptions {
  clock: Clock
  inspector?: FrameInspector
}

export class Switch {
  readonly ports: Port[] = []
  inspector: FrameInspector
  /** Where frames go that were for the uplink but must not cross it. */
  servicePort: Port | undefined
  /**
   * The port whose run is being walked: where a frame that a driver is told to transmit came in. Undefined between
   * runs. While it is set, nothing may call `ingress`: the lists of the ports speak of that run.
   */
  ingressPort: Port | undefined

  readonly #clock: Clock
  readonly #fdb: Fdb
  readonly #byId: (Port | undefined)[] = []
  /** Ports with something on their list, in the order of their first frame. */
  readonly #pending: Port[] = []
  #pendingCount = 0

  constructor({ clock, inspector = NO_INSPECTOR, ...fdb }: SwitchOptions) {
    this.#clock = clock
    this.#fdb = new Fdb({ reserved: FDB_RESERVED, maxPorts: MAX_PORTS, ...fdb })
    this.inspector = inspector
  }

  /** Plugs a port in. Returns false when the switch is full. */
  attach(port: Port): boolean {
    if (this.ports.length >= MAX_PORTS) return false
    let id = 0
    while (this.#byId[id] !== undefined) id++
    this.#byId[id] = port
    port.id = id
    this.#fdb.addPort(id, port.isUplink ? UPLINK_FDB_SHARE : VM_FDB_SHARE)
    this.ports.push(port)
    if (port.role === 'service') this.servicePort = port
    this.inspector.addPort(port)
    return true
  }

  /** Unplugs a port and forgets the addresses behind it. A port that is not attached is left alone. */
  detach(port: Port): void {
    if (port.id < 0) return
    this.#fdb.flushPort(port.id)
    this.inspector.forgetPort(port.id)
    this.#byId[port.id] = undefined
    this.ports.splice(this.ports.indexOf(port), 1)
    port.id = -1
    if (this.servicePort === port) this.servicePort = undefined
  }

  /** The port of an FDB entry or of another note of a port's id. */
  portById(id: number): Port | undefined {
    return this.#byId[id]
  }

  /** The port behind which a station was last heard: its MAC address as high 16 and low 32 bits. */
  locate(high: number, low: number): Port | undefined {
    return this.#byId[this.#fdb.lookup(high, low | 0, this.#clock.now())]
  }

  /** What is known now, for people to read: not for the hot path. */
  fdbEntries(): FdbEntry[] {
    return [...this.#fdb.entries(this.#clock.now())]
  }

  /** Milliseconds of the clock that FDB entries are stamped with. */
  now(): number {
    return this.#clock.now()
  }

  /**
   * Forwards the whole frames in the first `end` bytes of `run`. Returns how many bytes were used: what is
   * left is the beginning of a frame that is not whole yet. Returns BROKEN_EMPTY or BROKEN_TOO_LONG when the
   * framing cannot be followed any further; the frames before that were forwarded.
   */
  ingress(from: Port, run: Run, end: number): number {
    this.ingressPort = from
    const used = this.#walk(from, run, 0, end, this.#clock.now())
    this.#flush(run.bytes)
    this.ingressPort = undefined
    return used
  }

  /**
   * The same for a run that native code has read, at `now` of the switch's clock, of which this port's frames begin at
   * `start`: what native ports are to send is left in `run.departures`, and sent when this returns, without another call.
   */
  ingressFromNative(from: Port, run: Run, end: number, now: number, start: number): number {
    this.ingressPort = from
    const used = this.#walk(from, run, start, end, now)
    this.#handOver(run)
    this.ingressPort = undefined
    return used
  }

  #walk(from: Port, run: Run, start: number, end: number, now: number): number {
    const { bytes, view } = run
    const { counters, slotBytes } = from
    let at = start
    let broken = 0
    let frames = 0
    let frameBytes = 0
    // The addresses of the last frame, as three words, and where such a frame goes.
    let first = 0
    let second = 0
    let third = 0
    let target = FLOOD
    let known = false
    // Frames one behind the other that go to one port are noted together: where they begin, and how many.
    let port: Port | undefined
    let streakAt = 0
    let streak = 0

    while (at + LENGTH_BYTES <= end) {
      const length = view.getUint32(at)
      if (length === 0 || length > MAX_FRAME) {
        broken = length === 0 ? BROKEN_EMPTY : BROKEN_TOO_LONG
        break
      }
      const frame = at + LENGTH_BYTES
      const next = frame + length
      if (next > end) break
      frames++
      frameBytes += length
      if (length < MIN_FRAME) {
        if (streak > 0) this.#note(port!, streakAt, at, streak, bytes)
        streak = 0
        counters[DROP_RX_RUNT]++
        at = next < at + slotBytes ? at + slotBytes : next
        continue
      }

      const a = view.getInt32(frame)
      const b = view.getInt32(frame + 4)
      const c = view.getInt32(frame + 8)
      if (!known || a !== first || b !== second || c !== third) {
        if (streak > 0) this.#note(port!, streakAt, at, streak, bytes)
        streak = 0
        target = this.#resolve(from, a, b, c, now)
        port = target >= 0 ? this.#byId[target] : undefined
        first = a
        second = b
        third = c
        known = true
      }

      const etherType = view.getUint16(frame + 12)
      const verdict =
        etherType === ETHERTYPE_ARP ||
        (etherType === ETHERTYPE_IPV4 && bytes[frame + 23] === PROTOCOL_UDP) ||
        (etherType === ETHERTYPE_IPV6 && bytes[frame + 20] === PROTOCOL_ICMPV6) ||
        etherType === ETHERTYPE_VLAN ||
        etherType === ETHERTYPE_SERVICE_VLAN
          ? this.inspector.inspect(bytes, frame, length, from, now)
          : PASS

      if (verdict === PASS && port !== undefined && length <= port.maxFrame) {
        if (streak++ === 0) streakAt = at
        // The rest of a slot stands between this frame and the next.
        if (next < at + slotBytes) {
          this.#note(port, streakAt, next, streak, bytes)
          streak = 0
        }
      } else {
        if (streak > 0) this.#note(port!, streakAt, at, streak, bytes)
        streak = 0
        if (verdict !== PASS) this.#forwardInspected(from, target, verdict, at, next, bytes)
        else if (port !== undefined) port.counters[DROP_TX_TOO_BIG]++
        else if (target === FLOOD) this.#flood(from, at, next, bytes)
        else counters[DROP_RX_SAME_PORT]++
      }
      at = next < at + slotBytes ? at + slotBytes : next
    }
    if (streak > 0) this.#note(port!, streakAt, at, streak, bytes)

    counters[RX_FRAMES] += frames
    counters[RX_BYTES] += frameBytes
    return broken < 0 ? broken : at
  }

  /**
   * Learns the source and looks the destination up. The 12 bytes of addresses come as three words: the
   * destination is `a` and the upper half of `b`, the source the lower half of `b` and `c`.
   */
  #resolve(from: Port, a: number, b: number, c: number, now: number): number {
    const sourceHigh = b & 0xffff
    // A group address or all zeros says nothing of where a station is; the frame itself is forwarded.
    if ((sourceHigh & 0x0100) === 0 && (sourceHigh | c) !== 0) {
      const learnt = this.#fdb.learn(sourceHigh, c, from.id, now)
      if (learnt === LEARN_MOVED) from.counters[FDB_MOVES]++
      else if (learnt === LEARN_REFUSED) from.counters[FDB_REFUSED]++
    }
    if (a & 0x01000000) return FLOOD
    const port = this.#fdb.lookup(a >>> 16, (a << 16) | (b >>> 16), now)
    return port === from.id ? SAME_PORT : port
  }

  /** Puts a frame that stands from `at` to `next` (its length included) on a port's list, if it is not too big. */
  #offer(port: Port, at: number, next: number, bytes: Uint8Array): void {
    if (next - at - LENGTH_BYTES > port.maxFrame) port.counters[DROP_TX_TOO_BIG]++
    else this.#note(port, at, next, 1, bytes)
  }

  /** Puts `frames` frames that stand one behind the other from `at` to `next` on a port's list. */
  #note(port: Port, at: number, next: number, frames: number, bytes: Uint8Array): void {
    const { stretches } = port
    if (port.count === 0) this.#pending[this.#pendingCount++] = port
    if (port.count > 0 && port.end === at) {
      stretches[2 * port.count - 1] += next - at
    } else {
      if (port.count === MAX_STRETCHES) {
        // The port is on the pending list already, and stays there.
        port.driver.transmit(bytes, port.count, port.frames)
        port.count = 0
        port.frames = 0
      }
      stretches[2 * port.count] = at
      stretches[2 * port.count + 1] = next - at
      port.count++
    }
    port.end = next
    port.frames += frames
  }

  #flood(from: Port, at: number, next: number, bytes: Uint8Array): void {
    const ports = this.ports
    for (let i = 0; i < ports.length; i++) {
      if (ports[i] !== from) this.#offer(ports[i], at, next, bytes)
    }
  }

  #forwardInspected(
    from: Port,
    target: number,
    verdict: number,
    at: number,
    next: number,
    bytes: Uint8Array,
  ): void {
    if (verdict === DROP_GUARDED) from.counters[DROP_RX_GUARD]++
    else if (verdict === DROP_ROGUE) from.counters[DROP_RX_ROGUE]++
    else if (verdict === DROP_RATE) from.counters[DROP_RX_DHCP_RATE]++
    else if (target === SAME_PORT) from.counters[DROP_RX_SAME_PORT]++
    else if (target >= 0) {
      const port = this.#byId[target]!
      const to = verdict === KEEP_FROM_UPLINK && port.isUplink ? this.servicePort : port
      if (to === undefined || to === from) from.counters[DROP_RX_GUARD]++
      else this.#offer(to, at, next, bytes)
    } else {
      const ports = this.ports
      for (let i = 0; i < ports.length; i++) {
        const port = ports[i]
        if (port !== from && !(verdict === KEEP_FROM_UPLINK && port.isUplink)) {
          this.#offer(port, at, next, bytes)
        }
      }
    }
  }

  /** Sends every list that this run filled. */
  #flush(bytes: Uint8Array): void {
    const pending = this.#pending
    for (let i = 0; i < this.#pendingCount; i++) {
      const port = pending[i]
      port.driver.transmit(bytes, port.count, port.frames)
      port.count = 0
      port.frames = 0
    }
    this.#pendingCount = 0
  }

  /** Leaves the lists of native ports to native code, and sends the others. */
  #handOver({ bytes, departures }: Run): void {
    const pending = this.#pending
    let left = 0
    for (let i = 0; i < this.#pendingCount; i++) {
      const port = pending[i]
      if (port.slot < 0) {
        port.driver.transmit(bytes, port.count, port.frames)
      } else {
        departures[3 * left + 1] = port.slot
        departures[3 * left + 2] = port.count
        departures[3 * left + 3] = port.frames
        left++
      }
      port.count = 0
      port.frames = 0
    }
    departures[0] = left
    this.#pendingCount = 0
  }
}
