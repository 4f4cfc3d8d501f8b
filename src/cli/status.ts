/**
 * `vmbridge status`: what the daemon knows, as tables or as JSON.
 */

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { CONTROL_NAME, controlBeside, findInRun } from '../config/paths.js'
import type { DaemonStatus, NetworkStatus, PortStatus } from '../control/api.js'
import { ControlClient } from '../control/client.js'
import { BridgeError, UsageError } from '../errors.js'
import type { Command, Parsed } from './options.js'
import { printable } from '../printable.js'
import { shellQuote } from '../shell.js'
import { table } from './table.js'

export const command: Command = {
  name: 'status',
  summary: 'Shows the uplink, ports with their addresses, traffic and drops, the FDB and the leases.',
  options: {
    control: { value: 'PATH', help: "the daemon's control socket", fallback: "the daemon's default" },
    socket: { value: 'PATH', environmentList: true, help: 'find the daemon by its VM socket instead' },
    json: { help: 'print everything as JSON' },
  },
  examples: [
    ['vmbridge status', 'tables for people'],
    ["vmbridge status --json | jq '.networks[].leases'", 'the leases, for programs'],
  ],
}

const EXIT_NO_DAEMON = 3

export async function run({ get, has, operands }: Parsed): Promise<number> {
  if (operands.length > 0) {
    throw new UsageError(`status takes no operand, but got "${operands[0]}"`, 'vmbridge status --help')
  }
  const socket = get('socket')
  const control = get('control') ?? controlOf(socket)
  let status: DaemonStatus
  try {
    status = await new ControlClient(control).status()
  } catch (error) {
    if (!(error instanceof BridgeError) || error.code !== 'ERR_NO_DAEMON') throw error
    return noDaemon(error.message, get('control') ?? control, socket)
  }
  if (socket !== undefined && !status.networks.some(({ sockets }) => sockets.includes(resolve(socket)))) {
    return noDaemon(`no daemon answers for ${socket}`, control, socket)
  }
  await print(has('json') ? `${escapeControls(JSON.stringify(status, null, 2))}\n` : render(status))
  return 0
}

/** Where the daemon of that VM socket, or the default one, is asked. */
function controlOf(socket: string | undefined): string {
  const beside = socket === undefined ? '' : controlBeside(resolve(socket))
  return existsSync(beside) ? beside : findInRun(CONTROL_NAME)
}

function noDaemon(message: string, control: string, socket: string | undefined): number {
  let start = 'vmbridge daemon'
  if (socket !== undefined) start += ` --socket ${shellQuote(socket)}`
  else if (control !== findInRun(CONTROL_NAME)) start += ` --control ${shellQuote(control)}`
  process.stderr.write(`vmbridge: ${message}\n  start one with: ${start}\n`)
  return EXIT_NO_DAEMON
}

/** Writes all of it, however slowly it is read; rejects when it cannot be written. */
function print(text: string): Promise<void> {
  return new Promise((done, failed) => {
    process.stdout.on('error', failed)
    process.stdout.write(text, error => (error ? failed(error) : done()))
  })
}

/** JSON leaves DEL and the C1 controls as they are; a terminal obeys some of them. */
function escapeControls(json: string): string {
  return json.replace(/[\u007f-\u009f]/g, character => `\\u00${character.charCodeAt(0).toString(16)}`)
}

export function render({ pid, version, uptime, networks }: DaemonStatus): string {
  const head = `vmbridge ${version}, PID ${pid}, up ${duration(uptime)}\n`
  return printable(head + networks.map(renderNetwork).join('\n'))
}

function renderNetwork(network: NetworkStatus): string {
  const { uplink, dhcp } = network
  const lines = [
    `network ${network.name}: gateway ${network.gateway}, MTU ${network.mtu}, sockets ${network.sockets.join(' ')}`,
    `uplink ${[uplink.kind, uplink.name].filter(Boolean).join(' ')}: ${uplink.state}${uplink.detail ? ` (${uplink.detail})` : ''}`,
    dhcp === undefined
      ? 'DHCP off'
      : `DHCP ${dhcp.range}, ${dhcp.free} free${dhcp.degraded ? ', DEGRADED: leases cannot be written' : ''}`,
  ]
  const ports = table(
    ['PORT', 'ROLE', 'MAC', 'IP', 'RX', 'RX BYTES', 'TX', 'TX BYTES', 'DROPS', 'PEER'],
    network.ports.map(portRow),
  )
  const fdb = table(
    ['MAC', 'PORT', 'AGE'],
    network.fdb.map(({ mac, port, age }) => [mac, port, `${age}s`]),
  )
  const leases = table(
    ['IP', 'MAC', 'HOSTNAME', 'STATE', 'EXPIRES'],
    network.leases.map(({ ip, mac, hostname, state, expires }) => [ip, mac, hostname ?? '-', state, expires]),
  )
  return [...lines, '', ports, 'FDB', fdb, 'LEASES', leases].join('\n')
}

function portRow(port: PortStatus): string[] {
  const drops = Object.entries(port.drops).map(([reason, count]) => `${reason}:${count}`)
  const peer =
    port.peer === undefined ? '-' : [port.peer.command, `(${port.peer.pid})`].filter(Boolean).join(' ')
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

function duration(seconds: number): string {
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  return [hours ? `${hours}h` : '', hours || minutes ? `${minutes}m` : '', `${seconds % 60}s`].join('')
}
