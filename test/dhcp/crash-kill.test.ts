// The daemon is killed outright, again and again, while guests lease and renew: who got an ACK has the address after
// the next start.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { Station } from '../daemon/station.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { Guest } from './crash-guest.js'

t.setTimeout(60_000)

const KILLS = 25
/** Guests that come new after each start. */
const NEWCOMERS = 4

t.test('no kill -9 costs a guest its lease', { skip: requires(['linux']) }, async t => {
  const stateDir = mkdtempSync(join(tmpdir(), 'vbt-'))
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const held = new Map<number, string>()
  let acks = 0

  for (let round = 0; round <= KILLS; round++) {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none'], stateDir })
    const station = await Station.plug(t, daemon)
    const wrong: string[] = []
    for (const [n, address] of held) {
      const answer = await new Guest(station, n).reboot(address)
      if (answer !== option.ACK) wrong.push(`${n} lost ${address}`)
    }
    t.strictSame(wrong, [], `${held.size} leases after ${round} kills`)
    if (round === KILLS) break

    const last = acks + 1 + Math.floor(Math.random() * 40)
    const hold = (n: number, address: string): void => {
      held.set(n, address)
      if (++acks === last) daemon.child.kill('SIGKILL')
    }
    const renew = async (n: number): Promise<never> => {
      const [guest, address] = [new Guest(station, n), held.get(n)!]
      for (;;) if ((await guest.renew(address)) === option.ACK) hold(n, address)
    }
    const newcomers = Array.from({ length: NEWCOMERS }, async (_, i) => {
      const n = 1 + round * NEWCOMERS + i
      hold(n, await new Guest(station, n).lease())
      return n
    })
    // The server listens before it offers an address; the others must not have used up the round by then.
    await Promise.race(newcomers)
    const others = [...held.keys()].slice(-10).map(renew)
    // All of them end with the connection.
    await Promise.allSettled([...newcomers.map(async n => renew(await n)), ...others])
    t.strictSame(await daemon.child.exited, { code: null, signal: 'SIGKILL' })
  }
  t.ok(held.size >= KILLS, `${held.size} guests, ${acks} ACKs`)
})
