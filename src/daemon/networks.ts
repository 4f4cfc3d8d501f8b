/**
 * The networks of a daemon: those that stand, and those on demand. A network on demand is there for whoever wants its gateway
 * (`ensure`), lives as long as a VM is plugged in, and leaves nothing.
 *
 * One change at a time, in the order in which they came: three VMs that start at once want one network, and it is made
 * once.
 */

import { isDeepStrictEqual } from 'node:util'
import type { NetworkWanted } from '../control/api.js'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
import type { SocketRights } from '../ports/claim.js'
import { formatCidr } from '../wire/ipv4.js'
import { DemandFolder } from './demand-folder.js'
import { DemandLife } from './demand-life.js'
import { Network, type NetworkContext } from './network.js'
import type { DemandSettings, NetworkSettings } from './settings.js'
import { asWanted, isOf, noSuch, requireRoom, requireSame, unreserved, type Held } from './network-rules.js'
import { DEFAULT_WAIT, settingsOf } from './wanted.js'

/** Of networks on demand: each has a device of the host. */
const MOST_DEMANDED = 64

export interface NetworksOptions {
  context: Omit<NetworkContext, 'onPorts'>
  log: Logger
  /** Of the sockets of networks on demand. */
  rights: SocketRights
  /** Makes the folder that standing sockets lie in, where that is the default one. */
  prepare?: (settings: NetworkSettings) => void
}

interface Demanded extends Held {
  readonly kind: 'demand'
  readonly life: DemandLife
  /** From the first who ends it. */
  ended?: Promise<void>
}

export class Networks {
  readonly #options: NetworksOptions
  readonly #standing = new Map<string, Network>()
  readonly #demanded = new Map<string, Demanded>()
  /** Where those on demand are; undefined where there can be none. */
  #demandIn: { settings: DemandSettings; folder: DemandFolder } | undefined
  /** Those that should stand and could not: one on demand may have what they need, and goes one day. */
  #hindered: NetworkSettings[] = []
  #turn: Promise<unknown> = Promise.resolve()
  #isStopped = false

  constructor(options: NetworksOptions) {
    this.#options = options
  }

