// What talosctl plans before anything runs (pkg/provision in siderolabs/talos): who has which address, and where the
// cluster's files are.

import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { formatIpv4, parseCidr } from '../../../src/wire/ipv4.js'

/** The first two are generation 1 of the macOS provisioner, the last is generation 2. */
export const VERSIONS = ['v1.12', 'v1.13', 'v1.14'] as const
export type Version = (typeof VERSIONS)[number]

/** v1.14 starts a keepalive before the nodes and starts a QEMU again that fails early. */
export const isSecondGeneration = (version: Version) => version === 'v1.14'

export type NodePlan = { name: string; controlplane: boolean; ip: string; mac: string; uuid: string }

export type ClusterPlan = {
  version: Version
  name: string
  /** The folder of the cluster's files. */
  state: string
  cidr: string
  prefix: number
  mask: string
  gateway: string
  /** The highest address of the subnet that a host may have. */
  lastHost: string
  mtu: number
  /** Control planes first. */
  nodes: NodePlan[]
}

export type ClusterWanted = {
  version: Version
  name: string
  /** The folder that holds one folder a cluster. */
  stateDirectory: string
  cidr: string
  controlplanes: number
  workers: number
  /** Of the nodes' NICs. */
  mtu: number
}

/** A random MAC address that is unicast and locally administered. */
function randomMac(): string {
  const bytes = randomBytes(6)
  bytes[0] = (bytes[0] & ~1) | 2
  return [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join(':')
}

/** The gateway is the subnet's first address, the nodes have those that follow it. */
export function planCluster(wanted: ClusterWanted): ClusterPlan {
  const { version, name, stateDirectory, controlplanes, workers, mtu } = wanted
  const { network, broadcast, prefix, netmask } = parseCidr(wanted.cidr)!
  const roles = [
    ...Array.from({ length: controlplanes }, (_, i) => ({ role: 'controlplane', number: i + 1 })),
    ...Array.from({ length: workers }, (_, i) => ({ role: 'worker', number: i + 1 })),
  ]
  return {
    version,
    name,
    state: join(stateDirectory, name),
    cidr: wanted.cidr,
    prefix,
    mask: formatIpv4(netmask),
    gateway: formatIpv4(network + 1),
    lastHost: formatIpv4(broadcast - 1),
    mtu,
    nodes: roles.map(({ role, number }, i) => ({
      name: `${name}-${role}-${number}`,
      controlplane: role === 'controlplane',
      ip: formatIpv4(network + 2 + i),
      mac: randomMac(),
      uuid: randomUUID(),
    })),
  }
}

/** Files of a cluster. */
export const stateFile = ({ state }: { state: string }, name: string) => join(state, name)
export const KEEPALIVE_PID = 'vmnet-keepalive.pid'
export const DHCPD_PID = 'dhcpd.pid'

/** The plan as it was carried out, written when `create` is through. */
export const STATE_FILE = 'state.json'

/** What talosctl appends to `ipam.db` for a node, an object a line (vm.IPAMRecord; Netmask is the prefix's length). */
export function ipamRecord(cluster: ClusterPlan, node: NodePlan): string {
  const record = {
    IP: node.ip,
    Netmask: cluster.prefix,
    MAC: node.mac,
    Hostname: node.name,
    Gateway: cluster.gateway,
    MTU: cluster.mtu,
    Nameservers: ['8.8.8.8', '1.1.1.1'],
    TFTPServer: '',
    IPXEBootFilename: '',
  }
  return JSON.stringify(record) + '\n'
}
