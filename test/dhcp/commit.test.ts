// The committer on a pool of its own: what it tells whom, in which order, and what it tells the store.

import t from 'tap'
import { RETRY } from '../../src/dhcp/commit.js'
import { MAX_POOL } from '../../src/dhcp/range.js'
import { A, Desk, HOUR, holdersIn, keyOf, turn } from './commit-desk.js'
import { MemoryStore } from './segment.js'

function parts(): { store: MemoryStore; desk: Desk<MemoryStore> } {
  const store = new MemoryStore()
  return { store, desk: new Desk(store) }
}

t.test('a lease stands once it is saved, and not before', async t => {
  const { store, desk } = parts()
  store.hold()
  desk.commit(1, A)
  await turn()
  await turn()
  t.equal(store.saves, 1, 'the save is under way')
  t.same(desk.outcomes, [])
  t.equal(desk.pool.leaseAt(A)?.key, keyOf(1), 'and nobody else gets the address meanwhile')
  store.release()
  t.same(await desk.told(), ['1 stands'])
  t.same(holdersIn(store.saved), { [A]: keyOf(1) })
})

t.test('what comes in during one turn shares a save, what comes during a save the next', async t => {
  const { store, desk } = parts()
  store.hold()
  for (let n = 1; n <= 3; n++) desk.commit(n, A + n)
  await turn()
  for (let n = 4; n <= 6; n++) desk.commit(n, A + n)
  await turn()
  t.equal(store.saves, 1)
  store.release()
  t.equal((await desk.told()).length, 6)
  t.equal(store.saves, 2)
  t.equal(store.saved.leases.length, 6)
})

t.test('a client that asks again while it waits gets one answer, to the last', async t => {
  const { store, desk } = parts()
  const answered: number[] = []
  store.hold()
  for (let n = 0; n < 50; n++) desk.commit(1, A, () => answered.push(n))
  store.release()
  await desk.told()
  t.same(answered, [49])
})

t.test('one that releases or declines while it waits is told that the lease is gone', async t => {
  for (const leave of ['release', 'decline'] as const) {
    for (const fails of [false, true]) {
      const { store, desk } = parts()
      store.hold()
      desk.commit(1, A)
      await turn()
      desk[leave](1)
      store.fails = fails
      store.release()
      t.same(await desk.told(), ['1 gone'], `${leave}, the disk ${fails ? 'fails' : 'works'}`)
    }
  }
})

t.test('one whose address another got while it waited is told so, saved or not', async t => {
  for (const isUnderWay of [false, true]) {
    const { store, desk } = parts()
    store.hold()
    desk.commit(1, A)
    if (isUnderWay) await turn()
    desk.release(1)
    desk.commit(2, A)
    if (!isUnderWay) t.same(desk.outcomes, ['1 gone'], 'at once')
    store.release()
    t.same((await desk.told()).sort(), ['1 gone', '2 stands'])
  }
})

t.test('while the disk fails a known lease is renewed from memory, a new one refused', async t => {
  const { store, desk } = parts()
  desk.commit(1, A)
  t.same(await desk.told(), ['1 stands'])
  t.equal(desk.committer.degraded, false)
  store.fails = true

  desk.clock.advance(HOUR / 2)
  desk.commit(1, A)
  desk.commit(2, A + 1)
  t.same(await desk.told(), ['1 stands', '2 refused'])
  t.equal(desk.committer.degraded, true)
  t.same(desk.holders, { [A]: keyOf(1) }, 'the new one leaves no trace')

  desk.clock.advance(HOUR - 60)
  desk.commit(1, A)
  t.same(await desk.told(), ['1 stands'], 'renewed again, past what the disk knows')
  desk.clock.advance(HOUR + 1)
  desk.commit(1, A)
  t.same(await desk.told(), ['1 refused'], 'once it is over it is new')
  t.same(desk.holders, { [A]: keyOf(1) }, 'and remembered')

  store.fails = false
  desk.commit(2, A + 1)
  t.same(await desk.told(), ['2 stands'])
  t.equal(desk.committer.degraded, false)
})

t.test('a disk that fails and comes back is one error and one line', async t => {
  const { store, desk } = parts()
  store.fails = true
  for (let n = 1; n <= 3; n++) {
    desk.commit(n, A + n)
    await desk.told()
  }
  store.fails = false
  desk.commit(1, A)
  desk.commit(2, A + 1)
  await desk.told()
  t.match(desk.log.lines, [
    {
      level: 'error',
      fields: { event: 'dhcp.store', err: { code: 'ERR_LEASE_STORE', cause: /no space left/ } },
      message: 'ERR_LEASE_STORE: no new leases until the disk is back: no space left on device',
    },
    { level: 'info', fields: { event: 'dhcp.store' }, message: 'leases are saved again' },
  ])
  t.equal(desk.log.lines.length, 2)
})

