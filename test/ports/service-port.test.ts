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
import { Run } from '../../src/switch/run.js'
import { frame, runOf, station, turn } from '../helpers/frames.js'
import { Segment } from '../switch/segment.js'
import type { Scope } from './bench.js'

const QUEUE_BYTES = 64 * 1024

/** A segment with a VM and a service that notes what it hears and does what the test says. */
function serving(t: Scope, service: Partial<Service> = {}) {
  const segment = new Segment()
  const vm = segment.plug()
  const port = new ServicePort(segment.switch, 'service')
  t.teardown(() => port.close())
  const heard: Buffer[] = []
  port.serve({
    wants: () => true,
    ...service,
    handleFrame(bytes, at, length) {
      heard.push(Buffer.from(bytes.slice(at, at + length)))
      service.handleFrame?.(bytes, at, length)
    },
  })
  return { segment, vm, port, heard, counters: port.port.counters }
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

t.test(
  'what waits is bounded: the tail is dropped and counted, and there is room again afterwards',
  async t => {
    const { segment, vm, heard, counters } = serving(t)
    const fits = Math.floor(QUEUE_BYTES / 604)
    const frames = Array.from({ length: 2 * fits }, (_, seed) => frame({ length: 600, seed }))
    for (let at = 0; at < frames.length; at += 9) segment.send(vm, ...frames.slice(at, at + 9))
    t.equal(counters[TX_FRAMES], fits)
    t.equal(counters[DROP_TX_FULL], fits)
    await turn()
    t.same(
      heard,
      frames.slice(0, fits).map(each => Buffer.from(each)),
    )
    segment.send(vm, frame())
    await turn()
    t.equal(heard.length, fits + 1)
  },
)

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
