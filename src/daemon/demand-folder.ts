/**
 * Where networks on demand are: a folder for each, which holds its socket, its leases and a record of what was wanted. It
 * goes with the network. A daemon that ends while VMs are plugged in leaves it, and the next one builds the network again
 * from the record, so that VMs which reconnect find it. The parent lies where a restart of the machine empties it.
 */

import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { NetworkWanted } from '../control/api.js'
import { networkWantedOf } from '../control/network-body.js'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
import { explainPath } from '../ports/claim.js'
import { shellQuote } from '../shell.js'
import { NETWORK_NAME } from './wanted.js'

const RECORD = 'network.json'
const S_IWGRP_IWOTH = 0o022

/** Whether it is a folder that this user, or root, alone can write to. */
function isOwn(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined || !found.isDirectory() || (found.mode & S_IWGRP_IWOTH) !== 0) return false
  return found.uid === 0 || found.uid === process.geteuid?.()
}

export class DemandFolder {
  readonly path: string
  readonly #log: Logger

  constructor(path: string, log: Logger) {
    this.path = path
    this.#log = log
  }

  /**
   * Makes the folder of a network with its record.
   * @throws BridgeError ERR_SOCKET_PATH or ERR_SOCKET; nothing is left then
   */
  make(name: string, wanted: NetworkWanted): void {
    const folder = join(this.path, name)
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o755 })
    } catch (error) {
      throw explainPath(folder, error, '--control')
    }
    this.#requireOwn()
    try {
      // What a daemon that was killed left there is of no use to this one.
      rmSync(folder, { recursive: true, force: true })
      this.#write(folder, { ...wanted, name })
    } catch (error) {
      this.remove(name)
      throw explainPath(join(folder, RECORD), error, '--control')
    }
  }

  /** Removes all of a network, and the parent with the last one. What cannot be removed is said, and left. */
  remove(name: string): void {
    try {
      rmSync(join(this.path, name), { recursive: true, force: true })
      rmdirSync(this.path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOENT') return
      const reason = (error as Error).message
      this.#log.warn(
        { event: 'network.leftover', network: name, reason },
        `cannot remove all of ${name}: ${reason}`,
      )
    }
  }

  /** What an earlier daemon left of networks whose VMs may come back. What cannot be read is removed. */
  left(): NetworkWanted[] {
    return this.#names()
      .map(name => {
        const wanted = NETWORK_NAME.test(name) ? this.#read(name) : undefined
        if (wanted === undefined) this.remove(name)
        return wanted
      })
      .filter(wanted => wanted !== undefined)
  }

  /** Whoever could put links there would have this daemon write and remove elsewhere. */
  #requireOwn(): void {
    if (isOwn(this.path)) return
    throw new BridgeError(
      'ERR_NETWORKS_FOLDER',
      `${this.path} is no folder that this user alone can write to`,
      {
        hint: `ls -ld ${shellQuote(this.path)}; networks on demand lie beside the control socket: --control`,
      },
    )
  }

  #names(): string[] {
    try {
      return isOwn(this.path) ? readdirSync(this.path) : []
    } catch {
      return []
    }
  }

  #read(name: string): NetworkWanted | undefined {
    const path = join(this.path, name, RECORD)
    try {
      const wanted = networkWantedOf(readFileSync(path, 'utf8'))
      return wanted.name === name ? wanted : undefined
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#log.warn(
        { event: 'network.record', path, reason },
        `${path} is no record of a network: ${reason}`,
      )
      return undefined
    }
  }

  #write(folder: string, wanted: NetworkWanted): void {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    const path = join(folder, RECORD)
    // Whole or not at all: a daemon that starts after a crash reads it.
    writeFileSync(`${path}.new`, `${JSON.stringify(wanted)}\n`, { mode: 0o644 })
    renameSync(`${path}.new`, path)
  }
}
