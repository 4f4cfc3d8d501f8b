// ISC dhclient through the life of a lease: INIT, REBOOT from its lease file, renewal by unicast at T1, rebinding
// by broadcast at T2 when the server's host no longer hears it, release, and DECLINE of an address that is in
// use. The client's configuration shortens T1 and T2, as RFC 2131 §4.4.5 lets a client do: the daemon's own are
// half a minute at the least.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import type { Child } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { type NetNs, withPrivateResolv } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS } from './capture.js'
import {
  EVERY_OPTION,
  HOST_NEEDS,
  MAC,
  OTHER_MAC,
  plug,
  type Recorder,
  recorder,
  startAlone,
} from './host.js'

t.setTimeout(60_000)

const skip = requires([...HOST_NEEDS, ...CAPTURE_NEEDS, 'dhclient', 'unshare'])

const CONFIGURATION = `
timeout 20; retry 5; initial-interval 1; select-timeout 0; reboot 3;
option rfc3442 code 121 = array of unsigned integer 8;
option site code 224 = string;
send host-name "alpha";
`
const ASK = `request subnet-mask, routers, domain-name-servers, domain-name, domain-search, host-name, broadcast-address,
  interface-mtu, ntp-servers, tftp-server-name, bootfile-name, vendor-encapsulated-options, rfc3442, site,
  dhcp-lease-time, dhcp-renewal-time, dhcp-rebinding-time;`

type Setting = { ns: NetNs; folder: string; recorder: Recorder; more?: readonly string[] }

/** Runs dhclient in the foreground, with files of its own for everything that it keeps. */
function dhclient(t: Scope, { ns, folder, recorder, more = [] }: Setting, configuration = ''): Child {
  mkdirSync(folder, { recursive: true })
  const conf = join(folder, 'conf')
  writeFileSync(conf, CONFIGURATION + configuration)
  const resolv = withPrivateResolv()
  t.teardown(resolv.close)
  const files = [
    '-cf',
    conf,
    '-lf',
    join(folder, 'leases'),
    '-pf',
    join(folder, 'pid'),
    '-sf',
    recorder.script,
  ]
  const child = ns.spawn([...resolv.prefix, 'dhclient', '-4', '-d', ...files, ...more, 'eth0'])
  t.teardown(() => child.close())
  return child
}

