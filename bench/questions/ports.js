// What do idle ports cost the busy ones? The same daemon with 10 and with 64 ports, against itself with no
// port but those in use. The goal, under 10 %, is a ratio of more than 0.9.

import { raceThroughput, standing } from '../lib/contenders.js'
import { ratioRow } from '../lib/goals.js'

export const title = 'Frame rate with idle ports, against none'

const goal = { atLeast: 0.9 }

export async function* ask(bench) {
  const racer = await bench.startVmbridge()
  const contender = load => ({ name: `${load.ports} ports`, run: standing(racer), load })
  for (const flows of [1, 3]) {
    for (const ports of [10, 64]) {
      for (const { size, write } of loads(flows)) {
        const load = { size, write, flows }
        const many = contender({ ...load, ports })
        const few = contender({ ...load, ports: 2 * flows })
        const what = `${size} B, ${write === 'one' ? 'one a write' : '32 a write'}, ${flows === 1 ? '1 flow' : '3 flows'}, ${ports} ports`
        yield ratioRow(what, await raceThroughput(bench, many, few), goal)
      }
    }
  }
}

// A frame a write leaves the daemon time to spare where the load generator is the slower of the two, so
// with one flow bursts are asked for as well.
function loads(flows) {
  const one = [64, 1514].map(size => ({ size, write: 'one' }))
  return flows === 1 ? [...one, ...[64, 1514].map(size => ({ size, write: 'burst:32' }))] : one
}
