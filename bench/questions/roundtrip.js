// How long is a frame's way there and back? Once with server and stations on one core, where every step is
// a switch of context on that core and the ratio shows what the server itself costs; once wherever the
// kernel puts them, where most of the time is the waking of another core.

import { ceiling, raceLatency, standing } from '../lib/contenders.js'
import { ratioRow } from '../lib/goals.js'

export const title = 'Round trip against the ceiling, p50'

const goal = { atMost: 1.1 }

export async function* ask(bench) {
  for (const cpu of [bench.oneCore, undefined]) {
    const racer = await bench.startVmbridge({ cpu })
    for (const size of [64, 1514]) {
      const load = { size }
      const ours = { name: racer.name, run: standing(racer, cpu), load }
      const theirs = { name: 'ceiling', run: ceiling(bench.scratch, cpu), load }
      const where = cpu === undefined ? 'all cores' : 'one core'
      yield ratioRow(`${size} B, ${where}`, await raceLatency(bench, ours, theirs), goal)
    }
    await racer.stop()
  }
}
