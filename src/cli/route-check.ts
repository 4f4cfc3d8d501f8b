/**
 * `vmbridge route-check`: whom else a static route to VIPs would take along, for those who still need one: on vmnet-shared
 * without vmbridge. Asks a daemon who is there, where one answers.
 */

import { existsSync } from 'node:fs'
import type { ControlClient } from '../control/client.js'
import { BridgeError, UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { holdersOf, vipPool, type Cluster, type Holder } from '../talos/cluster.js'
import { betterRoute, parseRoute, swallowed } from '../talos/route.js'
import { formatCidr, formatIpv4, parseCidr, parseIpv4, type Cidr, type Ipv4Range } from '../wire/ipv4.js'
import { askDaemon, DAEMON_OPTIONS, print, printJson, reservationsOf } from './ask.js'
import { CLUSTER_OPTIONS, readCluster } from './cluster-options.js'
import type { Command, Parsed } from './options.js'
import { table } from './table.js'

export const command: Command = {
  name: 'route-check',
  operands: 'CIDR',
  summary:
    'Says which stations, gateways and API servers a static route to VIPs would swallow. Changes nothing.',
  options: { ...CLUSTER_OPTIONS, ...DAEMON_OPTIONS, json: { help: 'print everything as JSON' } },
  examples: [
    ['vmbridge route-check 10.5.0.10/28', 'swallows the gateway and the nodes: that is 10.5.0.0/28; exits 1'],
    ['vmbridge route-check 10.5.0.8/29 --workers 2', 'swallows nobody; exits 0'],
  ],
}

/** Whom a daemon knows, and what it was asked for. */
interface Live {
  holders: Holder[]
  /** VIPs that are announced now: a route is for these. */
  vips: number[]
}

export async function run(parsed: Parsed): Promise<number> {
  const { operands, get, has } = parsed
  const [text, extra] = operands
  const hint = 'vmbridge route-check --help'
  if (text === undefined) throw new UsageError('route-check takes a route, such as 10.5.0.200/32', hint)
  if (extra !== undefined) throw new UsageError(`route-check takes one route, but got "${extra}" too`, hint)
  const route = parseRoute(text)
  const cluster = readCluster(parsed)
  const answer = async (live: Live | undefined, why?: string): Promise<number> => {
    const report = reportOf(route, text, cluster, live, why)
    await (has('json') ? printJson(report) : print(render(report)))
    return report.ok ? 0 : 1
  }
  if (get('control') !== undefined || get('socket') !== undefined)
    return askDaemon(parsed, async daemon => answer(await liveOf(daemon)))
  return askQuietly(answer)
}

/** Nobody said that there is a daemon: without one the plan alone counts. */
async function askQuietly(
  answer: (live: Live | undefined, why?: string) => Promise<number>,
): Promise<number> {
  const [{ ControlClient: Client }, { CONTROL_NAME, findInRun }] = await Promise.all([
    import('../control/client.js'),
    import('../config/paths.js'),
  ])
  const path = findInRun(CONTROL_NAME)
  if (!existsSync(path)) return answer(undefined)
  try {
    return await answer(await liveOf(new Client(path)))
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    return answer(undefined, error.message)
  }
}

/**
 * A station is who has a lease, a reservation, or an address without either. Another address of one that has a lease or
 * a reservation is a VIP: that is what a route is for.
 */
async function liveOf(daemon: ControlClient): Promise<Live> {
  const { networks } = await daemon.status()
  const live: Live = { holders: [], vips: [] }
  for (const { name, gateway, leases, neighbors } of networks) {
    const owner = `network ${name}`
    const subnet = gateway === undefined ? undefined : parseCidr(gateway)
    if (subnet !== undefined)
      live.holders.push({ ip: subnet.address, who: `gateway, ${owner}`, isApi: false })
    const { reservations } = await reservationsOf(daemon, name)
    const assigned = [...leases, ...reservations]
    const macs = new Set(assigned.map(({ mac }) => mac))
    const known = new Set(assigned.map(({ ip }) => ip))
    for (const { ip, mac, hostname } of assigned)
      add(live.holders, ip, `${hostname ?? mac ?? 'reserved'}, ${owner}`)
    for (const { ip, mac } of neighbors) {
      const address = parseIpv4(ip)
      if (address === undefined || known.has(ip)) continue
      if (macs.has(mac)) live.vips.push(address)
      else add(live.holders, ip, `${mac}, ${owner}`)
    }
  }
  return live
}

function add(holders: Holder[], ip: string, who: string): void {
  const address = parseIpv4(ip)
  if (address === undefined || holders.some(holder => holder.ip === address)) return
  holders.push({ ip: address, who, isApi: false })
}

interface Report {
  ok: boolean
  given: string
  route: string
  from: string
  to: string
  swallows: { ip: string; who: string; isApi: boolean }[]
  /** VIPs that a daemon knows, and that the route takes along as it should. */
  vips: string[]
  better?: string
  /** An address for VIPs, for the example of a route to it alone. */
  example?: string
  via: string
  live: boolean
  note?: string
}

function reportOf(
  route: Cidr,
  given: string,
  cluster: Cluster,
  live: Live | undefined,
  why?: string,
): Report {
  const planned = holdersOf(cluster)
  const seen = live?.holders.filter(({ ip }) => !planned.some(holder => holder.ip === ip)) ?? []
  const holders = [...planned, ...seen]
  const hits = swallowed(route, holders).sort((a, b) => a.ip - b.ip)
  const pool = poolOf(cluster)
  const better = hits.length === 0 ? undefined : betterRoute(route, holders, cluster.subnet, pool)
  const vips = swallowed(
    route,
    (live?.vips ?? []).map(ip => ({ ip })),
  ).map(({ ip }) => formatIpv4(ip))
  const example = vips[0] ?? (pool === undefined ? undefined : formatIpv4(pool.first))
  return {
    ok: hits.length === 0,
    given,
    route: `${formatIpv4(route.network)}/${route.prefix}`,
    from: formatIpv4(route.network),
    to: formatIpv4(route.broadcast),
    swallows: hits.map(({ ip, who, isApi }) => ({ ip: formatIpv4(ip), who, isApi })),
    vips,
    ...(better !== undefined && { better: formatCidr(better) }),
    ...(example !== undefined && { example }),
    via: formatIpv4(cluster.nodes[0].ip),
    live: live !== undefined,
    ...(why !== undefined && { note: why }),
  }
}

/** In a subnet full of nodes there is none, and nothing to propose. */
function poolOf(cluster: Cluster): Ipv4Range | undefined {
  try {
    return vipPool(cluster, 'auto')
  } catch (error) {
    if (error instanceof UsageError) return undefined
    throw error
  }
}

function render({
  ok,
  given,
  route,
  from,
  to,
  swallows,
  vips,
  better,
  example,
  via,
  live,
  note,
}: Report): string {
  const range = from === to ? from : `${from} to ${to}`
  const lines = [given === route ? `${route}: ${range}` : `${given} is the route ${route}: ${range}`]
  const source = live ? 'By the plan and the daemon' : `By the plan alone (${note ?? 'no daemon runs'})`
  lines.push(`${source}, it swallows ${ok ? 'nobody.' : 'these:'}`)
  const text = [...lines, ''].join('\n')
  const rows = swallows.map(({ ip, who, isApi }) => [ip, `${who}${isApi ? ', API server' : ''}`])
  const told = ok ? '' : `\n${table(['IP', 'WHO'], rows)}\n`
  const more = [
    ...(vips.length === 0 ? [] : [`VIPs in it: ${vips.join(', ')}`]),
    ...(better === undefined ? [] : [`A route that swallows nobody: ${better}`]),
    ...(example === undefined ? [] : ['Safe is a route a VIP, to the node that announces it now, as in:']),
    ...(example === undefined ? [] : [`  sudo route -n add ${example}/32 ${via}`]),
    'With vmbridge VIPs are on the segment itself, and need no route.',
  ]
  return printable(`${text}${told}${more.join('\n')}\n`)
}
