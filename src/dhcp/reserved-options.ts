// The options of a reservation: what one client is told in the place of what its segment is told, written as the
// segment's are (option-config.ts). The texts are kept beside what they encode to: they are what people get to see.

import { BridgeError, UsageError } from '../errors.js'
import { parseOptions, type OptionConfig } from './option-config.js'

export interface ReservedOptions extends OptionConfig {
  readonly texts: readonly string[]
}

/** More than a reply of one Ethernet frame has room for; with the most reservations that there may be, some 13 MB. */
const MOST_OCTETS = 3072

/**
 * Reads options, each NAME=VALUE or NUMBER=HEX; undefined for none.
 * @throws BridgeError ERR_RESERVATION_OPTIONS naming the option, what is wrong with it, and a form that is right
 */
export function readReservedOptions(texts: readonly string[]): ReservedOptions | undefined {
  if (texts.length === 0) return undefined
  if (JSON.stringify(texts).length > MOST_OCTETS)
    throw wrong(`the options are over ${MOST_OCTETS} bytes, more than a reply has room for`, 'leave some out')
  try {
    return { ...parseOptions(texts, 'option'), texts: [...texts] }
  } catch (error) {
    if (error instanceof UsageError) throw wrong(error.message, error.hint ?? 'mtu=1450')
    throw error
  }
}

function wrong(message: string, hint: string): BridgeError {
  return new BridgeError('ERR_RESERVATION_OPTIONS', message, { hint })
}
