/**
 * The vmnet uplink: the Mac, or its LAN, is on the segment by an interface of vmnet.framework. When that breaks (the
 * machine slept, the bridged interface went, a call fails) it is started anew with growing pauses; VMs stay connected
 * meanwhile and reach each other.
 *
 * The first start must succeed, so that a daemon which cannot have what it was told to do says so and ends.
 */

import { randomUUID } from 'node:crypto'
import { BridgeError } from '../errors.js'
import { native, type VmnetOptions } from '../native.js'
import { vmnetPort } from '../ports/run-port.js'
import { Port } from '../switch/port.js'
import type { Cidr } from '../wire/ipv4.js'
import { LinkWatch, type LinkState, type LinkWatchOptions } from './link-watch.js'
import type { Uplink, UplinkContext, UplinkStatus, VmnetChoice } from './uplink.js'
import { checkPacketSize, vmnetStatusName } from './vmnet-errors.js'
import { loadIdentity } from './vmnet-identity.js'
import { requireVmnet, startVmnet, type RunningVmnet } from './vmnet-interface.js'
import { vmnetAttempts } from './vmnet-options.js'

/** Pauses between two attempts, in ms: doubled from the first to the last. */
const FIRST_PAUSE = 250
const LAST_PAUSE = 10_000
/** An interface that ran this long, in ms, was a good one: the pauses begin anew. */
const SETTLED = 10_000
/** Bytes of an Ethernet header. */
const ETHERNET_HEADER = 14

/** What the uplink needs of a RunPort. */
interface VmnetPort {
  io: { check(): void }
  close(): void
}

/** What the uplink asks of macOS and of time; a parameter for the tests. */
export interface VmnetSystem {
  start: typeof startVmnet
  /** Joins an interface to the switch. */
  port: (...of: Parameters<typeof vmnetPort>) => VmnetPort
  watch: (options: LinkWatchOptions) => Pick<LinkWatch, 'close'>
  /** @throws BridgeError ERR_VMNET_UNSUPPORTED */
  hasNetworkObjects(): boolean
  isWireless(name: string): boolean
  /** Monotonic ms. */
  now(): number
  later(ms: number, call: () => void): NodeJS.Timeout
}

const SYSTEM: VmnetSystem = {
  start: startVmnet,
  port: vmnetPort,
  watch: options => new LinkWatch(options),
  hasNetworkObjects() {
    requireVmnet()
    return native.vmnetHasNetworkObjects()
  },
  isWireless: name => native.linkOf(name)?.wireless ?? false,
  now: () => performance.now(),
  later: (ms, call) => setTimeout(call, ms),
}

/** What it could start once and may not now had root, and has given it up. */
const hintOf = ({ code, hint }: BridgeError): string | undefined =>
  code === 'ERR_VMNET_PERMISSION'
    ? 'restart the daemon; one that gives root up (--user) cannot start its interface anew before macOS 26'
    : hint

export class VmnetUplink implements Uplink {
  readonly port: Port
  readonly name: string
  readonly #context: UplinkContext
  readonly #choice: VmnetChoice
  readonly #attempts: VmnetOptions[]
  readonly #system: VmnetSystem
  readonly #abort = new AbortController()
  #watch: Pick<LinkWatch, 'close'> | undefined
  #running: RunningVmnet | undefined
  #io: VmnetPort | undefined
  #mtu = 0
  #runsSince = 0
  #timer: NodeJS.Timeout | undefined
  #pause = FIRST_PAUSE
  /** The stop or the start that is under way. */
  #work: Promise<void> = Promise.resolve()
  #down: string | undefined = 'not started'
  /** Why there is no network object, as it was said. */
  #refused: string | undefined
  #link: LinkState = 'up'

  /**
   * @throws BridgeError ERR_VMNET_UNSUPPORTED, ERR_VMNET_PERMISSION, ERR_VMNET_INTERFACE, ERR_SUBNET_IN_USE and the
   *   others of vmnet-errors.ts, all with a hint
   */
  static async start(
    context: UplinkContext,
    { choice, gateway }: { choice: VmnetChoice; gateway: Cidr },
    system = SYSTEM,
  ): Promise<VmnetUplink> {
    // First of all: where there is no vmnet nothing is kept of it either.
    const hasNetworkObjects = system.hasNetworkObjects()
    const attempts = vmnetAttempts({
      choice,
      gateway,
      mtu: context.mtu,
      identity: loadIdentity(context.stateDir, randomUUID),
      hasNetworkObjects,
    })
    const uplink = new VmnetUplink(context, choice, attempts, system)
    await uplink.#bringUp()
    uplink.#keepWatch()
    return uplink
  }

  private constructor(
    context: UplinkContext,
    choice: VmnetChoice,
    attempts: VmnetOptions[],
    system: VmnetSystem,
  ) {
    this.#context = context
    this.#choice = choice
    this.#attempts = attempts
    this.#system = system
    this.name = choice.interface === undefined ? choice.mode : `${choice.mode} ${choice.interface}`
    this.port = new Port({ name: `vmnet:${choice.interface ?? choice.mode}`, role: 'uplink' })
  }

  /** What macOS says, not what the longest frame would have room for. */
  get mtu(): number {
    return this.#mtu
  }

