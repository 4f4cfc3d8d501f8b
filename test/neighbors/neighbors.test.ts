import type { Mac } from '../../src/wire/mac.js'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { MAX_AGE, Neighbors, PROBE_AGE } from '../../src/neighbors/neighbors.js'
import { ARP_REPLY, ARP_REQUEST, arpFrame } from '../../src/wire/arp.js'
import { NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from '../../src/wire/icmpv6.js'
import { parseIpv4 } from '../../src/wire/ipv4.js'
import { MAC_BROADCAST, writeMac } from '../../src/wire/mac.js'
import { placed } from '../wire/dirty.js'
import { neighborFrame } from '../wire/nd-frames.js'

const A = { hi: 0x5254, lo: 0xf000000a }
const B = { hi: 0x5254, lo: 0xf000000b }
const ZERO = { hi: 0, lo: 0 }
const VIP = '192.168.105.200'

const ip = (text: string): number => parseIpv4(text)!

function arp(senderMac: Mac, senderIp: string, targetIp = senderIp, operation = ARP_REQUEST): Uint8Array {
  const message = { operation, senderMac, senderIp: ip(senderIp), targetMac: ZERO, targetIp: ip(targetIp) }
  return arpFrame(MAC_BROADCAST, message)
}

function see(neighbors: Neighbors, frame: Uint8Array, port = 1, now = 0): void {
  const run = new Uint8Array(frame.length + 8).fill(0xa5)
  run.set(frame, 4)
  neighbors.observe(run, 4, frame.length, port, now)
}

t.test('a gratuitous announcement, a request and a reply are claims', async t => {
  const neighbors = new Neighbors()
  see(neighbors, arp(A, VIP), 3, 5)
  see(neighbors, arp(A, '192.168.105.2', '192.168.105.1'), 3, 6)
  see(neighbors, arp(B, '192.168.105.1', '192.168.105.2', ARP_REPLY), 4, 7)
  const claim = { mac: '52:54:f0:00:00:0a', portId: 3, how: 'arp', moves: 0 }
  t.same(neighbors.list(8), [
    { ...claim, ip: '192.168.105.1', mac: '52:54:f0:00:00:0b', portId: 4, firstSeen: 7, lastSeen: 7 },
    { ...claim, ip: '192.168.105.2', firstSeen: 6, lastSeen: 6 },
    { ...claim, ip: VIP, firstSeen: 5, lastSeen: 5 },
  ])
  t.same(neighbors.byMac(A.hi, A.lo, 8), ['192.168.105.2', VIP])
  t.match(neighbors.lookup(VIP, 8), { mac: '52:54:f0:00:00:0a', portId: 3 })
})

t.test('who asks for an address counts for a moment, and takes nothing from who has it', async t => {
  const neighbors = new Neighbors()
  const told: unknown[] = []
  neighbors.onChange = (address, _high, low, _port, isProbe) => void told.push([address, low, isProbe])
  see(neighbors, arp(A, '0.0.0.0', VIP), 1, 0)
  t.match(neighbors.list(0), [{ ip: VIP, mac: '52:54:f0:00:00:0a', how: 'probe' }])
  t.equal(neighbors.isClaimedByOther(ip(VIP), B.hi, B.lo, PROBE_AGE - 1), true)
  t.equal(neighbors.isClaimedByOther(ip(VIP), A.hi, A.lo, 1), false, 'by others')
  t.equal(neighbors.isClaimedByOther(ip(VIP), B.hi, B.lo, PROBE_AGE), false)
  t.same(neighbors.list(PROBE_AGE), [])
  see(neighbors, arp(A, '0.0.0.0', VIP), 1, PROBE_AGE)
  see(neighbors, arp(B, '0.0.0.0', VIP), 2, PROBE_AGE + 1)
  t.match(neighbors.list(PROBE_AGE + 1), [{ mac: '52:54:f0:00:00:0a', portId: 1 }], 'the first who asks')
  see(neighbors, arp(A, VIP), 1, PROBE_AGE + 2)
  see(neighbors, arp(B, '0.0.0.0', VIP), 2, PROBE_AGE + 3)
  t.match(neighbors.list(MAX_AGE), [{ ip: VIP, mac: '52:54:f0:00:00:0a', how: 'arp', moves: 0 }])
  t.same(told, [
    [ip(VIP), A.lo, true],
    [ip(VIP), A.lo, true],
    [ip(VIP), A.lo, false],
  ])
  see(neighbors, arp(A, '0.0.0.0', '192.168.105.9', ARP_REPLY), 1, 0)
  t.equal(neighbors.lookup('192.168.105.9', 0), undefined, 'a reply asks for nothing')
})

t.test('nonsense is no claim', async t => {
  const neighbors = new Neighbors()
  see(neighbors, arp(A, '0.0.0.0', '0.0.0.0'))
  see(neighbors, arp(A, '0.0.0.0', '224.0.0.1'))
  for (const address of ['255.255.255.255', '224.0.0.18', '239.1.1.1', '0.1.2.3', '240.0.0.1']) {
    see(neighbors, arp(A, address))
  }
  for (const mac of [ZERO, MAC_BROADCAST, { hi: 0x0100, lo: 5 }]) see(neighbors, arp(mac, VIP))
  see(neighbors, arp(A, VIP).subarray(0, 41))
  see(neighbors, arp(A, VIP).with(13, 0))
  t.same(neighbors.list(0), [])
})

t.test('the MAC of the ARP payload counts, not that of the frame', async t => {
  const neighbors = new Neighbors()
  const frame = arp(A, VIP)
  writeMac(frame, 6, B.hi, B.lo)
  see(neighbors, frame)
  t.equal(neighbors.lookup(VIP, 0)?.mac, '52:54:f0:00:00:0a')
})

t.test('neighbour discovery: the source of a solicitation, the target of an advertisement', async t => {
  const neighbors = new Neighbors()
  const [type, source] = [NEIGHBOR_SOLICITATION, 'fe80::a']
  see(neighbors, neighborFrame({ type, source, target: 'fe80::1', from: B, option: A }))
  const advertisement = { type: NEIGHBOR_ADVERTISEMENT, source: 'fe80::b', from: B }
  see(neighbors, neighborFrame({ ...advertisement, target: '2001:db8::200', option: B }))
  see(neighbors, neighborFrame({ ...advertisement, target: 'fe80::b' }))
  see(neighbors, neighborFrame({ type, source: 'fe80::c', target: 'fe80::1', from: A }))
  t.match(neighbors.list(0), [
    { ip: '2001:db8::200', mac: '52:54:f0:00:00:0b', how: 'nd' },
    { ip: 'fe80::a', mac: '52:54:f0:00:00:0a' },
    { ip: 'fe80::b', mac: '52:54:f0:00:00:0b' },
    { ip: 'fe80::c', mac: '52:54:f0:00:00:0a' },
  ])
  t.match(neighbors.lookup('2001:DB8:0::200', 0), { ip: '2001:db8::200' }, 'in any spelling')
})

t.test('what no host would learn from, is not learnt from', async t => {
  const neighbors = new Neighbors()
  const good = { type: NEIGHBOR_ADVERTISEMENT, source: 'fe80::b', target: 'fe80::b', from: B, option: B }
  see(neighbors, neighborFrame({ ...good, target: 'ff02::1' }))
  see(neighbors, neighborFrame({ ...good, target: '::ffff:192.168.105.200' }))
  see(neighbors, neighborFrame({ ...good, option: MAC_BROADCAST }))
  see(neighbors, neighborFrame({ ...good, type: NEIGHBOR_SOLICITATION, source: '::' }))
  see(neighbors, neighborFrame(good).with(21, 254))
  see(neighbors, neighborFrame(good).with(70, 1))
  see(neighbors, neighborFrame(good).subarray(0, 85))
  t.same(neighbors.list(0), [])
  t.equal(neighbors.lookup('::ffff:192.168.105.200', 0), undefined)
  t.equal(neighbors.lookup('nonsense', 0), undefined)
})

t.test('a claim that repeats changes nothing but its time', async t => {
  const neighbors = new Neighbors()
  const frame = arp(A, VIP)
  for (let now = 0; now < 10; now++) see(neighbors, frame, 1, now)
  t.match(neighbors.list(10), [{ firstSeen: 0, lastSeen: 9, moves: 0 }])
  t.same(neighbors.counters, { moves: 0, evicted: 0 })
})

t.test('a claim that repeats allocates nothing', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const neighbors = new Neighbors()
  const frames = Array.from({ length: 64 }, (_, i) => arp(A, `192.168.105.${i + 1}`))
  const round = (now: number): void => {
    for (const frame of frames) neighbors.observe(frame, 0, frame.length, 1, now)
  }
  for (let now = 0; now < 5000; now++) round(now)
  const measure = (): number => {
    collect()
    const before = process.memoryUsage().heapUsed
    for (let now = 0; now < 1000; now++) round(now)
    return (process.memoryUsage().heapUsed - before) / (1000 * frames.length)
  }
  // The compiler's own threads allocate too, now and then: the least of ten is the claims' own.
  const octets = Math.min(...Array.from({ length: 10 }, measure))
  t.ok(Math.abs(octets) < 0.5, `${octets} octets a claim`)
})

