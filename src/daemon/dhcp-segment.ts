/**
 * The DHCP side of a network: the server with its leases and reservations in the state folder, as a host on a port of
 * the switch, told by the neighbour table of every claim.
 */

import { createHash } from 'node:crypto'
import { accessSync, closeSync, constants, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { LeasesFile } from '../compat/leases-file.js'
import { SYSTEM_CLOCK } from '../dhcp/clock.js'
import { LeaseJournal } from '../dhcp/journal.js'
import { limitLog } from '../dhcp/limited-log.js'
import type { DhcpLog, LeaseStore } from '../dhcp/lease-store.js'
import { ROUTER } from '../dhcp/options.js'
import { defaultRange } from '../dhcp/range.js'
import { Reservations } from '../dhcp/reservations.js'
import { DhcpServer, type DhcpServerOptions } from '../dhcp/server.js'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
import { native } from '../native.js'
import type { Neighbors } from '../neighbors/neighbors.js'
import { ServicePort } from '../ports/service-port.js'
import type { Switch } from '../switch/switch.js'
import { formatIpv4Range, type Cidr, type Ipv4Range } from '../wire/ipv4.js'
import { formatMac, type Mac } from '../wire/mac.js'
import { DhcpService } from './dhcp-service.js'
import { GreedyClaims } from './greedy-claims.js'
import type { DhcpSettings } from './settings.js'

export interface DhcpSegmentOptions {
  settings: DhcpSettings
  gateway: Cidr
  mtu: number
  stateDir: string
  /** True where no host has the gateway's address: the server answers ARP for it. */
  answersArp: boolean
  switch: Switch
  neighbors: Neighbors
  log: Logger
}

export class DhcpSegment {
  readonly server: DhcpServer
  readonly reservations: Reservations
  readonly range: Ipv4Range
  readonly #options: DhcpSegmentOptions
  readonly #serverMac: Mac
  readonly #service: ServicePort
  readonly #stateLock: number
  readonly #leasesFile: LeasesFile | undefined
  readonly #log: DhcpLog
  readonly #greedy = new GreedyClaims({
    size: () => this.server.pool.size,
    claims: id => this.#options.neighbors.countOf(id, ip => this.server.pool.isOpen(ip, SYSTEM_CLOCK.now())),
    held: id => this.server.pool.heldBy(this.#nameOf(id)),
    onGreedy: (id, claims) => {
      const port = this.#nameOf(id)
      const line = `${port} claims ${claims} addresses of the DHCP range, more than it may: its claims are not heeded`
      this.#log.warn({ event: 'dhcp.claims', port, claims }, line)
    },
  })
  #isClosed = false

  /** @throws BridgeError for a range that is no use, and for a state folder that is */
  constructor(options: DhcpSegmentOptions) {
    const { settings, gateway, mtu, stateDir, answersArp, switch: sw, neighbors, log } = options
    this.#options = options
    this.range = rangeOf(settings, gateway)
    this.#stateLock = lockState(stateDir)
    this.#serverMac = serverMacOf(gateway.address)
    const clock = SYSTEM_CLOCK
    this.#log = limitLog(log, clock)
    this.reservations = new Reservations({
      path: join(stateDir, 'reservations.json'),
      subnet: gateway,
      taken: [gateway.address, ...routersOf(settings)],
      log,
      clock,
    })
    this.#service = new ServicePort(sw, 'dhcp')
    this.#leasesFile = this.#openLeasesFile()
    const { dns, domain, leaseSeconds, nextServer } = settings
    const server: DhcpServerOptions = {
      serverMac: this.#serverMac,
      serverIp: gateway.address,
      subnet: gateway,
      range: this.range,
      exclude: settings.exclude,
      router: gateway.address,
      dns: dns.length > 0 ? dns : [gateway.address],
      mtu,
      options: settings.options,
      boot: settings.boot,
      ...(domain === undefined ? {} : { domain }),
      ...(nextServer === undefined ? {} : { nextServer }),
      ...(leaseSeconds === undefined ? {} : { leaseSeconds }),
      clock,
      store: told(new LeaseJournal({ path: join(stateDir, 'leases.journal'), log, clock }), () =>
        this.#leasesFile?.changed(),
      ),
      log: this.#log,
      conflictLog: limitLog(log, clock, { perSecond: 10, burst: 300 }),
      reservations: this.reservations,
      send: frame => this.#service.send(frame),
      isClaimed: (ip, { hi, lo }) => neighbors.isClaimedByOther(ip, hi, lo, sw.now()) && !this.#isGreedy(ip),
      isPlugged: name => sw.ports.some(port => port.name === name),
      answersArp,
    }
    try {
      this.server = new DhcpServer(server)
    } catch (error) {
      closeSync(this.#stateLock)
      throw error
    }
  }

  /** Reads what is kept, and begins to answer. */
  async start(): Promise<void> {
    const { gateway, answersArp, neighbors, log } = this.#options
    await this.reservations.load()
    await this.server.start()
    if (this.#isClosed) return
    this.#leasesFile?.start()
    neighbors.onChange = (ip, hi, lo, portId, isProbe) =>
      this.server.claimed(ip, { hi, lo }, this.#nameOf(portId), isProbe)
    this.#service.serve(new DhcpService(this.server, { serverIp: gateway.address, answersArp }))
    const range = formatIpv4Range(this.range)
    const vips = vipRange(gateway.broadcast, this.range)
    log.info(
      { event: 'dhcp.ready', range, vips, mac: formatMac(this.#serverMac.hi, this.#serverMac.lo) },
      `DHCP leases ${range}${vips === undefined ? '' : `; ${vips} is free for VIPs and static addresses`}`,
    )
  }

  #openLeasesFile(): LeasesFile | undefined {
    const { settings, gateway, stateDir, log } = this.#options
    if (settings.leasesFile === undefined) return undefined
    return new LeasesFile({
      path: settings.leasesFile,
      // No two daemons have one state folder, and the next start of this one has the same.
      suffix: `vmbridge-${createHash('sha256').update(stateDir).digest('hex').slice(0, 8)}`,
      subnet: gateway,
      leases: () => this.server.pool.leases(),
      log,
      clock: SYSTEM_CLOCK,
    })
  }

  /** Whether the port that claims an address claims too much; the uplink, behind which there is a LAN, may. */
  #isGreedy(ip: number): boolean {
    const { switch: sw, neighbors } = this.#options
    const id = neighbors.claimPort(ip)
    const port = sw.portById(id)
    return port !== undefined && !port.isUplink && this.#greedy.isGreedy(id, sw.now())
  }

  #nameOf(portId: number): string {
    return this.#options.switch.portById(portId)?.name ?? '-'
  }

  /** Resolves when every ACK that waits for the disk has left or was refused. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.server.close()
    await this.#leasesFile?.close()
    this.#service.close()
    closeSync(this.#stateLock)
  }
}

/** A store that tells of every save: all that changes a lease ends in one. */
function told(store: LeaseStore, onSave: () => void): LeaseStore {
  return {
    load: () => store.load(),
    save: (changes, snapshot) => store.save(changes, snapshot).finally(onSave),
    close: () => store.close(),
  }
}

/** Routers other than the gateway, if there are any. */
function routersOf({ options }: DhcpSettings): readonly number[] {
  return ROUTER.decode(options.get(ROUTER.code) ?? new Uint8Array()) ?? []
}

/** What is leased: as set, or the subnet but for its top. */
function rangeOf({ range }: DhcpSettings, gateway: Cidr): Ipv4Range {
  const found = range ?? defaultRange(gateway)
  if (found !== undefined) return found
  throw new BridgeError('ERR_DHCP_RANGE', 'the subnet has no room for a DHCP range', { hint: '--no-dhcp' })
}

/** What stands above the range in its subnet. */
function vipRange(broadcast: number, { last }: Ipv4Range): string | undefined {
  return last + 1 < broadcast ? formatIpv4Range({ first: last + 1, last: broadcast - 1 }) : undefined
}

/**
 * The DHCP server's own station address: locally administered, and the same for the same gateway, so that what
 * VMs remember of it outlives a restart.
 */
export function serverMacOf(gateway: number): Mac {
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
    const { O_WRONLY, O_CREAT, O_APPEND, O_NONBLOCK, O_NOFOLLOW, W_OK, X_OK } = constants
    accessSync(folder, W_OK | X_OK)
    // Not waiting, and through no link: after --user the folder is not root's, and the next start is.
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOFOLLOW
    fd = openSync(join(folder, 'lock'), flags, 0o600)
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
