// Reservations: addresses that are kept for one client each, told by its client identifier, its hardware address
// or its name. One reservation an address and one a match. They are asked for with every DHCP message, so each
// question is one look-up in a map.
//
// The disk goes first: a change is in memory only once it is on disk, and one that cannot be written did not
// happen. Changes wait for each other, each judged by what the one before has left.
//
// Standing ones are the configuration's: they stand beside those of the file and are not in it, and no request changes
// them. Where one of the file says otherwise, it is not used.
//
// A name is what a client says of itself, so a reservation by name is a convenience and no guard; it stands
// behind the other two.

import type { DhcpLog } from './lease-store.js'
import type { Cidr } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import { BridgeError } from '../errors.js'
import { toHex } from '../wire/bytes.js'
import { formatCidr, formatIpv4 } from '../wire/ipv4.js'
import { formatMac, isStationMac } from '../wire/mac.js'
import { safeHostname } from './options.js'
import { ReservationFile } from './reservation-file.js'
import type { ReservedOptions } from './reserved-options.js'

/** A host name as option 12 may carry it: one label (RFC 1123 §2.1). */
const HOSTNAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
/** Octets of a client identifier, as options.ts takes them. */
const LEAST_CLIENT_ID = 2
const MOST_CLIENT_ID = 255
/** More than people keep by hand; bounds the file and what one change writes. */
export const MAX_RESERVATIONS = 4096

/** What tells the client: exactly one of the three. */
export type ReservationMatch =
  { readonly mac: Mac } | { readonly clientId: Uint8Array } | { readonly name: string }

export interface Reservation {
  /** A uint32. */
  readonly ip: number
  readonly match: ReservationMatch
  /** Told to the client as option 12. */
  readonly hostname?: string
  /** Told to the client in place of the segment's. */
  readonly options?: ReservedOptions
}

/** One of the configuration. */
export interface StandingReservation {
  readonly reservation: Reservation
  /** Where it is written, for people: a file and a line. */
  readonly origin: string
}

export interface ReservationsOptions {
  /** The file; without it nothing outlives the process. */
  path?: string
  /** Whether one whose address or whose client is reserved already takes the other's place; else it is refused. */
  replaces?: boolean
  /** Throws why the network cannot use a reservation that is well-formed. */
  check?: (reservation: Reservation) => void
  subnet: Cidr
  /** Addresses that no client can have: the server's own, the router's. */
  taken: readonly number[]
  log: DhcpLog
  /** Ms since the epoch. */
  clock: { now(): number }
}

