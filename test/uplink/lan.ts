// A LAN in a network namespace: a bridge with an address, and dnsmasq as its DHCP server.

import { scratch } from '../cli/command.js'
import type { Child } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import type { NetNs } from '../helpers/netns.js'

/** The address of the LAN's router, on the bridge `br0`. */
export const LAN_ROUTER = '10.8.0.1/24'

export async function makeLan(ns: NetNs): Promise<void> {
  await ns.sh('ip', 'link', 'add', 'br0', 'type', 'bridge')
  await ns.sh('ip', 'addr', 'add', LAN_ROUTER, 'dev', 'br0')
  await ns.sh('ip', 'link', 'set', 'br0', 'up')
}

/** Serves .50 to .60 of the LAN; the lines of its log tell who asked. */
export async function serveLan(t: Scope, ns: NetNs): Promise<Child> {
  const folder = scratch(t)
  const server = ns.spawn([
    'dnsmasq',
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--port=0',
    '--log-dhcp',
    '--log-facility=-',
    '--user=root',
    `--pid-file=${folder}/pid`,
    `--dhcp-leasefile=${folder}/leases`,
    '--no-ping',
    '--interface=br0',
    '--dhcp-range=10.8.0.50,10.8.0.60,1h',
  ])
  t.teardown(() => server.close())
  await server.waitForLine(/DHCP, IP range/)
  return server
}
