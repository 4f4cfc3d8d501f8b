// Where reservations outlive the process: a JSON file that people may read and edit while the daemon is down.
//
// The file is replaced as a whole: written beside, fsynced, renamed, and the directory fsynced, so that a crash
// leaves the old file or the new one. Reading never fails: what cannot be read is set aside under another name,
// with a warning.

import { copyFile, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DhcpLog } from './lease-store.js'
import type { Reservation, ReservationMatch } from './reservations.js'
import { BridgeError, hasCode } from '../errors.js'
import { fromHex, toHex } from '../wire/bytes.js'
import { formatIpv4, parseIpv4 } from '../wire/ipv4.js'
import { formatMac, parseMac } from '../wire/mac.js'
import { SYSTEM_DISK } from './journal-disk.js'
import { readReservedOptions } from './reserved-options.js'

export interface ReservationFileOptions {
  path: string
  log: DhcpLog
  /** Names a broken file that is set aside; ms since the epoch. */
  clock: { now(): number }
}

const VERSION = 1
/** Several times what the most reservations take: what is larger is not ours. */
const MOST_OCTETS = 16 * 1024 * 1024

interface ReservationRecord {
  ip: string
  mac?: string
  /** Hexadecimal. */
  clientId?: string
  name?: string
  hostname?: string
  /** Each NAME=VALUE or NUMBER=HEX. */
  options?: string[]
}

export class ReservationFile {
  readonly #path: string
  readonly #log: DhcpLog
  readonly #clock: { now(): number }

  constructor({ path, log, clock }: ReservationFileOptions) {
    this.#path = path
    this.#log = log
    this.#clock = clock
  }

  /** What was written last, as far as it has the form of reservations; whether they fit is the caller's to judge. */
  async read(): Promise<Reservation[]> {
    let text
    try {
      text = (await SYSTEM_DISK.read(this.#path, MOST_OCTETS)).toString('utf8')
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) await this.#setAside(rename, reason(error))
      return []
    }
    const records = recordsOf(text)
    if (!records) {
      await this.#setAside(rename, 'it is no reservation file of this version')
      return []
    }
    const reservations = records.map(toReservation).filter(each => each !== undefined)
    const lost = records.length - reservations.length
    if (lost > 0) {
      await this.#setAside(copyFile, `${lost} of its ${records.length} reservations cannot be read`)
      // Without them from here on, or every start would set one more copy aside.
      await this.write(reservations).catch(() => {})
    }
    return reservations
  }

  /** Resolves once they would survive a crash. Rejects with ERR_RESERVATION_STORE; the old file is still there then. */
  async write(reservations: readonly Reservation[]): Promise<void> {
    const lines = reservations.map(each => JSON.stringify(toRecord(each)))
    const beside = `${this.#path}.tmp`
    let folder: FileHandle | undefined
    try {
      // First of all: once the new file has its name, nothing but the disk may fail.
      folder = await open(dirname(this.#path), 'r')
      await rm(beside, { force: true })
      const file = await open(beside, 'wx', 0o600)
      try {
        await file.writeFile(`{"version":${VERSION},"reservations":[\n${lines.join(',\n')}\n]}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(beside, this.#path)
      await folder.sync()
    } catch (cause) {
      await rm(beside, { force: true }).catch(() => {})
      throw new BridgeError(
        'ERR_RESERVATION_STORE',
        `cannot write the reservations to ${this.#path}: ${reason(cause)}`,
        { hint: `make room and give write access to ${dirname(this.#path)}`, cause },
      )
    } finally {
      await folder?.close()
    }
  }

  async #setAside(how: (from: string, to: string) => Promise<void>, why: string): Promise<void> {
    const aside = `${this.#path}.broken-${new Date(this.#clock.now()).toISOString().replaceAll(':', '')}`
    const fields = { event: 'dhcp.reservations', path: this.#path, aside, why }
    try {
      await how(this.#path, aside)
      this.#log.warn(fields, `the reservation file is broken and was set aside as ${aside}: ${why}`)
    } catch (error) {
      const failed = `the reservation file is broken (${why}) and cannot be set aside: ${reason(error)}`
      this.#log.warn(fields, failed)
    }
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function recordsOf(text: string): unknown[] | undefined {
  try {
    const file = JSON.parse(text) as { version?: unknown; reservations?: unknown } | null
    return file?.version === VERSION && Array.isArray(file.reservations) ? file.reservations : undefined
  } catch {
    return undefined
  }
}

/** A reservation as people write it: in the file, and over the control socket. */
export function toRecord({ ip, match, hostname, options }: Reservation): ReservationRecord {
  return {
    ip: formatIpv4(ip),
    ...('mac' in match && { mac: formatMac(match.mac.hi, match.mac.lo) }),
    ...('clientId' in match && { clientId: toHex(match.clientId) }),
    ...('name' in match && { name: match.name }),
    ...(hostname !== undefined && { hostname }),
    ...(options && { options: [...options.texts] }),
  }
}

/**
 * A reservation from what may be anything; undefined unless it has exactly one match, every text its form, and options
 * that can be told.
 */
export function toReservation(record: unknown): Reservation | undefined {
  if (typeof record !== 'object' || record === null) return undefined
  const { ip, hostname, options = [], ...rest } = record as Partial<Record<keyof ReservationRecord, unknown>>
  const address = typeof ip === 'string' ? parseIpv4(ip) : undefined
  const match = toMatch(rest)
  if (address === undefined || match === undefined) return undefined
  if (hostname !== undefined && typeof hostname !== 'string') return undefined
  const told = toOptions(options)
  if (told === 'unreadable') return undefined
  return {
    ip: address,
    match,
    ...(hostname !== undefined && { hostname }),
    ...(told && { options: told }),
  }
}

function toOptions(texts: unknown): Reservation['options'] | 'unreadable' {
  if (!Array.isArray(texts) || texts.some(text => typeof text !== 'string')) return 'unreadable'
  try {
    return readReservedOptions(texts as string[])
  } catch {
    return 'unreadable'
  }
}

function toMatch({ mac, clientId, name }: Record<string, unknown>): ReservationMatch | undefined {
  if ([mac, clientId, name].filter(each => each !== undefined).length !== 1) return undefined
  const station = typeof mac === 'string' ? parseMac(mac) : undefined
  if (station) return { mac: station }
  const id = typeof clientId === 'string' ? fromHex(clientId) : undefined
  if (id) return { clientId: id }
  return typeof name === 'string' ? { name } : undefined
}