t.test('dhclient from INIT to the release of its lease', { skip }, async t => {
  const daemon = await startAlone(t, ...EVERY_OPTION)
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  const folder = scratch(t)
  const setting = { ns, folder, recorder: recorder(t) }
  const { told } = setting.recorder
  const logged = (what: string, from: number) =>
    daemon.child.waitForLine(line => line.includes(`"msg":"${what}(vm1) ${ip} ${MAC} alpha"`), { from })
  let ip = ''

  await t.test('INIT: it is told every option that it asks for', async t => {
    const client = dhclient(t, setting, ASK)
    await client.waitForLine(/^bound to /)
    const lease = told()
    ip = lease['new_ip_address']!
    t.match(lease, {
      reason: 'BOUND',
      new_dhcp_server_identifier: '192.168.105.1',
      new_subnet_mask: '255.255.255.0',
      new_routers: '192.168.105.1',
      new_domain_name_servers: '192.168.105.3 9.9.9.9',
      new_domain_name: 'lab.internal',
      new_domain_search: 'lab.internal. apps.lab.internal.',
      new_host_name: 'alpha',
      new_broadcast_address: '192.168.105.255',
      new_interface_mtu: '1400',
      new_ntp_servers: '192.168.105.4 192.168.105.5',
      new_tftp_server_name: 'tftp.lab.internal',
      new_bootfile_name: 'plain.img',
      new_vendor_encapsulated_options: '1:2:ca:fe',
      new_dhcp_lease_time: '60',
      new_dhcp_renewal_time: '30',
      new_dhcp_rebinding_time: '52',
    })
    const routes = lease['new_rfc3442'] ?? ''
    t.match(routes, '8 10 192 168 105 6')
    t.match(routes, '20 172 16 32 192 168 105 7')
    t.match(routes, /(^| )0 192 168 105 1( |$)/, 'the router among the routes')
    t.match(lease['new_site'] ?? '', /de:?ad:?be:?ef|\\336\\255\\276\\357|\ufffd/)
    t.match((await daemon.status()).networks[0].leases, [{ ip, mac: MAC, hostname: 'alpha' }])
    t.match(readFileSync(join(folder, 'leases'), 'utf8'), `fixed-address ${ip};`, 'its lease file')
    await client.close()
  })

  await t.test('REBOOT, then RENEW by unicast at T1', async t => {
    const from = daemon.child.lines.length
    const client = dhclient(t, setting, 'supersede dhcp-renewal-time 1; supersede dhcp-rebinding-time 20;')
    await client.waitForLine(/^event REBOOT$/)
    t.match(told(), { new_ip_address: ip }, 'the address of its lease file')
    t.notMatch(client.text(), 'DHCPDISCOVER', 'without a DISCOVER')
    await logged('DHCPACK', from)
    const renewed = daemon.child.lines.length
    await client.waitForLine(/^event RENEW$/)
    t.match(client.text(), `DHCPREQUEST for ${ip} on eth0 to 192.168.105.1 port 67`, 'to the server itself')
    t.match(told(), { new_ip_address: ip, new_dhcp_lease_time: '60' })
    await logged('DHCPACK', renewed)
    await client.close()
  })

  await t.test('REBIND by broadcast at T2: nobody answers at the address of the server', async t => {
    // Its socket cannot send to the server any more; what it broadcasts leaves by a raw socket.
    await ns.sh('ip', 'route', 'add', 'blackhole', '192.168.105.1/32')
    const client = dhclient(t, setting, 'supersede dhcp-renewal-time 1; supersede dhcp-rebinding-time 3;')
    await client.waitForLine(/^event REBOOT$/)
    const rebooted = client.lines.length
    await client.waitForLine(/Failed to send .* packet over fallback/, { from: rebooted })
    const from = daemon.child.lines.length
    await client.waitForLine(/^DHCPREQUEST for \S+ on eth0 to 255\.255\.255\.255 /, { from: rebooted })
    // dhclient 4.4 calls it RENEW.
    await client.waitForLine(/^event (RENEW|REBIND)$/, { from: rebooted })
    t.match(told(), { new_ip_address: ip, new_dhcp_lease_time: '60' })
    await logged('DHCPACK', from)
    await client.close()
    await ns.sh('ip', 'route', 'del', 'blackhole', '192.168.105.1/32')
  })

  await t.test('release', async t => {
    const client = dhclient(t, { ...setting, more: ['-r'] })
    await client.exited
    await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPRELEASE(vm1) ${ip} ${MAC}`) ?? false)
    t.match((await daemon.status()).networks[0].leases, [{ ip, state: 'expired' }])
  })
  await wire.check(t, 6)
})

t.test('dhclient declines an address that is in use, and nobody gets it', { skip }, async t => {
  const daemon = await startAlone(t, '--dhcp-range', '192.168.105.50-192.168.105.51')
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  // As the script of a system does that finds another station by ARP.
  const used = recorder(t, '[ "$event" = BOUND ] && exit 3')
  const client = dhclient(t, { ns, folder: scratch(t), recorder: used })
  await client.waitForLine(/^DHCPDECLINE of /)
  const ip = used.told()['new_ip_address']!
  await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPDECLINE(vm1) ${ip} ${MAC} alpha`) ?? false)
  t.match((await daemon.status()).networks[0].leases, [{ ip, mac: MAC, state: 'declined' }])
  await client.close()

  const other = await plug(t, daemon, OTHER_MAC)
  const fresh = recorder(t)
  const next = dhclient(t, { ns: other, folder: scratch(t), recorder: fresh })
  await next.waitForLine(/^bound to /)
  t.not(fresh.told()['new_ip_address'], ip, 'another client gets another address')
  await wire.check(t, 2)
})
