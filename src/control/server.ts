/**
 * The control socket's server. Who may ask is decided by the socket's file mode.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { claimSocket, type ClaimedSocket, type SocketRights } from '../ports/claim.js'
import type { ControlErrorBody, ControlHandlers } from './api.js'

/** How long a connection may last, in ms: one of ours takes a few. And how many may be open at once. */
const MAX_DURATION = 2000
const MAX_CONNECTIONS = 64

export class ControlServer {
  readonly path: string
  readonly #claimed: ClaimedSocket
  readonly #server: Server

  constructor(path: string, rights: SocketRights, handlers: ControlHandlers) {
    this.path = path
    this.#claimed = claimSocket(path, rights)
    this.#server = createServer((request, response) => answer(handlers, request, response))
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on('connection', socket => {
      const limit = setTimeout(() => socket.destroy(), MAX_DURATION)
      socket.on('close', () => clearTimeout(limit))
    })
    this.#server.listen({ fd: this.#claimed.fd })
  }

  close(): Promise<void> {
    this.#claimed.unlink()
    this.#server.closeAllConnections()
    return new Promise(resolve => this.#server.close(() => resolve()))
  }
}

function answer(handlers: ControlHandlers, request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  const [pathname] = (request.url ?? '').split('?')
  if (pathname !== '/v1/status') {
    return send(response, 404, { error: { code: 'ERR_NOT_FOUND', message: `there is no ${pathname}` } })
  }
  if (request.method !== 'GET') {
    return send(response, 405, { error: { code: 'ERR_METHOD', message: `${pathname} answers GET only` } })
  }
  try {
    send(response, 200, handlers.status())
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    send(response, 500, { error: { code: 'ERR_INTERNAL', message } })
  }
}

function send(response: ServerResponse, status: number, body: object | ControlErrorBody): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}
