/**
 * From what somebody wants of a network on demand to the settings of one, or to why there can be none. Its form was checked
 * where it came in (src/control/network-body.ts); here it is what the words mean.
 */

import { join } from 'node:path'
import { readGateway } from '../config/gateway.js'
import type { NetworkWanted } from '../control/api.js'
import { BridgeError } from '../errors.js'
import type { SocketRights } from '../ports/claim.js'
import type { UplinkChoice } from '../uplink/uplink.js'
import { formatCidr } from '../wire/ipv4.js'
import type { DemandSettings, NetworkSettings } from './settings.js'

/** Of a network's name: it names a folder, and stands in tables. */
export const NETWORK_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/

/** Seconds to wait for the first VM: QEMU is there in less, and reconnects once a second. */
export const DEFAULT_WAIT = 30
const MOST_WAIT = 86_400

const DEFAULT_MTU = 1500
const LEAST_MTU = 576
const MOST_MTU = 65_500

/** The socket in a network's folder. */
const SOCKET = 'vm.sock'

/** @throws BridgeError ERR_NETWORK_WANTED */
export function settingsOf(
  wanted: NetworkWanted,
  { folder, uplink }: Pick<DemandSettings, 'folder' | 'uplink'>,
  rights: SocketRights,
): NetworkSettings {
  const { mode = 'shared', dhcp = 'pool', mtu = DEFAULT_MTU, wait = DEFAULT_WAIT } = wanted
  const gateway = readGateway(wanted.gateway)
  if ('wrong' in gateway)
    throw refuse(`${quote(wanted.gateway)}${gateway.wrong}`, gateway.example ?? '10.5.0.1/24')
  if (!Number.isInteger(mtu) || mtu < LEAST_MTU || mtu > MOST_MTU)
    throw refuse(`an MTU of ${mtu} is not from ${LEAST_MTU} to ${MOST_MTU}`, String(DEFAULT_MTU))
  if (!(wait >= 1 && wait <= MOST_WAIT))
    throw refuse(`a wait of ${wait} s is not from 1 to ${MOST_WAIT}`, String(DEFAULT_WAIT))
  const name = wanted.name ?? formatCidr(gateway).replace('/', '-')
  if (!NETWORK_NAME.test(name))
    throw refuse(
      `${quote(name)} is no name of a network`,
      'at most 32 letters, digits, dots, hyphens and underscores',
    )
  const place = join(folder, name)
  return {
    name,
    sockets: [join(place, SOCKET)],
    rights,
    uplink: uplinkOf(mode, dhcp, uplink),
    gateway,
    mtu,
    stateDir: place,
    ...(dhcp === 'pool' && { dhcp: { exclude: [], dns: [], options: new Map(), boot: [] } }),
    ...(dhcp === 'answer' && { answers: true as const }),
  }
}

/** What was asked for, and nothing less: without the host on the segment a network of a cluster is of no use. */
function uplinkOf(
  mode: NonNullable<NetworkWanted['mode']>,
  dhcp: NetworkWanted['dhcp'],
  kind: DemandSettings['uplink'],
): UplinkChoice {
  if (mode === 'none') return { kind: 'none' }
  if (kind === 'tap') return { kind: 'tap', mode }
  return { kind: 'vmnet', mode, isolate: false, appleDhcp: dhcp === 'passthrough' ? 'on' : 'unheard' }
}

function refuse(message: string, hint: string): BridgeError {
  return new BridgeError('ERR_NETWORK_WANTED', message, { hint })
}

/** What a stranger sent, at a length that fits a line. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
