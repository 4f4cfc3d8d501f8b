// What the switch does with the inspector's verdicts, and which frames it asks about.

import t from 'tap'
import {
  DROP_RX_DHCP_RATE,
  DROP_RX_GUARD,
  DROP_RX_ROGUE,
  DROP_RX_SAME_PORT,
} from '../../src/switch/counters.js'
import {
  DROP_GUARDED,
  DROP_RATE,
  DROP_ROGUE,
  KEEP_FROM_UPLINK,
  PASS,
  type FrameInspector,
} from '../../src/switch/inspector.js'
import type { Port } from '../../src/switch/port.js'
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../src/wire/ethernet.js'
import type { Mac } from '../../src/wire/mac.js'
import { frame, PLAIN_TYPE, station } from '../helpers/frames.js'
import { Segment } from './segment.js'

const VM = station(1)
const OTHER = station(2)
const OUTSIDE = station(3)
const SERVER = station(4)

/** Two VMs, an uplink and a service, all heard; ARP frames get the verdict that the test sets. */
function guarded({ service: withService = true } = {}) {
  let verdict = PASS
  const seen: { bytes: Buffer; from: Port; now: number }[] = []
  const inspector: FrameInspector = {
    inspect(bytes, at, length, from, now) {
      seen.push({ bytes: Buffer.from(bytes.slice(at, at + length)), from, now })
      return verdict
    },
    addPort() {},
    forgetPort() {},
  }
  const segment = new Segment({ inspector })
  const [vm, other] = [segment.plug(), segment.plug()]
  const uplink = segment.plug({ role: 'uplink' })
  const service = segment.plug({ role: 'service' })
  if (!withService) segment.switch.detach(service.port)
  const all = { vm, other, uplink, service }
  segment.send(vm, frame({ from: VM }))
  segment.send(other, frame({ from: OTHER }))
  segment.send(uplink, frame({ from: OUTSIDE }))
  if (withService) segment.send(service, frame({ from: SERVER }))
  for (const tester of Object.values(all)) tester.take()
  return {
    ...all,
    segment,
    seen,
    /** Sends an ARP frame under a verdict; returns the names of the ports that got it. */
    judged(given: number, from: keyof typeof all, to?: Mac) {
      verdict = given
      segment.send(all[from], frame({ ...(to && { to }), from: station(9), type: ETHERTYPE_ARP }))
      return Object.entries(all)
        .filter(([, tester]) => tester.take().length > 0)
        .map(([name]) => name)
    },
  }
}

t.test('a guarded frame is dropped, whomever it was for, and counted at the port it came from', async t => {
  const { judged, uplink } = guarded()
  t.same(judged(DROP_GUARDED, 'uplink'), [])
  t.same(judged(DROP_GUARDED, 'uplink', VM), [])
  t.equal(uplink.port.counters[DROP_RX_GUARD], 2)
})

t.test("a rogue server's frame is dropped and counted apart", async t => {
  const { judged, vm } = guarded()
  t.same(judged(DROP_ROGUE, 'vm'), [])
  t.same(judged(DROP_ROGUE, 'vm', OTHER), [])
  t.equal(vm.port.counters[DROP_RX_ROGUE], 2)
  t.equal(vm.port.counters[DROP_RX_GUARD], 0)
})

t.test('a DHCP message too many is dropped, whomever it was for, and counted apart', async t => {
  const { judged, vm } = guarded()
  t.same(judged(DROP_RATE, 'vm'), [])
  t.same(judged(DROP_RATE, 'vm', SERVER), [])
  t.equal(vm.port.counters[DROP_RX_DHCP_RATE], 2)
  t.equal(vm.port.counters[DROP_RX_GUARD], 0)
})

t.test('a frame kept from the uplink floods every port but that and its own', async t => {
  const { judged } = guarded()
  t.same(judged(KEEP_FROM_UPLINK, 'vm'), ['other', 'service'])
  t.same(judged(KEEP_FROM_UPLINK, 'vm', station(99)), ['other', 'service'])
  t.same(judged(KEEP_FROM_UPLINK, 'service'), ['vm', 'other'])
})

t.test(
  'a frame kept from the uplink that the uplink alone would get goes to the service instead',
  async t => {
    const { judged } = guarded()
    t.same(judged(PASS, 'vm', OUTSIDE), ['uplink'])
    t.same(judged(KEEP_FROM_UPLINK, 'vm', OUTSIDE), ['service'])
    t.same(judged(KEEP_FROM_UPLINK, 'vm', OTHER), ['other'], 'other stations are reached as ever')
    t.same(judged(KEEP_FROM_UPLINK, 'service', OUTSIDE), [], 'and never goes back to the service')
  },
)

t.test(
  'without a service, a frame that was for the uplink alone and may not cross it goes nowhere',
  async t => {
    const { judged } = guarded({ service: false })
    t.same(judged(KEEP_FROM_UPLINK, 'vm', OUTSIDE), [])
    t.same(judged(KEEP_FROM_UPLINK, 'vm'), ['other'])
  },
)

t.test('a frame for a station of its own port goes nowhere under any verdict', async t => {
  const { judged, vm } = guarded()
  t.same(judged(KEEP_FROM_UPLINK, 'vm', VM), [])
  t.same(judged(PASS, 'vm', VM), [])
  t.equal(vm.port.counters[DROP_RX_SAME_PORT], 2)
})

t.test('a verdict holds for one frame: the next between the same stations goes its way', async t => {
  const verdicts = [DROP_GUARDED, PASS, DROP_ROGUE, PASS]
  const inspector = { inspect: () => verdicts.shift()!, addPort() {}, forgetPort() {} }
  const segment = new Segment({ inspector })
  const [vm, other] = [segment.plug(), segment.plug()]
  const frames = [0, 1, 2, 3].map(seed => frame({ from: VM, type: ETHERTYPE_ARP, seed }))
  segment.send(vm, ...frames, frame({ from: VM }))
  t.same(other.take().length, 3)
  t.same(verdicts, [])
})

t.test('ARP, UDP over IPv4 and ICMPv6 are shown, of any length and in place; nothing else is', async t => {
  const { segment, vm, seen } = guarded()
  segment.clock.time = 4711
  const ip = (type: number, at: number, protocol: number, length = 60) => {
    const bytes = frame({ from: VM, type, length })
    bytes[at] = protocol
    return bytes
  }
  const shown = [
    frame({ from: VM, type: ETHERTYPE_ARP, length: 14 }),
    frame({ from: VM, type: ETHERTYPE_ARP, length: 42 }),
    ip(ETHERTYPE_IPV4, 23, 17),
    ip(ETHERTYPE_IPV4, 23, 17, 9018),
    ip(ETHERTYPE_IPV6, 20, 58),
  ]
  const hidden = [
    ip(ETHERTYPE_IPV4, 23, 6),
    ip(ETHERTYPE_IPV4, 20, 58),
    ip(ETHERTYPE_IPV6, 20, 17),
    ip(PLAIN_TYPE, 23, 17),
    frame({ from: VM, type: ETHERTYPE_ARP, length: 13 }),
  ]
  segment.send(vm, ...shown.flatMap((each, i) => [each, hidden[i]]))
  t.same(
    seen.map(({ bytes }) => bytes),
    shown.map(each => Buffer.from(each)),
  )
  t.ok(seen.every(({ from, now }) => from === vm.port && now === 4711))
})