export class Reservations {
  readonly #subnet: Cidr
  readonly #taken: readonly number[]
  readonly #log: DhcpLog
  readonly #file: ReservationFile | undefined
  readonly #replaces: boolean
  readonly #check: (reservation: Reservation) => void
  readonly #byIp = new Map<number, Reservation>()
  readonly #byMatch = new Map<string, Reservation>()
  /** The origins of the standing ones, by address. */
  readonly #standing = new Map<number, string>()
  /** Read, but of no use here (another subnet's, say): kept in the file for a daemon that can use them. */
  #unfit: Reservation[] = []
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: ReservationsOptions) {
    const { path, replaces = false, check = () => {}, subnet, taken, log, clock } = options
    this.#replaces = replaces
    this.#check = check
    this.#subnet = subnet
    this.#taken = taken
    this.#log = log
    this.#file = path === undefined ? undefined : new ReservationFile({ path, log, clock })
  }

  /**
   * Takes a standing one: before `load`, so that it comes before what the file has.
   * @throws BridgeError as `add` rejects
   */
  stand({ reservation, origin }: StandingReservation): void {
    const wanted = wellFormed(reservation)
    this.#checkFits(wanted)
    this.#put(wanted)
    this.#standing.set(wanted.ip, origin)
  }

  /** Takes those in place of the standing ones that there are. What does not fit is left out, with a warning. */
  standInstead(all: readonly StandingReservation[]): Promise<void> {
    return this.#inTurn(async () => {
      const kept = [...this.#kept(), ...this.#unfit]
      for (const table of [this.#byIp, this.#byMatch, this.#standing]) table.clear()
      this.#unfit = []
      for (const each of all) {
        try {
          this.stand(each)
        } catch (error) {
          this.#warn(each.reservation, error, `correct it in ${each.origin}`)
        }
      }
      this.#take(kept)
    })
  }

  /** Takes over what the file has. Never rejects: what is broken or does not fit is left out, with a warning. */
  async load(): Promise<void> {
    this.#take((await this.#file?.read()) ?? [])
  }

  #take(kept: readonly Reservation[]): void {
    for (const reservation of kept) {
      try {
        const wanted = wellFormed(reservation)
        this.#checkFits(wanted)
        this.#put(wanted)
      } catch (error) {
        this.#unfit.push(reservation)
        this.#warn(reservation, error, `vmbridge reservations remove ${formatIpv4(reservation.ip)}`)
      }
    }
  }

  #warn({ ip, match }: Reservation, error: unknown, hint: string): void {
    const address = formatIpv4(ip)
    const why = error instanceof Error ? error.message : String(error)
    const line = `the reservation of ${address} for ${matchText(match)} is not used: ${why}`
    this.#log.warn({ event: 'dhcp.reservations', ip: address, why, hint }, line)
  }

  /** Those that the file has and that are used. */
  #kept(): Reservation[] {
    return this.list().filter(({ ip }) => !this.#standing.has(ip))
  }

  /** The client's reservation: by client identifier, then by hardware address, then by name. */
  of(client: { mac: Mac; clientId?: Uint8Array; hostname?: string }): Reservation | undefined {
    // A DHCP message costs no text where nothing is reserved.
    if (this.#byMatch.size === 0) return undefined
    const { mac, clientId, hostname } = client
    const name = safeHostname(hostname)
    return (
      (clientId && this.#byMatch.get(matchKey({ clientId }))) ??
      this.#byMatch.get(matchKey({ mac })) ??
      (name === undefined ? undefined : this.#byMatch.get(matchKey({ name })))
    )
  }

  /** The reservation of an address, a uint32. */
  at(ip: number): Reservation | undefined {
    return this.#byIp.get(ip)
  }

  /** By address. */
  list(): readonly Reservation[] {
    return [...this.#byIp.values()].sort(byIp)
  }

  /**
   * On disk when it resolves; the very same again changes nothing. Rejects with ERR_RESERVATION_ADDRESS for an
   * address that no client can have, ERR_RESERVATION_MATCH or ERR_RESERVATION_HOSTNAME for what can be nobody's,
   * ERR_RESERVATION_EXISTS unless it takes the place of what is there, ERR_RESERVATIONS_FULL, ERR_RESERVATION_STORE.
   */
  add(reservation: Reservation): Promise<void> {
    return this.#inTurn(async () => {
      const wanted = wellFormed(reservation)
      const there = this.#byIp.get(wanted.ip)
      if (there && isSame(there, wanted) && tellsTheSame(there, wanted)) return
      const old = this.#replaces ? this.#inTheWayOf(wanted) : []
      this.#checkFits(wanted, old)
      const unfit = this.#unfit.filter(each => !isSame(each, wanted))
      const stay = this.#kept().filter(each => !old.includes(each))
      await this.#file?.write([...[...stay, wanted].sort(byIp), ...unfit])
      this.#unfit = unfit
      for (const each of old) this.#drop(each)
      this.#put(wanted)
    })
  }

  /**
   * Resolves to what was removed, once it is off the disk. Rejects with ERR_NO_RESERVATION, ERR_RESERVATION_STANDING,
   * ERR_RESERVATION_STORE.
   */
  remove(which: { readonly ip: number } | ReservationMatch): Promise<Reservation> {
    return this.#inTurn(async () => {
      const there = 'ip' in which ? this.#byIp.get(which.ip) : this.#byMatch.get(matchKey(which))
      const origin = there && this.#standing.get(there.ip)
      const used = origin === undefined ? there : undefined
      const found = used ?? this.#unfit.find(each => isFor(each, which))
      if (!found && there && origin !== undefined) throw stands(there, origin)
      if (!found) {
        const text = 'ip' in which ? formatIpv4(which.ip) : matchText(which)
        throw new BridgeError('ERR_NO_RESERVATION', `there is no reservation for ${text}`, {
          hint: 'vmbridge reservations list',
        })
      }
      const unfit = this.#unfit.filter(each => each !== found)
      await this.#file?.write([...this.#kept().filter(each => each !== found), ...unfit])
      this.#unfit = unfit
      if (used) this.#drop(used)
      return found
    })
  }

  /** Resolves when nothing waits for the disk. */
  async flush(): Promise<void> {
    await this.#turn
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(change)
    this.#turn = result.catch(() => {})
    return result
  }

  #put(reservation: Reservation): void {
    this.#byIp.set(reservation.ip, reservation)
    this.#byMatch.set(matchKey(reservation.match), reservation)
  }

  #drop({ ip, match }: Reservation): void {
    this.#byIp.delete(ip)
    this.#byMatch.delete(matchKey(match))
  }

  /** Those with the same address or the same client, two at most. */
  #inTheWayOf({ ip, match }: Reservation): Reservation[] {
    const found = [this.#byIp.get(ip), this.#byMatch.get(matchKey(match))].filter(each => each !== undefined)
    // What the configuration says stays.
    return [...new Set(found)].filter(each => !this.#standing.has(each.ip))
  }

  /** Throws why a well-formed reservation cannot stand beside those that are there but for the `old` ones. */
  #checkFits(wanted: Reservation, old: readonly Reservation[] = []): void {
    const { ip, match } = wanted
    this.#checkAddress(ip)
    this.#check(wanted)
    if (old.length > 0) return
    const sameIp = this.#byIp.get(ip)
    if (sameIp)
      throw this.#exists(`${formatIpv4(ip)} is reserved already, for ${matchText(sameIp.match)}`, ip)
    const same = this.#byMatch.get(matchKey(match))
    if (same) throw this.#exists(`${matchText(match)} has ${formatIpv4(same.ip)} reserved already`, same.ip)
    if (this.#byIp.size >= MAX_RESERVATIONS) {
      throw new BridgeError('ERR_RESERVATIONS_FULL', `there are ${MAX_RESERVATIONS} reservations already`, {
        hint: 'vmbridge reservations remove',
      })
    }
  }

  #exists(message: string, ip: number): BridgeError {
    const origin = this.#standing.get(ip)
    return new BridgeError('ERR_RESERVATION_EXISTS', message + (origin === undefined ? '' : ` (${origin})`), {
      hint: origin === undefined ? `vmbridge reservations remove ${formatIpv4(ip)}` : 'change it there',
    })
  }

  #checkAddress(ip: number): void {
    const { network, broadcast, netmask } = this.#subnet
    const why =
      (ip & netmask) >>> 0 !== network
        ? `is not in ${formatCidr(this.#subnet)}`
        : ip === network || ip === broadcast
          ? `is the ${ip === network ? 'network' : 'broadcast'} address of ${formatCidr(this.#subnet)}`
          : this.#taken.includes(ip)
            ? 'is the address of the gateway or of the DHCP server'
            : undefined
    if (why === undefined) return
    throw new BridgeError('ERR_RESERVATION_ADDRESS', `${formatIpv4(ip)} ${why}`, {
      hint: `an address from ${formatIpv4(network + 1)} to ${formatIpv4(broadcast - 1)} that no host has`,
    })
  }
}

