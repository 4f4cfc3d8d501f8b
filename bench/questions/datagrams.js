// What do VMs get that speak datagrams? The same daemon by its datagram and by its stream ports, a frame a write on
// both sides; and its datagram ports against vde_switch, whose ports are datagrams too.

import { raceThroughput, standing } from '../lib/contenders.js'
import { ratioRow } from '../lib/goals.js'

export const title = 'Frame rate of datagram ports'

export async function* ask(bench) {
  const datagrams = await bench.startDatagrams()
  const others = [await bench.startVmbridge(), await bench.startVde()]
  for (const other of others) {
    for (const flows of [1, 3]) {
      for (const size of [64, 1514]) {
        const load = { size, flows, ports: 2 * flows }
        const contender = racer => ({ name: racer.name, run: standing(racer), load })
        const what = `${size} B, ${flows === 1 ? '1 flow' : '3 flows'}, against ${other.name === 'vmbridge' ? 'streams' : other.name}`
        yield ratioRow(what, await raceThroughput(bench, contender(datagrams), contender(other)), undefined)
      }
    }
  }
}
