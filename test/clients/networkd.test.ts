// systemd-networkd as a client: run as it is, without a bus and without systemd, in mount and host name spaces of
// its own. What it learnt is in its lease and link files, and on the device.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS } from './capture.js'
import { addressesOf, EVERY_OPTION, HOST_NEEDS, MAC, meetServer, plug, routesOf, startAlone } from './host.js'
import { NETWORKD_NEEDS, startNetworkd } from './systemd-networkd.js'

t.setTimeout(60_000)

const skip = requires([...HOST_NEEDS, ...CAPTURE_NEEDS, ...NETWORKD_NEEDS])

const WISHES = [
  'Hostname=gamma',
  'UseMTU=yes',
  'UseDomains=yes',
  'UseRoutes=yes',
  'SendRelease=yes',
  'RequestOptions=224',
]

/** KEY=VALUE lines. */
const entriesOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split('\n')
      .flatMap(line => [/^(\w+)=(.*)$/.exec(line)?.slice(1) ?? []])
      .filter(pair => pair.length),
  )

t.test('systemd-networkd configures its device', { skip }, async t => {
  const daemon = await startAlone(t, ...EVERY_OPTION)
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  const networkd = await startNetworkd(t, ns, WISHES)
  const { client } = networkd

  const [address] = await addressesOf(ns)
  const ip = address?.split('/')[0]
  t.match(address, /^192\.168\.105\.\d+\/24$/)
  t.match(await ns.sh('ip', 'link', 'show', 'eth0'), ' mtu 1400 ')
  t.match(await routesOf(ns), {
    default: '192.168.105.1',
    '10.0.0.0/8': '192.168.105.6',
    '172.16.32.0/20': '192.168.105.7',
  })
  const files = (name: 'leases' | 'links') => entriesOf(networkd.files(name))
  const lease = files('leases')
  t.match(lease, {
    ADDRESS: ip,
    NETMASK: '255.255.255.0',
    ROUTER: '192.168.105.1',
    SERVER_ADDRESS: '192.168.105.1',
    MTU: '1400',
    T1: '30',
    T2: '52',
    LIFETIME: '60',
    NEXT_SERVER: '192.168.105.8',
    DNS: '192.168.105.3 9.9.9.9',
    NTP: '192.168.105.4 192.168.105.5',
    DOMAINNAME: 'lab.internal',
    DOMAIN_SEARCH_LIST: 'lab.internal apps.lab.internal',
    HOSTNAME: 'gamma',
    OPTION_224: 'deadbeef',
  })
  t.strictSame(lease['CLASSLESS_ROUTES']?.split(' ').sort(), [
    '0.0.0.0/0,192.168.105.1',
    '10.0.0.0/8,192.168.105.6',
    '172.16.32.0/20,192.168.105.7',
  ])
  t.match(lease['CLIENTID'], /^ff/)
  t.match(files('links'), { OPER_STATE: 'routable', DNS: '192.168.105.3 9.9.9.9' })
  const expected = { ip, mac: MAC, hostname: 'gamma', clientId: lease['CLIENTID'] }
  t.match((await daemon.status()).networks[0].leases, [expected], 'known by the client id that it told')

  await meetServer(ns)
  // Its RELEASE names no server.
  client.kill('SIGTERM')
  await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPRELEASE(vm1) ${ip} ${MAC}`) ?? false)
  await wire.check(t, 2)
})
