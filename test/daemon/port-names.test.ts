// Which name a port gets: by what it is reached, by its process, by the address it speaks from, or a fresh one; and that
// a name is never two ports', nor a stranger's.

import fc from 'fast-check'
import t from 'tap'
import { PortNames, type Named, type Origin, type PortRecord } from '../../src/daemon/port-names.js'

const A = 0x5254_0000_000a
const B = 0x5254_0000_000b
const C = 0x5254_0000_000c

/** A port as the network has it: its name is what it was told last. */
class TestPort {
  name: string
  readonly named: Named
  readonly #names: PortNames

  constructor(names: PortNames, origin: Origin = {}) {
    this.#names = names
    this.named = names.plug(origin, name => (this.name = name))
    this.name = this.named.name
  }

  says(mac: number): string {
    this.#names.hear(this.named, mac)
    return this.name
  }

  leave(): void {
    this.#names.unplug(this.named)
  }
}

const first = { pid: 100, start: 7 }
const second = { pid: 200, start: 9 }

/** The names of a daemon that was killed, with what a file kept of them. */
const restarted = (names: PortNames, reserved: string[] = []): PortNames =>
  new PortNames({ records: JSON.parse(JSON.stringify(names.records)) as PortRecord[], reserved })

t.test('ports are numbered in the order in which they come', async t => {
  const names = new PortNames()
  t.same(
    [1, 2, 3].map(() => new TestPort(names).name),
    ['vm1', 'vm2', 'vm3'],
  )
})

t.test('one that connects and closes without a frame leaves no record, and no gap', async t => {
  let changes = 0
  const names = new PortNames({ onChange: () => changes++ })
  for (let i = 0; i < 1000; i++) {
    const port = new TestPort(names, first)
    t.equal(port.name, 'vm1')
    port.leave()
  }
  t.same(names.records, [])
  t.equal(changes, 0)
})

t.test('a station that comes back has its name again, whatever its process is', async t => {
  const names = new PortNames()
  const [a, b] = [new TestPort(names, first), new TestPort(names, first)]
  t.same([a.says(A), b.says(B)], ['vm1', 'vm2'])
  a.leave()
  b.leave()
  const [b2, a2] = [new TestPort(names, second), new TestPort(names, second)]
  t.same([b2.name, a2.name], ['vm3', 'vm4'], 'at first nobody knows, and nobody gets another one’s name')
  t.same([b2.says(B), a2.says(A)], ['vm2', 'vm1'])
})

t.test(
  'after a restart of the daemon a process with one port has its name before it says a word',
  async t => {
    const before = new PortNames()
    t.equal(new TestPort(before, first).says(A), 'vm1')
    t.equal(new TestPort(before, second).says(B), 'vm2')
    const names = restarted(before)
    t.equal(new TestPort(names, second).name, 'vm2')
    t.equal(new TestPort(names, { pid: 100, start: 8 }).name, 'vm3', 'another process of the same number')
    t.equal(new TestPort(names, { pid: 100 }).name, 'vm4', 'a number alone is no process')
    t.equal(new TestPort(names, first).name, 'vm1')
    t.equal(new TestPort(names, first).name, 'vm5', 'and it has no second one')
  },
)

t.test('what a guess by the process took is given back to the one whose address says more', async t => {
  const before = new PortNames()
  t.equal(new TestPort(before, first).says(A), 'vm1')
  const names = restarted(before)
  const [silent, a] = [new TestPort(names, first), new TestPort(names, first)]
  t.same([silent.name, a.name], ['vm1', 'vm2'])
  t.equal(a.says(A), 'vm1')
  t.equal(silent.name, 'vm2')
  t.equal(silent.says(B), 'vm2')
  t.same(
    names.records.map(({ name, mac }) => [name, mac]),
    [
      ['vm1', A],
      ['vm2', B],
    ],
  )
})

t.test('but not to another process, nor once it was heard', async t => {
  const before = new PortNames()
  t.equal(new TestPort(before, first).says(A), 'vm1')
  const names = restarted(before)
  const silent = new TestPort(names, first)
  t.equal(new TestPort(names, second).says(A), 'vm2')
  t.equal(silent.name, 'vm1')
  t.equal(silent.says(B), 'vm1')
  t.equal(new TestPort(names, first).says(A), 'vm3')
  t.equal(silent.name, 'vm1')
})

t.test('a guest with another address has the name of the one who is away, and of nobody else', async t => {
  const names = new PortNames()
  const [a, b] = [new TestPort(names, first), new TestPort(names, second)]
  a.says(A)
  b.says(B)
  t.equal(new TestPort(names).says(A), 'vm3', 'A is there')
  a.leave()
  const forger = new TestPort(names)
  t.equal(forger.says(A), 'vm1')
  const back = new TestPort(names, { pid: 300, start: 11 })
  t.equal(back.says(A), 'vm4')
  for (const port of [forger, back]) port.leave()
  t.equal(new TestPort(names, { pid: 300, start: 11 }).name, 'vm4', 'its new one is its own')
})

t.test('the first frame decides, and no later one', async t => {
  const names = new PortNames()
  const [a, b] = [new TestPort(names), new TestPort(names)]
  a.says(A)
  b.says(B)
  a.leave()
  t.equal(b.says(A), 'vm2')
  t.equal(new TestPort(names).says(A), 'vm1')
})

