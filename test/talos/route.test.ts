// Which addresses a static route takes along, against a look at every address of it.

import fc from 'fast-check'
import t from 'tap'
import { clusterOf, holdersOf, vipPool } from '../../src/talos/cluster.js'
import { betterRoute, parseRoute, swallowed } from '../../src/talos/route.js'
import { cidr, formatCidr, formatIpv4, parseIpv4 } from '../../src/wire/ipv4.js'

const cluster = clusterOf({ cidr: '10.5.0.0/24', controlplanes: 1, workers: 2, useVip: false })
const holders = holdersOf(cluster)
const pool = vipPool(cluster, 'auto')
const hits = (text: string) => swallowed(parseRoute(text), holders).map(({ ip }) => formatIpv4(ip))
const better = (text: string) => {
  const route = betterRoute(parseRoute(text), holders, cluster.subnet, pool)
  return route && formatCidr(route)
}

t.test('10.5.0.10/28 swallows the gateway and every node: it is 10.5.0.0/28', async t => {
  t.strictSame(hits('10.5.0.10/28'), ['10.5.0.1', '10.5.0.2', '10.5.0.3', '10.5.0.4'])
})

t.test('10.5.0.8/29 swallows nobody', async t => t.strictSame(hits('10.5.0.8/29'), []))

t.test('what is no route is refused', async t => {
  for (const text of ['10.5.0.10', '10.5.0.10/33', 'default', '', 'fd00::/64'])
    t.throws(() => parseRoute(text), { name: 'UsageError' }, text)
})

t.test('a better route is the largest around the address that was meant, or one of VIPs', async t => {
  t.equal(better('10.5.0.10/28'), '10.5.0.8/29')
  t.equal(better('10.5.0.200/24'), '10.5.0.192/27')
  t.equal(better('10.5.0.0/28'), '10.5.0.208/28', 'from the pool: the base of the subnet was not meant')
  t.equal(better('10.5.0.2/32'), '10.5.0.208/28')
  t.equal(better('10.5.0.255/24'), '10.5.0.208/28')
  t.equal(better('0.0.0.0/0'), '10.5.0.208/28', 'the address given is not of the segment')
  t.equal(betterRoute(parseRoute('10.5.0.2/32'), holders, cluster.subnet, undefined), undefined)
})

const base = parseIpv4('10.5.0.0')!
const addresses = fc.integer({ min: base - 300, max: base + 600 })

t.test('swallowed agrees with a look at every address of the route', async () => {
  fc.assert(
    fc.property(
      addresses,
      fc.integer({ min: 22, max: 32 }),
      fc.array(addresses, { maxLength: 20 }),
      (address, prefix, ips) => {
        const size = 2 ** (32 - prefix)
        const first = Math.floor(address / size) * size
        const expected: number[] = []
        for (let ip = first; ip < first + size; ip++) expected.push(...ips.filter(each => each === ip))
        const found = swallowed(
          cidr(address, prefix),
          ips.map(ip => ({ ip })),
        )
        return JSON.stringify(found.map(({ ip }) => ip).sort()) === JSON.stringify(expected.sort())
      },
    ),
    { numRuns: 500 },
  )
})

t.test('a better route swallows nobody, and no end of the segment', async () => {
  fc.assert(
    fc.property(addresses, fc.integer({ min: 20, max: 32 }), (address, prefix) => {
      const route = betterRoute(cidr(address, prefix), holders, cluster.subnet, pool)
      const ends = [{ ip: base }, { ip: base + 255 }]
      return route !== undefined && swallowed(route, [...holders, ...ends]).length === 0
    }),
    { numRuns: 500 },
  )
})
