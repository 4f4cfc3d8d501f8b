/**
 * Options that say what cluster talosctl is to make, with the defaults that it has itself.
 */

import { UsageError } from '../errors.js'
import { clusterOf, type Cluster } from '../talos/cluster.js'
import type { Option, Parsed } from './options.js'

/** As talosctl has it. */
export const DEFAULT_CIDR = '10.5.0.0/24'
const DEFAULT_COUNT = '1'

export const CLUSTER_OPTIONS: Record<string, Option> = {
  cidr: { value: 'CIDR', help: "the cluster's subnet", fallback: DEFAULT_CIDR },
  controlplanes: { value: 'N', help: 'how many control planes', fallback: DEFAULT_COUNT },
  workers: { value: 'N', help: 'how many workers', fallback: DEFAULT_COUNT },
  'use-vip': { help: 'the API server has a VIP of its own, as with talosctl --use-vip' },
}

/** @throws UsageError */
export function readCluster({ get, has }: Parsed): Cluster {
  const count = (name: string, least: number): number => {
    const text = get(name) ?? DEFAULT_COUNT
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text)
    throw new UsageError(
      `--${name} ${text} is not a number from ${least} on`,
      `--${name} ${Math.max(1, least)}`,
    )
  }
  return clusterOf({
    cidr: get('cidr') ?? DEFAULT_CIDR,
    controlplanes: count('controlplanes', 1),
    workers: count('workers', 0),
    useVip: has('use-vip'),
  })
}
