/**
 * Asks a daemon over its control socket.
 */

import { request } from 'node:http'
import { BridgeError, hasCode } from '../errors.js'
import type { ControlErrorBody, DaemonStatus } from './api.js'

/** A daemon that is alive answers in a few ms. */
const TIMEOUT = 5000

export class ControlClient {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** @throws BridgeError ERR_NO_DAEMON when nobody listens, ERR_CONTROL for any other failure */
  status(): Promise<DaemonStatus> {
    return this.#get('/v1/status', isDaemonStatus)
  }

  #get<T>(path: string, isAnswer: (body: unknown) => body is T): Promise<T> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.path, path, timeout: TIMEOUT }, response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('error', error => reject(this.#explain(error)))
        response.on('end', () => {
          try {
            const body: unknown = JSON.parse(text)
            if (response.statusCode === 200 && isAnswer(body)) return resolve(body)
            const { code, message } = (body as ControlErrorBody).error
            reject(new BridgeError(String(code), String(message.trim())))
          } catch (error) {
            reject(
              new BridgeError('ERR_CONTROL', `${this.path} did not answer as a vmbridge daemon does`, {
                cause: error,
              }),
            )
          }
        })
      })
      asked.on('timeout', () => asked.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)))
      asked.on('error', error => reject(this.#explain(error)))
      asked.end()
    })
  }

  #explain(error: Error): BridgeError {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ECONNREFUSED') || hasCode(error, 'ENOTSOCK')) {
      return new BridgeError('ERR_NO_DAEMON', `no daemon answers at ${this.path}`, { cause: error })
    }
    if (hasCode(error, 'EACCES')) {
      return new BridgeError('ERR_CONTROL', `no right to connect to ${this.path}`, {
        hint: 'use sudo',
        cause: error,
      })
    }
    return new BridgeError('ERR_CONTROL', `${this.path}: ${error.message}`, { cause: error })
  }
}

/** Enough to tell a daemon's answer from another program's. */
function isDaemonStatus(body: unknown): body is DaemonStatus {
  const { pid, networks } = (body ?? {}) as Partial<DaemonStatus>
  return typeof pid === 'number' && Array.isArray(networks)
}
