/**
 * `vmbridge talos plan`: where a cluster's nodes will be, which addresses are left for VIPs, and what MetalLB and Talos
 * are told about it. stdout is always a stream for the program that takes it: kubectl, or with --patch talosctl; what is
 * for people stands in comments.
 */

import { DEFAULT_PREFIX } from '../../config/paths.js'
import { UsageError } from '../../errors.js'
import { shellQuote } from '../../shell.js'
import { holdersOf, vipPool, type Cluster } from '../../talos/cluster.js'
import { createArguments, metallbResources, patchOption, talosPatch, yamlOf } from '../../talos/manifests.js'
import { programs, type Programs } from '../../talos/programs.js'
import { LAST_KNOWN, parseTalosVersion, type TalosVersion } from '../../talos/version.js'
import { formatIpv4, formatIpv4Range, type Ipv4Range } from '../../wire/ipv4.js'
import { print, printJson } from '../ask.js'
import { CLUSTER_OPTIONS, readCluster } from '../cluster-options.js'
import type { Command, Parsed } from '../options.js'

export const command: Command = {
  name: 'talos plan',
  summary:
    'Prints MetalLB resources with addresses that neither the nodes nor DHCP have, for kubectl apply -f -; and the Talos patch.',
  options: {
    ...CLUSTER_OPTIONS,
    pool: {
      value: 'auto|A-B',
      help: 'addresses for VIPs',
      fallback: 'auto: all above those that DHCP leases',
    },
    patch: { help: "print the patch of the control planes' machine configuration instead" },
    'talos-version': {
      value: 'V',
      help: 'the Talos that the patch is for: it has another form from v1.14 on',
      fallback: 'that of the talosctl that is found, or else the newest form',
    },
    json: { help: 'print everything as JSON' },
  },
  examples: [
    [
      'vmbridge talos plan --controlplanes 3 --workers 2',
      'what will be where, and the commands to go on with',
    ],
    ['vmbridge talos plan --controlplanes 3 --workers 2 | kubectl apply -f -', 'once MetalLB is installed'],
    [
      'vmbridge talos plan --patch >talos-patch.yaml',
      'for talosctl cluster create, before the cluster is made',
    ],
    ['vmbridge talos plan --pool 10.5.0.240-10.5.0.250', 'refused, with the reason, if anybody is there'],
  ],
}

const PATCH_FILE = 'talos-patch.yaml'

export async function run(parsed: Parsed): Promise<number> {
  const { operands, get, has } = parsed
  const [extra] = operands
  const hint = 'vmbridge talos plan --help'
  if (extra !== undefined) throw new UsageError(`talos plan takes no operand, but got "${extra}"`, hint)
  if (has('patch') && has('json'))
    throw new UsageError('--patch and --json: one of them, JSON has both', hint)
  const cluster = readCluster(parsed)
  const pool = vipPool(cluster, get('pool') ?? 'auto')
  const version = readVersion(get('talos-version'), programs())
  if (has('json')) await printJson(planJson(cluster, pool, version))
  else await print(has('patch') ? renderPatch(cluster, version) : renderPlan(cluster, pool, version))
  return 0
}

/** What was asked for, or what is installed. @throws UsageError */
export function readVersion(given: string | undefined, { run: runProgram, find }: Programs): TalosVersion {
  if (given !== undefined) {
    const version = /^v?\d+\.\d+/.test(given) ? parseTalosVersion(given) : undefined
    if (version !== undefined) return version
    throw new UsageError(
      `--talos-version ${given} is not a version such as v1.13.9`,
      '--talos-version v1.13.9',
    )
  }
  const [talosctl] = find('talosctl')
  if (talosctl === undefined) return LAST_KNOWN
  return parseTalosVersion(runProgram([talosctl, 'version', '--client', '--short']).stdout) ?? LAST_KNOWN
}

/** Everything, for programs. */
export function planJson(cluster: Cluster, pool: Ipv4Range, version: TalosVersion): object {
  const { subnet, nodes, dhcp, apiVip } = cluster
  return {
    cidr: `${formatIpv4(subnet.network)}/${subnet.prefix}`,
    gateway: formatIpv4(subnet.address),
    nodes: nodes.map(({ name, role, ip }) => ({ name, role, ip: formatIpv4(ip) })),
    apiServers: holdersOf(cluster)
      .filter(({ isApi }) => isApi)
      .map(({ ip }) => formatIpv4(ip)),
    ...(apiVip !== undefined && { apiVip: formatIpv4(apiVip) }),
    dhcp: formatIpv4Range(dhcp),
    pool: formatIpv4Range(pool),
    metallb: metallbResources(pool),
    talos: {
      version: version.text,
      patch: yamlOf(talosPatch(cluster, version)),
      option: patchOption(version),
      create: createArguments(cluster, version, PATCH_FILE),
    },
  }
}

const comment = (lines: readonly string[]): string => lines.map(line => `# ${line}`.trimEnd() + '\n').join('')

/** For kubectl: comments, then MetalLB's resources. */
export function renderPlan(cluster: Cluster, pool: Ipv4Range, version: TalosVersion): string {
  const { subnet, nodes, dhcp, apiVip } = cluster
  const rows: [string, string][] = [
    ['gateway', formatIpv4(subnet.address)],
    ...nodes.map(({ name, ip }): [string, string] => [name, formatIpv4(ip)]),
    ...(apiVip === undefined ? [] : [['API server', formatIpv4(apiVip)] as [string, string]]),
    ['DHCP', formatIpv4Range(dhcp)],
    ['VIPs', formatIpv4Range(pool)],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return (
    comment([
      `A Talos cluster on ${formatIpv4(subnet.network)}/${subnet.prefix}`,
      '',
      ...rows.map(([name, what]) => `  ${name.padEnd(width)}  ${what}`),
      '',
      `To make it (Talos ${version.text}), with the patch that has control planes announce VIPs:`,
      '',
      `  vmbridge talos plan ${planOptions(cluster, version)} --patch >${PATCH_FILE}`,
      `  sudo -E ${DEFAULT_PREFIX}/bin/vmbridge talos run -- talosctl ${words(createArguments(cluster, version, PATCH_FILE))}`,
      '',
      'What follows is for `kubectl apply -f -`, once MetalLB runs.',
    ]) + yamlOf(metallbResources(pool))
  )
}

/** For talosctl: comments, then the patch. */
export function renderPatch(cluster: Cluster, version: TalosVersion): string {
  return (
    comment([
      `For the control planes of a cluster of Talos ${version.text} (${patchOption(version)} @FILE), or of one that runs:`,
      `  talosctl --nodes NODE patch machineconfig --patch @FILE`,
    ]) + yamlOf(talosPatch(cluster, version))
  )
}

const words = (argv: readonly string[]): string => argv.map(shellQuote).join(' ')

/** What the patch depends on. */
function planOptions({ subnet, nodes, apiVip }: Cluster, { text }: TalosVersion): string {
  const controlplanes = nodes.filter(({ role }) => role === 'controlplane').length
  const sizes = ['--controlplanes', String(controlplanes), '--workers', String(nodes.length - controlplanes)]
  const vip = apiVip === undefined ? [] : ['--use-vip']
  const cidr = ['--cidr', `${formatIpv4(subnet.network)}/${subnet.prefix}`]
  return words([...cidr, ...sizes, ...vip, '--talos-version', text])
}
