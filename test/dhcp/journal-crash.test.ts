// What the journal promises when the disk fails and the power goes: changes whose save was told of are there, and
// what is there is a state that was. Random changes, on a disk that loses all it may lose.

import type { Lease, LeaseChange, StoredState } from '../../src/dhcp/leases.js'
import fc from 'fast-check'
import t from 'tap'
import { clientKey } from '../../src/dhcp/client.js'
import { LeaseJournal } from '../../src/dhcp/journal.js'
import { CrashDisk } from './crash-disk.js'
import { FakeClock, ip, RecordedLog, START, station } from './segment.js'

const PATH = 'state/leases.journal'
const FIRST = ip('192.168.105.2')

/** What the changes amount to, by a code that shares nothing with the journal's. */
function stateAfter(changes: readonly LeaseChange[]): StoredState {
  let leases: Lease[] = []
  let declined: StoredState['declined'] = []
  for (const change of changes) {
    if (change.kind === 'put') {
      const { lease } = change
      leases = [...leases.filter(other => other.ip !== lease.ip && other.key !== lease.key), lease]
      declined = declined.filter(other => other.ip !== lease.ip)
    } else if (change.kind === 'remove') {
      leases = leases.filter(other => other.ip !== change.ip)
    } else {
      declined = [...declined.filter(other => other.ip !== change.declined.ip), change.declined]
      declined = declined.toSorted((a, b) => a.until - b.until)
    }
  }
  return { leases, declined }
}

const someChange: fc.Arbitrary<LeaseChange> = fc
  .record({
    kind: fc.constantFrom('put', 'put', 'put', 'remove', 'decline'),
    address: fc.nat(5),
    who: fc.nat(5),
  })
  .map(({ kind, address, who }) => {
    const mac = station(who)
    if (kind === 'remove') return { kind, ip: FIRST + address }
    if (kind === 'decline') return { kind, declined: { ip: FIRST + address, mac, until: START + who } }
    const lease = {
      ip: FIRST + address,
      key: clientKey(mac, undefined),
      mac,
      hostname: `vm${who}`,
      expires: START,
    }
    return { kind: 'put', lease }
  })

/** From one start of the process to its end. */
const someRun = fc.record({
  saves: fc.array(fc.array(someChange, { minLength: 1, maxLength: 4 }), { maxLength: 12 }),
  powerFailsAt: fc.nat(60),
  failing: fc.uniqueArray(fc.nat(40), { maxLength: 4 }),
  /** Whether the machine goes down with the process. */
  isPowerCut: fc.boolean(),
})

/** Numbers that depend on the seed alone. */
function sequence(seed: number): (most: number) => number {
  let state = seed
  return most => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * (most + 1))
  }
}

t.test('nothing that was acknowledged is lost, and what is loaded was once', async t => {
  let compactions = 0
  let failures = 0
  await fc.assert(
    fc.asyncProperty(fc.array(someRun, { minLength: 1, maxLength: 5 }), fc.nat(), async (runs, seed) => {
      const disk = new CrashDisk(sequence(seed))
      let history: LeaseChange[] = []
      let acknowledged = 0
      const open = () =>
        new LeaseJournal({
          path: PATH,
          disk,
          clock: new FakeClock(),
          log: new RecordedLog(),
          leastCompacted: 500,
        })

      const check = (loaded: StoredState): void => {
        for (let known = history.length; known >= acknowledged; known--) {
          history = history.slice(0, known)
          if (JSON.stringify(stateAfter(history)) === JSON.stringify(loaded)) return
        }
        throw new Error(`lost or never was: ${JSON.stringify(loaded)}`)
      }

      for (const { saves, powerFailsAt, failing, isPowerCut } of runs) {
        const journal = open()
        check(await journal.load())
        // Not acknowledged by this process, but read: the next save that succeeds covers it.
        disk.expect({ failing, ...(isPowerCut && { powerFailsAt }) })
        let mustRewrite = true
        for (const changes of saves) {
          history = [...history, ...changes]
          const before = disk.renames
          try {
            await journal.save(changes, () => stateAfter(history))
            acknowledged = history.length
            if (disk.renames > before && !mustRewrite) compactions++
            mustRewrite = false
          } catch (error) {
            if ((error as { code?: string }).code !== 'ERR_LEASE_STORE') throw error
            failures++
            mustRewrite = true
          }
          if (disk.isOff) break
        }
        if (isPowerCut) disk.restart()
        disk.expect({})
      }
      disk.restart()
      check(await open().load())
    }),
    { numRuns: 2000 },
  )
  t.ok(compactions > 100 && failures > 100, 'it came to what it is about')
})
