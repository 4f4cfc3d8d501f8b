// Random commits, releases and declines over a disk that fails, hangs and comes back: whoever is told that a lease
// stands has its address on disk.

import type { LeaseChange, StoredState } from '../../src/dhcp/leases.js'
import fc from 'fast-check'
import t from 'tap'
import { LeaseTable } from '../../src/dhcp/leases.js'
import { A, Desk, HOUR, holdersIn, keyOf, turn } from './commit-desk.js'
import { MemoryStore, station } from './segment.js'

/** A disk that a journal is on: changes are told to it, and after a failure the state. */
class ChangeStore extends MemoryStore {
  isBusy = false
  #table = new LeaseTable()
  #hasFailed = true

  override async save(
    changes: readonly LeaseChange[] | undefined,
    snapshot: () => StoredState,
  ): Promise<void> {
    if (this.isBusy) throw new Error('a save was begun while another was under way')
    this.isBusy = true
    const state = snapshot()
    await super
      .save(changes, () => state)
      .finally(() => {
        this.isBusy = false
        if (this.fails) this.#hasFailed = true
      })
    if (this.#hasFailed || !changes) {
      this.#table = new LeaseTable()
      for (const lease of state.leases) this.#table.put(lease)
    } else {
      for (const change of changes) this.#apply(change)
    }
    this.#hasFailed = false
    const replayed = { leases: [...this.#table.values()], declined: [] }
    if (JSON.stringify(replayed.leases) !== JSON.stringify(state.leases)) {
      throw new Error('the changes do not amount to the state')
    }
  }

  #apply(change: LeaseChange): void {
    if (change.kind === 'put') this.#table.put(change.lease)
    else if (change.kind === 'remove') this.#table.remove(this.#table.at(change.ip))
  }
}

const someStep = fc.record({
  do: fc.constantFrom(
    ...(['commit', 'commit', 'commit', 'commit', 'release', 'decline', 'turn', 'turn'] as const),
    ...(['wait', 'fail', 'mend', 'hold', 'let go'] as const),
  ),
  who: fc.nat(4),
  address: fc.nat(3),
})

t.test('whoever is told that a lease stands has its address on disk', async t => {
  let stood = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(fc.array(someStep, { maxLength: 60, size: 'max' }), async steps => {
      const desk = new Desk(new ChangeStore())
      const { store, pool, clock } = desk
      let wrong: string | undefined
      for (const { do: step, who, address } of steps) {
        if (step === 'commit') {
          pool.expire(clock.now())
          if (!pool.mayHold({ key: keyOf(who), mac: station(who), port: 'vm1' }, A + address, clock.now()))
            continue
          desk.commit(who, A + address, outcome => {
            if (outcome === 'refused') refused++
            if (outcome !== 'stands') return
            stood++
            const lease = pool.leaseAt(A + address)
            if (holdersIn(store.saved)[A + address] !== keyOf(who)) wrong = `${who} has nothing on disk`
            if (lease?.key !== keyOf(who) || lease.expires <= clock.now()) wrong = `${who} has no lease`
          })
        } else if (step === 'release') desk.release(who)
        else if (step === 'decline') desk.decline(who)
        else if (step === 'turn') await turn()
        else if (step === 'wait') clock.advance(HOUR / 3)
        else if (step === 'hold') store.hold()
        else if (step === 'let go') store.release()
        else store.fails = step === 'fail'
      }
      store.release()
      await desk.told()
      store.fails = false
      desk.committer.save()
      await desk.told()
      if (wrong !== undefined) throw new Error(wrong)
      if (desk.committer.degraded) throw new Error('a store that works was told wrong')
      t.same(desk.holders, holdersIn(store.saved))
    }),
    { numRuns: 2000 },
  )
  t.ok(stood > 500 && refused > 500, `it came to what it is about: ${stood} stood, ${refused} refused`)
})