t.test('it finds out by itself that the disk is back', async t => {
  const { store, desk } = parts()
  store.fails = true
  desk.commit(1, A)
  await desk.told()
  for (let tries = 2; tries <= 4; tries++) {
    desk.clock.advance(RETRY / 1000 - 0.001)
    await desk.told()
    t.equal(store.saves, tries - 1, 'not before its time')
    desk.clock.advance(0.001)
    await desk.told()
    t.equal(store.saves, tries)
    t.equal(desk.committer.degraded, true)
  }
  store.fails = false
  desk.clock.advance(RETRY / 1000)
  await desk.told()
  t.equal(desk.committer.degraded, false)
  desk.clock.advance(HOUR)
  await desk.told()
  t.equal(store.saves, 5, 'and is quiet from then on')
})

t.test('closing saves what was asked for, lets go of the store, and tries no more', async t => {
  for (const isWaiting of [false, true]) {
    const { store, desk } = parts()
    let closedAfter: number | undefined
    store.close = async () => void (closedAfter = store.saves)
    store.fails = true
    desk.commit(1, A)
    if (!isWaiting) await desk.told()
    await desk.committer.close()
    t.equal(closedAfter, 1)
    t.same(desk.outcomes, isWaiting ? ['1 refused'] : [])
    desk.clock.advance(HOUR)
    await desk.told()
    t.equal(store.saves, 1)
  }
})

t.test('a new lease asked for twice is still new', async t => {
  const { store, desk } = parts()
  store.fails = true
  store.hold()
  desk.commit(1, A)
  await turn()
  desk.commit(1, A)
  store.release()
  t.same(await desk.told(), ['1 refused', '1 refused'])
  desk.commit(1, A)
  desk.commit(1, A)
  t.same(await desk.told(), ['1 refused'], 'nor is it known when it asks twice at once')
  t.same(desk.holders, {})
})

t.test(
  'one that asks again while its lease is being saved is renewed from memory when that fails',
  async t => {
    const { store, desk } = parts()
    store.hold()
    desk.commit(1, A)
    await turn()
    desk.commit(1, A, () => {})
    store.release()
    while (desk.outcomes.length === 0) {
      store.fails = store.saved.leases.length > 0
      await Promise.resolve()
    }
    store.fails = true
    t.same(await desk.told(), ['1 stands', '1 stands'])
    t.same(desk.holders, { [A]: keyOf(1) })
  },
)

t.test('what an unsaved lease displaced is put back', async t => {
  const { store, desk } = parts()
  desk.commit(1, A)
  desk.commit(2, A + 1)
  await desk.told()
  desk.clock.advance(HOUR + 1)
  store.fails = true
  desk.commit(3, A)
  t.equal(desk.pool.leaseOf(keyOf(1)), undefined)
  t.same(await desk.told(), ['3 refused'])
  t.same(desk.holders, { [A]: keyOf(1), [A + 1]: keyOf(2) })
  desk.commit(2, A)
  t.same(await desk.told(), ['2 refused'])
  t.same(desk.holders, { [A]: keyOf(1), [A + 1]: keyOf(2) }, 'both')
})

t.test('a client that moves on while its first address is being saved goes back to that one', async t => {
  const { store, desk } = parts()
  store.hold()
  desk.commit(1, A)
  await turn()
  desk.commit(1, A + 1)
  store.release()
  while (desk.outcomes.length === 0) await Promise.resolve()
  store.fails = true
  t.same(await desk.told(), ['1 gone', '1 refused'])
  t.same(desk.holders, { [A]: keyOf(1) })
  desk.commit(1, A)
  t.same(await desk.told(), ['1 stands'], 'it is the one on disk')
})

t.test('a save that began while the lease was over says nothing of the next one', async t => {
  const { store, desk } = parts()
  desk.commit(1, A)
  desk.release(1)
  store.hold()
  await turn()
  desk.commit(1, A)
  store.release()
  while (desk.outcomes.length === 0) await Promise.resolve()
  t.same(desk.outcomes.splice(0), ['1 gone'])
  store.fails = true
  t.same(await desk.told(), ['1 refused'])
})

t.test('while the disk hangs, neither what waits nor the list of changes grows without bound', async t => {
  const { store, desk } = parts()
  let listed: number | undefined = -1
  const { save } = store
  store.save = (changes, snapshot) => {
    listed = changes?.length
    return save.call(store, changes, snapshot)
  }
  store.hold()
  desk.commit(1, A)
  await turn()
  t.equal(listed, 1)
  for (let n = 0; n < 1.5 * MAX_POOL; n++) desk.commit(n % 10, A + (n % 10))
  t.ok(desk.pool.takeChanges().length <= MAX_POOL)
  store.release()
  t.same((await desk.told()).length, 11, 'one answer a client, and that to the first')
  t.equal(listed, undefined, 'too many to list: the state has them')
  desk.commit(1, A)
  await desk.told()
  t.equal(listed, 1)
})
