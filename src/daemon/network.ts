/**
 * A network: one switch with its sockets, ports, uplink, DHCP server and neighbours, built and torn down as a
 * whole. A daemon may hold any number of them.
 *
 * The order of building: sockets first (a second daemon stops here, before it has touched anything), then the state
 * folder, which nobody else may hold, then the uplink, then DHCP with its leases, then VMs are let in. Torn down the
 * other way round.
 */

import { setTimeout as pause } from 'node:timers/promises'
import type { Reservations, StandingReservation } from '../dhcp/reservations.js'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
import { Neighbors } from '../neighbors/neighbors.js'
import { DgramListener } from '../ports/dgram-listener.js'
import { Listener } from '../ports/listener.js'
import type { OnRefused } from '../ports/refusals.js'
import { Run } from '../switch/run.js'
import { Switch, type Clock } from '../switch/switch.js'
import { NoUplink } from '../uplink/none.js'
import { openUplink } from '../uplink/select.js'
import { isBridged, type Uplink } from '../uplink/uplink.js'
import { AnswerSegment } from './answer-segment.js'
import { DhcpSegment } from './dhcp-segment.js'
import { SegmentInspector } from './inspector.js'
import { logRogue } from './rogue-servers.js'
import { answersDhcp, type NetworkSettings } from './settings.js'
import { lockState, lockUsableState, type HeldState } from './state-lock.js'
import { VmPorts } from './vm-ports.js'

/** How long a stop waits for an uplink that is being opened, in ms: the packet filter takes some 50. */
const OPENING = 500

export interface NetworkContext {
  log: Logger
  /** Monotonic ms, for ages. */
  clock: Clock
  /** Milliseconds since the epoch, for leases. */
  wallClock: Clock
  random32: () => number
  /** A VM has come or gone. Called in the middle of whatever it does. */
  onPorts?: () => void
}

export class Network {
  readonly settings: NetworkSettings
  readonly switch: Switch
  readonly neighbors = new Neighbors()
  readonly vms: VmPorts
  uplink: Uplink = new NoUplink()

  readonly #context: NetworkContext
  readonly #run = Run.allocate()
  readonly #listeners: Listener[] = []
  readonly #dgramListeners: DgramListener[] = []
  #dhcp: DhcpSegment | AnswerSegment | undefined
  #state: HeldState | undefined
  /** Of the uplink that is being opened: a stop does not leave it to itself. */
  #opening: Promise<Uplink> | undefined
  #isUp = false
  #isStopped = false
  #stop: Promise<void> | undefined

