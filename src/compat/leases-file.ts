/**
 * Keeps the leases of our DHCP server in a file of the format of macOS's /var/db/dhcpd_leases (dhcpd-leases.ts), where
 * minikube looks for its VM every other second.
 *
 * Rounds of read, merge and replace, one at a time, when a lease changed or somebody else changed the file: the folder is
 * watched, and looked at now and then where watching does not do. All of it is apart from DHCP, which only says that
 * something changed: an ACK waits for none of this, and a disk that is full or a file that is none costs one line in the log.
 *
 * Who else writes it: Apple's bootpd, whole and by rename, from what it has in memory; a second daemon of ours, with another
 * network; and people, who empty it or remove it, as advice on the web tells them to. There is no lock that they would heed.
 * So everybody's entries are read again before each write, and ours are put back when they are missing.
 *
 * What is ours? The leases that the server has now; those that it had and knows to be over (it remembers them, also from
 * earlier runs, since its journal does); those that this process wrote a moment ago; and whatever lies in our subnet with a
 * time that is over, be it from a journal that was lost. What others lease in the same subnet stays as long as it is true:
 * another daemon may share Apple's interface with us.
 *
 * Live leases stay in the file when the daemon ends: VMs outlive its restart, and minikube, which polls while they do, would
 * lose them. Whoever reads it can see when they end.
 */

import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Cidr } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import { addEntries, mergeEntries, readEntries, toEntry } from './dhcpd-leases.js'
import type { LeaseEntries, LeaseEntry, OwnLease } from './dhcpd-leases.js'
import {
  identityAt,
  identityNow,
  MAX_FILE,
  openFile,
  readFile,
  replaceFile,
  type OpenFile,
} from './leases-disk.js'

export interface LeasesFileTiming {
  /** From one write to the next, in ms, however many leases change. */
  write: number
  /** After a write that only put back what others had changed: two programs that do not agree are no storm. */
  assert: number
  /** From one look to the next, in ms, where nothing was heard. */
  look: number
}

export interface LeasesFileOptions {
  path: string
  /** Ends the name of the file while it is written: never the same for two daemons. */
  suffix: string
  /** Where our server leases addresses. */
  subnet: Cidr
  /** Every lease of the server, those that are over included, the longest unused first. */
  leases: () => Iterable<OwnLease>
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
  /** `now` in ms since the epoch; `after` calls once, unless the function that it returns was called. */
  clock: { now(): number; after(ms: number, call: () => void): () => void }
  timing?: LeasesFileTiming
}

/** minikube polls every 2 s. */
const TIMING: LeasesFileTiming = { write: 200, assert: 1000, look: 5000 }
/** The most entries of ours, the newest: of the longest client identifiers they are 4 MB. */
export const MAX_OWN = 4096
/** How often a write begins anew in one round since the file changed under it. */
const ATTEMPTS = 5
/** After a moment of work, as many such moments of rest: whoever rewrites a large file all the time must not stop frames. */
const REST = 19
/** How long the end of the daemon waits for the last write, in ms. */
const PATIENCE = 1000

export class LeasesFile {
  readonly #options: LeasesFileOptions
  readonly #timing: LeasesFileTiming
  readonly #beside: string
  #watcher: FSWatcher | undefined
  #cancelLook: (() => void) | undefined
  #cancelPause: (() => void) | undefined
  #running: Promise<void> | undefined
  /** A round is due; and for a change of ours, so that it must write. */
  #isDue = false
  #isChanged = true
  /** The content of the file as it was seen last, or written. */
  #known: { identity: string | undefined; found: LeaseEntries } | undefined
  /** The addresses that we wrote last, each with its MAC. */
  #written: Holders = new Map()
  /** When the first of it is over. */
  #soonest = Infinity
  /** The file that we replaced last: who had it open may still write to it. */
  #former: OpenFile | undefined
  #strays: readonly LeaseEntry[] = []
  readonly #entries = new WeakMap<OwnLease, LeaseEntry>()
  /** How long reading and merging took in this round, in ms. */
  #worked = 0
  #failure: string | undefined
  #isClosed = false

  constructor(options: LeasesFileOptions) {
    this.#options = options
    this.#timing = options.timing ?? TIMING
    this.#beside = `${options.path}.${options.suffix}`
  }

  /** Writes the leases that there are, and keeps the file from then on. */
  start(): void {
    const { path, log } = this.#options
    log.info({ event: 'leases-file.ready', path }, `leases are also written to ${path}, for minikube`)
    this.#look()
  }

  /** Notes that leases changed. Quick; the file follows. */
  changed(): void {
    this.#isChanged = true
    this.#request()
  }

