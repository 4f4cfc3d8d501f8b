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
import { native, type Credentials } from '../native.js'
import { Neighbors } from '../neighbors/neighbors.js'
import { Listener } from '../ports/listener.js'
import { Redial } from '../ports/redial.js'
import { streamPort, type PortOptions, type RunPort } from '../ports/run-port.js'
import { Port, STREAM_MAX_FRAME } from '../switch/port.js'
import { Run } from '../switch/run.js'
import { Switch, type Clock } from '../switch/switch.js'
import { NoUplink } from '../uplink/none.js'
import { openUplink } from '../uplink/select.js'
import { maxFrameOf, type Uplink } from '../uplink/uplink.js'
import { DhcpSegment } from './dhcp-segment.js'
import { SegmentInspector } from './inspector.js'
import { PortNames } from './port-names.js'
import { PortNamesFile } from './port-names-file.js'
import { processStart } from './process-start.js'
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
  peer?: Credentials
  /** By what it is known again (port-names.ts). */
  key?: string
  /** The port ended by itself, and is on the switch no more. */
  onEnd?: (reason: string) => void
}

/** A VM that listens, and that we connect to. */
export interface Dial {
  redial: Redial
  /** While it is connected. */
  port?: Port | undefined
}

/** The longest pause, in ms, before a VM that listens is dialled again: it may have started since. */
const LAST_DIAL_PAUSE = 1000

export class Network {
  readonly settings: NetworkSettings
  readonly switch: Switch
  readonly neighbors = new Neighbors()
  readonly vms = new Map<Port, VmPort>()
  readonly dials: Dial[] = []
  uplink: Uplink = new NoUplink()

  readonly #context: NetworkContext
  readonly #run = Run.allocate()
  readonly #listeners: Listener[] = []
  readonly #namesFile: PortNamesFile
  #names = new PortNames()
  #dhcp: DhcpSegment | undefined

  constructor(settings: NetworkSettings, context: NetworkContext) {
    const { log, clock, random32 } = context
    this.settings = settings
    this.#context = context
    this.#namesFile = new PortNamesFile({ folder: settings.stateDir, log })
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
    const { sockets, dials = [], rights, uplink, gateway, mtu, stateDir } = this.settings
    const { log } = this.#context
    try {
      for (const path of sockets) {
        this.#listeners.push(
          new Listener({
            path,
            ...rights,
            onConnection: (fd, peer) => this.#plug({ make: options => streamPort({ ...options, fd }), peer }),
            onRefused: (reason, refused) =>
              log.warn(
                { event: 'port.refused', socket: path, reason, refused },
                `a connection was refused: ${reason}`,
              ),
          }),
        )
      }
      for (const path of dials) this.dials.push(this.#dialOf(path))
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
      await this.#loadNames()
      for (const listener of this.#listeners) listener.start()
      for (const { redial } of this.dials) redial.dial()
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
    for (const { redial } of this.dials.splice(0)) redial.close()
    // Before its ports: an ACK may still wait for the disk.
    await this.#dhcp?.close()
    this.#dhcp = undefined
    for (const { io } of this.vms.values()) io.close()
    this.vms.clear()
    await this.#namesFile.close()
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

  async #loadNames(): Promise<void> {
    const file = this.#namesFile
    const records = await file.load()
    const reserved = (this.settings.dials ?? []).map(dialKey)
    this.#names = new PortNames({
      records,
      reserved,
      onChange: () => file.save(() => this.#names.records),
    })
  }

  #dialOf(path: string): Dial {
    const dial: Dial = {
      redial: new Redial({
        path,
        lastPause: LAST_DIAL_PAUSE,
        onConnected: fd => {
          dial.port = this.#plug({
            make: options => streamPort({ ...options, fd }),
            peer: native.peerCredentials(fd),
            key: dialKey(path),
            onEnd: reason => {
              dial.port = undefined
              dial.redial.lost(reason)
            },
          })
        },
        onDown: (reason, wasUp) => {
          // That a port is down was said.
          if (wasUp) return
          const line = `no VM at ${path} yet (${reason}): dialling it until it answers`
          this.#context.log.info({ event: 'dial.down', path, reason }, line)
        },
      }),
    }
    return dial
  }

  #plug({ make, peer, key, onEnd }: Plug): Port {
    const { log, wallClock } = this.#context
    const maxFrame = Math.max(STREAM_MAX_FRAME, maxFrameOf(this.mtu))
    const origin = {
      ...(key !== undefined && { key }),
      ...(peer && { pid: peer.pid, start: processStart(peer.pid) }),
    }
    const named = this.#names.plug(origin, name => {
      const was = port.name
      log.info({ event: 'port.named', port: name, was }, `${was} is ${name} from now on`)
      port.name = name
    })
    const port = new Port({ name: named.name, role: 'vm', maxFrame })
    let io: RunPort
    try {
      io = make({
        switch: this.switch,
        run: this.#run,
        port,
        onFirstFrame: source => this.#names.hear(named, source),
        onEnd: reason => {
          this.vms.delete(port)
          this.#names.unplug(named)
          const fields = { event: 'port.down', port: port.name, pid: peer?.pid, reason }
          // A VM that leaves is news; framing that breaks is a fault to look into.
          if (reason === 'eof' || reason === 'reset') log.info(fields, `${port.name} left`)
          else log.warn(fields, `${port.name} was closed: ${reason}`)
          onEnd?.(reason)
        },
      })
    } catch (error) {
      this.#names.unplug(named)
      throw error
    }
    this.vms.set(port, { io, ...(peer && { peer }), since: wallClock.now() })
    log.info(
      { event: 'port.up', port: port.name, pid: peer?.pid, uid: peer?.uid, key },
      `${port.name} plugged in${peer === undefined ? '' : `, PID ${peer.pid}`}`,
    )
    return port
  }
}

function dialKey(path: string): string {
  return `dial:${path}`
}
