// Where leases outlive the process: the seam, and a JSON file behind it.
//
// The file is replaced as a whole: written beside, fsynced, renamed, and the directory fsynced, so that a
// crash leaves the old file or the new one. While one write is under way all further saves share the next.
// Loading never fails: what cannot be read is set aside under another name, with a warning.

import { copyFile, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Lease } from './leases.js'
import { BridgeError, hasCode } from '../errors.js'
import { fromHex, toHex } from '../wire/bytes.js'
import { formatIpv4, parseIpv4 } from '../wire/ipv4.js'
import { formatMac, parseMac } from '../wire/mac.js'
import { clientKey } from './client.js'
import { safeHostname } from './options.js'

/** What the server logs through: pino's face. */
export interface DhcpLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface LeaseStore {
  /** The leases of the last save, the longest unused first. Never rejects: without any, it starts afresh. */
  load(): Promise<Lease[]>
  /**
   * Resolves once a state at least as new as that of this call would survive a crash. `snapshot` is called
   * when the write begins, the longest unused lease first. Rejects with ERR_LEASE_STORE.
   */
  save(snapshot: () => Iterable<Lease>): Promise<void>
}

export interface LeaseFileOptions {
  path: string
  log: DhcpLog
  /** Names a broken file that is set aside; ms since the epoch. */
  clock: { now(): number }
}

const VERSION = 1

interface LeaseRecord {
  ip: string
  mac: string
  clientId?: string
  hostname?: string
  /** ISO 8601. */
  expires: string
}

export class LeaseFile implements LeaseStore {
  readonly #path: string
  readonly #log: DhcpLog
  readonly #clock: { now(): number }
  #writing: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor({ path, log, clock }: LeaseFileOptions) {
    this.#path = path
    this.#log = log
    this.#clock = clock
  }

  async load(): Promise<Lease[]> {
    let text
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) await this.#setAside(rename, String(error))
      return []
    }
    const records = recordsOf(text)
    if (!records) {
      await this.#setAside(rename, 'it is not a lease file of this version')
      return []
    }
    const leases = records.map(toLease).filter(lease => lease !== undefined)
    const lost = records.length - leases.length
    // The rest is still good and still there for the next start: copy, do not move.
    if (lost > 0) await this.#setAside(copyFile, `${lost} of its ${records.length} leases cannot be read`)
    return leases
  }

  save(snapshot: () => Iterable<Lease>): Promise<void> {
    if (!this.#writing) {
      this.#writing = this.#write(snapshot).finally(() => (this.#writing = undefined))
      return this.#writing
    }
    // Whether the write under way fails is the business of those who wait for it.
    this.#next ??= this.#writing
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.save(snapshot)
      })
    return this.#next
  }

  async #write(snapshot: () => Iterable<Lease>): Promise<void> {
    const leases = Array.from(snapshot(), toRecord)
    const text = `{"version":${VERSION},"leases":[\n${leases.map(lease => JSON.stringify(lease)).join(',\n')}\n]}\n`
    const beside = `${this.#path}.tmp`
    try {
      await rm(beside, { force: true })
      const file = await open(beside, 'wx', 0o600)
      try {
        await file.writeFile(text)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(beside, this.#path)
      const directory = await open(dirname(this.#path), 'r')
      await directory.sync().finally(() => directory.close())
    } catch (cause) {
      throw new BridgeError('ERR_LEASE_STORE', `cannot write the leases to ${this.#path}: ${reason(cause)}`, {
        hint: `make room and give write access to ${dirname(this.#path)}`,
        cause,
      })
    }
  }

  async #setAside(how: (from: string, to: string) => Promise<void>, why: string): Promise<void> {
    const aside = `${this.#path}.broken-${new Date(this.#clock.now()).toISOString().replaceAll(':', '')}`
    const fields = { event: 'dhcp.store', path: this.#path, aside, why }
    try {
      await how(this.#path, aside)
      this.#log.warn(fields, `the lease file is broken and was set aside as ${aside}: ${why}`)
    } catch (error) {
      this.#log.warn(fields, `the lease file is broken (${why}) and cannot be set aside: ${reason(error)}`)
    }
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function recordsOf(text: string): unknown[] | undefined {
  try {
    const file = JSON.parse(text) as { version?: unknown; leases?: unknown } | null
    return file?.version === VERSION && Array.isArray(file.leases) ? file.leases : undefined
  } catch {
    return undefined
  }
}

function toRecord({ ip, mac, clientId, hostname, expires }: Lease): LeaseRecord {
  return {
    ip: formatIpv4(ip),
    mac: formatMac(mac.hi, mac.lo),
    ...(clientId && { clientId: toHex(clientId) }),
    ...(hostname !== undefined && { hostname }),
    expires: new Date(expires).toISOString(),
  }
}

/** A lease from what may be anything. */
function toLease(record: unknown): Lease | undefined {
  if (typeof record !== 'object' || record === null) return undefined
  const { ip, mac, clientId, hostname, expires } = record as Partial<Record<keyof LeaseRecord, unknown>>
  const address = typeof ip === 'string' ? parseIpv4(ip) : undefined
  const station = typeof mac === 'string' ? parseMac(mac) : undefined
  const until = typeof expires === 'string' ? Date.parse(expires) : Number.NaN
  const id = typeof clientId === 'string' ? fromHex(clientId) : undefined
  if (address === undefined || station === undefined || Number.isNaN(until)) return undefined
  if (clientId !== undefined && id === undefined) return undefined
  const name = typeof hostname === 'string' ? safeHostname(hostname) : undefined
  return {
    ip: address,
    key: clientKey(station, id),
    mac: station,
    ...(id && { clientId: id }),
    ...(name !== undefined && { hostname: name }),
    expires: until,
  }
}
