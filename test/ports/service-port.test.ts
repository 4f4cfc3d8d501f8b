// A service inside the process as a host on the segment: what it hears, when, and what it says.

import t from 'tap'
import { ServicePort, type Service } from '../../src/ports/service-port.js'
import {
  DROP_TX_DOWN,
  DROP_TX_FULL,
  DROP_TX_TOO_BIG,
  RX_FRAMES,
  TX_BYTES,
  TX_FRAMES,
} from '../../src/switch/counters.js'
import { PASS, type FrameInspector } from '../../src/switch/inspector.js'
import type { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { ETHERTYPE_ARP } from '../../src/wire/ethernet.js'
import { frame, PLAIN_TYPE, runOf, station, turn } from '../helpers/frames.js'
import { Segment } from '../switch/segment.js'
import type { Scope } from './bench.js'

/** Of one port: half of the queue. */
const SHARE = 512 * 1024
const SLICE_FRAMES = 64

/** Turns the loop until everything that waits has been handed over. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

/**
 * A segment with a VM and a service that notes what it hears, and from which port, and does what the test says.
 * The slices go by the segment's clock.
 */
function serving(t: Scope, service: Partial<Service> = {}, inspector?: FrameInspector) {
  const segment = new Segment({ ...(inspector && { inspector }) })
  const vm = segment.plug({ name: 'vm1' })
  const port = new ServicePort(segment.switch, 'service', segment.clock)
  t.teardown(() => port.close())
  const heard: Buffer[] = []
  const ports: (Port | undefined)[] = []
  port.serve({
    wants: () => true,
    ...service,
    handleFrame(bytes, at, length, from) {
      heard.push(Buffer.from(bytes.slice(at, at + length)))
      ports.push(from)
      service.handleFrame?.(bytes, at, length, from)
    },
  })
  return { segment, vm, port, heard, ports, counters: port.port.counters }
}

t.test('frames are copied, and handed over from an event, in order: never while they come in', async t => {
  const { segment, vm, heard, counters } = serving(t)
  const frames = [60, 14, 1518].map((length, seed) => frame({ length, seed }))
  const run = new Run(runOf(...frames))
  segment.switch.ingress(vm.port, run, run.bytes.length)
  run.bytes.fill(0xa5)
  t.same(heard, [])
  await turn()
  t.same(
    heard,
    frames.map(each => Buffer.from(each)),
  )
  t.equal(counters[TX_FRAMES], 3)
  t.equal(counters[TX_BYTES], 60 + 14 + 1518)
})

t.test('promises and timers work where frames are handed over', async t => {
  let answered: () => void
  const done = new Promise<void>(resolve => (answered = resolve))
  const handleFrame = async () => {
    await new Promise(resolve => setTimeout(resolve, 0))
    answered()
  }
  const { segment, vm } = serving(t, { handleFrame: () => void handleFrame() })
  segment.send(vm, frame())
  await done
})

t.test('a frame that the service does not want is passed over and not counted', async t => {
  const { segment, vm, heard, counters } = serving(t, {
    wants: (bytes, at, length) => length > 14 && bytes[at + 14] === 7,
  })
  const wanted = frame({ seed: 1 })
  wanted[14] = 7
  segment.send(vm, frame(), wanted, frame({ length: 14 }))
  await turn()
  t.same(heard, [Buffer.from(wanted)])
  t.equal(counters[TX_FRAMES], 1)
})

t.test('the port where a frame came in is told, whatever source address it bears', async t => {
  const { segment, vm, ports } = serving(t)
  const forger = segment.plug({ name: 'vm2' })
  segment.send(vm, frame({ from: station(1) }))
  segment.send(forger, frame({ from: station(1) }), frame({ from: station(2) }))
  segment.send(vm, frame({ from: station(1) }))
  await turn()
  t.same(
    ports.map(from => from?.name),
    ['vm1', 'vm2', 'vm2', 'vm1'],
  )
  t.equal(segment.switch.ingressPort, undefined, 'between runs there is none')
})

t.test(
  'a port that left before its frame is handed over is told, not the one that has its number',
  async t => {
    const { segment, vm, ports } = serving(t)
    const { id } = vm.port
    segment.send(vm, frame())
    segment.switch.detach(vm.port)
    const next = segment.plug({ name: 'vm2' })
    t.equal(next.port.id, id)
    segment.send(next, frame())
    await turn()
    t.same(ports, [vm.port, next.port])
  },
)

t.test('many frames are handed over a slice a turn, in order', async t => {
  const { segment, vm, heard } = serving(t)
  const frames = Array.from({ length: 2 * SLICE_FRAMES + 10 }, (_, seed) => frame({ seed, length: 80 }))
  segment.send(vm, ...frames)
  for (const count of [SLICE_FRAMES, 2 * SLICE_FRAMES, frames.length, frames.length]) {
    await turn()
    t.same(
      heard,
      frames.slice(0, count).map(each => Buffer.from(each)),
    )
  }
})

t.test('a slice ends early where the frames take long', async t => {
  const { segment, vm, heard } = serving(t, { handleFrame: () => void (segment.clock.time += 0.75) })
  segment.send(vm, ...Array.from({ length: 7 }, (_, seed) => frame({ seed })))
  for (const count of [3, 6, 7, 7]) {
    await turn()
    t.equal(heard.length, count)
  }
})

t.test(
  'what waits is bounded: the rest is dropped and counted, and there is room again afterwards',
  async t => {
    const { segment, vm, heard, counters } = serving(t)
    const fits = Math.floor(SHARE / 604)
    const frames = Array.from({ length: 2 * fits }, (_, seed) => frame({ length: 600, seed }))
    for (let round = 1; round <= 4; round++) {
      for (let at = 0; at < frames.length; at += 9) segment.send(vm, ...frames.slice(at, at + 9))
      t.equal(counters[TX_FRAMES], round * fits)
      t.equal(counters[DROP_TX_FULL], round * fits)
      await turns(fits / SLICE_FRAMES + 1)
      t.same(
        heard.splice(0),
        frames.slice(0, fits).map(each => Buffer.from(each)),
      )
    }
  },
)

t.test('a port that floods the service pushes out nothing of what others say', async t => {
  const { segment, vm, ports, counters } = serving(t)
  const quiet = segment.plug({ name: 'quiet' })
  const fits = Math.floor(SHARE / 604)
  const flood = Array.from({ length: 2 * fits }, (_, seed) => frame({ length: 600, seed }))
  for (let at = 0; at < flood.length; at += 100) segment.send(vm, ...flood.slice(at, at + 100))
  const dropped = counters[DROP_TX_FULL]
  t.ok(dropped > 0)
  segment.send(quiet, ...flood.slice(0, 100))
  t.equal(counters[DROP_TX_FULL], dropped)
  await turns((fits + 100) / SLICE_FRAMES + 1)
  t.equal(ports.filter(from => from === quiet.port).length, 100)
})

t.test('a frame longer than a service takes is dropped and counted', async t => {
  const { segment, vm, heard, counters } = serving(t)
  segment.send(vm, frame({ length: 1519 }))
  await turn()
  t.same(heard, [])
  t.equal(counters[DROP_TX_TOO_BIG], 1)
})

t.test('an answer reaches the station that asked, and it alone', async t => {
  const { segment, vm, port } = serving(t, {
    handleFrame: () => port.send(frame({ to: station(1), from: station(9), length: 300 })),
  })
  const other = segment.plug()
  segment.send(vm, frame({ from: station(1) }))
  other.take()
  await turn()
  t.same(
    vm.take().map(each => each.length),
    [300],
  )
  t.same(other.take(), [])
  t.equal(port.port.counters[RX_FRAMES], 1)
  t.equal(segment.switch.locate(0x5254, 9), port.port, 'the service is a station like any other')
})

t.test('what comes while frames are handed over waits for the next event', async t => {
  const frames = [60, 100, 14, 300].map((length, seed) => frame({ length, seed }))
  const later = frames.slice(1)
  const { segment, vm, heard } = serving(t, {
    handleFrame: () => {
      const next = later.shift()
      if (next) segment.send(vm, next)
    },
  })
  segment.send(vm, frames[0])
  for (let events = 1; events <= 4; events++) {
    await turn()
    t.same(
      heard,
      frames.slice(0, events).map(each => Buffer.from(each)),
    )
  }
  await turn()
  t.equal(heard.length, 4)
})

t.test('what a service says in one turn of the loop leaves as one run, in order', async t => {
  const { vm, port } = serving(t)
  const frames = Array.from({ length: 20 }, (_, seed) => frame({ from: station(9), seed }))
  for (const each of frames) port.send(each)
  t.equal(vm.calls, 0)
  await turn()
  t.equal(vm.calls, 1)
  t.same(
    vm.take(),
    frames.map(each => Buffer.from(each)),
  )
})

t.test('the answers of a slice leave as one run when it ends', async t => {
  const answer = frame({ from: station(9), length: 300 })
  const { segment, vm, port } = serving(t, { handleFrame: () => port.send(answer) })
  segment.send(vm, ...Array.from({ length: SLICE_FRAMES + 6 }, (_, seed) => frame({ seed })))
  await turn()
  t.same([vm.calls, vm.take().length], [1, SLICE_FRAMES])
  await turn()
  t.same([vm.calls, vm.take().length], [2, 6])
})

t.test('what a service says is copied, and a frame of no length harms nothing', async t => {
  const { vm, port } = serving(t)
  const said = frame({ from: station(9), seed: 1 })
  const before = Buffer.from(said)
  port.send(said)
  said.fill(0xa5)
  port.send(new Uint8Array(0))
  port.send(frame({ from: station(9), length: 1519 }))
  port.send(before)
  await turn()
  t.same(vm.take(), [before, before])
})

t.test('a service that says more than one run holds loses none of it', async t => {
  const { vm, port } = serving(t)
  const frames = Array.from({ length: 100 }, (_, seed) => frame({ from: station(9), length: 1500, seed }))
  for (const each of frames) port.send(each)
  t.equal(vm.calls, 2, 'two were full')
  await turn()
  t.equal(vm.calls, 3)
  t.same(
    vm.take(),
    frames.map(each => Buffer.from(each)),
  )
})

t.test('what a service says in the middle of a run leaves after it', async t => {
  const alarm = frame({ from: station(9), type: PLAIN_TYPE })
  const inspector: FrameInspector = {
    inspect: () => {
      for (let i = 0; i < 3; i++) port.send(alarm)
      return PASS
    },
    addPort() {},
    forgetPort() {},
  }
  const { segment, vm, port } = serving(t, {}, inspector)
  const other = segment.plug()
  const claim = frame({ from: station(1), type: ETHERTYPE_ARP })
  segment.send(vm, claim, claim)
  t.same(
    other.take(),
    [claim, claim].map(each => Buffer.from(each)),
  )
  await turn()
  t.equal(other.calls, 2)
  t.same(other.take().length, 6)
  // Also where it is the service's own run that has it say more.
  port.send(frame({ from: station(9), type: ETHERTYPE_ARP, seed: 5 }))
  await turns(2)
  t.same(
    other.take().map(each => each.equals(alarm)),
    [false, true, true, true],
  )
})

t.test('in the middle of a run a service may not say more than one run holds', async t => {
  const inspector: FrameInspector = {
    inspect: () => {
      for (let i = 0; i < 100; i++) port.send(frame({ from: station(9), length: 1500 }))
      return PASS
    },
    addPort() {},
    forgetPort() {},
  }
  const { segment, vm, port } = serving(t, {}, inspector)
  segment.send(vm, frame({ type: ETHERTYPE_ARP }))
  t.equal(vm.calls, 0)
  await turn()
  t.equal(vm.take().length, Math.floor((64 * 1024) / 1504))
})

t.test('what a service said before it closes still leaves', async t => {
  const { vm, port } = serving(t)
  port.send(frame({ from: station(9) }))
  port.close()
  t.equal(vm.take().length, 1)
  await turn()
  t.same(vm.take(), [])
})

t.test('frames for a port whose service is not there yet are counted as down', async t => {
  const segment = new Segment()
  const vm = segment.plug()
  const port = new ServicePort(segment.switch, 'late')
  t.teardown(() => port.close())
  segment.send(vm, frame(), frame())
  t.equal(port.port.counters[DROP_TX_DOWN], 2)
})

t.test('a closed service hears nothing more, not even what waited, and says nothing', async t => {
  const { segment, vm, port, heard } = serving(t)
  segment.send(vm, frame())
  port.close()
  port.close()
  port.send(frame({ from: station(9) }))
  await turn()
  t.same(heard, [])
  t.same(vm.take(), [])
  t.equal(segment.switch.servicePort, undefined)
})

t.test('a service that closes while frames are handed over hears no more of them', async t => {
  const { segment, vm, port, heard } = serving(t, { handleFrame: () => port.close() })
  segment.send(vm, frame(), frame())
  await turn()
  await turn()
  t.equal(heard.length, 1)
})
