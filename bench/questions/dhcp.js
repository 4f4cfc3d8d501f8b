// How many DHCP exchanges a second does it serve, each lease on disk before its ACK, and how quickly? Against dnsmasq
// with its lease file, which promises the same.

import { describe, isClean, joinRuns, killUnderLoad, runExchanges } from '../lib/exchanges.js'
import { measureSync } from '../lib/disk.js'
import { Ladder } from '../lib/ladder.js'
import { startDnsmasq, startVmbridgeDhcp } from '../lib/lease-servers.js'
import { median } from '../lib/pairs.js'
import { needTools } from '../lib/tools.js'

export const title =
  'DHCP: exchanges of four messages a second, cleanly (under 1 % without their ACK), against dnsmasq'

// A step is short, in favour of dnsmasq, and long enough for its sockets' buffers to fill.
const STEP = 5
// Long enough that the clients of the first moment, for whom a new server has looked for an address with ARP (80 ms)
// are fewer than one in a hundred; the row after each p99 is without the first second.
const LATENCY = 20
// Of the latencies, and of the kills under load: as many as there are pairs, up to so many.
const MOST_REPEATS = 3
const TIMES_DNSMASQ = 5

export async function* ask(bench) {
  // Another switch of the same framing has no DHCP server to race.
  if (bench.server) return
  needTools(['perfdhcp', 'dnsmasq', 'ip'], 'apt-get install kea-admin dnsmasq-base iproute2')
  yield syncRow(measureSync(bench.scratch))
  const ours = contender('vmbridge', () => startVmbridgeDhcp(bench.scratch))
  const theirs = contender('dnsmasq', () => startDnsmasq(bench.scratch))
  const sides = [ours, theirs]

  for (let pair = 0; pair < bench.pairs; pair++) await climb(sides, STEP * bench.seconds, pair)
  yield cleanRow(ours, theirs)
  yield* stepRows(ours, theirs)

  const [ourClean, theirClean] = sides.map(({ clean }) => median(clean))
  const points = [
    {
      side: ours,
      what: `half of ${TIMES_DNSMASQ} × dnsmasq's`,
      rate: (TIMES_DNSMASQ * theirClean) / 2,
      goal: { below: 20 },
    },
    { side: ours, what: 'half of its own', rate: ourClean / 2 },
    { side: theirs, what: 'half of its own', rate: theirClean / 2 },
  ].map(point => ({ ...point, rate: Math.max(1, Math.round(point.rate)), runs: [] }))
  const repeats = Math.min(bench.pairs, MOST_REPEATS)
  for (let pair = 0; pair < repeats; pair++) {
    for (const point of pair % 2 === 0 ? points : points.toReversed())
      point.runs.push(await run(point.side, point.rate, LATENCY * bench.seconds))
  }
  for (const point of points) yield* latencyRows(point)

  for (const side of sides) yield await keptRow(side, repeats, STEP * bench.seconds)
}

// `clean`: the clean rate of each pair. `runs`: all that was run, to hold its ACKs against its leases.
const contender = (name, start) => ({ name, start, clean: [], runs: [] })

async function run(side, rate, seconds) {
  const result = { name: side.name, ...(await runExchanges(side.start, { rate, seconds })) }
  side.runs.push({ ...result, seconds })
  return result
}

// Both up their steps in turn, A B B A, until each has its clean rate.
async function climb(sides, seconds, pair) {
  const climbers = sides.map(side => ({ side, ladder: new Ladder(side.clean.at(-1)), served: 0 }))
  for (let step = pair, busy = true; busy; step++) {
    busy = false
    for (const climber of step % 2 === 0 ? climbers : climbers.toReversed()) {
      const rate = climber.ladder.next()
      if (rate === undefined) continue
      busy = true
      const result = await run(climber.side, rate, seconds)
      climber.ladder.take(rate, isClean(result))
      // ACKs a second at the highest clean rate: where perfdhcp could not send as asked, what it did send counts.
      if (climber.ladder.clean === rate) climber.served = result.rate
    }
  }
  for (const { side, served } of climbers) side.clean.push(served)
}

const syncRow = ({ p50Ms, p99Ms }) => ({
  what: 'append and fdatasync of 128 B on this disk, p50',
  value: p50Ms,
  unit: 'ms',
  sides: [`p99 ${p99Ms.toFixed(2)} ms`],
  result: { p50Ms, p99Ms },
})

function cleanRow(ours, theirs) {
  const ratios = ours.clean.map((rate, pair) => rate / theirs.clean[pair])
  const text = ({ name, clean }) =>
    `${name} ${median(clean).toFixed(0)}/s (${clean.map(Math.round).join(', ')})`
  return {
    what: 'clean rate',
    value: median(ratios),
    unit: '×',
    goal: { atLeast: TIMES_DNSMASQ },
    sides: [text(ours), text(theirs)],
    result: {
      least: Math.min(...ratios),
      most: Math.max(...ratios),
      ratios,
      a: { name: ours.name, rate: median(ours.clean), rates: ours.clean },
      b: { name: theirs.name, rate: median(theirs.clean), rates: theirs.clean },
    },
  }
}

// For information: each rate that was tried, with what came of it on either side.
function* stepRows(...sides) {
  const rates = new Set(sides.flatMap(({ runs }) => runs.map(({ asked }) => asked)))
  for (const rate of [...rates].sort((a, b) => a - b)) {
    const joined = sides.map(({ name, runs }) => {
      const own = runs.filter(({ asked }) => asked === rate)
      return own.length ? { ...joinRuns(own), name } : undefined
    })
    const [a, b] = joined
    yield {
      what: `  at ${rate}/s`,
      sides: joined.map(side => (side ? describe(side) : '')),
      result: { a, b },
    }
  }
}

function* latencyRows({ side, what, rate, runs, goal }) {
  const joined = { ...joinRuns(runs), name: side.name }
  const row = key => {
    const values = runs.map(run => run[key])
    return {
      value: median(values),
      unit: 'ms',
      result: { least: Math.min(...values), most: Math.max(...values) },
    }
  }
  const whole = row('p99Ms')
  whole.result.a = joined
  yield {
    what: `p99 of ${side.name} at ${what} clean rate, ${rate}/s`,
    goal,
    sides: [describe(joined)],
    ...whole,
  }
  yield { what: '  without its first second', sides: [], ...row('laterP99Ms') }
}

// Every run ended with SIGKILL; some more have it in the middle.
async function keptRow(side, kills, seconds) {
  const rate = Math.max(1, Math.round(median(side.clean) / 2))
  const killed = []
  while (killed.length < kills) killed.push(await killUnderLoad(side.start, { rate, seconds }))
  const total = (runs, key) => runs.reduce((sum, each) => sum + each[key], 0)
  const counts = runs => `${total(runs, 'acks')} ACKs, ${total(runs, 'leases')} leases`
  const missing = side.runs.reduce((sum, { acks, leases }) => sum + Math.max(0, acks - leases), 0)
  return {
    what: `ACKs of ${side.name} without a lease after SIGKILL`,
    value: missing + total(killed, 'forgotten'),
    unit: '',
    goal: side.name === 'vmbridge' ? { atMost: 0 } : undefined,
    sides: [counts(side.runs), `${kills} times under load: ${counts(killed)}`],
    result: { runs: side.runs, killed },
  }
}
