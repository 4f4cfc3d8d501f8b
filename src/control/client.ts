/**
 * Asks a daemon over its control socket.
 */

import { request } from 'node:http'
import { BridgeError, hasCode } from '../errors.js'
import { printable } from '../printable.js'
import type {
  ControlErrorBody,
  DaemonStatus,
  LeaseList,
  LeaseRelease,
  NetworkEnsured,
  NetworkList,
  NetworkRemoved,
  NetworkWanted,
  ReservationAdded,
  ReservationList,
  ReservationRecord,
  ReservationRemoved,
} from './api.js'

/** Of silence, in ms: a daemon that is alive answers in a few. A change may wait for a slow disk. */
const PATIENCE = 5000
const PATIENCE_FOR_CHANGE = 30_000

type Question = {
  method?: 'GET' | 'POST' | 'DELETE'
  path: string
  /** The network meant; undefined for the only one. */
  network?: string | undefined
  body?: object
}

/**
 * Every question rejects with BridgeError: ERR_NO_DAEMON when nobody listens, ERR_CONTROL for something at the socket
 * that is no daemon, and else the daemon's own refusal, with its code and hint.
 */
export class ControlClient {
  readonly path: string
  readonly #patience: (() => number) | undefined

  /** @param patience ms that an answer may take, asked for at each question; what is usual where there is none */
  constructor(path: string, patience?: () => number) {
    this.path = path
    this.#patience = patience
  }

  status(): Promise<DaemonStatus> {
    return this.#ask({ path: '/v1/status' }, has<DaemonStatus>({ pid: 'number', networks: 'array' }))
  }

  leases(network?: string): Promise<LeaseList> {
    return this.#ask({ path: '/v1/leases', network }, has<LeaseList>({ leases: 'array' }))
  }

  /** @param which an IP or a MAC */
  release(which: string, network?: string): Promise<LeaseRelease> {
    const path = `/v1/leases/${encodeURIComponent(which)}`
    return this.#ask({ method: 'DELETE', path, network }, has<LeaseRelease>({ released: 'array' }))
  }

  reservations(network?: string): Promise<ReservationList> {
    return this.#ask({ path: '/v1/reservations', network }, has<ReservationList>({ reservations: 'array' }))
  }

  reserve(reservation: ReservationRecord, network?: string): Promise<ReservationAdded> {
    const question: Question = { method: 'POST', path: '/v1/reservations', network, body: reservation }
    return this.#ask(question, has<ReservationAdded>({ reservation: 'object' }))
  }

  /** @param which an IP, a MAC, a client identifier in hexadecimal, or a name */
  unreserve(which: string, network?: string): Promise<ReservationRemoved> {
    const path = `/v1/reservations/${encodeURIComponent(which)}`
    return this.#ask({ method: 'DELETE', path, network }, has<ReservationRemoved>({ removed: 'object' }))
  }

  networks(): Promise<NetworkList> {
    return this.#ask({ path: '/v1/networks' }, has<NetworkList>({ networks: 'array' }))
  }

  /** Makes the network of that gateway where it is not there yet. */
  ensureNetwork(wanted: NetworkWanted): Promise<NetworkEnsured> {
    const question: Question = { method: 'POST', path: '/v1/networks', body: wanted }
    return this.#ask(question, has<NetworkEnsured>({ network: 'object' }))
  }

  /** @param isForced also where VMs are plugged in */
  removeNetwork(name: string, isForced = false): Promise<NetworkRemoved> {
    const path = `/v1/networks/${encodeURIComponent(name)}${isForced ? '?force=1' : ''}`
    return this.#ask({ method: 'DELETE', path }, has<NetworkRemoved>({ removed: 'object' }))
  }

  #ask<T>(
    { method = 'GET', path, network, body }: Question,
    isAnswer: (answer: unknown) => answer is T,
  ): Promise<T> {
    const timeout = this.#patience?.() ?? (method === 'GET' ? PATIENCE : PATIENCE_FOR_CHANGE)
    const query = network === undefined ? '' : `?network=${encodeURIComponent(network)}`
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.path, method, path: path + query, timeout }
      const asked = request(options, response => {
        const isGood = response.statusCode === 200 || response.statusCode === 201
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('error', error => reject(this.#explain(error)))
        response.on('end', () => {
          try {
            const answer: unknown = JSON.parse(text)
            if (isGood && isAnswer(answer)) return resolve(answer)
            reject(refusalOf(answer as ControlErrorBody))
          } catch (cause) {
            const message = `${this.path} did not answer as a vmbridge daemon does`
            reject(new BridgeError('ERR_CONTROL', message, { cause }))
          }
        })
      })
      asked.on('timeout', () => asked.destroy(new Error(`no answer within ${Math.ceil(timeout / 1000)} s`)))
      asked.on('error', error => reject(this.#explain(error)))
      asked.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  #explain(error: Error): BridgeError {
    if (['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK'].some(code => hasCode(error, code))) {
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

/** What the daemon says went wrong; throws where that has not the form of an error. */
function refusalOf({ error: { code, message, hint } }: ControlErrorBody): BridgeError {
  const text = printable(message.trim())
  return new BridgeError(String(code), text, typeof hint === 'string' ? { hint: printable(hint) } : {})
}

/** Enough to tell a daemon's answer from another program's. */
function has<T>(fields: Record<string, 'number' | 'object' | 'array'>): (answer: unknown) => answer is T {
  return (answer): answer is T =>
    Object.entries(fields).every(([field, type]) => {
      const value = (answer as Record<string, unknown> | null)?.[field]
      return type === 'array' ? Array.isArray(value) : typeof value === type && value !== null
    })
}