t.test('a VIP that moves is followed, and the moves are counted', async t => {
  const neighbors = new Neighbors()
  see(neighbors, arp(A, VIP), 1, 1)
  see(neighbors, arp(B, VIP), 2, 2)
  t.match(neighbors.list(3), [{ mac: '52:54:f0:00:00:0b', portId: 2, firstSeen: 1, lastSeen: 2, moves: 1 }])
  see(neighbors, arp(A, VIP), 2, 3)
  see(neighbors, arp(A, VIP), 3, 4)
  t.match(neighbors.list(4), [{ portId: 3, moves: 3 }])
  t.same(neighbors.byMac(B.hi, B.lo, 4), [])
  t.equal(neighbors.counters.moves, 3)
  neighbors.forgetPort(2)
  t.equal(neighbors.list(4).length, 1)
  neighbors.forgetPort(3)
  t.same(neighbors.list(4), [])
})

t.test('a claim is another’s for everybody but its station, until it ages', async t => {
  const neighbors = new Neighbors()
  t.equal(neighbors.isClaimedByOther(ip(VIP), B.hi, B.lo, 0), false)
  see(neighbors, arp(A, VIP), 1, 100)
  t.equal(neighbors.isClaimedByOther(ip(VIP), B.hi, B.lo, 100), true)
  t.equal(neighbors.isClaimedByOther(ip(VIP), A.hi, A.lo, 100), false)
  t.equal(neighbors.isClaimedByOther(ip(VIP), B.hi, B.lo, 99 + MAX_AGE), true)
  t.equal(neighbors.isClaimedByOther(ip(VIP), B.hi, B.lo, 100 + MAX_AGE), false)
  t.equal(neighbors.lookup(VIP, 100 + MAX_AGE), undefined)
  see(neighbors, arp(B, VIP), 2, 100 + MAX_AGE)
  t.match(neighbors.list(100 + MAX_AGE), [{ firstSeen: 100 + MAX_AGE, moves: 0 }], 'then it is a new one')
})

