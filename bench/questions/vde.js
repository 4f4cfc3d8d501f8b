// How does it stand to a userspace switch that people use? A frame a write on both sides: vde_switch's
// sockets carry a datagram a frame.

import { raceThroughput, standing } from '../lib/contenders.js'
import { ratioRow } from '../lib/goals.js'

export const title = 'Frame rate against vde_switch, one frame a write'

const goal = { atLeast: 2 }

export async function* ask(bench) {
  const ours = await bench.startVmbridge()
  const theirs = await bench.startVde()
  for (const flows of [1, 3]) {
    for (const size of [64, 1514]) {
      const load = { size, flows, ports: 2 * flows }
      const contender = racer => ({ name: racer.name, run: standing(racer), load })
      const what = `${size} B, ${flows === 1 ? '1 flow, 2 ports' : '3 flows, 6 ports'}`
      yield ratioRow(what, await raceThroughput(bench, contender(ours), contender(theirs)), goal)
    }
  }
}
