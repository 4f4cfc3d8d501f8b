// The same with real VMs: what does the host send to one QEMU guest, with others plugged in? Without KVM the guest's
// own CPU is what limits it; what a flood costs the other guests shows all the more.

import { bootGuest } from '../lib/guests.js'
import { measureInTurn, sliceCount } from '../lib/pairs.js'
import {
  otherServer,
  pour,
  startSegment,
  untilReached,
  vmbridgeOnTap,
  vmbridgeOnVmnet,
} from '../lib/segments.js'
import { needTools } from '../lib/tools.js'
import { vmRows } from '../lib/vm-rows.js'

export const title = 'TCP from the host to one QEMU guest (TCG), with others plugged in'

const MOST_GUESTS = 4
// A guest is slow to find its pace.
const WARMUP_SECONDS = 0.5
const SLICE_SECONDS = 1

export async function* ask(bench) {
  if (bench.server) return
  needTools(['ip', 'qemu-system-aarch64'], 'apt-get install iproute2 qemu-system-arm')
  if (bench.against) yield* race(bench, "vmnet's stand-in", [vmbridgeOnVmnet(), otherServer(bench.against)])
  else yield* race(bench, 'TAP', [vmbridgeOnTap()])
}

// The guests come one by one, so what is measured in turn are the servers, not the numbers of guests.
async function* race(bench, uplink, servers) {
  const slices = sliceCount(bench.seconds, SLICE_SECONDS)
  const load = { warmup: WARMUP_SECONDS, seconds: bench.seconds / slices }
  const sides = []
  try {
    for (const server of servers) {
      const segment = await startSegment(bench.scratch, server)
      sides.push({ name: server.name, segment, cases: [] })
    }
    for (let vms = 1; vms <= MOST_GUESTS; vms++) {
      for (const { segment } of sides) await bootGuest(segment, vms)
      if (vms === 1) for (const { segment } of sides) await untilReached(segment)
      const members = sides.map(
        ({ segment }) =>
          () =>
            pour(segment, load),
      )
      const results = await measureInTurn(members, { pairs: bench.pairs, slices })
      sides.forEach(({ cases }, at) => cases.push({ vms, slices: results[at] }))
    }
    yield* vmRows(uplink, sides)
  } finally {
    for (const { segment } of sides) await segment.close()
  }
}
