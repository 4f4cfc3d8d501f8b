/**
 * Picks and opens the uplink that was asked for; without a wish, the best that this system and user can have.
 */

import { BridgeError } from '../errors.js'
import type { Cidr } from '../wire/ipv4.js'
import { removeDeadNats } from './nat.js'
import { NoUplink } from './none.js'
import { SharedUplink } from './shared.js'
import { SocketUplink } from './socket.js'
import { TapUplink } from './tap.js'
import type { TapChoice, Uplink, UplinkChoice, UplinkContext } from './uplink.js'
import { VmnetUplink } from './vmnet.js'

/** What a system or a user may lack, so that `auto` does without. Any other failure is one. */
const LACKS = new Set([
  'ERR_TAP_PERMISSION',
  'ERR_TAP_UNSUPPORTED',
  'ERR_VMNET_PERMISSION',
  'ERR_VMNET_UNSUPPORTED',
])

/** @throws BridgeError when the uplink that was asked for cannot be had */
export async function openUplink(
  choice: UplinkChoice,
  gateway: Cidr,
  context: UplinkContext,
): Promise<Uplink> {
  switch (choice.kind) {
    case 'none':
      return new NoUplink()
    case 'socket':
      return new SocketUplink(context, choice.path)
    case 'tap':
      return openTapUplink(choice, gateway, context)
    case 'vmnet':
      return VmnetUplink.start(context, { choice, gateway })
    case 'auto':
      return hostOrNone(choice, gateway, context)
  }
}

async function openTapUplink(
  { name, mode, interface: bridge }: Omit<TapChoice, 'kind'>,
  gateway: Cidr,
  context: UplinkContext,
): Promise<Uplink> {
  if (mode === 'shared') return SharedUplink.start(context, { name, gateway })
  const isBridged = mode === 'bridged'
  const uplink = new TapUplink(context, { name, gateway, bridge: isBridged ? bridge : undefined })
  await removeDeadNats(isBridged ? undefined : gateway, context.log)
  return uplink
}

async function hostOrNone(
  { vmnet, mode }: Extract<UplinkChoice, { kind: 'auto' }>,
  gateway: Cidr,
  context: UplinkContext,
): Promise<Uplink> {
  try {
    return vmnet === undefined
      ? await openTapUplink(mode === undefined ? {} : { mode }, gateway, context)
      : await VmnetUplink.start(context, { choice: vmnet, gateway })
  } catch (error) {
    if (!(error instanceof BridgeError) || !LACKS.has(error.code)) throw error
    context.log.warn(
      { event: 'uplink.none', code: error.code },
      `no uplink: ${error.message}. VMs reach each other, not this host. To change that: ${error.hint}`,
    )
    return new NoUplink(error.message)
  }
}
