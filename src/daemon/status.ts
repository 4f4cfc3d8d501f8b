/**
 * What a network looks like from outside: the control API's shapes, filled from the live objects.
 */

import { readFileSync } from 'node:fs'
import type { DialStatus, NeighborStatus, NetworkKind, NetworkStatus, PortStatus } from '../control/api.js'
import type { Neighbor } from '../neighbors/neighbors.js'
import {
  DROP_REASONS,
  FDB_MOVES,
  FDB_REFUSED,
  RX_BYTES,
  RX_FRAMES,
  TX_BYTES,
  TX_FRAMES,
} from '../switch/counters.js'
import type { Port } from '../switch/port.js'
import type { Switch } from '../switch/switch.js'
import { servesItself } from './settings.js'
import { formatCidr } from '../wire/ipv4.js'
import { formatMac } from '../wire/mac.js'
import type { Network } from './network.js'
import type { Dial } from './vm-ports.js'

export function networkStatus(network: Network, kind: NetworkKind): NetworkStatus {
  const { settings, switch: sw, dhcp } = network
  const now = sw.now()
  const fdb = sw
    .fdbEntries()
    .map(({ high, low, port, seen }) => ({
      mac: formatMac(high, low >>> 0),
      port: sw.portById(port)?.name ?? '-',
      age: Math.floor((now - seen) / 1000),
    }))
    .sort((a, b) => (a.mac < b.mac ? -1 : 1))
  const served = dhcp?.status()
  const leases = served?.leases ?? []
  const bound = new Map(leases.filter(({ state }) => state === 'bound').map(({ mac, ip }) => [mac, ip]))
  const macs = group(fdb.map(({ port, mac }) => [port, mac]))
  const claimed = network.neighbors.list(now)
  const claims = group(claimed.filter(({ how }) => how !== 'probe').map(({ portId, ip }) => [portId, ip]))
  return {
    name: settings.name,
    kind,
    sockets: settings.sockets,
    ...(settings.dgrams?.length && { dgrams: settings.dgrams }),
    ...(network.vms.dials.length > 0 && { dials: network.vms.dials.map(dialStatus) }),
    ...(servesItself(settings) ? {} : { gateway: formatCidr(settings.gateway) }),
    mtu: network.mtu,
    uplink: network.uplink.status(),
    ports: sw.ports.map(port =>
      portStatus(network, port, macs.get(port.name) ?? [], claims.get(port.id) ?? [], bound),
    ),
    fdb,
    neighbors: claimed.map(neighbor => neighborStatus(neighbor, sw, now)),
    leases,
    ...(served && {
      dhcp: {
        ...(served.range !== undefined && { range: served.range }),
        exclude: served.exclude,
        free: served.free,
        degraded: served.degraded,
        conflicts: served.conflicts,
        reservations: network.reservations?.list().length ?? 0,
        counters: served.counters,
      },
    }),
  }
}

function dialStatus({ redial: { path, down }, port }: Dial): DialStatus {
  if (down !== undefined) return { path, state: 'down', detail: down }
  return { path, state: 'up', ...(port && { port: port.name }) }
}

function portStatus(
  network: Network,
  port: Port,
  macs: string[],
  claims: string[],
  bound: Map<string, string>,
): PortStatus {
  const { counters, name, role } = port
  const leased = macs.map(mac => bound.get(mac)).filter(ip => ip !== undefined)
  const vm = network.vms.ports.get(port)
  const drops = DROP_REASONS.filter(([index]) => counters[index] > 0).map(([index, reason]) => [
    reason,
    counters[index],
  ])
  return {
    name,
    role,
    macs,
    ips: [...new Set([...leased, ...claims])],
    rx: { frames: counters[RX_FRAMES], bytes: counters[RX_BYTES] },
    tx: { frames: counters[TX_FRAMES], bytes: counters[TX_BYTES] },
    drops: Object.fromEntries(drops) as Record<string, number>,
    moves: counters[FDB_MOVES],
    unlearnt: counters[FDB_REFUSED],
    queued: vm?.io.queuedBytes() ?? 0,
    ...(vm?.peer && { peer: peerStatus(vm.peer) }),
    ...(vm?.key !== undefined && { key: vm.key }),
    ...(vm && { since: new Date(vm.since).toISOString() }),
  }
}

function neighborStatus(neighbor: Neighbor, sw: Switch, now: number): NeighborStatus {
  const { ip, mac, portId, how, firstSeen, lastSeen, moves } = neighbor
  return {
    ip,
    mac,
    port: sw.portById(portId)?.name ?? '-',
    how,
    firstSeen: Math.floor((now - firstSeen) / 1000),
    lastSeen: Math.floor((now - lastSeen) / 1000),
    moves,
  }
}

/** Values by key, in one pass: `status` must not hold frames up while it sorts. */
function group<K>(pairs: readonly (readonly [K, string])[]): Map<K, string[]> {
  const groups = new Map<K, string[]>()
  for (const [key, value] of pairs) {
    const values = groups.get(key)
    if (values === undefined) groups.set(key, [value])
    else values.push(value)
  }
  return groups
}

/** The program's name is read when asked for: `vmbridge run` connects first and becomes QEMU then. */
function peerStatus({ pid, uid }: { pid: number; uid: number }): NonNullable<PortStatus['peer']> {
  try {
    return { pid, uid, command: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() }
  } catch {
    return { pid, uid }
  }
}
