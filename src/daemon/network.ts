/**
 * A network: one switch with its sockets, ports, uplink, DHCP server and neighbours, built and torn down as a
 * whole. A daemon may hold any number of them.
 *
 * The order of building: sockets first (a second daemon stops here, before it has touched anything), then the
 * uplink, then DHCP with its leases, then VMs are let in. Torn down the other way round.
 */

import { setTimeout as pause } from 'node:timers/promises'
import type { Reservations } from '../dhcp/reservations.js'
import type { DhcpServer } from '../dhcp/server.js'
import type { Logger } from '../log.js'
import type { Credentials, DgramSource } from '../native.js'
import { Neighbors } from '../neighbors/neighbors.js'
import { Listener } from '../ports/listener.js'
import { DgramListener } from '../ports/dgram-listener.js'
import { PairWatch } from '../ports/pair-watch.js'
import type { OnRefused } from '../ports/refusals.js'
import {
  dgramPort,
  streamPort,
  type DgramPort,
  type PortOptions,
  type RunPort,
  type StreamPort,
} from '../ports/run-port.js'
import { Port, STREAM_MAX_FRAME } from '../switch/port.js'
import { Run } from '../switch/run.js'
import { Switch, type Clock } from '../switch/switch.js'
import { NoUplink } from '../uplink/none.js'
import { openUplink } from '../uplink/select.js'
import { maxFrameOf, type Uplink } from '../uplink/uplink.js'
import { ETHERNET_HEADER } from '../wire/ethernet.js'
import { DhcpSegment } from './dhcp-segment.js'
import { SegmentInspector } from './inspector.js'
import { logRogue } from './rogue-servers.js'
import type { NetworkSettings } from './settings.js'

/**
 * Between the last word to the VMs and their ports' end. A QEMU (7.2 and 10.0 alike) that finds its socket closed while
 * a frame waits for room in it never transmits again on the next one; in this time it learns that it cannot write.
 */
const FAREWELL_MS = 20

export interface NetworkContext {
  log: Logger
  /** Monotonic ms, for ages. */
  clock: Clock
  /** Milliseconds since the epoch, for leases. */
  wallClock: Clock
  random32: () => number
}

/** A VM's port and what is known of the process behind it. */
export interface VmPort {
  /** What moves its frames: closing that unplugs the VM. */
  io: RunPort
  /** Not known of who is no more than an address. */
  peer?: Credentials
  /** Milliseconds since the epoch. */
  since: number
}

/** How a VM comes to the switch. */
interface Plug {
  /** Makes what is behind the port, and owns that also when it throws. */
  make: (options: PortOptions) => RunPort
  peer?: Credentials | undefined
  /** Where its datagrams come from. */
  address?: string
  /** The port ended by itself, and is on the switch no more. */
  onEnd?: (reason: string) => void
}

/** How a VM ends its port itself. */
const LEAVES = new Set(['eof', 'reset', 'gone'])

export class Network {
  readonly settings: NetworkSettings
  readonly switch: Switch
  readonly neighbors = new Neighbors()
  readonly vms = new Map<Port, VmPort>()
  uplink: Uplink = new NoUplink()

  readonly #context: NetworkContext
  readonly #run = Run.allocate()
  readonly #listeners: Listener[] = []
  readonly #dgramListeners: DgramListener[] = []
  readonly #pairs = new PairWatch()
  #dhcp: DhcpSegment | undefined
  #named = 0

  constructor(settings: NetworkSettings, context: NetworkContext) {
    const { log, clock, random32 } = context
    this.settings = settings
    this.#context = context
    this.switch = new Switch({
      clock,
      random32,
      inspector: new SegmentInspector({
        neighbors: this.neighbors,
        guarded: settings.dhcp !== undefined,
        onRogue: rogue => logRogue(log, rogue),
      }),
    })
  }