/** Who a reservation is for, as people write it. */
export function matchText(match: ReservationMatch): string {
  if ('mac' in match) return formatMac(match.mac.hi, match.mac.lo)
  return 'clientId' in match ? `client ID ${toHex(match.clientId)}` : `the name ${match.name}`
}

/** One text a client, different for different ones. */
function matchKey(match: ReservationMatch): string {
  if ('mac' in match) return `hw:${formatMac(match.mac.hi, match.mac.lo)}`
  return 'clientId' in match ? `id:${toHex(match.clientId)}` : `name:${match.name.toLowerCase()}`
}

function byIp(one: Reservation, other: Reservation): number {
  return one.ip - other.ip
}

/** True for the same address and the same client, whatever it is told. */
function isSame(one: Reservation, other: Reservation): boolean {
  return one.ip === other.ip && matchKey(one.match) === matchKey(other.match)
}

function tellsTheSame(one: Reservation, other: Reservation): boolean {
  const texts = (reservation: Reservation): string => JSON.stringify(reservation.options?.texts ?? [])
  return one.hostname === other.hostname && texts(one) === texts(other)
}

function isFor({ ip, match }: Reservation, which: { readonly ip: number } | ReservationMatch): boolean {
  return 'ip' in which ? ip === which.ip : matchKey(match) === matchKey(which)
}

/** A copy in the one form that is looked up; throws what is wrong with it wherever it stood. */
function wellFormed({ ip, match, hostname, options }: Reservation): Reservation {
  if (hostname !== undefined && !HOSTNAME.test(hostname)) {
    throw new BridgeError('ERR_RESERVATION_HOSTNAME', `"${hostname}" is no host name`, {
      hint: 'one label: letters, digits and hyphens, at most 63',
    })
  }
  return {
    ip,
    match: wellFormedMatch(match),
    ...(hostname !== undefined && { hostname }),
    ...(options && { options }),
  }
}

function wellFormedMatch(match: ReservationMatch): ReservationMatch {
  if ('mac' in match) {
    const { hi, lo } = match.mac
    if (isStationMac(hi, lo)) return { mac: { hi, lo } }
    throw notAClient(`${formatMac(hi, lo)} is no address of one station`)
  }
  if ('clientId' in match) {
    const { length } = match.clientId
    if (length >= LEAST_CLIENT_ID && length <= MOST_CLIENT_ID) return { clientId: match.clientId.slice() }
    throw notAClient(`a client ID has ${LEAST_CLIENT_ID} to ${MOST_CLIENT_ID} octets, not ${length}`)
  }
  // As the names of clients are made safe, or it would match none.
  const name = safeHostname(match.name)
  if (name !== undefined) return { name }
  throw notAClient(`"${match.name}" is no name that a client can have`)
}

function notAClient(message: string): BridgeError {
  return new BridgeError('ERR_RESERVATION_MATCH', message, { hint: 'vmbridge leases shows the clients' })
}

function stands({ ip, match }: Reservation, origin: string): BridgeError {
  return new BridgeError(
    'ERR_RESERVATION_STANDING',
    `the reservation of ${formatIpv4(ip)} for ${matchText(match)} is in the file ${origin}`,
    { hint: 'take it out of the file, and send the daemon SIGHUP' },
  )
}
