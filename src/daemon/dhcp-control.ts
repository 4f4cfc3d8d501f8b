/**
 * What the control API does to the DHCP side of a network: leases and reservations, looked at and changed. What comes
 * from outside is read here; who asked for a change is in the log.
 */

import type {
  DhcpHandlers,
  LeaseList,
  LeaseRelease,
  LeaseStatus,
  Peer,
  ReservationAdded,
  ReservationList,
  ReservationRecord,
  ReservationRemoved,
} from '../control/api.js'
import type { DhcpLog } from '../dhcp/lease-store.js'
import { toRecord, toReservation } from '../dhcp/reservation-file.js'
import { safeHostname } from '../dhcp/options.js'
import { matchText, type Reservation, type Reservations } from '../dhcp/reservations.js'
import { readReservedOptions } from '../dhcp/reserved-options.js'
import { BridgeError } from '../errors.js'
import { toHex } from '../wire/bytes.js'
import { parseIpv4 } from '../wire/ipv4.js'
import { formatMac, parseMac, type Mac } from '../wire/mac.js'

/** The DHCP server, as far as it is needed here. */
export interface LeaseServer {
  status(): { leases: readonly LeaseStatus[] }
  /** What became of one address. */
  at(ip: number): LeaseStatus | undefined
  /**
   * Ends the live lease at the address, or all of the MAC's, as a DHCPRELEASE does, and takes the address back if it
   * is put aside. Resolves to the leases that ended, maybe none, once that is saved.
   */
  release(match: { ip: number } | { mac: Mac }): Promise<readonly LeaseStatus[]>
}

export interface ControlledNetwork {
  readonly settings: { readonly name: string }
  readonly switch: { locate(high: number, low: number): { readonly name: string } | undefined }
  readonly dhcp?: LeaseServer | undefined
  readonly reservations?: Reservations | undefined
}

/**
 * The DHCP side of the network called `name`, or of the only one.
 * @throws BridgeError ERR_NO_NETWORK, ERR_WHICH_NETWORK, ERR_NO_DHCP
 */
export function dhcpOf(
  networks: readonly ControlledNetwork[],
  name: string | undefined,
  log: DhcpLog,
): DhcpHandlers {
  const names = networks.map(({ settings }) => settings.name).join(', ')
  if (name === undefined && networks.length > 1) {
    throw new BridgeError('ERR_WHICH_NETWORK', `there are several networks: ${names}`, {
      hint: `--network ${networks[0]!.settings.name}`,
    })
  }
  const network = networks.find(({ settings }) => name === undefined || settings.name === name)
  if (networks.length === 0) {
    throw new BridgeError('ERR_NO_NETWORK', 'the daemon has no network', {
      hint: 'vmbridge network add 10.7.0.1/24',
    })
  }
  if (network === undefined) {
    throw new BridgeError('ERR_NO_NETWORK', `there is no network ${quote(name ?? '')}`, {
      hint: `one of: ${names}`,
    })
  }
  const { dhcp, reservations } = network
  if (dhcp === undefined || reservations === undefined) {
    throw new BridgeError(
      'ERR_NO_DHCP',
      `the network ${network.settings.name} has no DHCP server (--no-dhcp, or dhcp: passthrough)`,
      {
        hint: 'vmbridge networks',
      },
    )
  }
  return new DhcpControl(network, dhcp, reservations, log)
}

class DhcpControl implements DhcpHandlers {
  readonly #name: string
  readonly #switch: ControlledNetwork['switch']
  readonly #server: LeaseServer
  readonly #reservations: Reservations
  readonly #log: DhcpLog

  constructor(network: ControlledNetwork, server: LeaseServer, reservations: Reservations, log: DhcpLog) {
    this.#name = network.settings.name
    this.#switch = network.switch
    this.#server = server
    this.#reservations = reservations
    this.#log = log
  }