t.test('a port with a key has the name of its key, whatever it says', async t => {
  const dial = { key: 'dial:/a', ...first }
  const before = new PortNames()
  t.equal(new TestPort(before, dial).says(A), 'vm1')
  t.equal(new TestPort(before, second).says(B), 'vm2')
  const names = restarted(before, ['dial:/a'])
  t.equal(new TestPort(names, first).says(A), 'vm3', 'which nobody else has: it is sure to come')
  const again = new TestPort(names, { ...dial, ...second })
  t.equal(again.name, 'vm1')
  t.equal(again.says(B), 'vm1')
})

t.test('a port with a key that is sure to come back keeps its name though it says nothing', async t => {
  const names = new PortNames({ reserved: ['dial:/a'] })
  const dial = new TestPort(names, { key: 'dial:/a' })
  t.equal(dial.name, 'vm1')
  dial.leave()
  t.equal(new TestPort(names).name, 'vm2')
  t.equal(new TestPort(names, { key: 'dial:/a' }).name, 'vm1')
})

t.test('a station that is reached by a key from now on keeps the name that it had, and so back', async t => {
  const before = new PortNames()
  t.equal(new TestPort(before, first).says(A), 'vm1')
  t.equal(new TestPort(before, second).says(B), 'vm2')
  const dialled = restarted(before, ['dial:/b'])
  const port = new TestPort(dialled, { key: 'dial:/b' })
  t.equal(port.name, 'vm3')
  t.equal(port.says(B), 'vm2')
  port.leave()
  t.equal(new TestPort(dialled, { key: 'dial:/b' }).name, 'vm2')
  t.equal(new TestPort(restarted(dialled), second).says(B), 'vm2', 'when that is dialled no more')
})

t.test('there are 1024 records: who was away for longest is forgotten, and who is there never', async t => {
  const names = new PortNames()
  const resident = new TestPort(names)
  resident.says(A)
  const visit = (mac: number) => {
    const port = new TestPort(names)
    port.says(mac)
    port.leave()
    return port.name
  }
  const guest = visit(B)
  for (let i = 0; i < 1000; i++) visit(0x0200_0000_0000 + i)
  t.equal(visit(B), guest, 'it came back, and is not the one that was away for longest')
  for (let i = 0; i < 1000; i++) visit(0x0200_0001_0000 + i)
  t.equal(names.records.length, 1024)
  t.equal(visit(B), guest)
  for (let i = 0; i < 1024; i++) visit(0x0200_0002_0000 + i)
  t.equal(names.records.length, 1024)
  t.ok(names.records.some(({ name }) => name === 'vm1'))
  const stranger = visit(B)
  t.not(stranger, guest)
  t.notOk(
    names.records.slice(0, -1).some(({ name }) => name === stranger),
    'a name that is forgotten is not given again',
  )
  t.equal(Number(stranger.slice(2)), 2 + 1000 + 1000 + 1024 + 1)
})

t.test('away is who left, since then: not since its first frame', async t => {
  const names = new PortNames()
  const old = new TestPort(names)
  old.says(A)
  for (let i = 0; i < 1023; i++) {
    const visitor = new TestPort(names)
    visitor.says(0x0200_0000_0000 + i)
    visitor.leave()
  }
  old.leave()
  const last = new TestPort(names)
  last.says(B)
  t.equal(names.records.length, 1024)
  t.equal(new TestPort(names).says(A), 'vm1')
})

t.test('names are one port’s each, and a record’s name only goes to whom the record speaks of', async t => {
  const origin = fc.record(
    {
      key: fc.constantFrom('dial:/a', 'dgram:/b'),
      pid: fc.constantFrom(1, 2),
      start: fc.constantFrom(5, 6),
    },
    { requiredKeys: [] },
  )
  const step = fc.oneof(
    fc.record({ do: fc.constant('plug' as const), origin }),
    fc.record({ do: fc.constant('say' as const), which: fc.nat(7), mac: fc.constantFrom(A, B, C) }),
    fc.record({ do: fc.constant('leave' as const), which: fc.nat(7) }),
    fc.record({ do: fc.constant('restart' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      let names = new PortNames({ reserved: ['dial:/a'] })
      let ports: { port: TestPort; origin: Origin; heard?: string }[] = []
      for (const each of steps) {
        const known = new Map(names.records.map(record => [record.name, record]))
        if (each.do === 'restart') {
          names = restarted(names, ['dial:/a'])
          ports = []
        } else if (each.do === 'plug') {
          if (ports.length === 8) continue
          const port = new TestPort(names, each.origin)
          const record = known.get(port.name)
          const { key, pid, start } = each.origin
          if (record !== undefined && record.key !== key && (record.pid !== pid || record.start !== start))
            throw new Error(`${port.name} is another's`)
          ports.push({ port, origin: each.origin })
        } else if (ports.length > 0) {
          const at = each.which % ports.length
          const entry = ports[at]
          if (each.do === 'leave') {
            entry.port.leave()
            ports.splice(at, 1)
          } else {
            const was = entry.port.name
            const name = entry.port.says(each.mac)
            const record = known.get(name)
            if (entry.heard === undefined && name !== was && record?.mac !== each.mac)
              throw new Error(`${name} is not the name of that station`)
            entry.heard ??= name
          }
        }
        for (const { port, heard } of ports)
          if (heard !== undefined && port.name !== heard) throw new Error(`${heard} became ${port.name}`)
        const live = ports.map(({ port }) => port.name)
        if (new Set(live).size < live.length) throw new Error(`two ports have one name: ${live.join(' ')}`)
        if (ports.some(({ port }) => port.name !== port.named.name)) throw new Error('a port was not told')
      }
    }),
    { numRuns: 2000 },
  )
  t.pass('2000 lives')
})
