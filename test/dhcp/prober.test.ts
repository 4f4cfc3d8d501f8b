import t from 'tap'
import { FRESH, Prober, PROBE_WAIT } from '../../src/dhcp/prober.js'
import { FakeClock } from './segment.js'

function start(): { clock: FakeClock; sent: number[]; prober: Prober } {
  const clock = new FakeClock()
  const sent: number[] = []
  return { clock, sent, prober: new Prober({ clock, send: ip => void sent.push(ip) }) }
}

t.test('an address that nobody answers for is silent once the time is over', async t => {
  const { clock, sent, prober } = start()
  const heard: boolean[] = []
  prober.probe(7, PROBE_WAIT, isSilent => heard.push(isSilent))
  t.same(sent, [7])
  clock.pass(PROBE_WAIT - 1)
  t.same(heard, [])
  clock.pass(1)
  t.same(heard, [true])
  prober.heard(7)
  clock.pass(FRESH)
  t.same(heard, [true], 'told once')
  t.equal(prober.takeSilent(7), false, 'used up by the one who waited')
})

t.test('a claim ends the wait, in an event of its own', async t => {
  const { clock, prober } = start()
  const heard: boolean[] = []
  prober.probe(7, PROBE_WAIT, isSilent => heard.push(isSilent))
  clock.pass(3)
  prober.heard(8)
  prober.heard(7)
  t.same(heard, [], 'not while the frame passes')
  clock.pass(0)
  t.same(heard, [false])
  clock.pass(PROBE_WAIT)
  t.same(heard, [false])
})

t.test('what was probed ahead is silent for a moment, and once', async t => {
  const { clock, sent, prober } = start()
  prober.probeAhead([1, 2, 3], PROBE_WAIT)
  prober.probeAhead([2, 3, 4], PROBE_WAIT)
  t.same(sent, [1, 2, 3, 4], 'each asked for once')
  t.equal(prober.takeSilent(1), false, 'not known yet')
  prober.heard(2)
  clock.pass(PROBE_WAIT)
  t.equal(prober.takeSilent(2), false, 'somebody has it')
  t.equal(prober.takeSilent(1), true)
  t.equal(prober.takeSilent(1), false)
  prober.heard(3)
  t.equal(prober.takeSilent(3), false, 'claimed since')
  t.equal(prober.ahead, 1)
  prober.probeAhead([5, 6], 10)
  t.equal(prober.ahead, 3)
  prober.probe(5, 10, () => {})
  prober.heard(6)
  t.equal(prober.ahead, 1, 'one is waited for, one is claimed')
  clock.pass(FRESH)
  t.equal(prober.takeSilent(4), false, 'too long ago')
  t.equal(prober.ahead, 0)
})

t.test('who needs an address that is probed ahead waits for the rest of the time', async t => {
  const { clock, sent, prober } = start()
  const heard: boolean[] = []
  prober.probeAhead([1], PROBE_WAIT)
  clock.pass(PROBE_WAIT - 10)
  prober.probe(1, PROBE_WAIT, isSilent => heard.push(isSilent))
  t.same(sent, [1])
  clock.pass(10)
  t.same(heard, [true])
  t.equal(prober.ahead, 0)
})

t.test('who waits when many come waits no longer than they do', async t => {
  const { clock, prober } = start()
  const heard: string[] = []
  prober.probe(1, PROBE_WAIT, isSilent => heard.push(`1 ${isSilent}`))
  prober.probe(2, PROBE_WAIT, isSilent => heard.push(`2 ${isSilent}`))
  prober.hurry(30)
  prober.probe(3, PROBE_WAIT, isSilent => heard.push(`3 ${isSilent}`))
  clock.pass(10)
  prober.heard(2)
  clock.pass(20)
  t.same(heard, ['2 false', '1 true'])
  clock.pass(PROBE_WAIT)
  t.same(heard, ['2 false', '1 true', '3 true'], 'each once')
})
