// Forwarding and its mark, where several shared networks come and go at once: every order of their steps, on a packet
// filter in memory.

import fc from 'fast-check'
import { pino } from 'pino'
import t from 'tap'
import { Nat, removeDeadNats, type NatSystem } from '../../src/uplink/nat.js'
import { FORWARDING_WAS_OFF, natTables, strictForwarders, tableName } from '../../src/uplink/nat-table.js'
import type { Chain } from '../../src/uplink/nft.js'
import { parseCidr, type Cidr } from '../../src/wire/ipv4.js'

const log = pino({ enabled: false })
const A = parseCidr('10.5.0.1/24')!
const B = parseCidr('10.6.0.1/16')!
const C = parseCidr('192.168.105.1/30')!

/** The packet filter as far as our scripts use it; `turn` is awaited before each step. */
class Machine implements NatSystem {
  readonly tables = new Map<string, Set<string>>()
  readonly devices = new Set<number>()
  forwarding = false
  turn: () => Promise<void> = async () => {}
  #last: Promise<unknown> = Promise.resolve()

  alone = <T>(work: () => Promise<T>): Promise<T> => {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  apply = async (script: string): Promise<void> => {
    await this.turn()
    const next = new Map([...this.tables].map(([name, chains]) => [name, new Set(chains)]))
    for (const line of script.split('\n')) {
      const [, word, table, chain] =
        /^(table ip|delete table ip|add chain ip) (\w+)(?: \{| (\w+))?$/.exec(line) ?? []
      if (word === 'table ip') next.set(table, next.get(table) ?? new Set())
      if (word !== undefined && !next.has(table)) throw new Error(`no table ${table}`)
      if (word === 'delete table ip') next.delete(table)
      if (word === 'add chain ip') next.get(table)!.add(chain)
    }
    this.tables.clear()
    for (const [name, chains] of next) this.tables.set(name, chains.add('postrouting'))
  }

  chains = async (): Promise<Chain[]> => {
    await this.turn()
    return [...this.tables].flatMap(([table, chains]) =>
      [...chains].map(name => ({ family: 'ip', table, name })),
    )
  }

  isForwarding = (): boolean => this.forwarding
  setForwarding = (on: boolean): void => void (this.forwarding = on)
  hasSubnet = ({ network }: Cidr): boolean => this.devices.has(network)

  marks(): number {
    return [...this.tables.values()].filter(chains => chains.has(FORWARDING_WAS_OFF)).length
  }

  /** A network comes, stays for as long as `stay` takes, and goes. */
  async live(gateway: Cidr, stay: () => Promise<void>): Promise<void> {
    this.devices.add(gateway.network)
    const nat = await Nat.open(gateway, 'tap', log, this)
    await stay()
    await nat.close()
    this.devices.delete(gateway.network)
  }
}

t.test(
  'networks that come and go at once: in any order of their steps, forwarding is as it was when all are gone',
  async t => {
    for (const before of [false, true]) {
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), async scheduler => {
          const machine = new Machine()
          machine.forwarding = before
          machine.turn = () => scheduler.schedule(Promise.resolve())
          const stay = () => scheduler.schedule(Promise.resolve())
          const all = Promise.all([machine.live(A, stay), machine.live(B, stay), machine.live(C, stay)])
          await scheduler.waitFor(all)
          t.strictSame([machine.forwarding, [...machine.tables]], [before, []])
        }),
        { numRuns: 500 },
      )
    }
  },
)

t.test('one that stays has forwarding, whatever the others do meanwhile', async t => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async scheduler => {
      const machine = new Machine()
      machine.turn = () => scheduler.schedule(Promise.resolve())
      const others = [A, B].map(gateway => machine.live(gateway, machine.turn))
      machine.devices.add(C.network)
      const staying = Nat.open(C, 'tap', log, machine)
      await scheduler.waitFor(Promise.all([staying, ...others]))
      t.strictSame([machine.forwarding, [...machine.tables.keys()]], [true, [tableName(C)]])
      t.ok(machine.marks() > 0, 'and what is to turn it off')
    }),
    { numRuns: 500 },
  )
})

t.test('the mark of one that was killed goes to the next, by every way that it comes', async t => {
  for (const next of ['the same', 'another', 'none'] as const) {
    const machine = new Machine()
    machine.devices.add(A.network)
    await Nat.open(A, 'tap', log, machine)
    if (next !== 'the same') machine.devices.delete(A.network)
    if (next === 'none') {
      await removeDeadNats(B, log, machine)
    } else {
      const gateway = next === 'the same' ? A : B
      machine.devices.add(gateway.network)
      const nat = await Nat.open(gateway, 'tap', log, machine)
      t.strictSame([machine.forwarding, machine.marks(), machine.tables.size], [true, 1, 1])
      await nat.close()
    }
    t.strictSame([machine.forwarding, machine.tables.size], [false, 0], next)
  }
})

t.test('forwarding that cannot be turned on: no table is left', async t => {
  const machine = new Machine()
  machine.devices.add(A.network)
  machine.setForwarding = on => {
    if (on) throw new Error('EROFS')
  }
  await t.rejects(Nat.open(A, 'tap', log, machine), { code: 'ERR_FORWARDING', hint: /sysctl/ })
  t.equal(machine.tables.size, 0)
})

t.test('who may not turn forwarding off leaves the table with its mark to one who may', async t => {
  const machine = new Machine()
  machine.devices.add(A.network)
  await Nat.open(A, 'tap', log, machine)
  machine.devices.delete(A.network)
  const { setForwarding } = machine
  machine.setForwarding = () => {
    throw new Error('EROFS')
  }
  await removeDeadNats(B, log, machine)
  t.strictSame([machine.forwarding, machine.marks()], [true, 1])
  machine.setForwarding = setForwarding
  await removeDeadNats(B, log, machine)
  t.strictSame([machine.forwarding, machine.tables.size], [false, 0])
})

t.test('a table that cannot be removed is said, and closing ends', async t => {
  const lines: string[] = []
  const machine = new Machine()
  machine.devices.add(A.network)
  const nat = await Nat.open(A, 'tap', pino({}, { write: line => lines.push(line) }), machine)
  machine.apply = () => Promise.reject(new Error('nft is gone'))
  await nat.close()
  t.match(lines.at(-1), /nft is gone.*nft delete table ip vmbridge_10_5_0_0_24/)
})

t.test('only tables of ours are ours, and firewalls are known by what they forward', async t => {
  const chain = (table: string, name = 'x', more: Partial<Chain> = {}): Chain => ({
    family: 'ip',
    table,
    name,
    ...more,
  })
  const ours = [chain('vmbridge_10_5_0_0_24'), chain('vmbridge_10_5_0_0_24', FORWARDING_WAS_OFF)]
  const others = [
    'filter',
    'vmbridge',
    'vmbridge_10_5_0_0_240',
    'vmbridge_10_5_0_256_24',
    'vmbridge_10_5_0_0_24_x',
  ]
  t.strictSame(
    natTables([...ours, ...others.map(name => chain(name)), { ...ours[0], family: 'ip6' }]).map(
      ({ name }) => name,
    ),
    ['vmbridge_10_5_0_0_24'],
  )
  const forward = { hook: 'forward', policy: 'accept' }
  const drops = chain('filter', 'FORWARD', { ...forward, policy: 'drop' })
  const firewalld = chain('firewalld', 'filter_FORWARD', forward)
  const harmless = [chain('a', 'FORWARD', forward), chain('b', 'INPUT', { hook: 'input', policy: 'drop' })]
  t.strictSame(strictForwarders([drops, firewalld, ...harmless]), [drops, firewalld])
})
