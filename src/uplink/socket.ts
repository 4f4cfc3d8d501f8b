/**
 * The socket uplink: another server of the same framing (gvproxy, passt, another vmbridge) is the way out. It
 * is dialled, and dialled again with growing pauses when it goes; VMs stay connected meanwhile.
 */

import { native } from '../native.js'
import { streamPort, type StreamPort } from '../ports/run-port.js'
import { Port } from '../switch/port.js'
import type { Uplink, UplinkContext, UplinkStatus } from './uplink.js'

/** Pauses between two attempts, in ms: doubled from the first to the last. */
const FIRST_PAUSE = 100
const LAST_PAUSE = 5000
/** A link that lived this long, in ms, was a good one: the pauses begin anew. */
const SETTLED = 10_000

export class SocketUplink implements Uplink {
  readonly port: Port
  readonly path: string
  readonly #context: UplinkContext
  #stream: StreamPort | undefined
  #timer: NodeJS.Timeout | undefined
  #pause = FIRST_PAUSE
  #connectedAt = 0
  #down: string | undefined

  constructor(context: UplinkContext, path: string) {
    this.#context = context
    this.path = path
    this.port = new Port({ name: `socket:${path}`, role: 'uplink' })
    this.#dial()
  }

  status(): UplinkStatus {
    if (this.#stream !== undefined) return { kind: 'socket', name: this.path, state: 'up' }
    return { kind: 'socket', name: this.path, state: 'down', detail: this.#down ?? 'not connected yet' }
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#stream?.close()
    this.#stream = undefined
  }

  #dial(): void {
    const { log } = this.#context
    try {
      const fd = native.dial(this.path, true)
      this.#stream = streamPort({
        ...this.#context,
        port: this.port,
        fd,
        onEnd: reason => this.#lost(reason),
      })
    } catch (error) {
      return this.#lost(error instanceof Error ? error.message : String(error))
    }
    this.#connectedAt = performance.now()
    this.#down = undefined
    log.info({ event: 'uplink.up', path: this.path }, `uplink ${this.path} is connected`)
  }

  #lost(reason: string): void {
    const wasUp = this.#stream !== undefined
    this.#stream = undefined
    // Said once for each time it goes, not for every attempt that fails.
    if (wasUp || this.#down === undefined) {
      this.#context.log.warn(
        { event: 'uplink.down', path: this.path, reason },
        `uplink ${this.path} is down (${reason}): dialling it again until it answers`,
      )
    }
    this.#down = reason
    if (wasUp && performance.now() - this.#connectedAt >= SETTLED) this.#pause = FIRST_PAUSE
    this.#timer = setTimeout(() => this.#dial(), this.#pause)
    this.#pause = Math.min(this.#pause * 2, LAST_PAUSE)
  }
}
