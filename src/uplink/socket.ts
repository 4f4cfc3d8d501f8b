/**
 * The socket uplink: another server of the same framing (gvproxy, passt, another vmbridge) is the way out. It
 * is dialled, and dialled again when it goes; VMs stay connected meanwhile.
 */

import { Redial } from '../ports/redial.js'
import { streamPort, type StreamPort } from '../ports/run-port.js'
import { Port } from '../switch/port.js'
import type { Uplink, UplinkContext, UplinkStatus } from './uplink.js'

/** The longest pause between two attempts, in ms. */
const LAST_PAUSE = 5000

export class SocketUplink implements Uplink {
  readonly port: Port
  readonly path: string
  readonly #context: UplinkContext
  readonly #redial: Redial
  #stream: StreamPort | undefined

  constructor(context: UplinkContext, path: string) {
    this.#context = context
    this.path = path
    this.port = new Port({ name: `socket:${path}`, role: 'uplink' })
    this.#redial = new Redial({
      path,
      lastPause: LAST_PAUSE,
      onConnected: fd => this.#plug(fd),
      onDown: reason =>
        context.log.warn(
          { event: 'uplink.down', path, reason },
          `uplink ${path} is down (${reason}): dialling it again until it answers`,
        ),
    })
    this.#redial.dial()
  }

  status(): UplinkStatus {
    const { path, down } = this.#redial
    if (down === undefined) return { kind: 'socket', name: path, state: 'up' }
    return { kind: 'socket', name: path, state: 'down', detail: down }
  }

  close(): void {
    this.#redial.close()
    this.#stream?.close()
    this.#stream = undefined
  }

  #plug(fd: number): void {
    this.#stream = streamPort({
      ...this.#context,
      port: this.port,
      fd,
      onEnd: reason => {
        this.#stream = undefined
        this.#redial.lost(reason)
      },
    })
    this.#context.log.info({ event: 'uplink.up', path: this.path }, `uplink ${this.path} is connected`)
  }
}
