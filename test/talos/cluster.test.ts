// Where the nodes of a cluster are, and what is left for VIPs: for clusters of any size, and by every word that is wrong.

import fc from 'fast-check'
import t from 'tap'
import { defaultRange } from '../../src/dhcp/range.js'
import { UsageError } from '../../src/errors.js'
import { clusterOf, holdersOf, vipPool, type Cluster, type ClusterWanted } from '../../src/talos/cluster.js'
import { cidr, formatCidr, formatIpv4, formatIpv4Range, parseIpv4 } from '../../src/wire/ipv4.js'

const wanted = (given: Partial<ClusterWanted> = {}): ClusterWanted => ({
  cidr: '10.5.0.0/24',
  controlplanes: 3,
  workers: 2,
  useVip: false,
  ...given,
})

const usageError = (says: RegExp, hint: RegExp) => (error: unknown) =>
  error instanceof UsageError && says.test(error.message) && hint.test(error.hint ?? '')

/** What `work` throws; undefined where it does not. */
function thrownBy(work: () => unknown): unknown {
  try {
    work()
    return undefined
  } catch (error) {
    return error
  }
}

t.test('node IPs are planned: CIDR base + 2 + i, control planes first; gateway is base + 1', async t => {
  const { subnet, nodes } = clusterOf(wanted())
  t.equal(formatCidr(subnet), '10.5.0.1/24')
  t.strictSame(
    nodes.map(({ name, role, ip }) => [name, role, formatIpv4(ip)]),
    [
      ['controlplane-1', 'controlplane', '10.5.0.2'],
      ['controlplane-2', 'controlplane', '10.5.0.3'],
      ['controlplane-3', 'controlplane', '10.5.0.4'],
      ['worker-1', 'worker', '10.5.0.5'],
      ['worker-2', 'worker', '10.5.0.6'],
    ],
  )
})

t.test('the API is asked at the gateway, at control planes, and with --use-vip at base + 50', async t => {
  const api = holdersOf(clusterOf(wanted({ useVip: true }))).filter(({ isApi }) => isApi)
  t.strictSame(
    api.map(({ ip }) => formatIpv4(ip)),
    ['10.5.0.1', '10.5.0.2', '10.5.0.3', '10.5.0.4', '10.5.0.50'],
  )
})

t.test('a cluster that cannot be is refused, with what to do', async t => {
  const refusals: [Partial<ClusterWanted>, RegExp, RegExp][] = [
    [{ cidr: 'x' }, /--cidr x is not an IPv4 subnet/, /10\.5\.0\.0\/24/],
    [{ cidr: 'fd00::/64' }, /--cidr fd00::\/64 is not/, /./],
    [{ cidr: '10.5.0.1/24' }, /does not start at the base/, /^--cidr 10\.5\.0\.0\/24$/],
    [{ cidr: '10.5.0.0/30' }, /too small/, /\/29/],
    [{ cidr: '10.5.0.0/32' }, /too small/, /\/29/],
    [{ cidr: '0.0.0.0/0' }, /larger than a \/8/, /10\.5\.0\.0\/24/],
    [{ cidr: '10.0.0.0/7' }, /larger than a \/8/, /./],
    [{ cidr: '10.5.0.0/29', workers: 3 }, /6 nodes do not fit into 10\.5\.0\.0\/29, .* for 5/, /fewer/],
    [{ workers: 999_999_999 }, /1000000002 nodes do not fit/, /fewer/],
    [{ cidr: '10.5.0.0/27', useVip: true }, /--use-vip.* 50 .*10\.5\.0\.0\/27/, /larger/],
    [{ workers: 60, useVip: true }, /--use-vip/, /fewer/],
  ]
  for (const [given, says, hint] of refusals) {
    const error = thrownBy(() => clusterOf(wanted(given)))
    t.ok(usageError(says, hint)(error), `${JSON.stringify(given)}: ${String(error)}`)
  }
})

t.test('auto: the top of the subnet, as the built-in DHCP leaves it free', async t => {
  const auto = (given: Partial<ClusterWanted>) => formatIpv4Range(vipPool(clusterOf(wanted(given)), 'auto'))
  t.equal(auto({}), '10.5.0.200-10.5.0.254')
  t.equal(auto({ cidr: '10.5.0.0/29', controlplanes: 1 }), '10.5.0.6')
  t.equal(auto({ cidr: '10.5.0.0/28', controlplanes: 1, workers: 11 }), '10.5.0.14', 'above the nodes')
  t.equal(auto({ cidr: '10.5.0.0/26', useVip: true }), '10.5.0.51-10.5.0.62', "above the API server's VIP")
  const full = clusterOf(wanted({ cidr: '10.5.0.0/28', controlplanes: 1, workers: 12 }))
  t.throws(() => vipPool(full, 'auto'), { message: /no address left for a VIP/ })
})

