// A VM that says that it has every address of the range does not keep the others from theirs.

import t from 'tap'
import { GreedyClaims } from '../../src/daemon/greedy-claims.js'
import { acquire } from '../clients/raw.js'
import { startDaemon } from '../helpers/daemon.js'
import { Client } from '../dhcp/segment.js'
import { announcement, Station } from './station.js'

t.setTimeout(60_000)

const MAC = '52:54:00:00:00:66'
/** Where ARP has its sender IP and its target IP, behind an Ethernet header. */
const SENDER = 28
const TARGET = 38

t.test('it announces them all', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const greedy = await Station.plug(t, daemon)
  greedy.send(...Array.from({ length: 198 }, (_, i) => announcement(MAC, `192.168.105.${i + 2}`)))
  const other = await Station.plug(t, daemon)
  t.match(await acquire(other, new Client(11), { tries: 2, ms: 1000 }), /^192\.168\.105\./)
  const said = await daemon.waitForLog(entry => entry.event === 'dhcp.claims')
  t.match(said, { port: 'vm1', claims: 198 })
})

t.test('it answers for each one that is probed', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const greedy = await Station.plug(t, daemon)
  let answered = 0
  const answer = setInterval(() => {
    for (const frame of greedy.frames.splice(0)) {
      const isProbe = frame.readUInt16BE(12) === 0x0806 && frame.readUInt32BE(SENDER) === 0
      if (!isProbe) continue
      answered++
      greedy.send(announcement(MAC, [...frame.subarray(TARGET, TARGET + 4)].join('.')))
    }
  }, 1)
  t.teardown(() => clearInterval(answer))
  const other = await Station.plug(t, daemon)
  t.match(await acquire(other, new Client(11), { tries: 40, ms: 400 }), /^192\.168\.105\./)
  t.ok(answered > 8, `${answered} answers`)
})

t.test('few claims are heeded in any pool, a LAN of them in none', async t => {
  let claims = 8
  let held = 0
  const told: number[] = []
  const greedy = new GreedyClaims({
    size: () => 100,
    claims: () => claims,
    held: () => held,
    onGreedy: (_id, count) => void told.push(count),
  })
  held = 80
  t.equal(greedy.isGreedy(1, 0), false, 'whatever it holds')
  claims = 9
  t.equal(greedy.isGreedy(1, 50), false, 'a verdict stands for 100 ms')
  t.equal(greedy.isGreedy(1, 100), true)
  t.equal(greedy.isGreedy(1, 200), true)
  t.same(told, [9], 'told once')
  held = 0
  claims = 80
  t.equal(greedy.isGreedy(1, 300), false)
  claims = 81
  t.equal(greedy.isGreedy(1, 400), true)
  t.same(told, [9, 81])
})
