// What the journal asks of the operating system, one call each, so that a test can put a disk of its own below
// it: one that fails, or that loses power between any two of them.
//
// write() and datasync() are two calls: one write to an O_DSYNC file is a thread pool's round trip faster on Linux,
// but reaches no further than the drive's cache on macOS, where Node's fdatasync is F_FULLFSYNC.

import { constants } from 'node:fs'
import { copyFile, type FileHandle, open, rename, rm, stat } from 'node:fs/promises'

/** An open file that is only ever written at its end. */
export interface JournalFile {
  /** Resolves when all of `bytes` are written, which a crash may still undo. */
  write(bytes: Uint8Array): Promise<void>
  /** Resolves when what was written would survive a crash. */
  datasync(): Promise<void>
  /** True if `path` leads to this very file, and nobody cut it or wrote to it. */
  isAt(path: string): Promise<boolean>
  close(): Promise<void>
}

/** All of these reject with an error of the operating system. */
export interface JournalDisk {
  /** The octets of a file; rejects for what is no file and for one of more than `limit`. */
  read(path: string, limit: number): Promise<Buffer>
  /** An empty file for nobody but its owner, in place of what is there. */
  create(path: string): Promise<JournalFile>
  rename(from: string, to: string): Promise<void>
  /** Copies to a name that is free. */
  copy(from: string, to: string): Promise<void>
  /** Does nothing where nothing is there. */
  remove(path: string): Promise<void>
  /** Resolves when the names in a folder would survive a crash. */
  syncFolder(path: string): Promise<void>
}

export const SYSTEM_DISK: JournalDisk = {
  async read(path, limit) {
    // A FIFO in its place must not be waited for.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) throw new Error('it is not a file')
      if (stats.size > limit) throw new Error(`it has ${stats.size} octets, over ${limit}`)
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  },
  async create(path) {
    await rm(path, { force: true })
    return new SystemFile(await open(path, 'ax', 0o600))
  },
  rename,
  copy: (from, to) => copyFile(from, to, constants.COPYFILE_EXCL),
  remove: path => rm(path, { force: true }),
  async syncFolder(path) {
    const handle = await open(path, 'r')
    await handle.sync().finally(() => handle.close())
  },
}

class SystemFile implements JournalFile {
  readonly #handle: FileHandle
  #identity: Promise<string> | undefined
  #size = 0

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, at)
      at += bytesWritten
      this.#size += bytesWritten
    }
  }

  datasync(): Promise<void> {
    return this.#handle.datasync()
  }

  async isAt(path: string): Promise<boolean> {
    this.#identity ??= this.#handle.stat().then(identityOf)
    const there = await stat(path).catch(() => undefined)
    return there?.size === this.#size && identityOf(there) === (await this.#identity)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

function identityOf({ dev, ino }: { dev: number; ino: number }): string {
  return `${dev}:${ino}`
}