  constructor(settings: NetworkSettings, context: NetworkContext) {
    const { log, clock, wallClock, random32, onPorts } = context
    this.settings = settings
    this.#context = context
    this.switch = new Switch({
      clock,
      random32,
      inspector: new SegmentInspector({
        neighbors: this.neighbors,
        guarded: answersDhcp(settings),
        onRogue: rogue => logRogue(log, rogue),
      }),
    })
    this.vms = new VmPorts({
      switch: this.switch,
      run: this.#run,
      log,
      wallClock,
      stateDir: settings.stateDir,
      mtu: () => this.mtu,
      dials: settings.dials ?? [],
      ...(onPorts && { onChange: onPorts }),
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
            onConnection: (fd, peer) => this.vms.plugStream(fd, peer),
            onRefused: refused(path),
          }),
        )
      }
      for (const path of dgrams) {
        this.#dgramListeners.push(
          new DgramListener({
            path,
            ...rights,
            run: this.#run,
            onPeer: (source, address, peer) => this.vms.plugPeer(source, address, peer),
            onRefused: refused(path),
            onShared: reason =>
              log.warn(
                { event: 'dgram.shared', socket: path, reason },
                `VMs at ${path} share one socket from now on, and one that does not read holds up the others: ${reason}`,
              ),
          }),
        )
      }
      const lock = answersDhcp(this.settings) ? lockState : lockUsableState
      this.#state = lock(stateDir)
      log.debug({ event: 'uplink.open', kind: uplink.kind }, `opening the uplink ${uplink.kind}`)
      this.#opening = openUplink(uplink, gateway, {
        switch: this.switch,
        run: this.#run,
        log,
        mtu,
        stateDir,
      })
      this.uplink = await this.#opening
      this.#requireGoing()
      if (this.settings.dhcp !== undefined) {
        this.#dhcp = new DhcpSegment({
          settings: this.settings.dhcp,
          reservations: this.settings.reservations ?? [],
          gateway,
          mtu: this.mtu,
          stateDir,
          answersArp: this.uplink.port === undefined,
          switch: this.switch,
          neighbors: this.neighbors,
          log,
        })
        await this.#dhcp.start()
        if (isBridged(uplink)) this.#warnOfLan(uplink.interface ?? '')
      }
      if (this.settings.answers) {
        this.#dhcp = new AnswerSegment({
          gateway,
          mtu: this.mtu,
          reservations: this.settings.reservations ?? [],
          stateDir,
          answersArp: this.uplink.port === undefined,
          switch: this.switch,
          log,
        })
        await this.#dhcp.start()
      }
      await this.vms.load()
      this.#requireGoing()
      for (const listener of this.#listeners) listener.start()
      for (const listener of this.#dgramListeners) listener.start(this.vms.fullFrame)
      this.vms.dial()
      this.#isUp = true
    } catch (error) {
      await this.#takeDown()
      this.#state?.abandon()
      this.#state = undefined
      throw error
    }
  }

  /** A stop in the middle of the start has taken down what there was: nothing may come after it. */
  #requireGoing(): void {
    if (this.#isStopped)
      throw new BridgeError('ERR_STOPPING', `the network ${this.settings.name} is stopping`)
  }

  /** Two DHCP servers on one LAN: the VMs hear ours alone, but the addresses are everybody's. */
  #warnOfLan(bridged: string): void {
    this.#context.log.warn(
      { event: 'dhcp.lan', interface: bridged },
      `THE DHCP SERVER LEASES ADDRESSES OF THE LAN behind ${bridged} to the VMs, as --dhcp-on-lan says: nobody else on it may have them; the LAN itself is not answered, and its own DHCP server is kept from the VMs`,
    )
  }

  /** Takes those in place of the standing reservations that there are, while all goes on. */
  async standInstead(standing: readonly StandingReservation[]): Promise<void> {
    this.settings.reservations = standing
    await this.reservations?.standInstead(standing)
  }

  /** Whoever calls it waits for all of it. */
  stop(): Promise<void> {
    this.#stop ??= this.#takeDown().finally(() => {
      this.#state?.release()
      this.#state = undefined
    })
    return this.#stop
  }

  /** Whether it has come up, and is not on its way down. */
  get isUp(): boolean {
    return this.#isUp && !this.#isStopped
  }

  async #takeDown(): Promise<void> {
    this.#isStopped = true
    for (const listener of this.#listeners.splice(0)) listener.close()
    for (const listener of this.#dgramListeners.splice(0)) listener.close()
    await this.vms.takeLeave()
    // Before its ports: an ACK may still wait for the disk.
    await this.#dhcp?.close()
    // A reservation that is written later would be one of the next network in this folder.
    await this.reservations?.flush()
    this.#dhcp = undefined
    await this.vms.close()
    // What comes up too late goes with the process, or by its own start.
    this.uplink =
      (await Promise.race([
        this.#opening?.catch(() => undefined),
        pause(OPENING, undefined, { ref: false }),
      ])) ?? this.uplink
    await this.uplink.close()
  }

  /** Bytes of an IP packet: the uplink's, where that decides it. */
  get mtu(): number {
    return this.uplink.mtu ?? this.settings.mtu
  }

  /** The DHCP server or what answers in its place, where there is one. */
  get dhcp(): DhcpSegment['server'] | AnswerSegment['server'] | undefined {
    return this.#dhcp?.server
  }

  get reservations(): Reservations | undefined {
    return this.#dhcp?.reservations
  }
}