t.test('a pool that overlaps is refused, and what it hits is said', async t => {
  const cluster = clusterOf(wanted({ useVip: true }))
  const hits: [string, RegExp][] = [
    ['10.5.0.3', /controlplane-2 10\.5\.0\.3/],
    ['10.5.0.1', /the gateway 10\.5\.0\.1$/],
    ['10.5.0.6-10.5.0.20', /worker-2 10\.5\.0\.6/],
    ['10.5.0.40-10.5.0.60', /the VIP of the API server 10\.5\.0\.50/],
    ['10.5.0.100-10.5.0.110', /hits what DHCP may hand out \(10\.5\.0\.2-10\.5\.0\.199\)$/],
    ['10.5.0.199-10.5.0.210', /what DHCP may hand out/],
    ['10.5.0.0', /the network address 10\.5\.0\.0$/],
    ['10.5.0.240-10.5.0.255', /the broadcast address 10\.5\.0\.255$/],
    ['10.5.0.250-10.5.1.3', /outside of 10\.5\.0\.0\/24, from 10\.5\.1\.0 on$/],
    ['10.6.0.1-10.6.0.9', /outside of 10\.5\.0\.0\/24$/],
    ['10.5.0.0-10.5.0.255', /and 4 more$/],
    ['10.5.0.9-10.5.0.3', /neither auto nor a range/],
    ['', /neither auto nor a range/],
  ]
  for (const [pool, says] of hits) {
    const error = thrownBy(() => vipPool(cluster, pool))
    t.ok(usageError(says, /--pool (auto|10\.5\.0\.200-10\.5\.0\.254)/)(error), `${pool}: ${String(error)}`)
  }
  t.equal(formatIpv4Range(vipPool(cluster, '10.5.0.240-10.5.0.250')), '10.5.0.240-10.5.0.250')
})

/** Any cluster that fits. */
const clusters: fc.Arbitrary<Cluster> = fc
  .record({
    prefix: fc.integer({ min: 8, max: 29 }),
    address: fc.nat(0xffffffff),
    controlplanes: fc.integer({ min: 1, max: 9 }),
    workers: fc.nat(70),
    useVip: fc.boolean(),
  })
  .map(({ prefix, address, ...rest }) => {
    const { network } = cidr(address, prefix)
    return { ...rest, cidr: `${formatIpv4(network)}/${prefix}` }
  })
  .filter(each => thrownBy(() => clusterOf(each)) === undefined)
  .map(clusterOf)

t.test('whatever the cluster, the pool hits no node, no gateway, and nothing that DHCP leases', async () => {
  fc.assert(
    fc.property(clusters, cluster => {
      const { subnet } = cluster
      const leased = defaultRange(subnet)!
      let pool
      try {
        pool = vipPool(cluster, 'auto')
      } catch (error) {
        // Only where the nodes go up to the last address.
        return error instanceof UsageError && cluster.nodes.at(-1)!.ip === subnet.broadcast - 1
      }
      const isFree = (ip: number) =>
        ip > subnet.network &&
        ip < subnet.broadcast &&
        (ip < leased.first || ip > leased.last) &&
        holdersOf(cluster).every(holder => holder.ip !== ip)
      const { first, last } = pool
      const probes = [first, last, Math.floor((first + last) / 2)]
      const inside = holdersOf(cluster).some(({ ip }) => first <= ip && ip <= last)
      return first <= last && !inside && probes.every(isFree)
    }),
    { numRuns: 500 },
  )
})

t.test('a pool is taken exactly where a look at each of its addresses finds none that is taken', async () => {
  const cluster = clusterOf(wanted({ useVip: true }))
  const base = parseIpv4('10.5.0.0')!
  const taken = new Set([base, base + 255, ...holdersOf(cluster).map(({ ip }) => ip)])
  for (let ip = base + 2; ip <= base + 199; ip++) taken.add(ip)
  fc.assert(
    fc.property(fc.integer({ min: -4, max: 260 }), fc.integer({ min: 0, max: 80 }), (from, length) => {
      const [first, last] = [base + from, base + from + length]
      let isFree = true
      for (let ip = first; ip <= last; ip++) isFree &&= ip > base && ip < base + 255 && !taken.has(ip)
      const text = `${formatIpv4(first)}-${formatIpv4(last)}`
      return (thrownBy(() => vipPool(cluster, text)) === undefined) === isFree
    }),
    { numRuns: 1000 },
  )
})
