/**
 * A network: one switch with its sockets, ports, uplink, DHCP server and neighbours, built and torn down as a
 * whole. A daemon may hold any number of them.
 *
 * The order of building: sockets first (a second daemon stops here, before it has touched anything), then the
 * uplink, then DHCP with its leases, then VMs are let in. Torn down the other way round.
 */

import type { Reservations } from '../dhcp/reservations.js'
import type { DhcpServer } from '../dhcp/server.js'
import type { Logger } from '../log.js'
import type { Credentials } from '../native.js'
import { Neighbors } from '../neighbors/neighbors.js'
import { Listener } from '../ports/listener.js'
import { streamPort, type StreamPort } from '../ports/run-port.js'
import { Port, STREAM_MAX_FRAME } from '../switch/port.js'
import { Run } from '../switch/run.js'
import { Switch, type Clock } from '../switch/switch.js'
import { NoUplink } from '../uplink/none.js'
import { openUplink } from '../uplink/select.js'
import { maxFrameOf, type Uplink } from '../uplink/uplink.js'
import { DhcpSegment } from './dhcp-segment.js'
import { SegmentInspector } from './inspector.js'
import { logRogue } from './rogue-servers.js'
import type { NetworkSettings } from './settings.js'

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
  stream: StreamPort
  peer: Credentials
  /** Milliseconds since the epoch. */
  since: number
}

export class Network {
  readonly settings: NetworkSettings
  readonly switch: Switch
  readonly neighbors = new Neighbors()
  readonly vms = new Map<Port, VmPort>()
  uplink: Uplink = new NoUplink()

  readonly #context: NetworkContext
  readonly #run = Run.allocate()
  readonly #listeners: Listener[] = []
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
    const { sockets, rights, uplink, gateway, mtu, stateDir } = this.settings
    const { log } = this.#context
    try {
      for (const path of sockets) {
        this.#listeners.push(
          new Listener({
            path,
            ...rights,
            onConnection: (fd, peer) => this.#plug(fd, peer),
            onRefused: (reason, refused) =>
              log.warn(
                { event: 'port.refused', socket: path, reason, refused },
                `a connection was refused: ${reason}`,
              ),
          }),
        )
      }
      log.debug({ event: 'uplink.open', kind: uplink.kind }, `opening the uplink ${uplink.kind}`)
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
    // Before its ports: an ACK may still wait for the disk.
    await this.#dhcp?.close()
    this.#dhcp = undefined
    for (const { stream } of this.vms.values()) stream.close()
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

  #plug(fd: number, peer: Credentials): void {
    const { log, wallClock } = this.#context
    const maxFrame = Math.max(STREAM_MAX_FRAME, maxFrameOf(this.mtu))
    const port = new Port({ name: `vm${++this.#named}`, role: 'vm', maxFrame })
    const stream = streamPort({
      switch: this.switch,
      run: this.#run,
      port,
      fd,
      onEnd: reason => {
        this.vms.delete(port)
        const fields = { event: 'port.down', port: port.name, fd, pid: peer.pid, reason }
        // A VM that leaves is news; framing that breaks is a fault to look into.
        if (reason === 'eof' || reason === 'reset') log.info(fields, `${port.name} left`)
        else log.warn(fields, `${port.name} was closed: ${reason}`)
      },
    })
    this.vms.set(port, { stream, peer, since: wallClock.now() })
    log.info(
      { event: 'port.up', port: port.name, fd, pid: peer.pid, uid: peer.uid },
      `${port.name} plugged in, PID ${peer.pid}`,
    )
  }
}
