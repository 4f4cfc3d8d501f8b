// The guard of DHCP as the switch asks it: what comes over the uplink, from a VM, and from the built-in server.

import t from 'tap'
import { SegmentInspector } from '../../src/daemon/inspector.js'
import { Neighbors } from '../../src/neighbors/neighbors.js'
import { DROP_GUARDED, DROP_RATE, DROP_ROGUE, KEEP_FROM_UPLINK, PASS } from '../../src/switch/inspector.js'
import { Port, type PortRole } from '../../src/switch/port.js'
import { ARP_REQUEST, arpFrame } from '../../src/wire/arp.js'
import { MAC_BROADCAST } from '../../src/wire/mac.js'
import { Client, ip } from '../dhcp/segment.js'

const client = new Client(1)
const request = client.frame()
const offer = client.frame({ sourcePort: 67, destinationPort: 68, op: 2 })

const announcement = arpFrame(MAC_BROADCAST, {
  operation: ARP_REQUEST,
  senderMac: client.mac,
  senderIp: ip('192.168.105.200'),
  targetMac: { hi: 0, lo: 0 },
  targetIp: ip('192.168.105.200'),
})

/** The frame with a tag behind its addresses. */
function tagged(frame: Uint8Array, tag: string): Uint8Array {
  return Buffer.concat([frame.subarray(0, 12), Buffer.from(tag, 'hex'), frame.subarray(12)])
}

function plugged(inspector: SegmentInspector, role: PortRole, id: number): Port {
  const port = new Port({ name: `${role}${id}`, role })
  port.id = id
  inspector.addPort(port)
  return port
}

function verdictOn(frame: Uint8Array, role: PortRole, guarded = true): number {
  const inspector = new SegmentInspector({ neighbors: new Neighbors(), guarded })
  return inspector.inspect(frame, 0, frame.length, plugged(inspector, role, 0), 0)
}

t.test('DHCP does not cross the uplink, in either direction', async t => {
  for (const frame of [request, offer]) t.equal(verdictOn(frame, 'uplink'), DROP_GUARDED)
  t.equal(verdictOn(request, 'vm'), KEEP_FROM_UPLINK)
  t.equal(verdictOn(offer, 'service'), KEEP_FROM_UPLINK)
})

t.test('what only a server says is dropped when a VM says it', async t => {
  t.equal(verdictOn(offer, 'vm'), DROP_ROGUE)
})

t.test('a priority tag does not get past the guard, as a host would take the frame', async t => {
  for (const tag of ['81000000', '8100e000', '88a80000', '8100000081000000']) {
    t.equal(verdictOn(tagged(offer, tag), 'vm'), DROP_ROGUE, tag)
    t.equal(verdictOn(tagged(request, tag), 'uplink'), DROP_GUARDED, tag)
  }
  t.equal(verdictOn(tagged(offer, '81000005'), 'vm'), PASS, 'a VLAN is another segment')
})

t.test('without the built-in server DHCP is like any other frame', async t => {
  for (const role of ['vm', 'uplink'] as const) {
    for (const frame of [request, offer]) t.equal(verdictOn(frame, role, false), PASS)
  }
})

t.test('claims are learnt through a priority tag, and a VLAN is another segment here too', async t => {
  const neighbors = new Neighbors()
  const inspector = new SegmentInspector({ neighbors, guarded: false })
  const port = plugged(inspector, 'vm', 3)
  const see = (frame: Uint8Array, now: number) => inspector.inspect(frame, 0, frame.length, port, now)
  t.equal(see(tagged(announcement, '81000005'), 1), PASS)
  t.same(neighbors.list(1), [])
  for (const [now, tag] of ['81000000', '8100e000', '88a8000081000000', ''].entries()) {
    t.equal(see(tagged(announcement, tag), now), PASS)
    t.match(neighbors.list(now), [{ ip: '192.168.105.200', portId: 3, lastSeen: now }], tag)
  }
})

/** What an inspector says of each of `count` messages in a row at `now`. */
function counted(inspector: SegmentInspector, port: Port, count: number, now: number): Map<number, number> {
  const verdicts = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const verdict = inspector.inspect(request, 0, request.length, port, now)
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
  }
  return verdicts
}

t.test('a port may say a burst to the server, and so much a second in the long run', async t => {
  const { perSecond, burst } = { perSecond: 100, burst: 20 }
  const inspector = new SegmentInspector({
    neighbors: new Neighbors(),
    guarded: true,
    rate: { perSecond, burst },
  })
  const [flood, quiet] = [plugged(inspector, 'vm', 0), plugged(inspector, 'vm', 1)]
  t.strictSame(
    [...counted(inspector, flood, 50, 1000)],
    [
      [KEEP_FROM_UPLINK, burst],
      [DROP_RATE, 30],
    ],
  )
  t.strictSame([...counted(inspector, quiet, burst, 1000)], [[KEEP_FROM_UPLINK, burst]], 'each has its own')
  let passed = 0
  for (let now = 1001; now <= 11_000; now++) {
    passed += counted(inspector, flood, 3, now).get(KEEP_FROM_UPLINK) ?? 0
  }
  t.equal(passed, 10 * perSecond)
  t.equal(counted(inspector, flood, 50, 11_100).get(KEEP_FROM_UPLINK), 10, 'and fills up again in silence')
  t.equal(counted(inspector, flood, 50, 60_000).get(KEEP_FROM_UPLINK), burst, 'to the burst, no more')
})

t.test('3,000 exchanges a second from one port are within the usual rate', async t => {
  const inspector = new SegmentInspector({ neighbors: new Neighbors(), guarded: true })
  const port = plugged(inspector, 'vm', 0)
  const verdicts = new Set<number>()
  for (let now = 0; now < 5000; now++) {
    for (const verdict of counted(inspector, port, 6, now).keys()) verdicts.add(verdict)
  }
  t.same([...verdicts], [KEEP_FROM_UPLINK])
})

t.test('the rate is for what VMs say to the server, and for the port, not for its number', async t => {
  const inspector = new SegmentInspector({
    neighbors: new Neighbors(),
    guarded: true,
    rate: { perSecond: 1, burst: 1 },
  })
  const port = plugged(inspector, 'vm', 0)
  const verdict = (frame: Uint8Array, from: Port) => inspector.inspect(frame, 0, frame.length, from, 0)
  t.equal(verdict(request, port), KEEP_FROM_UPLINK)
  t.equal(verdict(request, port), DROP_RATE)
  t.equal(verdict(tagged(request, '81000000'), port), DROP_RATE, 'a tag hides nothing')
  t.equal(verdict(client.frame({ destinationPort: 53 }), port), PASS)
  t.equal(verdict(offer, port), DROP_ROGUE)
  inspector.forgetPort(0)
  const next = plugged(inspector, 'vm', 0)
  t.equal(verdict(request, next), KEEP_FROM_UPLINK)
  const service = plugged(inspector, 'service', 1)
  for (let i = 0; i < 5; i++) t.equal(verdict(offer, service), KEEP_FROM_UPLINK)
  for (let i = 0; i < 5; i++) t.equal(verdict(request, service), KEEP_FROM_UPLINK)
  const uplink = plugged(inspector, 'uplink', 2)
  for (let i = 0; i < 5; i++) t.equal(verdict(request, uplink), DROP_GUARDED)
})

t.test('without the built-in server there is no rate', async t => {
  const rate = { perSecond: 1, burst: 1 }
  const inspector = new SegmentInspector({ neighbors: new Neighbors(), guarded: false, rate })
  t.strictSame([...counted(inspector, plugged(inspector, 'vm', 0), 9, 0)], [[PASS, 9]])
})
