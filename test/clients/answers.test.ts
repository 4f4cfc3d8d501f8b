// Real clients on a network that answers DHCP from reservations, as Talos nodes are on one: what they are told, that they
// renew and rebind, and what tshark thinks of the answers.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import { NODE, startAnswering } from '../daemon/answering.js'
import { Station } from '../daemon/station.js'
import { frameOf, GATEWAY, NODE_IP, RELAY_IP, RELAY_MAC, SERVER_MAC } from '../dhcp/answer-bench.js'
import { withPrivateResolv } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS, decode, faultsIn, pcapOf } from './capture.js'
import { addressesOf, HOST_NEEDS, plug, recorder, routesOf } from './host.js'
import { NETWORKD_NEEDS, startNetworkd } from './systemd-networkd.js'

t.setTimeout(90_000)

const NEEDS = [...HOST_NEEDS, ...CAPTURE_NEEDS]
const { ip, mac } = NODE

t.test('udhcpc is told what is reserved, renews, and leaves', { skip: requires(NEEDS) }, async t => {
  const daemon = await startAnswering(t)
  const ns = await plug(t, daemon, mac)
  const wire = await capture(t, ns)
  const { script, calls } = recorder(t)
  const wishes = ['router', 'dns', 'hostname', 'mtu', 'staticroutes', 'ntpsrv'].flatMap(name => ['-O', name])
  const timing = ['-f', '-t', '10', '-T', '1']
  const client = ns.spawn(['busybox', 'udhcpc', '-i', 'eth0', ...timing, '-s', script, ...wishes])
  t.teardown(() => client.close())
  await client.waitForLine(/^event bound$/)
  const told = calls().at(-1)!
  t.match(told, {
    ip,
    subnet: '255.255.255.0',
    router: '10.5.0.1',
    serverid: '10.5.0.1',
    dns: '8.8.8.8 1.1.1.1',
    hostname: 'node-1',
    mtu: '1450',
    lease: '300',
  })
  t.notOk('staticroutes' in told || 'ntpsrv' in told, 'no routes beside the router, no NTP')
  t.match((await daemon.status()).networks[0].leases, [{ ip, mac, hostname: 'node-1', state: 'bound' }])
  client.kill('SIGUSR1')
  await client.waitForLine(/^event renew$/)
  t.match(calls().at(-1), { event: 'renew', ip, lease: '300' })
  client.kill('SIGUSR2')
  await client.waitForLine(/^event deconfig$/, { count: 2 })
  await daemon.waitForLog(({ event }) => event === 'dhcp.release')
  t.match((await daemon.status()).networks[0].leases, [{ ip, state: 'bound' }], 'a RELEASE changes nothing')
  await wire.check(t, 3)
})

t.test('a client without a reservation hears nothing', { skip: requires(NEEDS) }, async t => {
  const daemon = await startAnswering(t)
  const ns = await plug(t, daemon, '52:54:00:00:00:03')
  const { script } = recorder(t)
  const argv = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-t', '2', '-T', '1', '-s', script]
  t.not((await ns.exec(argv)).status, 0)
  await daemon.waitForLog(({ msg }) => msg === 'DHCPDISCOVER(vm1) 52:54:00:00:00:03 no reservation')
  t.strictSame(await addressesOf(ns), [])
})