  status(): UplinkStatus {
    const { name } = this
    if (this.#down !== undefined) return { kind: 'vmnet', name, state: 'down', detail: this.#down }
    if (this.#link === 'down')
      return { kind: 'vmnet', name, state: 'down', detail: `${this.#choice.interface} has no carrier` }
    return { kind: 'vmnet', name, state: 'up' }
  }

  /** Who closes it again waits for the same end. */
  close(): Promise<void> {
    this.#watch?.close()
    clearTimeout(this.#timer)
    this.#abort.abort()
    this.#work = this.#work.then(() => this.#takeDown())
    return this.#work
  }

  /** @throws BridgeError of the last way that there was to try */
  async #bringUp(): Promise<void> {
    const { log } = this.#context
    let refused: BridgeError | undefined
    for (const [i, options] of this.#attempts.entries()) {
      try {
        this.#running = await this.#system.start(options, this.#abort.signal)
        break
      } catch (error) {
        if (i === this.#attempts.length - 1 || this.#abort.signal.aborted || !(error instanceof BridgeError))
          throw error
        refused = error
      }
    }
    if (refused !== undefined) this.#sayFallback(refused)
    const { parameters, native: source } = this.#running!
    this.#mtu = parameters.mtu || parameters.maxPacketSize - ETHERNET_HEADER
    this.port.maxFrame = parameters.maxPacketSize
    try {
      checkPacketSize(parameters)
      this.#io = this.#system.port(source, {
        ...this.#context,
        port: this.port,
        onEnd: reason => this.#lost(/^\d+$/.test(reason) ? vmnetStatusName(Number(reason)) : reason),
      })
    } catch (error) {
      await this.#takeDown()
      throw error
    }
    this.#runsSince = this.#system.now()
    this.#down = undefined
    log.info(
      { event: 'uplink.up', name: this.name, mac: parameters.mac, mtu: this.#mtu },
      `the uplink vmnet ${this.name} is up, MTU ${this.#mtu}`,
    )
  }

  /** Once for each reason, not for every start. */
  #sayFallback({ code, message }: BridgeError): void {
    if (message === this.#refused) return
    this.#refused = message
    this.#context.log.warn(
      { event: 'uplink.fallback', code },
      `no network without Apple's DHCP server: ${message}; with one, which the guard keeps from the VMs`,
    )
  }

  /** Closes the port and stops the interface; what goes wrong there is said, and no more can be done. */
  async #takeDown(): Promise<void> {
    this.#io?.close()
    this.#io = undefined
    const running = this.#running
    this.#running = undefined
    const problem = await running?.stop()
    if (problem !== undefined)
      this.#context.log.warn(
        { event: 'uplink.stop', name: this.name, problem },
        `the uplink did not stop: ${problem}`,
      )
  }

  #keepWatch(): void {
    const { interface: bridged } = this.#choice
    const { log } = this.#context
    if (bridged !== undefined && this.#system.isWireless(bridged)) {
      log.warn(
        { event: 'uplink.wireless', name: this.name },
        `${bridged} is Wi-Fi: the LAN sees all VMs with this machine's address, and some access points drop them; a wired interface has no such limits`,
      )
    }
    this.#watch = this.#system.watch({
      ...(bridged === undefined ? {} : { interface: bridged }),
      onLook: () => this.#io?.io.check(),
      onWake: ms => this.#lost(`this machine slept for ${Math.round(ms / 1000)} s`),
      onLink: (state, before) => this.#linkChanged(bridged!, state, before),
    })
  }

  #linkChanged(name: string, state: LinkState, before: LinkState): void {
    this.#link = state
    if (state === 'missing') return this.#lost(`${name} is gone`)
    if (state === 'up')
      return this.#lost(before === 'missing' ? `${name} is back` : `${name} has a carrier again`)
    this.#context.log.warn(
      { event: 'uplink.link', name: this.name, state },
      `${name} has no carrier: VMs reach each other only, until it has one`,
    )
  }

  /** Stops what runs, and starts it anew after a pause. */
  #lost(reason: string): void {
    if (this.#abort.signal.aborted) return
    const wasUp = this.#running !== undefined
    // Said once for each time it goes, not for every attempt that fails.
    if (wasUp || this.#down === undefined) {
      this.#context.log.warn(
        { event: 'uplink.down', name: this.name, reason },
        `the uplink vmnet ${this.name} is down (${reason}): starting it anew until it runs`,
      )
      if (this.#system.now() - this.#runsSince >= SETTLED) this.#pause = FIRST_PAUSE
    }
    this.#down = reason
    if (wasUp) this.#work = this.#takeDown()
    this.#retryLater()
  }

  #retryLater(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#system.later(this.#pause, () => {
      this.#work = this.#work.then(() => this.#retry())
    })
    this.#pause = Math.min(this.#pause * 2, LAST_PAUSE)
  }

  async #retry(): Promise<void> {
    if (this.#abort.signal.aborted || this.#running !== undefined) return
    try {
      await this.#bringUp()
    } catch (error) {
      if (this.#abort.signal.aborted) return
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== this.#down) {
        const hint = error instanceof BridgeError ? hintOf(error) : undefined
        this.#context.log.warn(
          { event: 'uplink.retry', name: this.name, reason },
          `the uplink vmnet ${this.name} does not start: ${reason}${hint === undefined ? '' : `. Try: ${hint}`}`,
        )
      }
      this.#down = reason
      this.#retryLater()
    }
  }
}
