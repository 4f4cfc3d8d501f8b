/**
 * What networks of one daemon must be to each other: which is meant, which have no room beside each other, and what holds of
 * one that is there.
 */

import { isDeepStrictEqual } from 'node:util'
import type { NetworkKind, NetworkWanted } from '../control/api.js'
import { BridgeError } from '../errors.js'
import { formatCidr, type Cidr } from '../wire/ipv4.js'
import type { Network } from './network.js'
import { servesItself, type NetworkSettings } from './settings.js'

/** A network and how long it is there. */
export interface Held {
  readonly network: Network
  readonly kind: NetworkKind
}

/**
 * Whether there is room for one more.
 * @throws BridgeError ERR_NETWORK_EXISTS, ERR_NETWORK_OVERLAP
 */
export function requireRoom(settings: NetworkSettings, there: readonly Held[]): void {
  const { name, gateway } = settings
  for (const { network, kind } of there) {
    const other = network.settings
    // They name folders, and on a Mac those of Lab and lab are one.
    if (other.name.toLowerCase() === name.toLowerCase())
      throw new BridgeError('ERR_NETWORK_EXISTS', `there is a network ${other.name} already`, {
        hint: 'another --name',
      })
    if (servesItself(settings) || servesItself(other)) continue
    if (gateway.network > other.gateway.broadcast || other.gateway.network > gateway.broadcast) continue
    if (isOf(other, gateway) && kind === 'demand')
      throw new BridgeError(
        'ERR_NETWORK_OVERLAP',
        `${formatCidr(gateway)} is the network ${other.name} on demand until its last VM leaves`,
        { hint: `it comes up then; or cut them off: vmbridge network remove --force ${other.name}` },
      )
    throw new BridgeError(
      'ERR_NETWORK_OVERLAP',
      `${formatCidr(gateway)} overlaps ${formatCidr(other.gateway)} of the network ${other.name}`,
      { hint: 'another subnet; vmbridge networks shows those that are taken' },
    )
  }
}

/** Why there is no network on demand of that name. */
export function noSuch(name: string, there: readonly Held[]): BridgeError {
  const names = there.map(({ network }) => network.settings.name)
  if (names.includes(name))
    return new BridgeError('ERR_NETWORK_STANDING', `the network ${name} stands as long as the daemon runs`, {
      hint: "take it out of the daemon's file and send SIGHUP, or stop the daemon",
    })
  return new BridgeError('ERR_NO_NETWORK', `there is no network ${JSON.stringify(name.slice(0, 64))}`, {
    hint: names.length > 0 ? `one of: ${names.join(', ')}` : 'vmbridge networks',
  })
}

/** What went wrong at the start of a network on demand, for who has no options of the daemon to change. */
export function asWanted(error: unknown): unknown {
  if (!(error instanceof BridgeError) || error.code !== 'ERR_SUBNET_IN_USE') return error
  const hint = 'another subnet, or end what has this one'
  return new BridgeError(error.code, error.message, { hint, cause: error })
}

/** Whether a network is known by that gateway and mask. */
export function isOf(settings: NetworkSettings, { address, prefix }: Cidr): boolean {
  const { gateway } = settings
  return !servesItself(settings) && gateway.address === address && gateway.prefix === prefix
}

/**
 * Whoever finds a network there gets it as it is; what they said of it in so many words must hold. One that stands is as its
 * owner had it.
 * @throws BridgeError ERR_NETWORK_DIFFERS
 */
export function requireSame(wanted: NetworkWanted, settings: NetworkSettings, { network, kind }: Held): void {
  if (kind === 'standing') return
  const other = network.settings
  const differs = [
    wanted.dhcp !== undefined && !isSameDhcp(settings, other) ? 'DHCP' : undefined,
    wanted.mode !== undefined && !isDeepStrictEqual(settings.uplink, other.uplink) ? 'mode' : undefined,
    wanted.mtu !== undefined && settings.mtu !== other.mtu ? 'MTU' : undefined,
  ].find(each => each !== undefined)
  if (differs === undefined) return
  throw new BridgeError('ERR_NETWORK_DIFFERS', `the network ${other.name} is there with another ${differs}`, {
    hint: 'vmbridge networks; it goes with its last VM',
  })
}

function isSameDhcp(one: NetworkSettings, other: NetworkSettings): boolean {
  return one.answers === other.answers && (one.dhcp === undefined) === (other.dhcp === undefined)
}

/** All that a network is built of: standing reservations are exchanged while it runs. */
export function unreserved(settings: NetworkSettings): object {
  return { ...settings, reservations: undefined }
}
