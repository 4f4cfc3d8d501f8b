// The guard of DHCP as the switch asks it: what comes over the uplink, from a VM, and from the built-in server.

import t from 'tap'
import { SegmentInspector } from '../../src/daemon/inspector.js'
import { Neighbors } from '../../src/neighbors/neighbors.js'
import { DROP_GUARDED, DROP_ROGUE, KEEP_FROM_UPLINK, PASS } from '../../src/switch/inspector.js'
import { Port, type PortRole } from '../../src/switch/port.js'
import { Client } from '../dhcp/segment.js'

const client = new Client(1)
const request = client.frame()
const offer = client.frame({ sourcePort: 67, destinationPort: 68, op: 2 })

/** The frame with a tag behind its addresses. */
function tagged(frame: Uint8Array, tag: string): Uint8Array {
  return Buffer.concat([frame.subarray(0, 12), Buffer.from(tag, 'hex'), frame.subarray(12)])
}

function verdictOn(frame: Uint8Array, role: PortRole, guarded = true): number {
  const inspector = new SegmentInspector(new Neighbors(), guarded)
  return inspector.inspect(frame, 0, frame.length, new Port({ name: role, role }), 0)
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
