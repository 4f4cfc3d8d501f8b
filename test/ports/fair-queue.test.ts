// The queue that ports share, against the rule itself: what each may have waiting, and what comes out.

import fc from 'fast-check'
import t from 'tap'
import { FairQueue } from '../../src/ports/fair-queue.js'
import { Port } from '../../src/switch/port.js'
import { frame, runOf } from '../helpers/frames.js'

const SIZE = 4096

function portOf(id: number): Port {
  const port = new Port({ name: `vm${id}`, role: 'vm' })
  port.id = id
  return port
}

function put(queue: FairQueue, port: Port | undefined, bytes: Uint8Array): boolean {
  const run = Buffer.concat([Buffer.alloc(7, 0xa5), runOf(bytes)])
  return queue.put(run, 7, 4 + bytes.length, port)
}

/** Puts frames of 96 bytes, 100 with their length, until there is no room; how many there were. */
function fill(queue: FairQueue, port: Port | undefined): number {
  let count = 0
  while (put(queue, port, frame({ length: 96 }))) count++
  return count
}

t.test('a port alone fills half of it, the next what is then left for it, and so on', async t => {
  const queue = new FairQueue(SIZE)
  t.same(
    [0, 1, 2, 511].map(id => fill(queue, portOf(id))),
    [20, 10, 5, 3],
  )
  t.equal(fill(queue, undefined), 1, 'frames of no known port share as one')
})

t.test('ports that say as much as each other get as much', async t => {
  const queue = new FairQueue(SIZE)
  const ports = [1, 2, 3].map(portOf)
  const counts = [0, 0, 0]
  for (let round = 0; round < 20; round++) {
    for (const [i, port] of ports.entries()) if (put(queue, port, frame({ length: 96 }))) counts[i]++
  }
  t.same(counts, [10, 10, 10])
})

interface Waiting {
  bytes: Buffer
  port: Port | undefined
  id: number
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      id: fc.integer({ min: -1, max: 3 }),
      length: fc.integer({ min: 1, max: 400 }),
      seed: fc.nat(255),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('take' as const), count: fc.integer({ min: 1, max: 5 }) }),
  },
)

t.test('whatever comes and goes, it holds what a list would that counts each time', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), steps => {
      const queue = new FairQueue(SIZE)
      const waiting: Waiting[] = []
      const bytesOf = (list: Waiting[]) => list.reduce((sum, { bytes }) => sum + 4 + bytes.length, 0)
      for (const each of steps) {
        if (each.do === 'put') {
          const bytes = Buffer.from(frame({ length: each.length, seed: each.seed }))
          const port = each.id < 0 ? undefined : portOf(each.id)
          const held = bytesOf(waiting.filter(({ id }) => id === each.id))
          const mayEnter = held + 4 + bytes.length <= SIZE - bytesOf(waiting)
          if (put(queue, port, bytes) !== mayEnter)
            throw new Error(`the port should ${mayEnter ? '' : 'not '}enter`)
          if (mayEnter) waiting.push({ bytes, port, id: each.id })
        } else {
          for (let i = 0; i < each.count && waiting.length > 0; i++) {
            const { bytes, port } = waiting.shift()!
            const { at, length } = queue
            if (!bytes.equals(queue.bytes.subarray(at, at + length))) throw new Error('another frame')
            if (queue.port !== port) throw new Error('from another port')
            queue.shift()
          }
          queue.compact()
        }
        if (queue.frames !== waiting.length) throw new Error(`${queue.frames} wait, not ${waiting.length}`)
      }
    }),
    { numRuns: 500 },
  )
})

t.test('a frame that is being read stays where it is while others come', async t => {
  const queue = new FairQueue(SIZE)
  const port = portOf(1)
  const bytes = Buffer.from(frame({ seed: 1 }))
  put(queue, port, bytes)
  const { at, length } = queue
  queue.shift()
  for (let seed = 2; seed < 200; seed++) {
    if (put(queue, port, frame({ seed }))) queue.shift()
  }
  t.same(queue.bytes.subarray(at, at + length), bytes)
  t.notOk(put(queue, port, frame()), 'its room is not free yet')
  queue.compact()
  t.ok(put(queue, port, frame()))
})
