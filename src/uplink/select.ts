/**
 * Picks and opens the uplink that was asked for; without a wish, the best that this system and user can have.
 */

import { BridgeError } from '../errors.js'
import type { Cidr } from '../wire/ipv4.js'
import { NoUplink } from './none.js'
import { SocketUplink } from './socket.js'
import { TapUplink } from './tap.js'
import type { Uplink, UplinkChoice, UplinkContext } from './uplink.js'

/** What a system or a user may lack, so that `auto` does without. Any other failure is one. */
const LACKS = new Set(['ERR_TAP_PERMISSION', 'ERR_TAP_UNSUPPORTED'])

/** @throws BridgeError when the uplink that was asked for cannot be had */
export function openUplink(choice: UplinkChoice, gateway: Cidr, context: UplinkContext): Uplink {
  switch (choice.kind) {
    case 'none':
      return new NoUplink()
    case 'socket':
      return new SocketUplink(context, choice.path)
    case 'tap':
      return new TapUplink(context, { gateway, ...(choice.name === undefined ? {} : { name: choice.name }) })
    case 'auto':
      return tapOrNone(gateway, context)
  }
}

function tapOrNone(gateway: Cidr, context: UplinkContext): Uplink {
  try {
    return new TapUplink(context, { gateway })
  } catch (error) {
    if (!(error instanceof BridgeError) || !LACKS.has(error.code)) throw error
    context.log.warn(
      { event: 'uplink.none', code: error.code },
      `no uplink: ${error.message}. VMs reach each other, not this host. To change that: ${error.hint}`,
    )
    return new NoUplink(error.message)
  }
}
