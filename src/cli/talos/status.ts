/**
 * `vmbridge talos status`: the stand-ins, the QEMU behind them, the daemon, and the nodes of clusters that it knows.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CONTROL_NAME, DEFAULT_PREFIX, findInRun } from '../../config/paths.js'
import type { NetworkStatus, NetworkSummary, ReservationRecord } from '../../control/api.js'
import { ControlClient } from '../../control/client.js'
import { BridgeError, UsageError } from '../../errors.js'
import { printable } from '../../printable.js'
import { askQemu, findQemu, type QemuFacts } from '../../talos/qemu.js'
import { readSettings, STAND_INS, TALOS, type TalosSettings } from '../../talos/settings.js'
import { print, printJson, reservationsOf } from '../ask.js'
import type { Command, Parsed } from '../options.js'
import { table } from '../table.js'

export const command: Command = {
  name: 'talos status',
  summary:
    'Shows the stand-ins for QEMU, the real one behind each, the daemon, and the networks that it made with their nodes. Status 3 when no daemon answers.',
  options: {
    prefix: { value: 'DIR', help: 'where they are installed', fallback: DEFAULT_PREFIX },
    control: { value: 'PATH', help: "the daemon's control socket", fallback: "the daemon's default" },
    json: { help: 'print it as JSON' },
  },
  examples: [['vmbridge talos status', 'as talosctl would find things in this PATH']],
}

/** As of `vmbridge status`. */
const EXIT_NO_DAEMON = 3

export interface StandInStatus {
  path: string
  isInstalled: boolean
  /** The real one; not there where none is found, and `lack` says why. */
  qemu?: { path: string } & Partial<QemuFacts>
  lack?: string
}

export interface NodeStatus {
  name?: string
  mac?: string
  ip: string
  /** The port behind which it is; not there while it has none. */
  port?: string
}

export interface ClusterStatus {
  network: NetworkSummary
  nodes: NodeStatus[]
}

interface TalosStatus {
  /** Not there where nothing is installed. */
  dhcp?: TalosSettings['dhcp']
  standIns: StandInStatus[]
  daemon: { isUp: boolean; detail: string }
  clusters: ClusterStatus[]
}

export async function run({ get, has, operands }: Parsed): Promise<number> {
  if (operands.length > 0)
    throw new UsageError(
      `talos status takes no operand, but got "${operands[0]}"`,
      'vmbridge talos status --help',
    )
  const folder = join(get('prefix') ?? DEFAULT_PREFIX, TALOS)
  const settings = readSettings(folder)
  const status: TalosStatus = {
    ...(settings !== undefined && { dhcp: settings.dhcp }),
    standIns: STAND_INS.map(name => standIn(folder, name, settings)),
    ...(await askDaemon(new ControlClient(get('control') ?? findInRun(CONTROL_NAME)))),
  }
  if (has('json')) await printJson(status)
  else await print(printable(render(status)))
  return status.daemon.isUp ? 0 : EXIT_NO_DAEMON
}

function standIn(folder: string, name: string, settings: TalosSettings | undefined): StandInStatus {
  const path = join(folder, name)
  const shown = { path, isInstalled: settings !== undefined && existsSync(path) }
  try {
    const configured = settings?.qemu[name]
    const wanted = { name, path: process.env['PATH'] ?? '', self: path }
    const qemu = findQemu({ ...wanted, ...(configured !== undefined && { configured }) })
    return { ...shown, qemu: { path: qemu, ...askQemu(qemu) } }
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    return { ...shown, lack: error.message }
  }
}

async function askDaemon(daemon: ControlClient): Promise<Pick<TalosStatus, 'daemon' | 'clusters'>> {
  try {
    const { version, pid, networks } = await daemon.status()
    const { networks: summaries } = await daemon.networks()
    const clusters: ClusterStatus[] = []
    for (const network of summaries.filter(({ kind }) => kind === 'demand')) {
      const { reservations } = await reservationsOf(daemon, network.name)
      const status = networks.find(({ name }) => name === network.name)
      clusters.push({ network, nodes: reservations.map(each => nodeOf(each, status)) })
    }
    return { daemon: { isUp: true, detail: `vmbridge ${version}, PID ${pid}` }, clusters }
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    return { daemon: { isUp: false, detail: error.message }, clusters: [] }
  }
}

export function nodeOf(
  { ip, mac, hostname }: ReservationRecord,
  network: Pick<NetworkStatus, 'ports'> | undefined,
): NodeStatus {
  const port = network?.ports.find(({ macs }) => mac !== undefined && macs.includes(mac))?.name
  return {
    ...(hostname !== undefined && { name: hostname }),
    ...(mac !== undefined && { mac }),
    ip,
    ...(port !== undefined && { port }),
  }
}

function render({ dhcp, standIns, daemon, clusters }: TalosStatus): string {
  const answers = dhcp === 'passthrough' ? "talosctl's dhcpd" : 'the switch'
  const rows = standIns.map(({ path, isInstalled, qemu, lack }) => [
    isInstalled ? path : `${path} (not installed)`,
    qemu?.path ?? '-',
    qemu === undefined ? (lack ?? '-') : (qemu.version ?? 'does not answer'),
    qemu === undefined ? '' : reconnectOf(qemu),
  ])
  return [
    table(['stand-in', 'starts', 'version', 'when the daemon restarts'], rows),
    ...(dhcp === undefined ? ['install them with: sudo vmbridge talos install\n'] : [`DHCP: ${answers}\n`]),
    `daemon: ${daemon.detail}\n`,
    ...(daemon.isUp ? [] : ['start it with: sudo vmbridge service start\n']),
    ...clusters.map(renderCluster),
  ].join('')
}

function reconnectOf({ version, reconnect }: Partial<QemuFacts>): string {
  if (version === undefined) return ''
  if (reconnect === undefined) return 'too old: QEMU 7.2 or newer is needed'
  return reconnect === 'none' ? 'VMs stay cut off: QEMU 8.0 or newer comes back' : 'VMs come back'
}

function renderCluster({ network, nodes }: ClusterStatus): string {
  const head = `\n${network.name}: gateway ${network.gateway ?? '-'}, uplink ${network.uplink.state}, ${network.ports} VMs\n`
  if (nodes.length === 0) return head
  const rows = nodes.map(({ name, mac, ip, port }) => [name ?? '-', ip, mac ?? '-', port ?? 'down'])
  return head + table(['node', 'ip', 'mac', 'port'], rows)
}
