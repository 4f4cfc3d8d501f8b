/**
 * The body of a request to the control socket: its size bounded, its content checked down to every field. What the
 * texts in it mean is for whoever takes them.
 */

import type { IncomingMessage } from 'node:http'
import { BridgeError } from '../errors.js'
import type { ReservationRecord } from './api.js'

/** Octets of a body: a reservation takes some 100. */
export const MAX_BODY = 64 * 1024
const MAX_READ = 16 * MAX_BODY

const EXAMPLE = '{"ip":"192.168.105.7","mac":"52:54:00:12:34:56"}'
const FIELDS = ['ip', 'mac', 'clientId', 'name', 'hostname', 'options'] as const
const MATCHES = ['mac', 'clientId', 'name'] as const
/** Characters of a field: a client identifier of 255 octets in hexadecimal. */
const MAX_TEXT = 510
const MAX_OPTIONS = 32
/** Characters of each. */
const MAX_OPTION = 1024

/**
 * Resolves to the whole body; rejects with ERR_TOO_LARGE, or with ERR_BODY when it breaks off. What is over the bound
 * is read and forgotten up to MAX_READ: a peer that is still sending when the connection closes loses the answer.
 */
export function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let octets = 0
    const refuse = (): void => {
      const message = `the body is larger than ${MAX_BODY} bytes`
      reject(new BridgeError('ERR_TOO_LARGE', message, { hint: EXAMPLE }))
    }
    if (Number(request.headers['content-length']) > MAX_READ) return refuse()
    request.on('data', (chunk: Buffer) => {
      octets += chunk.length
      if (octets <= MAX_BODY) chunks.push(chunk)
      else if (octets > MAX_READ) refuse()
    })
    request.on('end', () => (octets > MAX_BODY ? refuse() : resolve(Buffer.concat(chunks).toString('utf8'))))
    request.on('error', () => reject(wrong('the body breaks off')))
    request.on('close', () => reject(wrong('the body breaks off')))
  })
}

/**
 * @param example of a body that is right
 * @throws BridgeError ERR_BODY unless `text` is a JSON object
 */
export function objectOf(text: string, example: string): Record<string, unknown> {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw wrongBody('the body is not JSON', example)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw wrongBody('the body is not an object', example)
  return body as Record<string, unknown>
}

/** @throws BridgeError ERR_BODY unless `text` is an object of a reservation's fields, all of them texts but for its options */
export function reservationOf(text: string): ReservationRecord {
  const body = objectOf(text, EXAMPLE)
  const fields: readonly string[] = FIELDS
  for (const [field, value] of Object.entries(body)) {
    if (!fields.includes(field))
      throw wrong(`a reservation has no field ${JSON.stringify(field.slice(0, 32))}`)
    if (field === 'options') checkOptions(value)
    else if (typeof value !== 'string' || value.length > MAX_TEXT) throw wrong(`${field} is not a short text`)
  }
  const record = body as Partial<ReservationRecord>
  if (record.ip === undefined) throw wrong('a reservation has an ip')
  if (MATCHES.filter(field => record[field] !== undefined).length !== 1) {
    throw wrong(`a reservation has exactly one of ${MATCHES.join(', ')}`)
  }
  return record as ReservationRecord
}

function checkOptions(value: unknown): void {
  if (!Array.isArray(value) || value.length > MAX_OPTIONS)
    throw wrong(`options is not a list of ${MAX_OPTIONS} texts or fewer`)
  if (value.some(each => typeof each !== 'string' || each.length > MAX_OPTION))
    throw wrong(`one of the options is not a text of at most ${MAX_OPTION} characters`)
}

function wrong(message: string): BridgeError {
  return wrongBody(message, EXAMPLE)
}

export function wrongBody(message: string, example: string): BridgeError {
  return new BridgeError('ERR_BODY', message, { hint: example })
}
