import fc from 'fast-check'
import t from 'tap'
import { defaultRange, leasable, MAX_POOL } from '../../src/dhcp/range.js'
import { BridgeError } from '../../src/errors.js'
import { cidr, formatIpv4Range, parseCidr } from '../../src/wire/ipv4.js'
import { ip, range } from './segment.js'

const rangeOf = (text: string): string | undefined => {
  const found = defaultRange(parseCidr(text)!)
  return found && formatIpv4Range(found)
}

t.test('the default leaves the top of the subnet to VIPs', async t => {
  t.equal(rangeOf('192.168.105.1/24'), '192.168.105.2-192.168.105.199')
  t.equal(rangeOf('10.0.0.1/16'), '10.0.0.2-10.0.199.255')
  t.equal(rangeOf('10.0.0.1/23'), '10.0.0.2-10.0.1.143')
  t.equal(rangeOf('192.168.105.1/28'), '192.168.105.2-192.168.105.11')
  t.equal(rangeOf('192.168.105.1/29'), '192.168.105.2-192.168.105.5')
  t.equal(rangeOf('192.168.105.1/30'), '192.168.105.2')
  t.equal(rangeOf('192.168.105.254/24'), '192.168.105.1-192.168.105.199')
  t.equal(rangeOf('192.168.105.199/24'), '192.168.105.1-192.168.105.198')
  t.equal(rangeOf('192.168.105.1/31'), undefined)
  t.equal(rangeOf('192.168.105.1/32'), undefined)
})

t.test('the default of any subnet is inside it, bounded, and ends before the top fifth', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 30 }), fc.nat(0xffffffff), (prefix, address) => {
      const subnet = cidr(address, prefix)
      const found = defaultRange(subnet)
      if (!found) return prefix === 30
      const size = subnet.broadcast - subnet.network + 1
      return (
        found.first > subnet.network &&
        found.last <= subnet.broadcast - size / 5 &&
        found.first !== address &&
        found.last !== address &&
        found.last - found.first < MAX_POOL
      )
    }),
  )
})

const subnet = parseCidr('192.168.105.1/24')!

t.test('network, broadcast and excluded addresses are not leasable', async t => {
  const flags = leasable(subnet, range('192.168.105.0-192.168.105.255'), [
    range('192.168.105.10-192.168.105.12'),
    range('192.168.105.200'),
    range('10.0.0.0-192.168.105.3'),
    range('192.168.105.250-193.0.0.0'),
    range('1.1.1.1'),
  ])
  const closed = [...flags.keys()].filter(i => !flags[i])
  t.same(closed, [0, 1, 2, 3, 10, 11, 12, 200, 250, 251, 252, 253, 254, 255])
})

t.test('a range that is no use is refused, with what to do', async t => {
  for (const [text, excluded] of [
    ['192.168.104.250-192.168.105.10', []],
    ['192.168.105.250-192.168.106.1', []],
    ['192.168.105.0', []],
    ['192.168.105.5-192.168.105.6', [range('192.168.105.5'), range('192.168.105.6')]],
  ] as const) {
    t.throws(() => leasable(subnet, range(text), excluded), { code: 'ERR_DHCP_RANGE', hint: /./ }, text)
  }
  t.throws(() => leasable(subnet, { first: ip('192.168.105.9'), last: ip('192.168.105.8') }, []), BridgeError)
  const wide = parseCidr('10.0.0.1/8')!
  t.throws(() => leasable(wide, range('10.0.0.2-10.1.0.2'), []), /65537 addresses/)
  t.equal(leasable(wide, range('10.0.0.2-10.1.0.1'), []).length, MAX_POOL)
})
