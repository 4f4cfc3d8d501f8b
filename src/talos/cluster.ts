/**
 * The addresses of a cluster that `talosctl cluster create qemu` makes, known before it does: the gateway is the CIDR's
 * base + 1, the nodes follow from base + 2, control planes first. What a VIP must keep away from, and where it may be.
 */

import { defaultRange } from '../dhcp/range.js'
import { UsageError } from '../errors.js'
import { cidr, formatCidr, formatIpv4, formatIpv4Range, parseCidr, parseIpv4Range } from '../wire/ipv4.js'
import type { Cidr, Ipv4Range } from '../wire/ipv4.js'

const GATEWAY_OFFSET = 1
const NODES_OFFSET = 2
/** Where `talosctl cluster create dev --use-vip` puts the API server's own VIP. */
const API_VIP_OFFSET = 50

/** A shorter one the daemon refuses; a longer one has no room above what DHCP leases. */
const PREFIXES = { shortest: 8, longest: 29 }

export interface ClusterWanted {
  /** As `--cidr` of talosctl takes it. */
  cidr: string
  controlplanes: number
  workers: number
  /** Whether the API server is reached by a VIP of Talos' own. */
  useVip: boolean
}

export interface Node {
  /** As talosctl names it, without the cluster's name before it. */
  name: string
  role: 'controlplane' | 'worker'
  /** A uint32, as all addresses here. */
  ip: number
}

export interface Cluster {
  /** Its address is the gateway's. */
  subnet: Cidr
  nodes: Node[]
  /** What the built-in DHCP server leases unless it is told otherwise. */
  dhcp: Ipv4Range
  /** The API server's own VIP. */
  apiVip?: number
}

/** An address that is somebody's, and whose. */
export interface Holder {
  ip: number
  /** `gateway`, a node's name, … */
  who: string
  /** Whether the Kubernetes API is asked there. */
  isApi: boolean
}

/** @throws UsageError where talosctl or the segment could not have such a cluster */
export function clusterOf({ cidr: text, controlplanes, workers, useVip }: ClusterWanted): Cluster {
  const given = parseCidr(text)
  if (given === undefined)
    throw new UsageError(`--cidr ${text} is not an IPv4 subnet such as 10.5.0.0/24`, '--cidr 10.5.0.0/24')
  const { network, broadcast, prefix, address } = given
  if (address !== network) {
    const base = formatCidr(cidr(network, prefix))
    throw new UsageError(`--cidr ${text} does not start at the base of its subnet`, `--cidr ${base}`)
  }
  if (prefix < PREFIXES.shortest)
    throw new UsageError(`--cidr ${text} is larger than a /${PREFIXES.shortest}`, '--cidr 10.5.0.0/24')
  const dhcp = prefix > PREFIXES.longest ? undefined : defaultRange(cidr(network + GATEWAY_OFFSET, prefix))
  if (dhcp === undefined) {
    const hint = `a /${PREFIXES.longest} or larger, such as --cidr ${formatIpv4(network & 0xffffff00)}/24`
    throw new UsageError(`--cidr ${text} is too small for a gateway, a node and a VIP`, hint)
  }
  const count = controlplanes + workers
  const room = broadcast - network - NODES_OFFSET
  if (count > room) {
    const what = `${count} nodes do not fit into ${text}, which has addresses for ${room}`
    throw new UsageError(what, 'fewer --controlplanes and --workers, or a larger --cidr')
  }
  const nodes = Array.from({ length: count }, (_, i): Node => {
    const role = i < controlplanes ? 'controlplane' : 'worker'
    const number = i < controlplanes ? i + 1 : i - controlplanes + 1
    return { name: `${role}-${number}`, role, ip: network + NODES_OFFSET + i }
  })
  const cluster: Cluster = { subnet: cidr(network + GATEWAY_OFFSET, prefix), nodes, dhcp }
  if (!useVip) return cluster
  const apiVip = network + API_VIP_OFFSET
  const isTaken = apiVip >= broadcast || nodes.some(({ ip }) => ip === apiVip)
  if (!isTaken) return { ...cluster, apiVip }
  const what = `--use-vip: talosctl takes the address ${API_VIP_OFFSET} of the subnet, which is not free in ${text}`
  throw new UsageError(what, 'a larger --cidr, or fewer nodes')
}

