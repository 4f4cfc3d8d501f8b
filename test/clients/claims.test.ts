// Addresses of the range that are somebody's already. A VIP that a station announced is nobody's lease, though
// hundreds ask; when its port is gone it is one again. A host with a static address that never said a word is
// found by the server's own ARP probe.

import t from 'tap'
import { announcement, Station } from '../daemon/station.js'
import { Client } from '../dhcp/segment.js'
import { requires } from '../helpers/requires.js'
import { HOST_NEEDS, OTHER_MAC, plug, startAlone } from './host.js'
import { acquire } from './raw.js'

t.setTimeout(60_000)

const CLIENTS = 300
const PORTS = 10
/** Those that come after the VIP is given up; fewer than would meet the bound on what one port may hold. */
const LATER = 20

t.test('nobody gets a VIP inside the range, until it is given up', { skip: requires(['linux']) }, async t => {
  // 330 addresses, the VIP among the first.
  const range = ['--gateway', '192.168.105.1/23', '--dhcp-range', '192.168.104.10-192.168.105.83']
  const daemon = await startAlone(t, ...range)
  const vip = '192.168.104.12'
  const speaker = await Station.plug(t, daemon)
  speaker.send(announcement(OTHER_MAC, vip))
  const stations = await Promise.all(Array.from({ length: PORTS }, () => Station.plug(t, daemon)))
  const lease = (n: number) => acquire(stations[n % PORTS], new Client(0x1000 + n))

  const addresses = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => lease(n)))
  t.notOk(addresses.includes(undefined), 'every client has an address')
  t.equal(new Set(addresses).size, CLIENTS, 'of its own')
  t.notOk(addresses.includes(vip), 'which is not the VIP')

  await speaker.close()
  await daemon.waitForLog(({ event }) => event === 'port.down')
  const rest = await Promise.all(Array.from({ length: LATER }, (_, n) => lease(CLIENTS + n)))
  t.ok(rest.includes(vip), 'the port of the claimer is gone: the VIP is handed out again')
})

t.test('a host that never spoke is found by a probe', { skip: requires(HOST_NEEDS) }, async t => {
  const daemon = await startAlone(t, '--dhcp-range', '192.168.105.50-192.168.105.52')
  const silent = await plug(t, daemon, OTHER_MAC)
  // Without DAD, router solicitations and gratuitous ARP: nobody has heard of it.
  await silent.sh('ip', 'addr', 'add', '192.168.105.50/24', 'dev', 'eth0')
  const station = await Station.plug(t, daemon)
  const start = performance.now()
  const address = await acquire(station, new Client(1), { tries: 1, ms: 3000 })
  const took = performance.now() - start
  t.match(address, /^192\.168\.105\.5[12]$/, 'the client gets another address')
  t.ok(took < 1000, `after ${took.toFixed(0)} ms`)
  const { msg } = await daemon.waitForLog(
    ({ event, ip }) => event === 'dhcp.taken' && ip === '192.168.105.50',
  )
  t.match(msg, 'a station that has no lease of it answers there', 'the log says why')
})
