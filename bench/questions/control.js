// The ceiling against itself: how far off a ratio can be that is known to be 1. No goal; it says how much
// the other answers are worth on this machine at this hour.

import { ceiling, raceLatency, raceThroughput } from '../lib/contenders.js'
import { ratioRow } from '../lib/goals.js'

export const title = 'The ceiling against itself (how far to trust a ratio)'

export async function* ask(bench) {
  const a = { name: 'ceiling', run: ceiling(bench.scratch) }
  for (const load of [{ size: 64 }, { size: 1514, write: 'burst:32' }]) {
    const what = `${load.size} B, ${load.write ?? 'one a write'}`
    yield ratioRow(what, await raceThroughput(bench, { ...a, load }, { ...a, load }))
  }
  const run = ceiling(bench.scratch, bench.oneCore)
  const end = { name: 'ceiling', run, load: { size: 64 } }
  yield ratioRow('round trip, 64 B, one core', await raceLatency(bench, end, end))
}
