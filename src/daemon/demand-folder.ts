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
const NEW_RECORD = `${RECORD}.new`
const S_IWGRP_IWOTH = 0o022

/** Whether a network's folder may be such a one: with a record, or nothing yet. Others have folders of that name, too. */
function isOfNetwork(place: string): boolean {
  if (!lstatSync(place).isDirectory()) return false
  const entries = readdirSync(place)
  return entries.length === 0 || entries.includes(RECORD) || entries.includes(NEW_RECORD)
}

/** Whether it is a folder that this user, or root, alone can write to. */
function isOwn(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined || !found.isDirectory() || (found.mode & S_IWGRP_IWOTH) !== 0) return false
  return found.uid === 0 || found.uid === process.geteuid?.()
}

/** The record last: what is left of a daemon that is killed meanwhile is still known for what it is. */
function removeNetwork(place: string): void {
  if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return
  for (const name of readdirSync(place))
    if (name !== RECORD) rmSync(join(place, name), { recursive: true, force: true })
  rmSync(place, { recursive: true, force: true })
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
   * @throws BridgeError ERR_SOCKET_PATH, ERR_SOCKET or ERR_NETWORKS_FOLDER; nothing is left then
   */
  make(name: string, wanted: NetworkWanted): void {
    const folder = join(this.path, name)
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o755 })
    } catch (error) {
      throw explainPath(folder, error, '--control')
    }
    this.#requireOwn()
    this.#requireOfNetwork(folder)
    try {
      // What a daemon that was killed left there is of no use to this one.
      removeNetwork(folder)
      this.#write(folder, { ...wanted, name })
    } catch (error) {
      this.remove(name)
      throw explainPath(join(folder, RECORD), error, '--control')
    }
  }

  /** Removes all of a network, and the parent with the last one. What cannot be removed is said, and left. */
  remove(name: string): void {
    try {
      removeNetwork(join(this.path, name))
    } catch (error) {
      const reason = (error as Error).message
      this.#log.warn(
        { event: 'network.leftover', network: name, reason },
        `cannot remove all of ${name}: ${reason}`,
      )
    }
    try {
      rmdirSync(this.path)
    } catch {
      // There are others.
    }
  }

  /**
   * What an earlier daemon left of networks whose VMs may come back. A network that cannot be read is removed; what is none
   * is somebody else's, said and left.
   */
  left(): NetworkWanted[] {
    return this.#names()
      .filter(name => this.#isOfNetwork(name))
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

  /** @throws BridgeError ERR_NETWORKS_FOLDER */
  #requireOfNetwork(folder: string): void {
    if (lstatSync(folder, { throwIfNoEntry: false }) === undefined || isOfNetwork(folder)) return
    throw new BridgeError('ERR_NETWORKS_FOLDER', `${folder} is there, and no network's`, {
      hint: 'another --name, or another --control: networks on demand lie beside the control socket',
    })
  }

  #isOfNetwork(name: string): boolean {
    const path = join(this.path, name)
    try {
      if (isOfNetwork(path)) return true
    } catch {
      // It went, or cannot be read.
    }
    this.#log.warn({ event: 'network.foreign', path }, `${path} is no network's, and stays as it is`)
    return false
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
    writeFileSync(join(folder, NEW_RECORD), `${JSON.stringify(wanted)}\n`, { mode: 0o644 })
    renameSync(join(folder, NEW_RECORD), path)
  }
}
