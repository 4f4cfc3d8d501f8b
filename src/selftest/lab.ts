/**
 * What the checks share: a network as the daemon builds it, in a folder of its own, two stations on it, and what the
 * checks before have found.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Network } from '../daemon/network.js'
import type { NetworkSettings } from '../daemon/settings.js'
import { defaultRange } from '../dhcp/range.js'
import type { Logger } from '../log.js'
import { native } from '../native.js'
import type { UplinkChoice } from '../uplink/uplink.js'
import { formatIpv4 } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import type { Lease } from './dhcp-client.js'
import { addressOn, interfaceOn, type HostInterface } from './host-side.js'
import { CheckFailure, CheckSkipped } from './result.js'
import { Station } from './station.js'
import { poll } from './wait.js'

/** How long the switch may take to notice a station that plugs in, in ms. */
const PLUG_LIMIT = 10_000
/** Locally administered, with our own prefix; the rest is random. */
const MAC_HIGH = 0x0276
const MAC_LOW = 0x73000000

/**
 * Whose the addresses of the segment are. `own`: the self-test's, and the host has the gateway's. `lan`: somebody
 * else's, who leases them. `alone`: there is nobody but the stations.
 */
export type Plan = 'own' | 'lan' | 'alone'

export function planOf(uplink: UplinkChoice): Plan {
  if (uplink.kind === 'none') return 'alone'
  if (uplink.kind === 'socket' || (uplink.kind === 'vmnet' && uplink.mode === 'bridged')) return 'lan'
  return 'own'
}

/** Addresses that are free for static use: three from the top of the subnet down, outside of what is leased. */
export function freeAddresses({ uplink, gateway, dhcp }: NetworkSettings): number[] {
  const last = (uplink.kind === 'vmnet' ? uplink.dhcpEnd : undefined) ?? defaultRange(gateway)?.last
  const range = dhcp?.range ?? { first: gateway.network, last: last ?? gateway.broadcast }
  const found: number[] = []
  for (let ip = gateway.broadcast - 1; ip > gateway.network && found.length < 3; ip--) {
    const isLeased = range.first <= ip && ip <= range.last
    if (ip !== gateway.address && !isLeased) found.push(ip)
  }
  return found
}

export interface LabOptions {
  /** Its sockets and its state folder are replaced by places in the folder of the run. */
  network: NetworkSettings
  /** Leases of somebody else's DHCP server may be taken, and are given back. */
  lanDhcp: boolean
  /** Lines of JSON, the oldest first: what `logger` wrote. */
  log: readonly string[]
  logger: Logger
  random32: () => number
  /** Ends every wait. */
  signal: AbortSignal
}

export class Lab {
  readonly settings: NetworkSettings
  readonly plan: Plan
  readonly lanDhcp: boolean
  readonly log: readonly string[]
  readonly signal: AbortSignal
  readonly random32: () => number
  /** What is measured is under the resolution of the loop's clock, which the switch has. */
  readonly clock = performance
  readonly network: Network
  readonly stations: Station[] = []
  readonly leases = new Map<Station, Lease>()
  /** The host had the gateway's address before the uplink came. */
  readonly wasThere: boolean
  /** The network started. */
  isUp = false

  readonly #folder: string
  readonly #remove: () => void

  constructor({ network, lanDhcp, log, logger, random32, signal }: LabOptions) {
    this.#folder = mkdtempSync(join(tmpdir(), 'vmbridge-selftest-'))
    this.#remove = () => rmSync(this.#folder, { recursive: true, force: true })
    // Whatever ends this process, but a signal that nobody can hear.
    process.on('exit', this.#remove)
    this.settings = { ...network, sockets: [this.socket], stateDir: this.#folder, rights: { mode: 0o600 } }
    this.plan = planOf(network.uplink)
    this.lanDhcp = lanDhcp
    this.log = log
    this.signal = signal
    this.random32 = random32
    this.wasThere =
      this.plan === 'own' && interfaceOn(network.gateway.address)?.ip === network.gateway.address
    this.network = new Network(this.settings, { log: logger, clock: native, wallClock: Date, random32 })
  }

  get socket(): string {
    return join(this.#folder, 's')
  }

  get a(): Station {
    return this.stations[0]
  }

  get b(): Station {
    return this.stations[1]
  }

  /** Plugs a station in; resolves when the switch has its port. @throws Interrupted */
  async plug(name: string): Promise<void> {
    const { clock, random32, signal } = this
    const mac: Mac = { hi: MAC_HIGH, lo: (MAC_LOW | (random32() & 0xffffff)) >>> 0 }
    const before = this.network.vms.ports.size
    this.stations.push(new Station({ name, mac, path: this.socket, clock, random32, signal }))
    await poll(() => (this.network.vms.ports.size > before ? true : undefined), PLUG_LIMIT, signal)
  }

  /** @throws CheckSkipped where the addresses are somebody else's, or the subnet is too small */
  staticAddress(which: 0 | 1 | 2): number {
    if (this.plan === 'lan') {
      throw new CheckSkipped('the addresses of this segment are not ours to take')
    }
    const ip = freeAddresses(this.settings)[which]
    if (ip === undefined) throw new CheckSkipped('the subnet has no address for it outside of the DHCP range')
    return ip
  }

  /** The station's leased address, or where there is none a static one, which it takes. @throws CheckSkipped */
  addressOf(station: Station): number {
    const leased = this.leases.get(station)
    if (leased !== undefined) return leased.ip
    if (this.plan === 'lan') throw new CheckSkipped('the station has no address: see lease')
    const ip = this.staticAddress(station === this.a ? 0 : 1)
    station.addresses.add(ip)
    return ip
  }

  /** The gateway of the segment, a uint32. @throws CheckSkipped */
  get gateway(): number {
    if (this.plan !== 'lan') return this.settings.gateway.address
    const router = this.leases.get(this.a)?.routers[0]
    if (router === undefined) throw new CheckSkipped('no gateway is known: see lease')
    return router
  }

  /** The host as a station of the segment. @throws CheckSkipped, CheckFailure */
  get host(): HostInterface {
    if (this.plan === 'alone') throw new CheckSkipped('with --uplink none the host is not on the segment')
    const host = interfaceOn(this.plan === 'own' ? this.gateway : this.addressOf(this.a))
    if (host !== undefined) return host
    if (this.plan === 'lan') throw new CheckSkipped('no interface of the host is in this subnet')
    throw new CheckFailure('the host has no interface on the segment any more', {
      expected: `an interface with ${formatIpv4(this.gateway)}`,
      seen: 'none in that subnet',
    })
  }

  /** Whether that is the built-in DHCP server, by where the switch heard it: others may say that they have its address. */
  isOwnServer({ hi, lo }: Mac): boolean {
    return this.network.switch.locate(hi, lo)?.role === 'service'
  }

  /** The interface that is bridged, with the host's own address. */
  get bridged(): HostInterface | undefined {
    const { uplink } = this.settings
    return uplink.kind === 'vmnet' && uplink.interface !== undefined ? addressOn(uplink.interface) : undefined
  }

  /** Removes the folder of the run. */
  cleanUp(): void {
    this.#remove()
    process.off('exit', this.#remove)
  }
}
