/**
 * A datagram socket that VMs send to: every address that frames come from becomes a port of the switch. vfkit,
 * krunkit, Virtualization.framework and QEMU's `dgram` plug in this way; a greeting of theirs ("VFKT") is no frame, and
 * makes a port as one does.
 *
 * A datagram socket knows neither connections nor their ends. That a VM is gone shows when something is sent to it,
 * and for a silent segment we look every few seconds. A VM that has connected its socket to ours can be answered from
 * that one socket only, so the next VMs get a fresh one at the same path (native/dgram_socket.h says why).
 */

import { closeSync } from 'node:fs'
import { native, type Credentials, type DgramPeer, type DgramSocket } from '../native.js'
import type { Run } from '../switch/run.js'
import { claimSocket, renewSocket, type ClaimedSocket, type SocketRights } from './claim.js'
import { Refusals, type OnRefused } from './refusals.js'
import type { DgramPort } from './run-port.js'

export interface DgramListenerOptions extends SocketRights {
  path: string
  /** The network's run buffer. */
  run: Run
  /**
   * Makes the port of a VM; what it throws is why the VM was refused. `address` is for people, and the same for the
   * same VM as long as it uses it; the peer is known where the system tells (Linux).
   */
  onPeer: (source: DgramPeer, address: string, peer: Credentials | undefined) => DgramPort
  onRefused: OnRefused
  /** Called once: from now on VMs that connect to the path share one socket, and wait for one another. */
  onShared: (reason: string) => void
}

/** How often it is looked whether a silent VM is still there, in ms. */
const LOOK_INTERVAL = 5000
/** How long after a VM's greeting the socket is kept for it alone, in ms. */
const SETTLE_AFTER = 250
/** After an error of the socket: read again after this many ms. */
const RETRY_AFTER = 500

export class DgramListener {
  readonly path: string
  readonly #options: DgramListenerOptions
  readonly #refusals: Refusals
  readonly #ports = new Set<DgramPort>()
  #claimed: ClaimedSocket
  #socket: DgramSocket | undefined
  #ignored = 0
  #look: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #isShared = false
  #isClosed = false

  /**
   * Takes the path; frames wait until `start`.
   * @throws BridgeError as claimSocket does
   */
  constructor(options: DgramListenerOptions) {
    this.path = options.path
    this.#options = options
    this.#refusals = new Refusals(options.onRefused)
    this.#claimed = claimSocket(options.path, options, 'datagram')
  }

  /** @param longest bytes of a full frame; longer ones cost a copy */
  start(longest: number): void {
    const { run } = this.#options
    const socket = new native.DgramSocket(
      this.#claimed.fd,
      run.bytes,
      longest,
      (address, greeted, pid, uid, gid) =>
        this.#meet({ longest, socket, address }, greeted, pid > 0 ? { pid, uid, gid } : undefined),
      code => {
        this.#retry = setTimeout(() => socket.resume(), RETRY_AFTER)
        this.#refusals.add(`receiving failed with ${code}`)
      },
    )
    this.#socket = socket
    this.#look = setInterval(() => this.look(), LOOK_INTERVAL).unref()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#look)
    clearTimeout(this.#retry)
    this.#claimed.unlink()
    if (this.#socket === undefined) closeSync(this.#claimed.fd)
    else this.#socket.close()
  }

  /** Unplugs VMs whose sockets are gone, and says whether somebody was not heard. */
  look(): void {
    for (const made of this.#ports) {
      made.io.check()
      if (made.port.id < 0) this.#ports.delete(made)
    }
    const ignored = this.#socket?.ignored() ?? 0
    if (ignored > this.#ignored) {
      this.#refusals.add(
        'frames came from a socket without an address (bind it to a path of its own, to be answered), from one that was gone at once, or from too many',
      )
    }
    this.#ignored = ignored
  }

  #meet(source: DgramPeer, greeted: boolean, peer: Credentials | undefined): void {
    try {
      const made = this.#options.onPeer(source, addressText(source.address), peer)
      this.#ports.add(made)
      if (!made.io.isTied()) return
      // One that came by an older socket leaves the present one to those who have connected to it and said nothing yet.
      if (source.socket.isByPresent()) this.#renew(source.socket)
      // Who greets does so at once, so another that came by the same socket has been heard by then. Of others nobody
      // knows.
      if (greeted) setTimeout(() => made.io.settle(), SETTLE_AFTER).unref()
    } catch (error) {
      this.#refusals.add(error instanceof Error ? error.message : String(error))
    }
  }

  /** Where that cannot be (the path has no room for a longer one, or the rights are gone), VMs share the socket. */
  #renew(socket: DgramSocket): void {
    try {
      const fresh = renewSocket(this.#claimed, this.#options)
      socket.replace(fresh.fd)
      this.#claimed = fresh
    } catch (error) {
      if (this.#isShared) return
      this.#isShared = true
      this.#options.onShared(error instanceof Error ? error.message : String(error))
    }
  }
}

/** The path that a VM's socket is bound to, or `@` and a name outside of the file system (Linux). */
function addressText(address: Uint8Array): string {
  const text = Buffer.from(address).toString('utf8')
  return text.startsWith('\0') ? `@${text.slice(1)}` : text
}
