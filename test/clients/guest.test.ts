// A VM as users have them: a guest of QEMU whose udhcpc asks for everything.

import t from 'tap'
import { Guest, streamNetdev } from '../helpers/guest.js'
import { requires } from '../helpers/requires.js'
import { EVERY_OPTION, MAC, startAlone } from './host.js'

t.setTimeout(90_000)

const ASK = [
  'broadcast',
  'lease',
  'mtu',
  'domain',
  'hostname',
  'ntpsrv',
  'tftp',
  'bootfile',
  'search',
  'staticroutes',
]
const NUMBERED = ['43', '58', '59', '224']

t.test('a guest is told every option', { skip: requires(['qemu-system-aarch64', 'guest']) }, async t => {
  const daemon = await startAlone(t, ...EVERY_OPTION)
  const guest = await Guest.boot({ name: 'a', mac: MAC, netdev: streamNetdev(daemon.socket) })
  t.teardown(() => guest.close())
  const ask = [...ASK, ...NUMBERED].map(name => `-O ${name}`).join(' ')
  await guest.sh(`udhcpc -i eth0 -n -q -t 10 -T 1 -s /etc/udhcpc -x hostname:delta ${ask}`)
  const told = Object.fromEntries(
    (await guest.sh('cat /tmp/lease.env')).split('\n').map(line => {
      const at = line.indexOf('=')
      return [line.slice(0, at), line.slice(at + 1)] as const
    }),
  )
  t.match(told, {
    subnet: '255.255.255.0',
    router: '192.168.105.1',
    dns: '192.168.105.3 9.9.9.9',
    hostname: 'delta',
    domain: 'lab.internal',
    mtu: '1400',
    broadcast: '192.168.105.255',
    ntpsrv: '192.168.105.4 192.168.105.5',
    lease: '60',
    tftp: 'tftp.lab.internal',
    bootfile: 'plain.img',
    search: 'lab.internal apps.lab.internal',
    staticroutes: /10\.0\.0\.0\/8 192\.168\.105\.6/,
    opt43: '0102cafe',
    opt58: '0000001e',
    opt59: '00000034',
    opt224: 'deadbeef',
  })
  t.match(await guest.sh('ip addr show eth0'), `inet ${told['ip']}/24 brd 192.168.105.255`)
  t.match(await guest.sh('ip link show eth0'), ' mtu 1400 ')
  t.match(await guest.sh('ip route'), 'default via 192.168.105.1 dev eth0')
  t.equal(
    await guest.sh('cat /etc/resolv.conf'),
    'search lab.internal\nnameserver 192.168.105.3\nnameserver 9.9.9.9\n',
  )
})