t.test('claims are learnt through priority tags, with the MAC of the frame where it counts', async t => {
  const neighbors = new Neighbors()
  const tagged = (frame: Uint8Array, tag: string) =>
    Buffer.concat([frame.subarray(0, 12), Buffer.from(tag, 'hex'), frame.subarray(12)])
  const fields = { type: NEIGHBOR_ADVERTISEMENT, source: 'fe80::b', target: 'fe80::b', from: B }
  const [claim, advertisement] = [arp(A, VIP), neighborFrame(fields)]
  for (const tag of ['81000005', '8100e00f', '88a80001', '8100000081000005']) {
    for (const frame of [claim, advertisement]) see(neighbors, tagged(frame, tag))
    t.same(neighbors.list(0), [], `${tag} is a VLAN, which is another segment`)
  }
  for (const frame of [claim, advertisement]) see(neighbors, tagged(frame.subarray(0, -1), '81000000'))
  t.same(neighbors.list(0), [], 'a frame that is cut is none')
  for (const [i, tag] of ['81000000', '8100e000', '88a80000', '8100000081000000'].entries()) {
    for (const frame of [claim, advertisement]) see(neighbors, tagged(frame, tag), i, i)
    t.match(neighbors.list(i), [
      { ip: VIP, mac: '52:54:f0:00:00:0a', portId: i },
      { ip: 'fe80::b', mac: '52:54:f0:00:00:0b', portId: i },
    ])
  }
})

