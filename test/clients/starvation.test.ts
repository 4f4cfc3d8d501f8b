// DHCP starvation: one port asks for an address under ten thousand invented MACs, and takes what it is offered. The
// other ports do not notice.

import t from 'tap'
import type { Daemon } from '../helpers/daemon.js'
import { Station } from '../daemon/station.js'
import { Client } from '../dhcp/segment.js'
import { requires } from '../helpers/requires.js'
import { startAlone } from './host.js'
import { acquire, request } from './raw.js'

t.setTimeout(60_000)

const FORGED = 10_000
/** Addresses of the daemon's default range. */
const SIZE = 198
/** Messages that the flood sends before it looks whether the daemon has kept up. */
const BATCH = 100

const totalDrops = async (daemon: Daemon) => {
  const network = (await daemon.status()).networks[0] as unknown as {
    ports: { drops: Record<string, number> }[]
    dhcp: { counters: { dropped: Record<string, number> } }
  }
  const counts = [...network.ports.map(({ drops }) => drops), network.dhcp.counters.dropped]
  return counts.flatMap(Object.values).reduce((sum, count) => sum + count, 0)
}

t.test('ten thousand MACs from one port leave the others served', { skip: requires(['linux']) }, async t => {
  const daemon = await startAlone(t)
  const [attacker, neighbour, late] = await Promise.all([0, 1, 2].map(() => Station.plug(t, daemon)))
  const clients = new Map<number, Client>()
  let seen = 0
  /** Takes every address that was offered since the last call. */
  const takeOffers = () => {
    for (; seen < attacker.frames.length; seen++) {
      const frame = attacker.frames[seen]
      if (frame.length < 285 || frame.readUInt16BE(34) !== 67 || frame[284] !== 2) continue
      attacker.send(request(clients.get(frame.readUInt32BE(72))!, frame.readUInt32BE(58)))
    }
  }
  const flood = async () => {
    for (let n = 0; n < FORGED; n++) {
      const client = new Client(0x10_0000 + n)
      clients.set(0x10_0000 + n, client)
      attacker.send(client.frame())
      if (n % BATCH !== 0) continue
      takeOffers()
      await new Promise(setImmediate)
    }
    takeOffers()
  }
  const flooded = flood()

  const waits: number[] = []
  for (let n = 0; n < 5; n++) {
    const start = performance.now()
    t.ok(
      await acquire(neighbour, new Client(n), { tries: 1, ms: 2000 }),
      'a client on another port has its lease by the first messages that it sends',
    )
    waits.push(performance.now() - start)
  }
  t.comment(`in ${waits.map(ms => ms.toFixed(0)).join(', ')} ms`)
  await flooded
  // The attacker's last message has been dealt with when this one has.
  t.ok(await acquire(late, new Client(0xff), { tries: 3 }), 'and one that comes after all that')
  const { leases } = (await daemon.status()).networks[0]
  t.ok(SIZE - leases.length >= SIZE / 6, `${SIZE - leases.length} of ${SIZE} addresses are left for others`)
  t.ok((await totalDrops(daemon)) > FORGED / 2, 'what was refused is counted')
})