  /** The standing ones first. */
  list(): Held[] {
    return [
      ...[...this.#standing.values()].map(network => ({ network, kind: 'standing' as const })),
      ...this.#demanded.values(),
    ]
  }

  /** Ms until a network on demand goes if no VM comes; undefined where there are VMs, and for those that stand. */
  timeLeft(name: string): number | undefined {
    return this.#demanded.get(name)?.life.left
  }

  /** @throws BridgeError of the first that does not start; those before it stand then, and stop() ends them */
  start(standing: readonly NetworkSettings[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const settings of standing) await this.#stand(settings)
    })
  }

  /**
   * From here on there are networks on demand; what an earlier daemon left with VMs plugged in is built again. Never rejects:
   * what cannot be had is said.
   */
  openDemand(settings: DemandSettings): Promise<void> {
    const folder = new DemandFolder(settings.folder, this.#options.log)
    this.#demandIn = { settings, folder }
    return this.#inTurn(async () => {
      for (const wanted of folder.left()) {
        try {
          const { kind, network } = await this.#demand(
            { ...wanted, wait: DEFAULT_WAIT },
            { mayJoinHost: true, isKept: true },
          )
          if (kind === 'standing' || network.settings.name !== wanted.name)
            throw new Error(`its gateway is that of the network ${network.settings.name}`)
          this.#options.log.info(
            { event: 'network.restored', network: wanted.name },
            `the network ${wanted.name} is there again, for the VMs that were plugged in`,
          )
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error)
          this.#options.log.error(
            { event: 'network.lost', network: wanted.name, reason },
            `the network ${wanted.name} of an earlier daemon cannot be had again, and its VMs are cut off: ${reason}`,
          )
          folder.remove(wanted.name!)
        }
      }
    })
  }

  /**
   * The network of that gateway and mask, made if it is not there.
   * @param mayJoinHost whether who wants it may change where this host's traffic goes
   * @throws BridgeError ERR_FORBIDDEN, ERR_NETWORK_WANTED, ERR_NETWORK_EXISTS, ERR_NETWORK_OVERLAP, ERR_NETWORK_DIFFERS,
   *   ERR_NETWORKS_FULL, ERR_NO_DEMAND, and those of Network.start
   */
  ensure(wanted: NetworkWanted, mayJoinHost: boolean): Promise<Held & { isNew: boolean }> {
    return this.#inTurn(() => this.#demand(wanted, { mayJoinHost }))
  }

  /** @throws BridgeError ERR_NO_NETWORK, ERR_NETWORK_STANDING, ERR_NETWORK_BUSY */
  remove(name: string, isForced: boolean): Promise<Held> {
    return this.#inTurn(async () => {
      const entry = this.#demanded.get(name)
      if (entry === undefined) throw noSuch(name, this.list())
      const { size } = entry.network.vms.ports
      if (size > 0 && !isForced)
        throw new BridgeError(
          'ERR_NETWORK_BUSY',
          `${size === 1 ? 'a VM is' : `${size} VMs are`} plugged into ${name}`,
          {
            hint: `stop them: it goes with the last one; or cut them off: vmbridge network remove --force ${name}`,
          },
        )
      await this.#end(entry)
      return entry
    })
  }

  /**
   * Makes the standing networks what `wanted` says: what is not in it goes, what is new comes, what changed is built anew.
   * The others do not notice. Never rejects: a network that does not start is said, and is what it was before if it can.
   */
  reload(wanted: readonly NetworkSettings[]): Promise<void> {
    return this.#inTurn(async () => {
      const { log } = this.#options
      const isKept = (settings: NetworkSettings): boolean =>
        wanted.some(each => isDeepStrictEqual(unreserved(each), unreserved(settings)))
      const former = new Map<string, NetworkSettings>()
      for (const [name, network] of this.#standing) {
        if (isKept(network.settings)) continue
        former.set(name, network.settings)
        await this.#fall(network)
      }
      const failed: NetworkSettings[] = []
      this.#hindered = []
      for (const settings of wanted) {
        const kept = this.#standing.get(settings.name)
        if (kept !== undefined) await kept.standInstead(settings.reservations ?? [])
        else if (!(await this.#tryStand(settings))) failed.push(settings)
      }
      for (const settings of failed) {
        const { name } = settings
        const before = former.get(name)
        if (before !== undefined && (await this.#tryStand(before)))
          log.warn({ event: 'network.former', network: name }, `the network ${name} is as it was before`)
        else this.#hindered.push(settings)
      }
    })
  }

  /**
   * At once, whatever is being started: that may hang. Networks on demand that have VMs leave their folders, since the VMs
   * outlive this daemon.
   */
  async stop(): Promise<void> {
    this.#isStopped = true
    const demanded = [...this.#demanded.values()].map(entry =>
      entry.network.vms.ports.size > 0 ? this.#close(entry) : this.#end(entry),
    )
    const standing = [...this.#standing.values()].map(network => network.stop())
    this.#standing.clear()
    await Promise.all([...demanded, ...standing])
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(change)
    this.#turn = result.catch(() => {})
    return result
  }

  async #tryStand(settings: NetworkSettings): Promise<boolean> {
    const { name } = settings
    const { log } = this.#options
    try {
      await this.#stand(settings)
      log.info({ event: 'network.up', network: name }, `the network ${name} is up`)
      return true
    } catch (error) {
      const { message, hint } = error as BridgeError
      log.error(
        { event: 'network.failed', network: name, reason: message },
        `the network ${name} does not start: ${message}${hint === undefined ? '' : `. Try: ${hint}`}`,
      )
      return false
    }
  }

  async #stand(settings: NetworkSettings): Promise<void> {
    if (this.#isStopped) return
    requireRoom(settings, this.list())
    this.#options.prepare?.(settings)
    const network = new Network(settings, this.#contextOf(settings))
    // Before it is up: who stops meanwhile stops it, too.
    this.#standing.set(settings.name, network)
    try {
      await network.start()
    } catch (error) {
      this.#standing.delete(settings.name)
      throw error
    }
  }

  /** Takes a standing network down. Never rejects: what goes wrong is said. */
  async #fall(network: Network): Promise<void> {
    const { name } = network.settings
    const fields = { event: 'network.down', network: name }
    const { log } = this.#options
    try {
      await network.stop()
      log.info(fields, `the network ${name} is down: the file has it no more, or another`)
    } catch (error) {
      log.error({ ...fields, err: error }, `the network ${name} did not stop as it should`)
    }
    this.#standing.delete(name)
  }

  async #demand(
    wanted: NetworkWanted,
    { mayJoinHost, isKept = false }: { mayJoinHost: boolean; isKept?: boolean },
  ): Promise<Held & { isNew: boolean }> {
    const { rights, log } = this.#options
    if (this.#demandIn === undefined)
      throw new BridgeError('ERR_NO_DEMAND', 'this daemon makes no networks on demand', {
        hint: 'vmbridge daemon without --user, which gives up what it takes; or have the network in its file',
      })
    const { folder } = this.#demandIn
    const settings = settingsOf(wanted, this.#demandIn.settings, rights)
    const there = this.list().find(({ network }) => isOf(network.settings, settings.gateway))
    if (there !== undefined) {
      requireSame(wanted, settings, there)
      const entry = this.#demanded.get(there.network.settings.name)
      entry?.life.expect(waitOf(wanted))
      return { ...there, isNew: false }
    }
    if (this.#isStopped) throw new BridgeError('ERR_STOPPING', 'the daemon is stopping')
    // A host's address in a subnet draws all of the host's traffic for it, whatever the subnet is.
    if (!mayJoinHost && settings.uplink.kind !== 'none')
      throw new BridgeError('ERR_FORBIDDEN', 'only root may make a network that this host is in', {
        hint: 'use sudo; or --mode none, for VMs among themselves',
      })
    requireRoom(settings, this.list())
    if (this.#demanded.size >= MOST_DEMANDED)
      throw new BridgeError('ERR_NETWORKS_FULL', `there are ${MOST_DEMANDED} networks on demand already`, {
        hint: 'vmbridge network remove',
      })
    const { name } = settings
    if (!isKept) folder.make(name, wanted)
    const life = new DemandLife({ clock: this.#options.context.clock, onOver: () => this.#over(entry) })
    const network: Network = new Network(settings, {
      ...this.#contextOf(settings),
      onPorts: () => life.portsAre(network.vms.ports.size),
    })
    const entry: Demanded = { network, kind: 'demand', life }
    this.#demanded.set(name, entry)
    try {
      await network.start()
    } catch (error) {
      this.#demanded.delete(name)
      folder.remove(name)
      throw asWanted(error)
    }
    log.info(
      {
        event: 'network.up',
        network: name,
        gateway: formatCidr(settings.gateway),
        uplink: network.uplink.status(),
      },
      `the network ${name} is up, on demand`,
    )
    life.expect(waitOf(wanted))
    return { network, kind: 'demand', isNew: true }
  }

  /** The log says of which network it speaks, unless that is the only one in the ordinary case. */
  #contextOf({ name }: NetworkSettings): NetworkContext {
    const { context } = this.#options
    return name === 'default' ? context : { ...context, log: context.log.child({ network: name }) }
  }

  #over(entry: Demanded): void {
    void this.#inTurn(async () => {
      // Somebody may have wanted it, or come, or removed it, while others had their turn.
      if (this.#isHeld(entry) && entry.life.isOver) await this.#end(entry)
    })
  }

  #isHeld(entry: Demanded): boolean {
    return this.#demanded.get(entry.network.settings.name) === entry
  }

  /** Takes a network on demand down, and all that it left. Never rejects: what goes wrong is said. */
  #end(entry: Demanded): Promise<void> {
    entry.ended ??= this.#takeDown(entry)
    return entry.ended
  }

  async #takeDown(entry: Demanded): Promise<void> {
    const { name } = entry.network.settings
    const { log } = this.#options
    let failure: unknown
    try {
      await this.#close(entry)
    } catch (error) {
      failure = error
    }
    this.#demandIn?.folder.remove(name)
    const fields = { event: 'network.down', network: name }
    if (failure === undefined) log.info(fields, `the network ${name} is down, and nothing is left of it`)
    else log.error({ ...fields, err: failure }, `the network ${name} did not stop as it should`)
    await this.#standHindered()
  }

  /** Now that a network is gone. */
  async #standHindered(): Promise<void> {
    if (this.#isStopped) return
    const still: NetworkSettings[] = []
    for (const settings of this.#hindered)
      if (this.#isHindered(settings) || !(await this.#tryStand(settings))) still.push(settings)
    this.#hindered = still
  }

  #isHindered(settings: NetworkSettings): boolean {
    try {
      requireRoom(settings, this.list())
      return false
    } catch {
      return true
    }
  }

  async #close(entry: Demanded): Promise<void> {
    entry.life.end()
    try {
      await entry.network.stop()
    } finally {
      // It is in the list as long as there is anything of it.
      this.#demanded.delete(entry.network.settings.name)
    }
  }
}

/** Ms. */
function waitOf({ wait = DEFAULT_WAIT }: NetworkWanted): number {
  return wait * 1000
}
