/**
 * A socket that VMs plug into: every connection becomes a port of the switch.
 *
 * A local user can connect as often as the limits allow; each connection costs a port until it closes. Where
 * there is no room (ports, or the process's descriptors) the connection is refused and counted, and said once a
 * minute at most.
 */

import { closeSync } from 'node:fs'
import { native, type Credentials, type Listener as NativeListener } from '../native.js'
import { claimSocket, type ClaimedSocket, type SocketRights } from './claim.js'
import { Refusals, type OnRefused } from './refusals.js'

export interface ListenerOptions extends SocketRights {
  path: string
  /** Owns `fd`, whatever happens; what it throws is why the connection was refused. */
  onConnection: (fd: number, peer: Credentials) => void
  /** Connections could not be taken. */
  onRefused: OnRefused
}

/** After EMFILE the listening socket stays readable: look again after this many ms, not at once. */
const RETRY_AFTER = 500

export class Listener {
  readonly path: string
  readonly #claimed: ClaimedSocket
  readonly #options: ListenerOptions
  #native: NativeListener | undefined
  #closed = false
  #retry: NodeJS.Timeout | undefined
  readonly #refusals: Refusals

  /**
   * Takes the path; connections wait until `start`.
   * @throws BridgeError as claimSocket does
   */
  constructor(options: ListenerOptions) {
    this.path = options.path
    this.#options = options
    this.#refusals = new Refusals(options.onRefused)
    this.#claimed = claimSocket(options.path, options)
  }

  /** Connections that could not be taken. */
  get refused(): number {
    return this.#refusals.count
  }

  start(): void {
    const { onConnection } = this.#options
    const listener = new native.Listener(
      this.#claimed.fd,
      (fd, pid, uid, gid) => {
        try {
          onConnection(fd, { pid, uid, gid })
        } catch (error) {
          this.#refusals.add(error instanceof Error ? error.message : String(error))
        }
      },
      code => {
        listener.pause()
        this.#retry = setTimeout(() => listener.resume(), RETRY_AFTER)
        this.#refusals.add(`accept failed with ${code}`)
      },
    )
    this.#native = listener
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#retry)
    this.#claimed.unlink()
    if (this.#native === undefined) closeSync(this.#claimed.fd)
    else this.#native.close()
  }
}
