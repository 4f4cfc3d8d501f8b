/**
 * Where the names of ports outlive the daemon: `ports.json` in the state folder, for people to read as well. It is
 * replaced as a whole, at most once a second and not on the loop, so a daemon that is killed forgets a second at most. Names
 * are no more than names: nothing that is wrong with the file, or with the disk, stops the daemon; it is said once.
 */

import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SYSTEM_CLOCK, type DhcpClock } from '../dhcp/clock.js'
import { SYSTEM_DISK } from '../dhcp/journal-disk.js'
import { hasCode } from '../errors.js'
import type { Logger } from '../log.js'
import { formatMac, isStationMac, parseMac } from '../wire/mac.js'
import { PORT_NAME, type PortRecord } from './port-names.js'

/** What is asked of the operating system; all of it rejects with its errors. */
export interface NamesDisk {
  /** The octets of a file; rejects for what is no file and for one of more than `limit`. */
  read(path: string, limit: number): Promise<Buffer>
  /** Puts a file of these octets, readable for all, in the place of what is there. */
  replace(path: string, text: string): Promise<void>
}

export interface PortNamesFileOptions {
  folder: string
  log: Pick<Logger, 'warn'>
  clock?: DhcpClock
  disk?: NamesDisk
}

const VERSION = 1
/** Ms between two writes. */
const WRITE_EVERY = 1000
/** Twice what the most records with the longest paths take: what is larger is not ours. */
const MOST_OCTETS = 1024 * 1024

const DISK: NamesDisk = {
  read: (path, limit) => SYSTEM_DISK.read(path, limit),
  async replace(path, text) {
    const beside = `${path}.new`
    try {
      // Through no link: after --user the folder is not root's, and the next start is.
      await rm(beside, { force: true })
      await writeFile(beside, text, { flag: 'wx', mode: 0o644, flush: true })
      await rename(beside, path)
    } catch (error) {
      await rm(beside, { force: true }).catch(() => {})
      throw error
    }
  },
}

export class PortNamesFile {
  readonly #folder: string
  readonly #path: string
  readonly #log: Pick<Logger, 'warn'>
  readonly #clock: DhcpClock
  readonly #disk: NamesDisk
  /** What is to be written; undefined when all is. */
  #records: (() => readonly PortRecord[]) | undefined
  #writing: Promise<void> | undefined
  #cancel: (() => void) | undefined
  #isFailing = false
  #isClosed = false

  constructor({ folder, log, clock = SYSTEM_CLOCK, disk = DISK }: PortNamesFileOptions) {
    this.#folder = folder
    this.#path = join(folder, 'ports.json')
    this.#log = log
    this.#clock = clock
    this.#disk = disk
  }

  /** What was written last, as far as it can be read. Never rejects. */
  async load(): Promise<PortRecord[]> {
    // While this is root, who may make it.
    await mkdir(this.#folder, { recursive: true, mode: 0o755 }).catch(() => {})
    try {
      const { records, bad } = readRecords(await this.#disk.read(this.#path, MOST_OCTETS))
      if (bad > 0) this.#warn(`${bad} of the port names in ${this.#path} cannot be read, and are forgotten`)
      return records
    } catch (error) {
      if (!hasCode(error, 'ENOENT'))
        this.#warn(`the port names in ${this.#path} cannot be read, and are forgotten: ${reason(error)}`)
      return []
    }
  }

  /** Writes what `records` gives then: at once, or when a second is over since the last time. */
  save(records: () => readonly PortRecord[]): void {
    this.#records = records
    if (this.#writing === undefined && this.#cancel === undefined) this.#later(0)
  }

  /** Resolves when the last change is written, or could not be. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancel?.()
    await this.#writing
    await this.#write()
  }

  #later(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      this.#cancel = undefined
      if (this.#records === undefined) return
      this.#writing = this.#write().then(() => {
        this.#writing = undefined
        if (!this.#isClosed) this.#later(WRITE_EVERY)
      })
    })
  }

  async #write(): Promise<void> {
    const records = this.#records
    if (records === undefined) return
    this.#records = undefined
    try {
      await this.#disk.replace(this.#path, textOf(records()))
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing)
        this.#warn(
          `cannot keep the names of ports in ${this.#path}: ${reason(error)}; VMs may have other names after a restart`,
        )
      this.#isFailing = true
    }
  }

  #warn(message: string): void {
    this.#log.warn({ event: 'port.names', path: this.#path }, message)
  }
}

function textOf(records: readonly PortRecord[]): string {
  // A record a line, the latest at the end.
  const lines = records.map(({ mac, ...rest }) =>
    JSON.stringify({ ...rest, mac: formatMac(Math.floor(mac / 2 ** 32), mac % 2 ** 32) }),
  )
  return `{"version":${VERSION},"ports":[\n${lines.join(',\n')}\n]}\n`
}

/** @throws what JSON.parse does, and for another version */
function readRecords(bytes: Buffer): { records: PortRecord[]; bad: number } {
  const { version, ports } = JSON.parse(bytes.toString('utf8')) as { version?: unknown; ports?: unknown }
  if (version !== VERSION || !Array.isArray(ports)) throw new Error('it is no such file of this version')
  const records = ports.map(recordOf).filter(record => record !== undefined)
  return { records, bad: ports.length - records.length }
}

function recordOf(value: unknown): PortRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, mac: text, key, pid, start } = value as Record<string, unknown>
  const mac = parseMac(String(text))
  if (typeof name !== 'string' || !PORT_NAME.test(name)) return undefined
  if (mac === undefined || !isStationMac(mac.hi, mac.lo)) return undefined
  return {
    name,
    mac: mac.hi * 2 ** 32 + mac.lo,
    ...(typeof key === 'string' && { key }),
    ...(typeof pid === 'number' && typeof start === 'number' && { pid, start }),
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
