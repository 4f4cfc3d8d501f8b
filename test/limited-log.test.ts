// A log under a limit: what passes, what is left out, and that somebody says so.

import fc from 'fast-check'
import t from 'tap'
import { limitLog } from '../src/limited-log.js'
import { FakeClock, RecordedLog } from './dhcp/segment.js'

function limited(perSecond = 10, burst = 20) {
  const clock = new FakeClock()
  const recorded = new RecordedLog()
  const log = limitLog(recorded, clock, { topic: 'DHCP', perSecond, burst })
  let said = 0
  return {
    clock,
    recorded,
    log,
    /** Writes so many lines; those that came through since the last call. */
    write(count: number): string[] {
      for (let i = 0; i < count; i++) log.info({ n: said }, `line ${said++}`)
      return recorded.lines.splice(0).map(({ message }) => message)
    },
  }
}

t.test('a burst passes whole and as it is, the rest is left out and counted in one line', async t => {
  const { clock, recorded, log, write } = limited()
  log.warn({ event: 'dhcp.decline' }, 'DHCPDECLINE')
  t.same(recorded.lines.splice(0), [
    { level: 'warn', fields: { event: 'dhcp.decline' }, message: 'DHCPDECLINE' },
  ])
  t.same(
    write(50),
    Array.from({ length: 19 }, (_, i) => `line ${i}`),
  )
  clock.advance(10)
  t.same(recorded.lines, [
    { level: 'warn', fields: { event: 'dhcp.log', suppressed: 31 }, message: '31 DHCP log lines left out' },
  ])
})

t.test('errors always pass, and take no room', async t => {
  const { recorded, log, write } = limited()
  write(100)
  for (let i = 0; i < 50; i++) log.error({}, 'the disk is full')
  t.equal(recorded.lines.splice(0).length, 50)
  const fresh = limited()
  for (let i = 0; i < 50; i++) fresh.log.error({}, 'the disk is full')
  fresh.recorded.lines.length = 0
  t.equal(fresh.write(100).length, 20)
})

t.test('there is room again with time, up to a burst', async t => {
  const { clock, write } = limited()
  write(20)
  clock.advance(0.5)
  t.equal(write(9).filter(line => line.startsWith('line')).length, 5)
  clock.advance(3600)
  t.same(write(0), ['4 DHCP log lines left out'])
  t.equal(write(100).length, 20)
})

t.test('a flood that lasts costs its rate, and one line a second about the rest', async t => {
  const { clock, write } = limited()
  write(20)
  const lines: string[] = []
  for (let i = 0; i < 100; i++) {
    lines.push(...write(10))
    clock.advance(0.1)
  }
  const notes = lines.filter(line => line.includes('left out'))
  t.ok(notes.length >= 8 && notes.length <= 10, `${notes.length} notes in 10 s`)
  t.ok(lines.length - notes.length >= 98 && lines.length - notes.length <= 101)
})

t.test('one line left out is one', async t => {
  const { clock, write } = limited()
  write(21)
  clock.advance(5)
  t.same(write(0), ['1 DHCP log line left out'])
})

t.test('the note says what the lines are about', async t => {
  const clock = new FakeClock()
  const recorded = new RecordedLog()
  const log = limitLog(recorded, clock, { topic: 'port', perSecond: 1, burst: 1 })
  for (let i = 0; i < 3; i++) log.warn({}, 'line')
  clock.advance(1)
  t.same(recorded.lines.at(-1), {
    level: 'warn',
    fields: { event: 'port.log', suppressed: 2 },
    message: '2 port log lines left out',
  })
})

t.test('a clock that goes back neither silences the log nor opens it', async t => {
  const clock = new FakeClock()
  const recorded = new RecordedLog()
  let offset = 0
  const log = limitLog(
    recorded,
    { now: () => clock.now() + offset, after: (ms, call) => clock.after(ms, call) },
    { topic: 'DHCP', perSecond: 10, burst: 20 },
  )
  for (let i = 0; i < 30; i++) log.info({}, 'line')
  offset = -3_600_000
  for (let i = 0; i < 30; i++) log.info({}, 'line')
  t.equal(recorded.lines.length, 20)
  clock.advance(1)
  log.info({}, 'line')
  t.equal(recorded.messages.at(-1), 'line')
})

t.test('every line is there or counted', async () => {
  const step = fc.tuple(fc.nat(40), fc.nat(1500))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const { clock, recorded, log } = limited()
      let said = 0
      for (const [count, ms] of steps) {
        for (let i = 0; i < count; i++) log.info({}, 'line')
        said += count
        clock.advance(ms / 1000)
      }
      clock.advance(10)
      const left = recorded.lines.reduce((sum, { fields }) => sum + Number(fields.suppressed ?? 0), 0)
      return recorded.messages.filter(message => message === 'line').length + left === said
    }),
  )
})