  leases(): LeaseList {
    return { network: this.#name, leases: this.#server.status().leases.map(lease => this.#withPort(lease)) }
  }

  async release(which: string, peer: Peer): Promise<LeaseRelease> {
    const ip = parseIpv4(which)
    const mac = parseMac(which)
    if (ip === undefined && mac === undefined) {
      throw new BridgeError('ERR_WHICH', `${quote(which)} is neither an IPv4 address nor a MAC`, {
        hint: 'vmbridge leases',
      })
    }
    const before = this.#at(which)
    const ended = await this.#server.release(mac === undefined ? { ip: ip! } : { mac })
    // An address that was put aside is no lease, and comes back all the same.
    const isTakenBack = before?.state === 'declined' && this.#at(which)?.state !== 'declined'
    const released = ended.length === 0 && isTakenBack ? [before] : ended
    if (released.length === 0) throw notLeased(which, mac, before)
    for (const { ip: address, mac: station, state } of released) {
      const what = state === 'declined' ? `which ${station} had declined` : `the lease of ${station}`
      const done = `released ${address}, ${what}`
      this.#note(peer, done, { change: 'lease.release', ip: address, mac: station })
    }
    return { network: this.#name, released: released.map(lease => this.#withPort(lease)) }
  }

  reservations(): ReservationList {
    return { network: this.#name, reservations: this.#reservations.list().map(toRecord) }
  }

  async reserve(wanted: ReservationRecord, peer: Peer): Promise<ReservationAdded> {
    const { clientId, options = [] } = wanted
    const reservation = toReservation({
      ...wanted,
      ...(clientId !== undefined && { clientId: hexOf(clientId) }),
    })
    if (reservation === undefined) {
      readReservedOptions(options)
      throw unreadable(wanted)
    }
    await this.#reservations.add(reservation)
    const record = toRecord(this.#reservations.at(reservation.ip) ?? reservation)
    const done = `reserved ${record.ip} for ${matchText(reservation.match)}`
    this.#note(peer, done, { change: 'reservation.add', ...record })
    const note = this.#noteOf(reservation, record.ip)
    return { network: this.#name, reservation: record, ...(note !== undefined && { note }) }
  }

  async unreserve(which: string, peer: Peer): Promise<ReservationRemoved> {
    const record = toRecord(await this.#reservations.remove(this.#find(which)))
    const done = `${record.ip} is reserved no more`
    this.#note(peer, done, { change: 'reservation.remove', ...record })
    return { network: this.#name, removed: record }
  }

  /**
   * What `which` could mean: an address and a MAC are told by their form, but `beef` is a name as well as two
   * octets of hexadecimal, so that the reservations decide.
   */
  #find(which: string): Parameters<Reservations['remove']>[0] {
    const ip = parseIpv4(which)
    if (ip !== undefined) return { ip }
    const id = hexOf(which)
    const name = safeHostname(which)?.toLowerCase()
    const mac = parseMac(which)
    const found = this.#reservations.list().filter(({ match }) => {
      if ('mac' in match) return mac !== undefined && match.mac.hi === mac.hi && match.mac.lo === mac.lo
      return 'name' in match ? match.name.toLowerCase() === name : toHex(match.clientId) === id
    })
    if (found.length > 1) {
      const ips = found.map(each => toRecord(each).ip)
      throw new BridgeError('ERR_AMBIGUOUS', `${quote(which)} has several reservations: ${ips.join(', ')}`, {
        hint: `vmbridge reservations remove ${ips[0]}`,
      })
    }
    if (found.length === 1) return found[0].match
    if (mac !== undefined) return { mac }
    throw new BridgeError('ERR_NO_RESERVATION', `there is no reservation for ${quote(which)}`, {
      hint: 'vmbridge reservations list',
    })
  }

  /** That somebody else has the address for now. */
  #noteOf({ match }: Reservation, address: string): string | undefined {
    const lease = this.#at(address)
    if (lease?.state !== 'bound') return undefined
    const { mac, clientId, hostname, expires } = lease
    const isTheirs =
      'mac' in match
        ? mac === formatMac(match.mac.hi, match.mac.lo)
        : 'name' in match
          ? hostname?.toLowerCase() === match.name.toLowerCase()
          : clientId === toHex(match.clientId)
    if (isTheirs) return undefined
    return `${address} is leased to ${mac} until ${expires}; that client gets another at its next renewal`
  }

  /** What is known of an address. */
  #at(address: string): LeaseStatus | undefined {
    const ip = parseIpv4(address)
    return ip === undefined ? undefined : this.#server.at(ip)
  }

  #withPort(lease: LeaseStatus): LeaseStatus {
    const mac = parseMac(lease.mac)
    const port = mac && this.#switch.locate(mac.hi, mac.lo)?.name
    return { ...lease, ...(port !== undefined && { port }) }
  }

  #note({ pid, uid }: Peer, done: string, fields: object): void {
    const line = `PID ${pid} of user ${uid} ${done}`
    this.#log.info({ event: 'control.change', network: this.#name, pid, uid, ...fields }, line)
  }
}

function notLeased(which: string, mac: Mac | undefined, entry: LeaseStatus | undefined): BridgeError {
  const why = entry === undefined ? '' : `; it is ${entry.state}`
  const message = mac === undefined ? `${which} is leased to nobody${why}` : `${which} has no lease`
  return new BridgeError('ERR_NO_LEASE', message, { hint: 'vmbridge leases' })
}

/** The digits of a client identifier in lower case, however the octets are divided; whether they are octets is not asked. */
function hexOf(text: string): string {
  return text.replaceAll(/[:-]/g, '').toLowerCase()
}

/** What a stranger sent, at a length that fits a line. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}

/** The first text of a reservation that cannot be read. */
function unreadable({ ip, mac, clientId }: ReservationRecord): BridgeError {
  if (parseIpv4(ip) === undefined) {
    return new BridgeError('ERR_RESERVATION_ADDRESS', `${quote(ip)} is no IPv4 address`, {
      hint: '192.168.105.7',
    })
  }
  const [what, text, hint] =
    mac === undefined
      ? ['no client ID in hexadecimal', clientId ?? '', '01525400123456']
      : ['no MAC address', mac, '52:54:00:12:34:56']
  return new BridgeError('ERR_RESERVATION_MATCH', `${quote(text)} is ${what}`, { hint })
}