t.test(
  'dhclient: INIT, REBOOT, RENEW by unicast, REBIND by broadcast',
  {
    skip: requires([...NEEDS, 'dhclient', 'unshare']),
  },
  async t => {
    const daemon = await startAnswering(t)
    const ns = await plug(t, daemon, mac)
    const wire = await capture(t, ns)
    const folder = scratch(t)
    const { script, told } = recorder(t)
    /** In the foreground, with files of its own; the same lease file each time. */
    const dhclient = (configuration = '') => {
      const conf = join(folder, 'conf')
      writeFileSync(
        conf,
        `timeout 20; retry 5; initial-interval 1; select-timeout 0; reboot 3; ${configuration}`,
      )
      const resolv = withPrivateResolv()
      t.teardown(resolv.close)
      const files = ['-cf', conf, '-lf', join(folder, 'leases'), '-pf', join(folder, 'pid'), '-sf', script]
      const child = ns.spawn([...resolv.prefix, 'dhclient', '-4', '-d', ...files, 'eth0'])
      t.teardown(() => child.close())
      return child
    }
    const acked = async (from: number) =>
      daemon.child.waitForLine(line => line.includes(`"msg":"DHCPACK(vm1) ${ip} ${mac}`), { from })

    const first = dhclient('request subnet-mask, routers, domain-name-servers, host-name, interface-mtu;')
    await first.waitForLine(/^bound to /)
    t.match(told(), {
      reason: 'BOUND',
      new_ip_address: ip,
      new_dhcp_server_identifier: '10.5.0.1',
      new_subnet_mask: '255.255.255.0',
      new_routers: '10.5.0.1',
      new_domain_name_servers: '8.8.8.8 1.1.1.1',
      new_host_name: 'node-1',
      new_interface_mtu: '1450',
      new_dhcp_lease_time: '300',
    })
    await first.close()

    const from = daemon.child.lines.length
    const second = dhclient('supersede dhcp-renewal-time 1; supersede dhcp-rebinding-time 20;')
    await second.waitForLine(/^event REBOOT$/)
    t.notMatch(second.text(), 'DHCPDISCOVER', 'REBOOT without a DISCOVER')
    await acked(from)
    const rebooted = daemon.child.lines.length
    await second.waitForLine(/^event RENEW$/)
    t.match(second.text(), `DHCPREQUEST for ${ip} on eth0 to 10.5.0.1 port 67`, 'RENEW at the gateway itself')
    await acked(rebooted)
    await second.close()

    // Its socket cannot send to the server any more; what it broadcasts leaves by a raw socket.
    await ns.sh('ip', 'route', 'add', 'blackhole', '10.5.0.1/32')
    const third = dhclient('supersede dhcp-renewal-time 1; supersede dhcp-rebinding-time 3;')
    await third.waitForLine(/^event REBOOT$/)
    const later = third.lines.length
    await third.waitForLine(/Failed to send .* packet over fallback/, { from: later })
    const cut = daemon.child.lines.length
    await third.waitForLine(/^DHCPREQUEST for \S+ on eth0 to 255\.255\.255\.255 /, { from: later })
    await third.waitForLine(/^event (RENEW|REBIND)$/, { from: later })
    t.match(told(), { new_ip_address: ip, new_dhcp_lease_time: '300' })
    await acked(cut)
    await third.close()
    await wire.check(t, 6)
  },
)

t.test(
  'systemd-networkd configures its device',
  {
    skip: requires([...NEEDS, ...NETWORKD_NEEDS]),
  },
  async t => {
    const daemon = await startAnswering(t)
    const ns = await plug(t, daemon, mac)
    const wire = await capture(t, ns)
    const { files } = await startNetworkd(t, ns, ['UseMTU=yes'])
    t.strictSame(await addressesOf(ns), [`${ip}/24`])
    t.match(await routesOf(ns), { default: '10.5.0.1' })
    t.match(await ns.sh('ip', 'link', 'show', 'eth0'), ' mtu 1450 ')
    const lease = files('leases')
    for (const line of ['T1=150', 'T2=262', 'LIFETIME=300', 'DNS=8.8.8.8 1.1.1.1', 'HOSTNAME=node-1'])
      t.match(lease, `${line}\n`)
    t.match((await daemon.status()).networks[0].leases, [{ ip, mac, state: 'bound' }])
    await wire.check(t, 2)
  },
)

t.test(
  'tshark finds no fault in the answers that these clients do not provoke',
  {
    skip: requires(['linux', 'tshark']),
  },
  async t => {
    const daemon = await startAnswering(t)
    const vm = await Station.plug(t, daemon)
    const relay = {
      from: RELAY_MAC,
      giaddr: RELAY_IP,
      source: RELAY_IP,
      destination: GATEWAY,
      sourcePort: 67,
    }
    const inform = { to: SERVER_MAC, ciaddr: NODE_IP, source: NODE_IP, destination: GATEWAY }
    const messages = [
      { flags: '80 00', options: '35 01 01' },
      { flags: '80 00', options: '35 01 03' },
      { ...relay, hops: '01', options: '35 01 01 52 06 01 04 09 08 07 06' },
      { ...inform, options: '35 01 08' },
      { options: '35 01 01 37 02 42 43 5d 02 00 0b' },
    ]
    for (const message of messages) vm.send(frameOf(message))
    let count = 0
    const isAnswer = (frame: Buffer): boolean =>
      frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67
    await vm.receive(frame => isAnswer(frame) && ++count === messages.length, 10_000)
    const path = join(scratch(t), 'pcap')
    writeFileSync(path, pcapOf(vm.frames))
    t.strictSame(await faultsIn(path), [])
    t.equal((await decode(path, 'dhcp.option.dhcp == 2')).length, 3, 'OFFERs')
    t.equal((await decode(path, 'dhcp.option.dhcp == 5')).length, 2, 'ACKs')
  },
)
