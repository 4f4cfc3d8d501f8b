// The table against a naive model: the same claims in plain objects, walked from end to end for everything.

import fc from 'fast-check'
import t from 'tap'
import { Neighbors } from '../../src/neighbors/neighbors.js'
import { ARP_REQUEST, arpFrame } from '../../src/wire/arp.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { formatMac, MAC_BROADCAST } from '../../src/wire/mac.js'

const MAX = 12
const SHARE = 4
const BIG_PORT = 5
const BIG_SHARE = 7
const AGE = 100

interface Claim {
  ip: number
  mac: number
  port: number
  first: number
  last: number
  moves: number
  /** Order of sight, since several share a time. */
  order: number
}

class Model {
  claims: Claim[] = []
  evicted = 0
  #order = 0

  claim(ip: number, mac: number, port: number, now: number): void {
    this.claims = this.claims.filter(claim => claim.ip !== ip || claim.last + AGE > now)
    const known = this.claims.find(claim => claim.ip === ip)
    if (known) {
      if (known.port !== port) this.#makeRoom(port)
      if (known.port !== port || known.mac !== mac) known.moves++
      Object.assign(known, { mac, port, last: now, order: this.#order++ })
      return
    }
    if (!this.#makeRoom(port) && this.claims.length >= MAX) {
      // The port that appeared first, among those with the most.
      const most = Math.max(...this.#ports().map(id => this.#of(id).length))
      this.#evict(this.#ports().find(id => this.#of(id).length === most)!)
    }
    this.claims.push({ ip, mac, port, first: now, last: now, moves: 0, order: this.#order++ })
    if (!this.#seen.includes(port)) this.#seen.push(port)
  }

  forgetPort(port: number): void {
    this.claims = this.claims.filter(claim => claim.port !== port)
    this.#seen = this.#seen.filter(id => id !== port)
  }

  list(now: number): Claim[] {
    this.claims = this.claims.filter(claim => claim.last + AGE > now)
    return [...this.claims].sort((a, b) => a.ip - b.ip)
  }

  /** Ports in the order in which they were first met. */
  #seen: number[] = [BIG_PORT]

  #ports(): number[] {
    return this.#seen
  }

  #of(port: number): Claim[] {
    return this.claims.filter(claim => claim.port === port).sort((a, b) => a.order - b.order)
  }

  #makeRoom(port: number): boolean {
    if (!this.#seen.includes(port)) this.#seen.push(port)
    if (this.#of(port).length < (port === BIG_PORT ? BIG_SHARE : SHARE)) return false
    this.#evict(port)
    return true
  }

  #evict(port: number): void {
    const oldest = this.#of(port)[0]!
    this.claims = this.claims.filter(claim => claim !== oldest)
    this.evicted++
  }
}

const steps = fc.array(
  fc.oneof(
    {
      weight: 30,
      arbitrary: fc.record({
        do: fc.constant('claim' as const),
        ip: fc.nat(20),
        mac: fc.nat(3),
        port: fc.nat(5),
      }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), time: fc.nat(40) }) },
    // The big port keeps its share in this test: it would have to be set again.
    { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), port: fc.nat(4) }) },
    { weight: 3, arbitrary: fc.constant({ do: 'list' as const }) },
  ),
  { maxLength: 200, size: 'max' },
)

t.test('the table is what the model is, and bounded', async t => {
  fc.assert(
    fc.property(steps, steps => {
      const neighbors = new Neighbors({ maxEntries: MAX, portShare: SHARE, maxAge: AGE })
      neighbors.setShare(BIG_PORT, BIG_SHARE)
      const model = new Model()
      let now = 1000
      for (const step of steps) {
        if (step.do === 'wait') now += step.time
        else if (step.do === 'claim') {
          const address = 0xc0a86900 + step.ip
          const station = { hi: 0x5254, lo: step.mac }
          const frame = arpFrame(MAC_BROADCAST, {
            operation: ARP_REQUEST,
            senderMac: station,
            senderIp: address,
            targetMac: { hi: 0, lo: 0 },
            targetIp: address,
          })
          neighbors.observe(frame, 0, frame.length, step.port, now)
          model.claim(address, step.mac, step.port, now)
        } else if (step.do === 'forget') {
          neighbors.forgetPort(step.port)
          model.forgetPort(step.port)
        } else {
          const wanted = model.list(now).map(claim => ({
            ip: formatIpv4(claim.ip),
            mac: formatMac(0x5254, claim.mac),
            portId: claim.port,
            how: 'arp',
            firstSeen: claim.first,
            lastSeen: claim.last,
            moves: claim.moves,
          }))
          const found = neighbors.list(now)
          if (JSON.stringify(found) !== JSON.stringify(wanted)) t.same(found, wanted)
          if (found.length > MAX) throw new Error('over the bound')
          if (neighbors.counters.evicted !== model.evicted) throw new Error('another number of evictions')
        }
      }
    }),
    { numRuns: 500 },
  )
})
