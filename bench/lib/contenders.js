// What is measured in pairs: a contender measures one slice when it is asked to.

import { runLoad } from './load.js'
import { startCeiling } from './racers.js'
import { joinLatency, joinThroughput, racePairs, sliceCount, sliceSeconds } from './pairs.js'

// Of a slice: windows fill and the caches with them. The long one is for V8, once for each racer and load.
const WARMUP_SECONDS = 0.03
const FIRST_WARMUP_SECONDS = 0.5
const ROUNDS = 2_000
const WARMUP_ROUNDS = 200
const FIRST_WARMUP_ROUNDS = 5_000

/** A racer that stays up for all slices. */
export const standing = (racer, cpu) => (mode, options) => runLoad(racer, mode, options, cpu)

/** The ceiling, started anew for each slice. */
export const ceiling = (scratch, cpu) => async (mode, options) => {
  const racer = await startCeiling(scratch, { cpu })
  try {
    return await runLoad(racer, mode, options, cpu)
  } finally {
    await racer.stop()
  }
}

/**
 * Races two contenders for frames a second.
 *
 * @param bench { pairs, seconds }
 * @param a,b { name, run, load }: a contender and what it is asked to carry
 */
export async function raceThroughput(bench, a, b) {
  const seconds = sliceSeconds(bench.seconds)
  const slice = ({ run, load }) => {
    return () => run('throughput', { ...load, warmup: WARMUP_SECONDS, seconds })
  }
  for (const { run, load } of [a, b]) {
    await run('throughput', { ...load, warmup: FIRST_WARMUP_SECONDS, seconds })
  }
  return race(bench, a, b, { slice, join: joinThroughput, key: 'kpps' })
}

/** Races two contenders for the time of a round trip. */
export async function raceLatency(bench, a, b) {
  const slice = ({ run, load }) => {
    return () => run('latency', { ...load, warmup: WARMUP_ROUNDS, rounds: ROUNDS })
  }
  for (const { run, load } of [a, b]) {
    await run('latency', { ...load, warmup: FIRST_WARMUP_ROUNDS, rounds: 1 })
  }
  return race(bench, a, b, { slice, join: joinLatency, key: 'p50Us' })
}

async function race(bench, a, b, { slice, join, key }) {
  const slices = sliceCount(bench.seconds)
  const result = await racePairs({ a: slice(a), b: slice(b), join, key, pairs: bench.pairs, slices })
  return { ...result, a: { name: a.name, ...result.a }, b: { name: b.name, ...result.b } }
}