/** Every address that is taken from the start, in order. */
export function holdersOf({ subnet, nodes, apiVip }: Cluster): Holder[] {
  return [
    { ip: subnet.address, who: 'gateway', isApi: true },
    ...nodes.map(({ ip, name, role }) => ({ ip, who: name, isApi: role === 'controlplane' })),
    ...(apiVip === undefined ? [] : [{ ip: apiVip, who: 'VIP of the API server', isApi: true }]),
  ]
}

/**
 * The addresses for VIPs: `auto` for all above what DHCP leases and the nodes have, or `A-B`.
 * @throws UsageError that says what the pool hits, or that there is no room for one
 */
export function vipPool(cluster: Cluster, text: string): Ipv4Range {
  const free = freePool(cluster)
  if (text === 'auto') {
    if (free !== undefined) return free
    const { subnet } = cluster
    const what = `${formatIpv4(subnet.network)}/${subnet.prefix} has no address left for a VIP above the nodes`
    throw new UsageError(what, 'a larger --cidr, or fewer nodes')
  }
  const pool = parseIpv4Range(text)
  if (pool === undefined)
    throw new UsageError(`--pool ${text} is neither auto nor a range A-B of IPv4 addresses`, '--pool auto')
  const hits = poolHits(cluster, pool)
  if (hits.length === 0) return pool
  const rest = hits.length > MOST_HITS ? ` and ${hits.length - MOST_HITS} more` : ''
  const hint = free === undefined ? '--pool auto' : `--pool ${formatIpv4Range(free)}, or inside of that`
  throw new UsageError(`--pool ${text} hits ${hits.slice(0, MOST_HITS).join(', ')}${rest}`, hint)
}

/** More in one line nobody reads. */
const MOST_HITS = 6

function freePool({ subnet, nodes, dhcp, apiVip = 0 }: Cluster): Ipv4Range | undefined {
  const first = Math.max(dhcp.last, nodes.at(-1)?.ip ?? 0, apiVip) + 1
  const last = subnet.broadcast - 1
  return first <= last ? { first, last } : undefined
}

const holds = ({ first, last }: Ipv4Range, ip: number): boolean => first <= ip && ip <= last

function poolHits(cluster: Cluster, pool: Ipv4Range): string[] {
  const { subnet, dhcp } = cluster
  const text = `${formatIpv4(subnet.network)}/${subnet.prefix}`
  if (pool.first < subnet.network || pool.last > subnet.broadcast) {
    const isOutside = pool.last < subnet.network || pool.first > subnet.broadcast
    return [`addresses outside of ${text}${isOutside ? '' : `, from ${outsideOf(subnet, pool)} on`}`]
  }
  const held = [
    { ip: subnet.network, who: 'the network address' },
    { ip: subnet.broadcast, who: 'the broadcast address' },
    ...holdersOf(cluster).map(({ ip, who }) => ({
      ip,
      who: /^(gateway|VIP)/.test(who) ? `the ${who}` : who,
    })),
  ]
  const hits = held.filter(({ ip }) => holds(pool, ip)).map(({ ip, who }) => `${who} ${formatIpv4(ip)}`)
  const isLeased = pool.first <= dhcp.last && pool.last >= dhcp.first
  return isLeased ? [...hits, `what DHCP may hand out (${formatIpv4Range(dhcp)})`] : hits
}

const outsideOf = (subnet: Cidr, { first }: Ipv4Range): string =>
  formatIpv4(first < subnet.network ? first : subnet.broadcast + 1)
