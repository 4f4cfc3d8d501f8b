// systemd-networkd as it is, without a bus and without systemd, in mount and host name spaces of its own: it sets the host
// name that it is told.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratch } from '../cli/command.js'
import type { Child } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { type NetNs, withPrivateResolv } from '../helpers/netns.js'

export const NETWORKD_NEEDS = ['unshare', 'systemctl']

const NETWORKD = '/lib/systemd/systemd-networkd'

/** Read-only, /sys says that there is no udev to wait for. */
const COVER = `chown -R systemd-network "$0/run" && mount -o remount,ro /sys &&
  mkdir -p /etc/systemd/network /run/systemd && mount --bind "$0/network" /etc/systemd/network &&
  mount --bind "$0/run" /run/systemd && exec "$@"`

const networkOf = (wishes: readonly string[]): string => `
[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
${wishes.join('\n')}
`

export interface Networkd {
  client: Child
  /** What it has written of leases, or of links. */
  files(of: 'leases' | 'links'): string
}

/** Starts it, and waits until eth0 is configured. @param wishes lines of the section DHCPv4 */
export async function startNetworkd(t: Scope, ns: NetNs, wishes: readonly string[]): Promise<Networkd> {
  const folder = scratch(t)
  const run = join(folder, 'run/netif')
  for (const name of [join(folder, 'network'), ...['leases', 'links', 'lldp'].map(name => join(run, name))])
    mkdirSync(name, { recursive: true })
  writeFileSync(join(folder, 'network/10.network'), networkOf(wishes))
  const resolv = withPrivateResolv()
  t.teardown(resolv.close)
  const argv = [...resolv.prefix, 'unshare', '--uts', 'sh', '-c', COVER, folder, NETWORKD]
  const env = { SYSTEMD_LOG_LEVEL: 'debug', SYSTEMD_LOG_TARGET: 'console' }
  const client = ns.spawn(argv, { env })
  t.teardown(() => client.close())
  await client.waitForLine(/eth0: State changed: configuring -> configured/, { timeoutMs: 30_000 })
  return {
    client,
    files: of =>
      readdirSync(join(run, of))
        .map(file => readFileSync(join(run, of, file), 'utf8'))
        .join('\n'),
  }
}