  /** Writes what is still to be written, and lets go. Waits for a disk that hangs for a second at most. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#watcher?.close()
    this.#cancelLook?.()
    this.#cancelPause?.()
    let giveUp = (): void => {}
    const patience = new Promise<void>(resolve => (giveUp = this.#options.clock.after(PATIENCE, resolve)))
    await Promise.race([this.#finish().catch(() => {}), patience])
    giveUp()
  }

  async #finish(): Promise<void> {
    await this.#running
    if (this.#isDue || this.#former !== undefined) await this.#round()
    await this.#former?.handle.close()
    this.#former = undefined
  }

  #request(): void {
    this.#isDue = true
    if (this.#isClosed || this.#running !== undefined || this.#cancelPause !== undefined) return
    // From an event of its own: whoever says that leases changed has more to do.
    this.#cancelPause = this.#options.clock.after(0, () => {
      this.#cancelPause = undefined
      this.#running = this.#round().then(pause => {
        this.#running = undefined
        if (!this.#isClosed) this.#rest(pause)
      })
    })
  }

  #rest(pause: number): void {
    const earned = Math.min(this.#worked * REST, 2 * this.#timing.look)
    this.#worked = 0
    this.#cancelPause = this.#options.clock.after(Math.max(pause, earned), () => {
      this.#cancelPause = undefined
      if (this.#isDue || this.#former !== undefined) this.#request()
    })
  }

  /** Of the folder, as a watched file is lost when it is replaced. */
  #look(): void {
    const { path, clock } = this.#options
    try {
      this.#watcher ??= watch(dirname(path), { persistent: false }, (_, name) => {
        if (name === null || name === basename(path)) this.#request()
      }).on('error', () => this.#unwatch())
    } catch {
      // There is no such folder, or watchers are used up: the looks remain.
    }
    this.#request()
    this.#cancelLook = clock.after(this.#timing.look, () => this.#look())
  }

  #unwatch(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }

  /** Never rejects. Resolves to the time until the next, in ms. */
  async #round(): Promise<number> {
    const { write, assert, look } = this.#timing
    const isChanged = this.#isChanged
    this.#isDue = false
    try {
      await this.#collectStrays()
      const isQuiet = !isChanged && this.#strays.length === 0 && this.#options.clock.now() < this.#soonest
      if (isQuiet && this.#known?.identity === (await identityAt(this.#options.path))) return write
      this.#isChanged = false
      let attempts = 0
      while (!(await this.#attempt())) {
        if (++attempts < ATTEMPTS) continue
        // Somebody writes it all the time, and may be done by then.
        this.#isChanged = this.#isDue = true
        return write
      }
      this.#succeeded()
      return isChanged ? write : assert
    } catch (error) {
      this.#isChanged = true
      this.#failed(error as Error)
      return look
    }
  }

  /** False if the file changed meanwhile. */
  async #attempt(): Promise<boolean> {
    const { path, clock } = this.#options
    const file = await openFile(path)
    let isKept = false
    try {
      const text = await this.#changedText(file)
      const began = clock.now()
      const found = addEntries(text === undefined ? this.#known!.found : readEntries(text), this.#strays)
      const { ours, isOver } = this.#ours()
      const { entries, isInOrder } = mergeEntries(found, ours, isOver)
      this.#worked += clock.now() - began
      let identity = file?.identity
      if (!isInOrder) {
        const text = entries.map(entry => entry.text).join('')
        identity = await replaceFile(path, this.#beside, text, file)
        if (identity === undefined) return false
        isKept = true
        this.#former = file
      }
      this.#strays = []
      this.#known = { identity, found: { entries, isClean: true } }
      this.#written = new Map(ours.map(({ ip, mac }) => [ip, mac]))
      this.#soonest = Math.min(Infinity, ...ours.map(({ expires }) => expires ?? Infinity))
      return true
    } finally {
      if (!isKept) await file?.handle.close()
    }
  }

  /** What the file holds; undefined if that is known. */
  async #changedText(file: OpenFile | undefined): Promise<string | undefined> {
    if (this.#known !== undefined && this.#known.identity === file?.identity) return undefined
    return file === undefined ? '' : readFile(file)
  }

  /** The live leases as entries, the newest first, and what tells of another entry that it was ours or is nobody's. */
  #ours(): { ours: LeaseEntry[]; isOver: (entry: LeaseEntry) => boolean } {
    const { leases, clock, subnet } = this.#options
    const now = clock.now()
    const live: OwnLease[] = []
    const over = new Map<number, Mac>()
    for (const lease of leases()) {
      if (lease.expires > now) live.push(lease)
      else over.set(lease.ip, lease.mac)
    }
    const isOver = (entry: LeaseEntry): boolean => {
      const { ip = -1, expires = Infinity } = entry
      if (isHolder(this.#written, entry) || isHolder(over, entry)) return true
      return expires <= now && ip >= subnet.network && ip <= subnet.broadcast
    }
    const ours = live
      .slice(-MAX_OWN)
      .reverse()
      .map(each => this.#entryOf(each))
    return { ours, isOver }
  }

  /** A lease is never changed but replaced by another, so that only what is new is put into words. */
  #entryOf(lease: OwnLease): LeaseEntry {
    let entry = this.#entries.get(lease)
    if (entry === undefined) this.#entries.set(lease, (entry = toEntry(lease)))
    return entry
  }

  /**
   * Who writes the file in place, and had it open when we replaced it, wrote to a file without a name. What it holds since
   * then joins the rest.
   */
  async #collectStrays(): Promise<void> {
    const former = this.#former
    if (former === undefined) return
    this.#former = undefined
    try {
      if ((await identityNow(former)) === former.identity) return
      const size = Number((await former.handle.stat()).size)
      if (size <= MAX_FILE) this.#strays = readEntries(await readFile({ ...former, size })).entries
    } finally {
      await former.handle.close()
    }
  }

  /** One line for a failure, however often it comes again. */
  #failed({ message }: Error): void {
    const { path, log } = this.#options
    if (this.#failure === message) return
    this.#failure = message
    log.warn(
      { event: 'leases-file.failed', path, reason: message },
      `the leases file ${path} is not kept, and minikube may not find a VM by it: ${message}. To change that: let this user write to ${dirname(path)}, or choose another --leases-file, or none`,
    )
  }

  #succeeded(): void {
    const { path, log } = this.#options
    if (this.#failure !== undefined)
      log.info({ event: 'leases-file.kept', path }, `the leases file ${path} is kept again`)
    this.#failure = undefined
  }
}

type Holders = ReadonlyMap<number | undefined, Mac | undefined>

function isHolder(holders: Holders, { ip, mac }: LeaseEntry): boolean {
  const holder = holders.get(ip)
  return holder !== undefined && mac !== undefined && holder.hi === mac.hi && holder.lo === mac.lo
}
