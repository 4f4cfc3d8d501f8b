// What does the host send to one VM, with others plugged in? The table of socket_vmnet's issue #58, where every VM gets
// what is for one of them. And with one beside that stopped reading (#39, #173).

import { measureInTurn, sliceCount } from '../lib/pairs.js'
import {
  hang,
  otherServer,
  plugVm,
  pour,
  startSegment,
  untilReached,
  vmbridgeOnTap,
  vmbridgeOnVmnet,
} from '../lib/segments.js'
import { needTools } from '../lib/tools.js'
import { vmRows } from '../lib/vm-rows.js'

export const title = 'TCP from the host to one VM, with others plugged in'

// The last is held against the second: two VMs, and neither hangs.
const CASES = [{ vms: 1 }, { vms: 2 }, { vms: 3 }, { vms: 4 }, { vms: 2, hung: true, of: 1 }]
// Of a slice: long enough for TCP to find its pace before it is measured.
const WARMUP_SECONDS = 0.15
const SLICE_SECONDS = 0.25

export async function* ask(bench) {
  // Another switch of the same framing has no uplink to pour into.
  if (bench.server) return
  needTools(['ip'], 'apt-get install iproute2')
  yield* race(bench, 'TAP', [vmbridgeOnTap()])
  if (bench.against) yield* race(bench, "vmnet's stand-in", [vmbridgeOnVmnet(), otherServer(bench.against)])
}

// Every case of every server has a segment of its own, which stays up, so that all are measured in turn.
async function* race(bench, uplink, servers) {
  const slices = sliceCount(bench.seconds, SLICE_SECONDS)
  const load = { warmup: WARMUP_SECONDS, seconds: bench.seconds / slices }
  const segments = []
  try {
    const members = []
    for (const server of servers) {
      for (const { vms, hung } of CASES) {
        const segment = await startSegment(bench.scratch, server)
        segments.push(segment)
        members.push(await memberOf(segment, vms, hung, load))
      }
    }
    const results = await measureInTurn(members, { pairs: bench.pairs, slices })
    const sides = servers.map(({ name }, at) => {
      const own = results.slice(at * CASES.length)
      return { name, cases: CASES.map((each, index) => ({ ...each, slices: own[index] })) }
    })
    yield* vmRows(uplink, sides)
  } finally {
    for (const segment of segments) await segment.close()
  }
}

async function memberOf(segment, vms, hung, load) {
  let last
  for (let number = 1; number <= vms; number++) last = await plugVm(segment, number)
  await untilReached(segment)
  if (!hung) return () => pour(segment, load)
  return async () => {
    await hang(segment, last, vms)
    try {
      return await pour(segment, load)
    } finally {
      last.cont()
    }
  }
}
