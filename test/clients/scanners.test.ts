// Programs that ask a DHCP server and take no lease: nmap's broadcast-dhcp-discover prints every option that it
// was offered; dhcping sends a REQUEST or an INFORM, and tells by its exit status whether there was an answer.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS } from './capture.js'
import { EVERY_OPTION, HOST_NEEDS, MAC, plug, startAlone } from './host.js'

t.setTimeout(60_000)

const needs = [...HOST_NEEDS, ...CAPTURE_NEEDS]

t.test(
  "nmap's broadcast-dhcp-discover is offered every option",
  { skip: requires([...needs, 'nmap']) },
  async t => {
    const daemon = await startAlone(t, ...EVERY_OPTION)
    const ns = await plug(t, daemon, MAC)
    const wire = await capture(t, ns)
    // It listens on devices with an address only.
    await ns.sh('ip', 'addr', 'add', '192.168.105.240/24', 'dev', 'eth0')
    const settings = 'broadcast-dhcp-discover.timeout=3'
    const text = await ns.sh(
      'nmap',
      '-e',
      'eth0',
      '--script',
      'broadcast-dhcp-discover',
      '--script-args',
      settings,
    )
    const printed = Object.fromEntries(
      text.split('\n').flatMap(line => {
        const [, name, value] = /^\|[ _] {4}([^:]+): (.*)$/.exec(line) ?? []
        return name === undefined ? [] : [[name, value]]
      }),
    )
    t.match(printed, {
      Interface: 'eth0',
      'IP Offered': /^192\.168\.105\.\d+$/,
      'DHCP Message Type': 'DHCPOFFER',
      'Server Identifier': '192.168.105.1',
      'IP Address Lease Time': '1m00s',
      'Subnet Mask': '255.255.255.0',
      Router: '192.168.105.1',
      'Domain Name Server': '192.168.105.3, 9.9.9.9',
      'Domain Name': 'lab.internal',
      'Interface MTU': '1400',
      'Broadcast Address': '192.168.105.255',
      'NTP Servers': '192.168.105.4, 192.168.105.5',
      'TFTP Server Name': 'tftp.lab.internal',
      'Bootfile Name': 'plain.img',
      'Vendor Specific Information': '\\x01\\x02\\xCA\\xFE',
      'Renewal Time Value': '30s',
      'Rebinding Time Value': '52s',
    })
    await wire.check(t, 1)
  },
)

t.test(
  'dhcping has its REQUEST and its INFORM answered',
  { skip: requires([...needs, 'dhcping']) },
  async t => {
    const daemon = await startAlone(t)
    const ns = await plug(t, daemon, MAC)
    const wire = await capture(t, ns)
    await ns.sh('ip', 'addr', 'add', '192.168.105.240/24', 'dev', 'eth0')
    const ping = ['dhcping', '-t', '3', '-s', '192.168.105.1', '-c', '192.168.105.240', '-h', MAC]
    t.match(await ns.sh(...ping), 'Got answer from: 192.168.105.1')
    // An address above the range is nobody's lease.
    await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPNAK(vm1) 192.168.105.240 ${MAC}`) ?? false)
    t.match(await ns.sh(...ping, '-i'), 'Got answer from: 192.168.105.1')
    await daemon.waitForLog(({ msg }) => msg === `DHCPACK(vm1) 192.168.105.240 ${MAC}`)
    t.strictSame((await daemon.status()).networks[0].leases, [], 'and has no lease')
    await wire.check(t, 2)
  },
)
