// How much memory does it hold with 64 ports, after load? A daemon of its own, so that nothing that went
// before counts. Read while the ports are still plugged in.

import { runLoad } from '../lib/load.js'

export const title = 'Memory with 64 ports'

const LOADS = [
  { flows: 3, size: 1514, write: 'one' },
  { flows: 32, size: 1514, write: 'one' },
  { flows: 32, size: 64, write: 'burst:32' },
]

const megabytes = kib => (kib * 1024) / 1e6

export async function* ask(bench) {
  const racer = await bench.startVmbridge()
  let last
  for (const load of LOADS)
    last = await runLoad(racer, 'throughput', { ...load, ports: 64, seconds: bench.seconds })
  yield { what: 'resident after load', value: megabytes(last.serverRssKiB), unit: 'MB', goal: { below: 100 } }
  yield { what: 'resident at its peak', value: megabytes(last.serverPeakRssKiB), unit: 'MB' }
}