t.test('who wants to know is told of IPv4 claims that are new or another station’s', async t => {
  const neighbors = new Neighbors()
  const told: number[][] = []
  neighbors.onChange = (address, high, low, port) => void told.push([address, high, low, port])
  const high = '223.255.255.254'
  const far = { hi: 0xfe54, lo: 0xf000000a }
  see(neighbors, arp(A, VIP), 1, 1)
  see(neighbors, arp(A, high), 1, 1)
  t.same(told.splice(0), [
    [ip(VIP), A.hi, A.lo, 1],
    [ip(high), A.hi, A.lo, 1],
  ])
  see(neighbors, arp(A, VIP), 1, 2)
  see(neighbors, arp(A, VIP), 2, 3)
  t.same(told, [], 'a repeated claim, or one that moved with its station, is none')
  see(neighbors, arp(B, VIP), 2, 4)
  see(neighbors, arp(A, VIP), 3, 5)
  see(neighbors, arp(far, VIP), 3, 6)
  t.same(told.splice(0), [
    [ip(VIP), B.hi, B.lo, 2],
    [ip(VIP), A.hi, A.lo, 3],
    [ip(VIP), far.hi, far.lo, 3],
  ])
  see(neighbors, arp(far, VIP), 3, 6 + MAX_AGE)
  t.same(told.splice(0), [[ip(VIP), far.hi, far.lo, 3]], 'one that was forgotten is new')
  neighbors.forgetPort(3)
  see(neighbors, arp(far, VIP), 3, 7 + MAX_AGE)
  t.equal(told.splice(0).length, 1)
  const fields = { type: NEIGHBOR_ADVERTISEMENT, source: 'fe80::b', target: 'fe80::b', from: B }
  see(neighbors, neighborFrame(fields))
  t.same(told, [], 'IPv6 is not asked for')
})

t.test('when they are told, the claim is known already', async t => {
  const neighbors = new Neighbors()
  let found: unknown
  neighbors.onChange = () => void (found = neighbors.lookup(VIP, 0))
  see(neighbors, arp(A, VIP))
  t.match(found, { mac: '52:54:f0:00:00:0a' })
})

t.test('a port that claims without end pushes out its own claims only', async t => {
  const neighbors = new Neighbors({ maxEntries: 64, portShare: 16 })
  see(neighbors, arp(A, VIP), 1, 0)
  for (let i = 0; i < 1000; i++) see(neighbors, arp(B, `10.0.${i >> 8}.${i & 255}`), 2, i)
  t.equal(neighbors.list(1000).length, 17)
  t.match(neighbors.lookup(VIP, 1000), { portId: 1 })
  t.match(neighbors.lookup('10.0.3.231', 1000), { portId: 2 }, 'the newest is there')
  t.equal(neighbors.counters.evicted, 984)
})

t.test('a full table takes from the port with the most', async t => {
  const neighbors = new Neighbors({ maxEntries: 32, portShare: 16 })
  neighbors.setShare(9, 30)
  for (let i = 0; i < 30; i++) see(neighbors, arp(B, `10.0.9.${i}`), 9, i)
  for (let i = 0; i < 2; i++) see(neighbors, arp(A, `10.0.1.${i}`), 1, i)
  for (let i = 0; i < 20; i++) see(neighbors, arp(A, `10.0.2.${i}`), 2, i)
  const ports = neighbors.list(30).map(({ portId }) => portId)
  const count = (port: number): number => ports.filter(id => id === port).length
  t.same([count(1), count(2), count(9)], [2, 16, 14])
  neighbors.setShare(9, 1)
  t.match(neighbors.lookup('10.0.9.29', 30), { portId: 9 })
  t.equal(neighbors.list(30).length, 19)
})

t.test('random frames never throw', async () => {
  const neighbors = new Neighbors({ maxEntries: 16, portShare: 4 })
  fc.assert(
    fc.property(placed, fc.nat(5), ({ run, at, length }, port) =>
      neighbors.observe(run, at, length, port, 0),
    ),
    { numRuns: 500 },
  )
  const bases = [
    arp(A, VIP),
    neighborFrame({ type: NEIGHBOR_ADVERTISEMENT, source: 'fe80::1', target: 'fe80::2', from: A, option: A }),
  ]
  const changes = fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 6 })
  fc.assert(
    fc.property(fc.constantFrom(...bases), changes, fc.nat(90), (base, changes, length) => {
      const frame = base.slice()
      for (const [at, value] of changes) if (at < frame.length) frame[at] = value
      neighbors.observe(frame, 0, Math.min(length, frame.length), 1, 0)
      neighbors.list(0)
    }),
    { numRuns: 500 },
  )
})
