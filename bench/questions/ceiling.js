// How near does it come to a program that only copies bytes? Two ports, one flow.

import { ceiling, raceThroughput, standing } from '../lib/contenders.js'
import { ratioRow } from '../lib/goals.js'

export const title = 'Frame rate against the ceiling, 2 ports'

const goal = { atLeast: 0.9 }

export async function* ask(bench) {
  const racer = await bench.startVmbridge()
  for (const size of [64, 1514]) {
    for (const write of ['one', 'burst:32']) {
      const load = { size, write }
      const ours = { name: racer.name, run: standing(racer), load }
      const theirs = { name: 'ceiling', run: ceiling(bench.scratch), load }
      const what = `${size} B, ${write === 'one' ? 'one a write' : '32 a write'}`
      yield ratioRow(what, await raceThroughput(bench, ours, theirs), goal)
    }
  }
}
