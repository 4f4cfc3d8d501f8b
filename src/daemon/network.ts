/**
 * A network: one switch with its sockets, ports, uplink, DHCP server and neighbours, built and torn down as a
 * whole. A daemon may hold any number of them.
 *
 * The order of building: sockets first (a second daemon stops here, before it has touched anything), then the
 * uplink, then DHCP with its leases, then VMs are let in. Torn down the other way round.
 */

import { accessSync, closeSync, constants, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { LeaseFile } from '../dhcp/lease-store.js'
import { defaultRange } from '../dhcp/range.js'
import { DhcpServer, type DhcpServerOptions } from '../dhcp/server.js'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
import { native, type Credentials } from '../native.js'
import { Neighbors } from '../neighbors/neighbors.js'
import { Listener } from '../ports/listener.js'
import { streamPort, type StreamPort } from '../ports/run-port.js'
import { ServicePort } from '../ports/service-port.js'
import { Port, STREAM_MAX_FRAME } from '../switch/port.js'
import { Run } from '../switch/run.js'
import { Switch, type Clock } from '../switch/switch.js'
import { NoUplink } from '../uplink/none.js'
import { openUplink } from '../uplink/select.js'
import { maxFrameOf, type Uplink } from '../uplink/uplink.js'
import { formatIpv4Range, type Ipv4Range } from '../wire/ipv4.js'
import { formatMac, type Mac } from '../wire/mac.js'
import { DhcpService } from './dhcp-service.js'
import { SegmentInspector } from './inspector.js'
import type { DhcpSettings, NetworkSettings } from './settings.js'

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
  dhcp: DhcpServer | undefined

  readonly #context: NetworkContext
  readonly #run = Run.allocate()
  readonly #listeners: Listener[] = []
  #service: ServicePort | undefined
  #stateLock: number | undefined
  #named = 0

  constructor(settings: NetworkSettings, context: NetworkContext) {
    const { clock, random32 } = context
    this.settings = settings
    this.#context = context
    this.switch = new Switch({
      clock,
      random32,
      inspector: new SegmentInspector(this.neighbors, settings.dhcp !== undefined),
    })
  }

  /** @throws BridgeError; what was built until then is torn down */
  async start(): Promise<void> {
    const { sockets, rights, uplink, gateway, mtu } = this.settings
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
      this.uplink = openUplink(uplink, gateway, { switch: this.switch, run: this.#run, log, mtu })
      if (this.settings.dhcp !== undefined) await this.#startDhcp(this.settings.dhcp)
      for (const listener of this.#listeners) listener.start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    for (const listener of this.#listeners.splice(0)) listener.close()
    for (const { stream } of this.vms.values()) stream.close()
    this.vms.clear()
    this.uplink.close()
    this.#service?.close()
    await this.dhcp?.close()
    if (this.#stateLock !== undefined) closeSync(this.#stateLock)
    this.#stateLock = undefined
  }

  /** What DHCP leases, or undefined when it is off. */
  get range(): Ipv4Range | undefined {
    const { dhcp, gateway } = this.settings
    return dhcp && (dhcp.range ?? defaultRange(gateway))
  }

  #plug(fd: number, peer: Credentials): void {
    const { log, wallClock } = this.#context
    const maxFrame = Math.max(STREAM_MAX_FRAME, maxFrameOf(this.settings.mtu))
    const port = new Port({ name: `vm${++this.#named}`, role: 'vm', maxFrame })
    const stream = streamPort({
      switch: this.switch,
      run: this.#run,
      port,
      fd,
      onEnd: reason => {
        this.vms.delete(port)
        const fields = { event: 'port.down', port: port.name, pid: peer.pid, reason }
        // A VM that leaves is news; framing that breaks is a fault to look into.
        if (reason === 'eof' || reason === 'reset') log.info(fields, `${port.name} left`)
        else log.warn(fields, `${port.name} was closed: ${reason}`)
      },
    })
    this.vms.set(port, { stream, peer, since: wallClock.now() })
    log.info(
      { event: 'port.up', port: port.name, pid: peer.pid, uid: peer.uid },
      `${port.name} plugged in, PID ${peer.pid}`,
    )
  }

  async #startDhcp(dhcp: DhcpSettings): Promise<void> {
    const { gateway, mtu, stateDir } = this.settings
    const { log, clock, wallClock } = this.#context
    const range = this.range
    if (range === undefined) {
      throw new BridgeError('ERR_DHCP_RANGE', 'the subnet has no room for a DHCP range', {
        hint: '--no-dhcp',
      })
    }
    this.#stateLock = lockState(stateDir)
    const service = new ServicePort(this.switch, 'dhcp')
    this.#service = service
    const serverMac = serverMacOf(gateway.address)
    const options: DhcpServerOptions = {
      serverMac,
      serverIp: gateway.address,
      subnet: gateway,
      range,
      exclude: dhcp.exclude,
      router: gateway.address,
      dns: dhcp.dns.length > 0 ? dhcp.dns : [gateway.address],
      mtu,
      clock: wallClock,
      store: new LeaseFile({ path: join(stateDir, 'leases.json'), log, clock: wallClock }),
      log,
      send: frame => service.send(frame),
      isClaimed: (ip, { hi, lo }) => this.neighbors.isClaimedByOther(ip, hi, lo, clock.now()),
      answersArp: this.uplink.port === undefined,
      ...(dhcp.domain === undefined ? {} : { domain: dhcp.domain }),
      ...(dhcp.leaseSeconds === undefined ? {} : { leaseSeconds: dhcp.leaseSeconds }),
    }
    this.dhcp = new DhcpServer(options)
    await this.dhcp.start()
    service.serve(new DhcpService(this.dhcp, options, (high, low) => this.switch.locate(high, low)?.name))
    const top = vipRange(gateway.broadcast, range)
    log.info(
      {
        event: 'dhcp.ready',
        range: formatIpv4Range(range),
        vips: top,
        mac: formatMac(serverMac.hi, serverMac.lo),
      },
      `DHCP leases ${formatIpv4Range(range)}${top === undefined ? '' : `; ${top} is free for VIPs and static addresses`}`,
    )
  }
}

/** What stands above the range in its subnet. */
function vipRange(broadcast: number, { last }: Ipv4Range): string | undefined {
  return last + 1 < broadcast ? formatIpv4Range({ first: last + 1, last: broadcast - 1 }) : undefined
}

/**
 * The DHCP server's own station address: locally administered, and the same for the same gateway, so that what
 * VMs remember of it outlives a restart.
 */
function serverMacOf(gateway: number): Mac {
  return { hi: 0x0276, lo: ((0x6d << 24) | (gateway & 0xffffff)) >>> 0 }
}

/**
 * Holds the state folder for this process: two daemons would overwrite each other's leases. By a file that others
 * cannot open, since whoever can open a file can lock it.
 */
function lockState(folder: string): number {
  let fd: number
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    accessSync(folder, constants.W_OK | constants.X_OK)
    fd = openSync(join(folder, 'lock'), 'a', 0o600)
  } catch (error) {
    throw new BridgeError(
      'ERR_STATE_DIR',
      `cannot use the state folder ${folder}: ${error instanceof Error ? error.message : error}`,
      {
        hint: 'choose another with --state-dir',
        cause: error,
      },
    )
  }
  if (native.lock(fd)) return fd
  closeSync(fd)
  throw new BridgeError('ERR_STATE_IN_USE', `another daemon keeps its leases in ${folder}`, {
    hint: 'give each daemon a folder of its own with --state-dir',
  })
}
