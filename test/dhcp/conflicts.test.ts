import t from 'tap'
import type { Lease } from '../../src/dhcp/leases.js'
import { Conflicts } from '../../src/dhcp/conflicts.js'
import { ip, station } from './segment.js'

const MINUTE = 60_000
const lease = (n: number, expires = 60 * MINUTE): Lease => ({
  ip: ip('10.0.0.5'),
  key: `hw:${n}`,
  mac: station(n),
  hostname: 'web',
  expires,
})

t.test('a conflict is news once, and listed while it lasts', async t => {
  const conflicts = new Conflicts()
  let current: Lease | undefined = lease(1)
  let isClaimed = true
  const list = (now: number) =>
    conflicts.list(
      now,
      () => current,
      () => isClaimed,
    )
  t.equal(conflicts.note(current, 'vm1', station(2), 'vm2', 0), true)
  t.equal(conflicts.note(current, 'vm1', station(2), 'vm2', 1000), false)
  t.equal(conflicts.note(current, 'vm1', station(3), 'vm3', 2000), false, 'whoever it is')
  t.same(list(3000), [
    {
      ip: '10.0.0.5',
      lease: { mac: '52:54:00:00:00:01', port: 'vm1', hostname: 'web' },
      claim: { mac: '52:54:00:00:00:03', port: 'vm3' },
      since: '1970-01-01T00:00:00.000Z',
      count: 3,
    },
  ])
  t.equal(list(30 * MINUTE).length, 1, 'the other one has it still')
  isClaimed = false
  t.equal(list(31 * MINUTE).length, 0, 'the other one gave it up')
  t.equal(conflicts.note(current, 'vm1', station(2), 'vm2', 40 * MINUTE), true, 'and again')
  t.equal(list(40 * MINUTE).length, 1, 'two stations take turns')
  current = lease(1, 40 * MINUTE)
  t.equal(list(40 * MINUTE).length, 0, 'the lease ran out')
})

t.test('the next holder of the address has a conflict of its own', async t => {
  const conflicts = new Conflicts()
  t.equal(conflicts.note(lease(1), 'vm1', station(2), 'vm2', 0), true)
  t.equal(conflicts.note(lease(4), 'vm4', station(2), 'vm2', 0), true)
  t.equal(
    conflicts.list(
      0,
      () => lease(1),
      () => true,
    ).length,
    0,
  )
})
