/**
 * `vmbridge status`: what the daemon knows, as tables or as JSON.
 */

import type { DhcpStatus, NetworkStatus, PortStatus, DaemonStatus } from '../control/api.js'
import { BridgeError, UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { ASK_OPTIONS, askDaemon, print, printJson } from './ask.js'
import { leaseTable } from './leases.js'
import type { Command, Parsed } from './options.js'
import { table } from './table.js'
import { duration, when } from './words.js'

export const command: Command = {
  name: 'status',
  summary: 'Shows the uplink, ports with their addresses, traffic and drops, the FDB and the leases.',
  options: { ...ASK_OPTIONS, json: { help: 'print everything as JSON' } },
  examples: [
    ['vmbridge status', 'tables for people'],
    ["vmbridge status --json | jq '.networks[].leases'", 'the leases, for programs'],
  ],
}

export function run(parsed: Parsed): Promise<number> {
  const { has, operands } = parsed
  if (operands.length > 0) {
    throw new UsageError(`status takes no operand, but got "${operands[0]}"`, 'vmbridge status --help')
  }
  return askDaemon(parsed, async (daemon, network) => {
    const status = ofNetwork(await daemon.status(), network)
    await (has('json') ? printJson(status) : print(render(status, Date.now())))
    return 0
  })
}

/** @throws BridgeError ERR_NO_NETWORK */
function ofNetwork(status: DaemonStatus, name: string | undefined): DaemonStatus {
  const networks = status.networks.filter(network => name === undefined || network.name === name)
  if (networks.length > 0 || name === undefined) return { ...status, networks }
  const names = status.networks.map(network => network.name)
  throw new BridgeError('ERR_NO_NETWORK', `there is no network ${name}`, {
    hint: `one of: ${names.join(', ')}`,
  })
}

/** As of `now`, in ms since the epoch. */
export function render({ pid, version, uptime, networks }: DaemonStatus, now: number): string {
  const head = `vmbridge ${version}, PID ${pid}, up ${duration(uptime)}\n`
  return printable(head + networks.map(network => renderNetwork(network, now)).join('\n'))
}

function renderNetwork(network: NetworkStatus, now: number): string {
  const { uplink, dhcp, dgrams } = network
  const lines = [
    `network ${network.name}: gateway ${network.gateway ?? 'its own'}, MTU ${network.mtu}, sockets ${network.sockets.join(' ')}${dgrams ? `, datagrams ${dgrams.join(' ')}` : ''}`,
    `uplink ${[uplink.kind, uplink.name].filter(Boolean).join(' ')}: ${uplink.state}${uplink.detail ? ` (${uplink.detail})` : ''}`,
    dhcp === undefined ? 'DHCP off' : dhcpLine(dhcp),
    ...(network.dials ?? []).map(
      ({ path, state, port, detail }) => `dial ${path}: ${state} (${port ?? detail})`,
    ),
  ]
  const ports = table(
    ['PORT', 'ROLE', 'MAC', 'IP', 'RX', 'RX BYTES', 'TX', 'TX BYTES', 'DROPS', 'PEER'],
    network.ports.map(portRow),
  )
  const fdb = table(
    ['MAC', 'PORT', 'AGE'],
    network.fdb.map(({ mac, port, age }) => [mac, port, `${age}s`]),
  )
  const neighbors = table(
    ['IP', 'MAC', 'PORT', 'HOW', 'FIRST SEEN', 'LAST SEEN', 'MOVES'],
    network.neighbors.map(({ ip, mac, port, how, firstSeen, lastSeen, moves }) => [
      ip,
      mac,
      port,
      how,
      `${duration(firstSeen)} ago`,
      `${duration(lastSeen)} ago`,
      String(moves),
    ]),
  )
  const leases = leaseTable(network.leases, now)
  const sections = ['FDB', fdb, 'NEIGHBORS', neighbors, 'LEASES', leases]
  const conflicts = dhcp?.conflicts ?? []
  if (conflicts.length > 0) sections.push('CONFLICTS', conflictTable(conflicts, now))
  return [...lines, '', ports, ...sections].join('\n')
}

function dhcpLine({ range, free, reservations, degraded }: DhcpStatus): string {
  return [
    range === undefined ? 'DHCP answers for reservations alone' : `DHCP ${range}, ${free} free`,
    reservations ? `, ${reservations} reserved` : '',
    degraded ? ', DEGRADED: leases cannot be written' : '',
  ].join('')
}

/** Leased addresses that other stations claim: who has the lease, and who says that the address is his. */
function conflictTable(conflicts: NonNullable<DhcpStatus['conflicts']>, now: number): string {
  return table(
    ['IP', 'LEASED TO', 'PORT', 'HOSTNAME', 'CLAIMED BY', 'PORT', 'SINCE', 'CLAIMS'],
    conflicts.map(({ ip, lease, claim, since, count }) => [
      ip,
      lease.mac,
      lease.port,
      lease.hostname ?? '-',
      claim.mac,
      claim.port,
      when(since, now),
      String(count),
    ]),
  )
}

function portRow(port: PortStatus): string[] {
  const drops = Object.entries(port.drops).map(([reason, count]) => `${reason}:${count}`)
  const peer =
    port.peer === undefined
      ? (port.key ?? '-')
      : [port.peer.command, `(${port.peer.pid})`].filter(Boolean).join(' ')
  return [
    port.name,
    port.role,
    port.macs.join(',') || '-',
    port.ips.join(',') || '-',
    String(port.rx.frames),
    String(port.rx.bytes),
    String(port.tx.frames),
    String(port.tx.bytes),
    drops.join(',') || '-',
    peer,
  ]
}
