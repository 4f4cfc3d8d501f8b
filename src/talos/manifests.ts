/**
 * What a cluster is told so that MetalLB's VIPs work on it: MetalLB's own resources (metallb.io/v1beta1), and a patch of
 * the control planes' machine configuration. Its form changed with Talos v1.14: Kubernetes' settings are documents of
 * their own there, and the old keys beside them are refused.
 */

import { stringify } from 'yaml'
import { formatIpv4, formatIpv4Range, type Ipv4Range } from '../wire/ipv4.js'
import type { Cluster } from './cluster.js'
import { isAtLeast, type TalosVersion } from './version.js'

/** MetalLB's own, where its manifest and its chart put it. */
const NAMESPACE = 'metallb-system'
/** Of the pool, and of what announces it. */
const NAME = 'vmbridge'

/** Talos puts it on control planes (from v1.8 on), and MetalLB announces nothing from a node that has it. */
const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers'
const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane'
const DELETE = { $patch: 'delete' } as const

/** The IPAddressPool and the L2Advertisement. */
export function metallbResources(pool: Ipv4Range): object[] {
  const apiVersion = 'metallb.io/v1beta1'
  const metadata = { name: NAME, namespace: NAMESPACE }
  // MetalLB takes no address alone, only ranges and prefixes.
  const range = pool.first === pool.last ? `${formatIpv4(pool.first)}/32` : formatIpv4Range(pool)
  return [
    { apiVersion, kind: 'IPAddressPool', metadata, spec: { addresses: [range] } },
    { apiVersion, kind: 'L2Advertisement', metadata, spec: { ipAddressPools: [NAME] } },
  ]
}

/**
 * The documents of the patch. It is for control planes alone: workers have no such label, and Talos refuses to delete
 * what is not there. Strict ARP keeps nodes from answering for every VIP when kube-proxy runs in ipvs mode; in the
 * mode that Talos chooses, nftables, it changes nothing.
 */
export function talosPatch({ nodes }: Cluster, version: TalosVersion): object[] {
  // Without workers there would be nowhere to run a Service's pods.
  const isAlone = nodes.every(({ role }) => role === 'controlplane')
  if (!isAtLeast(version, 14)) {
    const proxy = { extraArgs: { 'ipvs-strict-arp': 'true' } }
    return [
      {
        machine: { nodeLabels: { [EXCLUDED]: DELETE } },
        cluster: { ...(isAlone && { allowSchedulingOnControlPlanes: true }), proxy },
      },
    ]
  }
  const apiVersion = 'v1alpha1'
  return [
    {
      apiVersion,
      kind: 'KubeNodeConfig',
      labels: { [EXCLUDED]: DELETE },
      ...(isAlone && { taints: { [CONTROL_PLANE]: DELETE } }),
    },
    { apiVersion, kind: 'KubeProxyConfig', config: { ipvs: { strictARP: true } } },
  ]
}

/** How the patch is given: talosctl changed the name in v1.12. */
export function patchOption(version: TalosVersion): string {
  return isAtLeast(version, 12) ? '--config-patch-controlplanes' : '--config-patch-control-plane'
}

/** What makes such a cluster, as talosctl's words behind its name. */
export function createArguments(
  { subnet, nodes, apiVip }: Cluster,
  version: TalosVersion,
  patchFile: string,
): string[] {
  const count = (role: string): string => String(nodes.filter(node => node.role === role).length)
  // The API server's VIP is an option for Talos' own developers.
  const verb = apiVip === undefined ? ['qemu'] : ['dev', '--use-vip']
  const create = isAtLeast(version, 12)
    ? ['create', ...verb]
    : ['create', '--provisioner', 'qemu', ...verb.slice(1)]
  const patch = apiVip === undefined ? patchOption(version) : '--config-patch-control-plane'
  const cidr = `${formatIpv4(subnet.network)}/${subnet.prefix}`
  const sizes = ['--cidr', cidr, '--controlplanes', count('controlplane'), '--workers', count('worker')]
  return ['cluster', ...create, ...sizes, patch, `@${patchFile}`]
}

/** Documents as a YAML stream, without anchors: Talos looks for `$patch` in maps alone. */
export function yamlOf(documents: readonly object[]): string {
  return documents.map(each => stringify(each, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n')
}