  /** @throws BridgeError; what was built until then is torn down */
  async start(): Promise<void> {
    const { sockets, dgrams = [], rights, uplink, gateway, mtu, stateDir } = this.settings
    const { log } = this.#context
    const refused =
      (socket: string): OnRefused =>
      (reason, count) =>
        log.warn({ event: 'port.refused', socket, reason, refused: count }, `a VM was refused: ${reason}`)
    try {
      for (const path of sockets) {
        this.#listeners.push(
          new Listener({
            path,
            ...rights,
            onConnection: (fd, peer) => this.#plugStream(fd, peer),
            onRefused: refused(path),
          }),
        )
      }
      for (const path of dgrams) this.#dgramListeners.push(this.#listenForDatagrams(path, refused(path)))
      this.uplink = await openUplink(uplink, gateway, {
        switch: this.switch,
        run: this.#run,
        log,
        mtu,
        stateDir,
      })
      if (this.settings.dhcp !== undefined) {
        this.#dhcp = new DhcpSegment({
          settings: this.settings.dhcp,
          gateway,
          mtu: this.mtu,
          stateDir,
          answersArp: this.uplink.port === undefined,
          switch: this.switch,
          neighbors: this.neighbors,
          log,
        })
        await this.#dhcp.start()
        if (uplink.kind === 'vmnet' && uplink.mode === 'bridged') this.#warnOfLan(uplink.interface ?? '')
      }
      for (const listener of this.#listeners) listener.start()
      for (const listener of this.#dgramListeners) listener.start(this.#fullFrame)
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Two DHCP servers on one LAN: the VMs hear ours alone, but the addresses are everybody's. */
  #warnOfLan(bridged: string): void {
    this.#context.log.warn(
      { event: 'dhcp.lan', interface: bridged },
      `THE DHCP SERVER LEASES ADDRESSES OF THE LAN behind ${bridged} to the VMs, as --dhcp-on-lan says: nobody else on it may have them; the LAN itself is not answered, and its own DHCP server is kept from the VMs`,
    )
  }

  async stop(): Promise<void> {
    for (const listener of this.#listeners.splice(0)) listener.close()
    for (const listener of this.#dgramListeners.splice(0)) listener.close()
    for (const { io } of this.vms.values()) io.io.refuse?.()
    if (this.vms.size > 0) await pause(FAREWELL_MS)
    // Before its ports: an ACK may still wait for the disk.
    await this.#dhcp?.close()
    this.#dhcp = undefined
    this.#pairs.close()
    for (const { io } of this.vms.values()) io.close()
    this.vms.clear()
    await this.uplink.close()
  }

  /** Bytes of an IP packet: the uplink's, where that decides it. */
  get mtu(): number {
    return this.uplink.mtu ?? this.settings.mtu
  }

  /** The DHCP server, where there is one. */
  get dhcp(): DhcpServer | undefined {
    return this.#dhcp?.server
  }

  get reservations(): Reservations | undefined {
    return this.#dhcp?.reservations
  }

  /** Bytes of a frame without a tag. */
  get #fullFrame(): number {
    return this.mtu + ETHERNET_HEADER
  }

  #listenForDatagrams(path: string, onRefused: OnRefused): DgramListener {
    return new DgramListener({
      path,
      ...this.settings.rights,
      run: this.#run,
      onPeer: (source, address, peer) => this.#plugDatagrams(source, { peer, address }),
      onRefused,
    })
  }

  #plugStream(fd: number, peer: Credentials): void {
    let stream: StreamPort
    this.#plug({
      make: options => (stream = streamPort({ ...options, fd })),
      peer,
      onEnd: reason => {
        if (reason !== 'datagrams') return
        // `vmbridge run --dgram` came to say that it speaks datagrams, by a pair of its own.
        const source = { longest: this.#fullFrame, fd: stream.io.passed()! }
        this.#pairs.add(this.#plugDatagrams(source, { peer }), peer.pid)
      },
    })
  }

  #plugDatagrams(source: DgramSource, how: Omit<Plug, 'make'>): DgramPort {
    let made: DgramPort
    this.#plug({ ...how, make: options => (made = dgramPort(source, options)) })
    return made!
  }

  #plug({ make, peer, address, onEnd }: Plug): void {
    const { log, wallClock } = this.#context
    const maxFrame = Math.max(STREAM_MAX_FRAME, maxFrameOf(this.mtu))
    const port = new Port({ name: `vm${++this.#named}`, role: 'vm', maxFrame })
    const io = make({
      switch: this.switch,
      run: this.#run,
      port,
      onEnd: reason => {
        this.vms.delete(port)
        const fields = { event: 'port.down', port: port.name, pid: peer?.pid, reason }
        // A VM that leaves is news; framing that breaks is a fault to look into.
        if (LEAVES.has(reason)) log.info(fields, `${port.name} left`)
        else if (reason === 'datagrams') log.info(fields, `${port.name} goes on by datagrams`)
        else log.warn(fields, `${port.name} was closed: ${reason}`)
        onEnd?.(reason)
      },
    })
    this.vms.set(port, { io, ...(peer && { peer }), since: wallClock.now() })
    log.info(
      { event: 'port.up', port: port.name, pid: peer?.pid, uid: peer?.uid, address },
      `${port.name} plugged in${peer === undefined ? '' : `, PID ${peer.pid}`}`,
    )
  }
}
