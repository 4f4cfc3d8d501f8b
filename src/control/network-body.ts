/**
 * What a network on demand is wanted to be, as JSON: every field of the right type, and none that nobody knows.
 */

import { BridgeError } from '../errors.js'
import type { DhcpMode, NetworkWanted } from './api.js'
import { objectOf, wrongBody } from './body.js'

const EXAMPLE = '{"gateway":"10.5.0.1/24","mode":"shared","dhcp":"pool"}'
const MODES: readonly string[] = ['shared', 'host', 'none'] satisfies NetworkWanted['mode'][]
const DHCP_MODES: readonly string[] = ['pool', 'answer', 'passthrough'] satisfies DhcpMode[]
/** Characters of a text. */
const MAX_TEXT = 64

const oneOf =
  (choices: readonly string[]) =>
  (value: unknown): string | undefined =>
    choices.includes(value as string) ? undefined : `is not one of ${choices.join(', ')}`

const isText = (value: unknown): string | undefined =>
  typeof value === 'string' && value.length <= MAX_TEXT ? undefined : 'is not a short text'

const isNumber = (value: unknown): string | undefined =>
  typeof value === 'number' ? undefined : 'is not a number'

/** What is wrong with the value of each field. */
const FIELDS: Record<keyof NetworkWanted, (value: unknown) => string | undefined> = {
  gateway: isText,
  name: isText,
  mode: oneOf(MODES),
  dhcp: oneOf(DHCP_MODES),
  mtu: isNumber,
  wait: isNumber,
}

/** @throws BridgeError ERR_BODY */
export function networkWantedOf(text: string): NetworkWanted {
  const body = objectOf(text, EXAMPLE)
  for (const [field, value] of Object.entries(body)) {
    if (!Object.hasOwn(FIELDS, field))
      throw wrong(`a network has no field ${JSON.stringify(field.slice(0, 32))}`)
    const why = FIELDS[field as keyof NetworkWanted](value)
    if (why !== undefined) throw wrong(`${field} ${why}`)
  }
  if (body['gateway'] === undefined) throw wrong('a network has a gateway')
  return body as unknown as NetworkWanted
}

function wrong(message: string): BridgeError {
  return wrongBody(message, EXAMPLE)
}
