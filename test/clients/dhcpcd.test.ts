// dhcpcd, which trusts nobody: it probes the address that it is given (RFC 5227) before it takes it. Known by its
// DUID (RFC 4361), it asks for rapid commit (RFC 4039), takes classless routes over the router (RFC 3442), and
// configures the device itself.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import type { Child } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { type NetNs, withPrivateResolv } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS } from './capture.js'
import {
  addressesOf,
  EVERY_OPTION,
  HOST_NEEDS,
  MAC,
  meetServer,
  plug,
  recorder,
  routesOf,
  startAlone,
} from './host.js'

t.setTimeout(60_000)

const skip = requires([...HOST_NEEDS, ...CAPTURE_NEEDS, 'dhcpcd', 'unshare'])

const CONFIGURATION = `
duid
option rapid_commit
option domain_name_servers, domain_name, domain_search, host_name, classless_static_routes, interface_mtu
option ntp_servers, tftp_server_name, bootfile_name, broadcast_address
require dhcp_server_identifier
hostname beta
nohook resolv.conf, hostname
noipv6rs
`
/** Lays a scratch folder over what dhcpcd keeps, in the private mount namespace that it runs in. */
const COVER = `mkdir -p /var/lib/dhcpcd && mount --bind "$0/lib" /var/lib/dhcpcd &&
  mount -t tmpfs none /run && exec "$@"`

function dhcpcd(t: Scope, ns: NetNs, script: string): Child {
  const folder = scratch(t)
  mkdirSync(join(folder, 'lib'))
  writeFileSync(join(folder, 'conf'), CONFIGURATION)
  const resolv = withPrivateResolv()
  t.teardown(resolv.close)
  const cover = ['sh', '-c', COVER, folder]
  const argv = ['dhcpcd', '-4', '-B', '-d', '-f', join(folder, 'conf'), '-c', script, 'eth0']
  const child = ns.spawn([...resolv.prefix, ...cover, ...argv])
  t.teardown(() => child.close())
  return child
}

t.test('dhcpcd finds nobody at its address, and takes it', { skip }, async t => {
  const daemon = await startAlone(t, ...EVERY_OPTION)
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  const { script, calls } = recorder(t)
  const client = dhcpcd(t, ns, script)
  await client.waitForLine(/spawned listener|executing: .* BOUND/)
  const ip = /: leased (\S+) for 60 seconds/.exec(client.text())?.[1]
  t.match(client.text(), `DAD completed for ${ip}`, 'its probes were answered by nobody')
  t.match(client.text(), 'renew in 30 seconds, rebind in 52 seconds')
  const bound = () => calls().find(({ reason }) => reason === 'BOUND')
  await client.waitForLine(() => bound() !== undefined, { timeoutMs: 5_000 })
  t.match(bound(), {
    new_ip_address: ip,
    new_subnet_cidr: '24',
    new_routers: '192.168.105.1',
    new_domain_name_servers: '192.168.105.3 9.9.9.9',
    new_domain_name: 'lab.internal',
    new_domain_search: 'lab.internal apps.lab.internal',
    new_host_name: 'beta',
    new_interface_mtu: '1400',
    new_ntp_servers: '192.168.105.4 192.168.105.5',
    new_tftp_server_name: 'tftp.lab.internal',
    new_bootfile_name: 'plain.img',
    new_broadcast_address: '192.168.105.255',
    new_dhcp_lease_time: '60',
  })
  t.strictSame(await addressesOf(ns), [`${ip}/24`])
  t.match(await routesOf(ns), {
    default: '192.168.105.1',
    '10.0.0.0/8': '192.168.105.6',
    '172.16.32.0/20': '192.168.105.7',
  })
  const { leases } = (await daemon.status()).networks[0]
  t.match(
    leases,
    [{ ip, mac: MAC, hostname: 'beta', clientId: /^ff.{8}0001/ }],
    'known by its DUID (RFC 4361)',
  )

  await meetServer(ns)
  client.kill('SIGALRM')
  await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPRELEASE(vm1) ${ip} ${MAC}`) ?? false)
  t.match((await daemon.status()).networks[0].leases, [{ ip, state: 'expired' }], 'its lease is over')
  await wire.check(t, 1)
})

t.test('dhcpcd has its lease by two messages where the server commits at once', { skip }, async t => {
  const daemon = await startAlone(t, '--lease-time', '60')
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  const client = dhcpcd(t, ns, recorder(t).script)
  await client.waitForLine(/: leased \S+ for 60 seconds/)
  t.notMatch(client.text(), 'sending REQUEST')
  t.notMatch(daemon.child.text(), 'DHCPOFFER')
  await wire.check(t, 1)
})
