/**
 * The control socket's server. Who may ask is decided by the socket's file mode; who may change things by the peer's
 * credentials (access.ts). They are why connections are accepted by the listener that VMs plug into, which knows
 * the peer, and are handed to an HTTP server that listens on nothing itself.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { BridgeError } from '../errors.js'
import type { SocketRights } from '../ports/claim.js'
import { Listener } from '../ports/listener.js'
import { requireChange, type Access } from './access.js'
import type { ControlErrorBody, ControlHandlers } from './api.js'
import { readBody } from './body.js'
import { Connections } from './connections.js'
import { routeOf, statusOf } from './routes.js'

/** pino's face, as far as it is needed. */
export interface ControlLog {
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface ControlServerOptions {
  path: string
  rights: SocketRights
  handlers: ControlHandlers
  log: ControlLog
}

export class ControlServer {
  readonly path: string
  readonly #access: Access
  readonly #handlers: ControlHandlers
  readonly #log: ControlLog
  readonly #listener: Listener
  readonly #connections: Connections

  /**
   * Takes the path.
   * @throws BridgeError as claimSocket does
   */
  constructor({ path, rights, handlers, log }: ControlServerOptions) {
    this.path = path
    this.#access = { path, gid: rights.gid }
    this.#handlers = handlers
    this.#log = log
    const http = createServer((request, response) => void this.#serve(request, response))
    const connections = new Connections(socket => http.emit('connection', socket))
    this.#connections = connections
    this.#listener = new Listener({
      path,
      ...rights,
      onConnection: (fd, peer) => connections.add(fd, peer),
      onRefused: (reason, refused) =>
        log.warn(
          { event: 'control.refused', socket: path, reason, refused },
          `a question was refused: ${reason}`,
        ),
    })
  }

  /** Until then questions wait. */
  start(): void {
    this.#listener.start()
  }

  close(): void {
    this.#listener.close()
    this.#connections.close()
  }

  /** Never rejects. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request
    // What was sent behind the first request gets no answer, and costs no work.
    if (!this.#connections.take(socket)) return void request.resume()
    response.on('error', () => {})
    try {
      const { status, body } = await this.#answer(request)
      send(response, status, body)
    } catch (error) {
      const { code, message, hint } = error instanceof BridgeError ? error : this.#fault(request, error)
      send(response, statusOf(code), { error: { code, message, ...(hint !== undefined && { hint }) } })
    }
    this.#connections.answered(socket)
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const { method = '', url = '', socket } = request
    const peer = this.#connections.peerOf(socket)!
    const body = await readBody(request)
    const { route, which, network, isForced } = routeOf(method, url)
    if (route.isChange) requireChange(this.#access, peer)
    this.#connections.hold(socket)
    const answer = await route.run(this.#handlers, network, { which, isForced, body, peer })
    return { status: route.status ?? 200, body: answer }
  }

  /** A mistake of ours: the log has where, the peer only what. */
  #fault({ method, url }: IncomingMessage, error: unknown): BridgeError {
    this.#log.error({ event: 'control.error', err: error, method, url }, 'a question could not be answered')
    return new BridgeError('ERR_INTERNAL', error instanceof Error ? error.message : String(error))
  }
}

function send(response: ServerResponse, status: number, body: object | ControlErrorBody): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  response.end(`${JSON.stringify(body)}\n`)
}
