// A disk in memory that loses what it may lose. When the power fails, of a file's octets those that no fsync covered
// are cut off at any of them; of names, what no fsync of the folder covered is forgotten from any step on. An
// fsync that fails leaves octets that every process still reads and that no later fsync writes, as on Linux.

import type { JournalDisk, JournalFile } from '../../src/dhcp/journal-disk.js'

interface Inode {
  /** As processes read it. */
  seen: Buffer
  /** As far as it is on the disk. */
  lasting: Buffer
}

export interface Faults {
  /** The power fails during the operation of this number, counted from the last restart. */
  powerFailsAt?: number
  /** Operations that fail, by number. */
  failing?: readonly number[]
}

export class CrashDisk implements JournalDisk {
  readonly #tear: (most: number) => number
  #names = new Map<string, Inode>()
  #lastingNames = new Map<string, Inode>()
  #unsyncedNames: ((names: Map<string, Inode>) => void)[] = []
  #faults: Faults = {}
  #isOff = false
  operations = 0
  renames = 0

  /** `tear` picks a number from 0 to `most`: how much of an operation there is when it is cut off. */
  constructor(tear: (most: number) => number) {
    this.#tear = tear
  }

  /** True once the power failed; every operation rejects until restart(). */
  get isOff(): boolean {
    return this.#isOff
  }

  /** Begins to count anew, with these faults to come. */
  expect(faults: Faults): void {
    this.#faults = faults
    this.operations = 0
  }

  /** The power comes back; also fails before, where it did not yet. */
  restart(): void {
    const kept = this.#unsyncedNames.slice(0, this.#tear(this.#unsyncedNames.length))
    for (const step of kept) step(this.#lastingNames)
    for (const inode of new Set(this.#lastingNames.values())) {
      const unsynced = inode.seen.subarray(inode.lasting.length)
      const torn = unsynced.subarray(0, this.#tear(unsynced.length))
      inode.lasting = Buffer.concat([inode.lasting, torn])
      inode.seen = inode.lasting
    }
    this.#names = new Map(this.#lastingNames)
    this.#unsyncedNames = []
    this.#faults = {}
    this.#isOff = false
  }

  names(): string[] {
    return [...this.#names.keys()].sort()
  }

  /** Puts a file there, as if it had always been. */
  place(path: string, bytes: Uint8Array): void {
    const inode = { seen: Buffer.from(bytes), lasting: Buffer.from(bytes) }
    this.#names.set(path, inode)
    this.#lastingNames.set(path, inode)
  }

  async read(path: string): Promise<Buffer> {
    return this.#inode(path).seen
  }

  async create(path: string): Promise<JournalFile> {
    this.#operate(() => {})
    const inode = { seen: Buffer.alloc(0), lasting: Buffer.alloc(0) }
    this.#rename(names => names.set(path, inode))
    return {
      write: async bytes => {
        const add = (length: number): void => {
          inode.seen = Buffer.concat([inode.seen, bytes.subarray(0, length)])
        }
        this.#operate(() => add(this.#tear(bytes.length)))
        add(bytes.length)
      },
      datasync: async () => {
        this.#operate(() => {
          const lost = Buffer.alloc(inode.seen.length - inode.lasting.length)
          if (!this.#isOff) inode.lasting = Buffer.concat([inode.lasting, lost])
        })
        const written = inode.seen.subarray(inode.lasting.length)
        inode.lasting = Buffer.concat([inode.lasting, written])
      },
      isAt: async at => this.#names.get(at) === inode,
      close: async () => {},
    }
  }

  async rename(from: string, to: string): Promise<void> {
    this.#operate(() => {})
    const inode = this.#inode(from)
    this.renames++
    this.#rename(names => {
      names.delete(from)
      names.set(to, inode)
    })
  }

  async copy(from: string, to: string): Promise<void> {
    this.#operate(() => {})
    const { seen } = this.#inode(from)
    this.#rename(names => names.set(to, { seen, lasting: Buffer.alloc(0) }))
  }

  async remove(path: string): Promise<void> {
    this.#operate(() => {})
    this.#rename(names => names.delete(path))
  }

  async syncFolder(): Promise<void> {
    this.#operate(() => {})
    for (const step of this.#unsyncedNames.splice(0)) step(this.#lastingNames)
  }

  #rename(step: (names: Map<string, Inode>) => void): void {
    step(this.#names)
    this.#unsyncedNames.push(step)
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path)
    if (!inode) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
    return inode
  }

  /** Counts an operation; when it is to fail, leaves of it what `partly` does. */
  #operate(partly: () => void): void {
    if (this.#isOff) throw new Error('the power is off')
    const number = this.operations++
    const isCut = number === this.#faults.powerFailsAt
    if (isCut) this.#isOff = true
    if (!isCut && !this.#faults.failing?.includes(number)) return
    partly()
    throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
  }
}
