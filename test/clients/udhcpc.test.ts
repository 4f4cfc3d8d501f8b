// busybox udhcpc, the client of small systems: every option that it knows by name and one by number, what it
// says of itself, replies by broadcast, renewal and release.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS } from './capture.js'
import { addressesOf, EVERY_OPTION, HOST_NEEDS, MAC, plug, recorder, startAlone } from './host.js'

t.setTimeout(60_000)

const skip = requires([...HOST_NEEDS, ...CAPTURE_NEEDS])
const UDHCPC = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-t', '10', '-T', '1']
const NAMED = [
  'subnet',
  'router',
  'dns',
  'hostname',
  'domain',
  'mtu',
  'broadcast',
  'ntpsrv',
  'lease',
  'serverid',
]
const MORE = ['tftp', 'bootfile', 'search', 'staticroutes', '43', '58', '59', '224']
const ASK = [...NAMED, ...MORE].flatMap(name => ['-O', name])

t.test('udhcpc is told every option that it asks for', { skip }, async t => {
  const daemon = await startAlone(t, ...EVERY_OPTION)
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  const { script, calls } = recorder(t)
  const client = ns.spawn([...UDHCPC, '-s', script, '-x', 'hostname:alpha', ...ASK])
  t.teardown(() => client.close())
  await client.waitForLine(/^event bound$/)
  const told = calls().at(-1)!
  t.match(told, {
    subnet: '255.255.255.0',
    mask: '24',
    router: '192.168.105.1',
    serverid: '192.168.105.1',
    dns: '192.168.105.3 9.9.9.9',
    hostname: 'alpha',
    domain: 'lab.internal',
    mtu: '1400',
    broadcast: '192.168.105.255',
    ntpsrv: '192.168.105.4 192.168.105.5',
    lease: '60',
    tftp: 'tftp.lab.internal',
    bootfile: 'plain.img',
    search: 'lab.internal apps.lab.internal',
    opt43: '0102cafe',
    opt58: '0000001e',
    opt59: '00000034',
    opt224: 'deadbeef',
  })
  const routes = (told['staticroutes'] ?? '').split(' ')
  const pairs = Array.from({ length: routes.length / 2 }, (_, i) => routes.slice(2 * i, 2 * i + 2).join(' '))
  t.strictSame(
    pairs.sort(),
    ['0.0.0.0/0 192.168.105.1', '10.0.0.0/8 192.168.105.6', '172.16.32.0/20 192.168.105.7'],
    'the static routes, and the router among them: a client that has them looks at no other (RFC 3442)',
  )
  const ip = told['ip']
  t.strictSame(await addressesOf(ns), [`${ip}/24`])
  t.match((await daemon.status()).networks[0].leases, [{ ip, mac: MAC, hostname: 'alpha' }])

  await t.test('renews, and stays where it is', async t => {
    client.kill('SIGUSR1')
    await client.waitForLine(/^event renew$/)
    t.match(calls().at(-1), { event: 'renew', ip, lease: '60', opt224: 'deadbeef' })
    await daemon.waitForLog(({ msg }) => msg === `DHCPACK(vm1) ${ip} ${MAC} alpha`)
  })

  await t.test('gives its address back', async t => {
    client.kill('SIGUSR2')
    await client.waitForLine(/^event deconfig$/, { count: 2 })
    await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPRELEASE(vm1) ${ip} ${MAC}`) ?? false)
    const { leases } = (await daemon.status()).networks[0]
    t.match(leases, [{ ip, mac: MAC, state: 'expired' }])
  })
  await wire.check(t, 3)
})

t.test('udhcpc by what it says of itself', { skip }, async t => {
  const daemon = await startAlone(t)
  const ns = await plug(t, daemon, MAC)
  const wire = await capture(t, ns)
  /** One lease, with more arguments for udhcpc. */
  const lease = async (...more: string[]) => {
    const { script, told } = recorder(t)
    await ns.sh(...UDHCPC, '-n', '-q', '-s', script, '-O', 'hostname', ...more)
    return told()
  }
  const leases = async () => (await daemon.status()).networks[0].leases

  const first = await lease('-C')
  t.match(await leases(), [{ ip: first['ip'], mac: MAC, clientId: undefined }], 'a MAC without client id')

  const named = await lease('-x', '0x3d:0042cafe', '-F', 'beta.lab.internal')
  t.not(named['ip'], first['ip'], 'another client id is another client, on the same MAC')
  t.match(await leases(), [{}, { ip: named['ip'], mac: MAC, clientId: '0042cafe' }])

  const again = await lease('-x', '0x3d:0042cafe', '-B')
  t.equal(again['ip'], named['ip'], 'the client id finds its lease, and a reply by broadcast its client')

  const { script } = recorder(t)
  const client = ns.spawn([...UDHCPC, '-R', '-s', script, '-x', '0x3d:0042cafe'])
  t.teardown(() => client.close())
  await client.waitForLine(/^event bound$/)
  // It takes its address away at once after it has sent its release: by then it must know the server's MAC.
  client.kill('SIGUSR1')
  await client.waitForLine(/^event renew$/)
  client.kill('SIGTERM')
  await daemon.waitForLog(({ msg }) => msg?.startsWith(`DHCPRELEASE(vm1) ${named['ip']} `) ?? false)
  const id = { clientId: '0042cafe', state: 'expired' }
  t.match(
    (await leases()).find(({ ip }) => ip === named['ip']),
    id,
    'and is released at the end (-R)',
  )
  await wire.check(t, 8)
})
