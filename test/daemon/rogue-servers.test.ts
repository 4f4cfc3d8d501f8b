// Other DHCP servers behind the ports of VMs: who is reported, of which address, when, and how often.

import fc from 'fast-check'
import t from 'tap'
import { SegmentInspector } from '../../src/daemon/inspector.js'
import { logRogue, type RogueServer } from '../../src/daemon/rogue-servers.js'
import { SERVER_ID } from '../../src/dhcp/options.js'
import type { Logger } from '../../src/log.js'
import { Neighbors } from '../../src/neighbors/neighbors.js'
import { DROP_ROGUE } from '../../src/switch/inspector.js'
import { Port } from '../../src/switch/port.js'
import { Client, ip, RecordedLog, type Fields } from '../dhcp/segment.js'
import { turn } from '../helpers/frames.js'

/** An inspector that guards, and what it reported so far. */
function watch() {
  const reported: RogueServer[] = []
  const inspector = new SegmentInspector({
    neighbors: new Neighbors(),
    guarded: true,
    onRogue: rogue => void reported.push(rogue),
  })
  return {
    inspector,
    reported,
    plug(id: number): Port {
      const port = new Port({ name: `vm${id}`, role: 'vm' })
      port.id = id
      inspector.addPort(port)
      return port
    },
    /** The frame comes in, in a buffer that is reused; its verdict. */
    hear(frame: Uint8Array, port: Port, now = 0): number {
      const run = new Uint8Array(frame.length + 16).fill(0xa5)
      run.set(frame, 8)
      const verdict = inspector.inspect(run, 8, frame.length, port, now)
      run.fill(0xa5)
      return verdict
    },
    /** The MACs that were reported since the last call, by their last octet. */
    async take(): Promise<string[]> {
      await turn()
      return reported.splice(0).map(({ port, mac }) => `${port} ${mac.slice(-2)}`)
    },
  }
}

const offer = (n: number, fields: Fields = {}): Uint8Array =>
  new Client(n).frame({ sourcePort: 67, destinationPort: 68, op: 2, type: 2, ...fields })

t.test(
  'a server is reported with its port, MAC and address: from an event, never within the run',
  async t => {
    const { hear, reported, plug } = watch()
    const frame = offer(7, {
      sourceIp: ip('10.0.0.3'),
      siaddr: ip('10.0.0.2'),
      options: [[SERVER_ID, ip('10.0.0.1')]],
    })
    t.equal(hear(frame, plug(3)), DROP_ROGUE)
    t.same(reported, [])
    await turn()
    t.same(reported, [{ port: 'vm3', mac: '52:54:00:00:00:07', server: '10.0.0.1' }])
  },
)

t.test('its address is what it says first: identifier, next server, source; or nothing', async t => {
  const { hear, reported, plug } = watch()
  const tagged = (frame: Uint8Array) =>
    Buffer.concat([frame.subarray(0, 12), Buffer.from('81000000', 'hex'), frame.subarray(12)])
  const source = { sourceIp: ip('10.0.0.3') }
  const frames = [
    offer(7, { ...source, siaddr: ip('10.0.0.2') }),
    offer(7, source),
    offer(7),
    offer(7, { ...source, options: [[SERVER_ID, 0]] }),
    offer(7, source).subarray(0, 60),
    tagged(offer(7, { ...source, siaddr: ip('10.0.0.2') })),
    offer(7, { ...source, destinationPort: 67 }),
  ]
  for (const [i, frame] of frames.entries()) hear(frame, plug(i))
  await turn()
  t.same(
    reported.map(({ server }) => server),
    ['10.0.0.2', '10.0.0.3', undefined, '10.0.0.3', '10.0.0.3', '10.0.0.2', '10.0.0.3'],
  )
})

t.test('once for a port and a MAC, and once a minute for a port', async t => {
  const { hear, plug, take } = watch()
  const [a, b] = [plug(1), plug(2)]
  for (let i = 0; i < 5; i++) hear(offer(7), a, i)
  hear(offer(8), a, 10)
  hear(offer(7), b, 10)
  t.same(await take(), ['vm1 07', 'vm2 07'])
  hear(offer(8), a, 59_999)
  t.same(await take(), [])
  hear(offer(7), a, 60_000)
  hear(offer(8), a, 60_000)
  t.same(await take(), ['vm1 08'])
  for (let now = 120_000; now < 3_600_000; now += 20_000) {
    hear(offer(7), a, now)
    hear(offer(8), a, now)
  }
  t.same(await take(), [], 'they are known')
})

t.test('a port that comes with the number of one that left is another', async t => {
  const { inspector, hear, plug, take } = watch()
  hear(offer(7), plug(1), 0)
  inspector.forgetPort(1)
  hear(offer(7), plug(1), 1)
  t.same(await take(), ['vm1 07', 'vm1 07'])
})

t.test(
  'a port with a new MAC for each frame is reported once a minute, and little is kept of it',
  async t => {
    const { hear, plug, take } = watch()
    const port = plug(1)
    let reports = 0
    for (let minute = 0; minute < 20; minute++) {
      for (let i = 0; i < 50; i++) hear(offer(100 * minute + i), port, 60_000 * minute + i)
      reports += (await take()).length
    }
    t.equal(reports, 20)
    hear(offer(0), port, 60_000 * 20)
    t.equal((await take()).length, 1, 'the first was forgotten')
  },
)

t.test('a turn reports a bounded number, whatever ports come and go in it', async t => {
  const { inspector, hear, plug, take } = watch()
  const frame = offer(7)
  for (let i = 0; i < 1000; i++) {
    hear(frame, plug(1))
    inspector.forgetPort(1)
  }
  t.equal((await take()).length, 64)
  hear(offer(7), plug(1))
  t.equal((await take()).length, 1)
})

t.test('whatever a rogue server sends, its report does not throw', async () => {
  const { inspector, reported, plug, hear } = watch()
  const changes = fc.array(fc.tuple(fc.integer({ min: 36, max: 400 }), fc.nat(255)), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(changes, fc.integer({ min: 38, max: 400 }), async (list, length) => {
      const frame = offer(7, { options: [[SERVER_ID, 1]] })
      for (const [at, value] of list) if (at < frame.length) frame[at] = value
      frame.set([0, 68], 36)
      reported.length = 0
      hear(frame.subarray(0, length), plug(1))
      await turn()
      inspector.forgetPort(1)
      return reported.length === 1
    }),
    { numRuns: 300 },
  )
})

t.test('the line says who, where, and that it was dropped', async t => {
  const log = new RecordedLog()
  const rogue = { port: 'vm3', mac: '52:54:00:00:00:07', server: '10.0.0.1' }
  logRogue(log as unknown as Logger, rogue)
  logRogue(log as unknown as Logger, { ...rogue, server: undefined })
  const rest = 'dropped; only the built-in one answers here'
  t.same(log.messages, [
    `DHCP server on vm3 (52:54:00:00:00:07, says it is 10.0.0.1): ${rest}`,
    `DHCP server on vm3 (52:54:00:00:00:07): ${rest}`,
  ])
  t.match(log.lines[0], {
    level: 'warn',
    fields: { event: 'dhcp.rogue', port: 'vm3', mac: '52:54:00:00:00:07', ip: '10.0.0.1' },
  })
})
