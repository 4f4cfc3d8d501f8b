// Random messages of up to 30 clients over a pool of 10 addresses, with time passing, restarts and a disk
// that fails now and then, against what each client may believe by the ACKs that it got.

import type { Received } from './segment.js'
import fc from 'fast-check'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { formatMac } from '../../src/wire/mac.js'
import { Client, ip, MemoryStore, range, Segment } from './segment.js'

const FIRST = ip('192.168.105.2')
const EXCLUDED = [range('192.168.105.4'), range('192.168.105.9-192.168.105.10')]
const SERVER = ip('192.168.105.1')

type Step =
  | { do: 'message'; who: number; type: number; state: number; address: number; seconds: number | undefined }
  | { do: 'wait'; seconds: number }
  | { do: 'restart' }
  | { do: 'disk'; fails: boolean }
  | { do: 'claim'; address: number }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 20,
      arbitrary: fc.record({
        do: fc.constant('message' as const),
        who: fc.nat(29),
        type: fc.constantFrom(1, 1, 1, 3, 3, 3, 3, 3, 4, 7, 8),
        state: fc.nat(3),
        address: fc.integer({ min: -1, max: 15 }),
        seconds: fc.option(fc.nat(4000), { nil: undefined }),
      }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.nat(1200) }) },
    { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('disk' as const), fails: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('claim' as const), address: fc.nat(12) }) },
  ),
  { minLength: 1, maxLength: 150, size: 'max' },
)

/** What a client holds by the last ACK. */
interface Belief {
  address: number
  until: number
}

class World {
  readonly clients = Array.from({ length: 30 }, (_, n) => new Client(n + 1, n % 3 === 0 ? [1, n] : undefined))
  readonly beliefs = new Map<Client, Belief>()
  readonly offers = new Map<Client, number>()
  readonly store = new MemoryStore()
  claimed: number | undefined
  readonly segment = new Segment({
    store: this.store,
    exclude: EXCLUDED,
    range: range('192.168.105.2-192.168.105.14'),
    isClaimed: address => address === this.claimed,
  })

  /** Live leases as of the message: who has one keeps it, whatever another station claims. */
  bound = new Map<string, string>()

  async take(step: Step): Promise<void> {
    if (step.do === 'wait') return this.segment.clock.advance(step.seconds)
    if (step.do === 'claim') return void (this.claimed = FIRST + step.address)
    if (step.do === 'disk') return void (this.store.fails = step.fails)
    if (step.do === 'restart') {
      // Renewals that a failing disk did not keep are the one thing that a restart may forget.
      if (!this.segment.server.status().degraded) await this.segment.restart()
      return
    }
    const client = this.clients[step.who]!
    const { leases } = this.segment.server.status()
    this.bound = new Map(leases.filter(({ state }) => state === 'bound').map(({ ip, mac }) => [ip, mac]))
    const replies = await this.segment.ask(client, this.#fields(client, step))
    for (const reply of replies) this.#check(client, reply)
    this.#checkAll()
  }

  #fields(client: Client, { type, state, address, seconds }: Step & { do: 'message' }): object {
    const held = this.beliefs.get(client)?.address ?? this.offers.get(client) ?? FIRST
    // Mostly what a good client would ask for, at times anything.
    const wanted = address < 8 ? held : FIRST - 2 + address
    const time = seconds === undefined ? [] : [[option.LEASE_TIME, seconds]]
    const requested = [option.REQUESTED_IP, wanted]
    const server = [option.SERVER_ID, address === 15 ? SERVER + 1 : SERVER]
    if (type === option.RELEASE) {
      if (this.beliefs.get(client)?.address === wanted) this.beliefs.delete(client)
      return { type, ciaddr: wanted, options: [server] }
    }
    if (type === option.DECLINE) {
      if (this.beliefs.get(client)?.address === wanted) this.beliefs.delete(client)
      return { type, options: [server, requested] }
    }
    if (type === option.INFORM) return { type, ciaddr: wanted }
    if (type === option.DISCOVER) return { type, options: address < 4 ? time : [...time, requested] }
    if (state === 0)
      return { type, options: [...time, server, [option.REQUESTED_IP, this.offers.get(client) ?? wanted]] }
    if (state === 1) return { type, options: [...time, requested] }
    return { type, ciaddr: wanted, destinationIp: state === 2 ? SERVER : 0xffffffff, options: time }
  }

  #check(client: Client, { type, message }: Received): void {
    if (message.xid !== client.xid) throw new Error('an answer to another question')
    if (type === option.NAK) return void this.beliefs.delete(client)
    const address = message.yiaddr
    if (address === 0) return
    const offset = address - FIRST
    const excluded = EXCLUDED.some(({ first, last }) => address >= first && address <= last)
    if (offset < 0 || offset > 12 || excluded) throw new Error(`${formatIpv4(address)} is not in the pool`)
    const holds = this.bound.get(formatIpv4(address)) === formatMac(client.mac.hi, client.mac.lo)
    if (address === this.claimed && !holds) throw new Error(`${formatIpv4(address)} is claimed`)
    if (type === option.OFFER) return void this.offers.set(client, address)
    const seconds = option.getOption(message.options, option.LEASE_TIME)!
    this.beliefs.set(client, { address, until: this.segment.clock.now() + seconds * 1000 })
  }

  #checkAll(): void {
    const now = this.segment.clock.now()
    const holders = new Map<number, Client>()
    for (const [client, { address, until }] of this.beliefs) {
      if (until <= now) continue
      if (holders.has(address)) throw new Error(`${formatIpv4(address)} is leased twice`)
      holders.set(address, client)
    }
    const { leases, free } = this.segment.server.status()
    if (leases.length > 10) throw new Error('more leases than addresses')
    if (new Set(leases.map(lease => lease.ip)).size !== leases.length) throw new Error('an address twice')
    const held = new Set(leases.filter(({ state }) => state !== 'expired').map(lease => lease.ip))
    const isLeasable = (address: number): boolean =>
      !EXCLUDED.some(({ first, last }) => address >= first && address <= last)
    if (this.claimed !== undefined && isLeasable(this.claimed)) held.add(formatIpv4(this.claimed))
    if (free !== 10 - held.size) throw new Error(`${free} free with ${held.size} held or claimed`)
  }
}

t.test('no address is ever leased to two clients, none from outside of the pool', async () => {
  let acks = 0
  await fc.assert(
    fc.asyncProperty(steps, async steps => {
      const world = new World()
      await world.segment.server.start()
      for (const step of steps) await world.take(step)
      acks += world.segment.server.status().counters.sent.ack!
    }),
    { numRuns: 300 },
  )
  t.ok(acks > 1000, `${acks} ACKs in the last servers of all runs`)
})
