// Two contenders, measured in pairs.
//
// A machine is not the same from one second to the next: others use it, clocks change. So contenders are
// never measured one after the other but in slices of a tenth of a second, in the order A B B A, and a pair
// is the sum of its slices. What is told is the median of the pairs' ratios, and their spread.

const SLICE_SECONDS = 0.1

export const median = values => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const sum = (results, name) => results.reduce((total, result) => total + (result[name] ?? 0), 0)

/**
 * Slices of a pair's member, for so many seconds of measurement.
 */
export const sliceCount = (seconds, slice = SLICE_SECONDS) => Math.max(2, 2 * Math.round(seconds / slice / 2))
export const sliceSeconds = seconds => seconds / sliceCount(seconds)

/**
 * Measures all members in turn, forwards and backwards, a slice each.
 *
 * @param members functions that measure a slice
 * @returns for each member its slices, pair by pair
 */
export async function measureInTurn(members, { pairs, slices }) {
  const results = members.map(() => [])
  for (let pair = 0; pair < pairs; pair++) {
    for (const own of results) own.push([])
    for (let slice = 0; slice < slices; slice++) {
      const order = [...members.keys()]
      if ((slice + pair) % 2 !== 0) order.reverse()
      for (const member of order) results[member][pair].push(await members[member]())
    }
  }
  return results
}

/** Number by number, the ratios of two members' pairs: their median, the least and the most. */
export function compare(a, b) {
  const ratios = a.map((value, pair) => value / b[pair])
  return { ratio: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios), ratios }
}

/**
 * Measures a and b in turn.
 *
 * @param a,b functions that measure a slice
 * @param join makes one result of a member's slices
 * @param key of the results, whose ratio a / b is wanted
 * @returns {{ a, b, ratio, least, most, ratios }} a and b being joined over all pairs
 */
export async function racePairs({ a, b, join, key, pairs, slices }) {
  const [ofA, ofB] = await measureInTurn([a, b], { pairs, slices })
  const keys = own => own.map(slices => join(slices)[key])
  return { a: join(ofA.flat()), b: join(ofB.flat()), ...compare(keys(ofA), keys(ofB)) }
}

/** Throughput slices: frames, seconds and CPU time add up. */
export function joinThroughput(results) {
  const frames = sum(results, 'frames')
  const seconds = sum(results, 'seconds')
  const serverNs = results.reduce((total, result) => total + result.serverCpuNsPerFrame * result.frames, 0)
  return {
    frames,
    seconds,
    kpps: frames / seconds / 1e3,
    gbps: (frames * 8 * results[0].size) / seconds / 1e9,
    cpuNsPerFrame: serverNs / frames,
    serverBusy: serverNs / 1e9 / seconds,
    loadBusy: median(results.map(result => result.loadBusy)),
    lost: sum(results, 'lost'),
    reordered: sum(results, 'reordered'),
    wrong: sum(results, 'wrong'),
    stray: sum(results, 'stray'),
    stalls: sum(results, 'stalls'),
  }
}

/** Round-trip slices: the median slice. */
export function joinLatency(results) {
  const middle = name => median(results.map(result => result[name]))
  return {
    rounds: sum(results, 'rounds'),
    seconds: sum(results, 'seconds'),
    p50Us: middle('p50Us'),
    p99Us: middle('p99Us'),
    cpuNsPerFrame: middle('serverCpuNsPerFrame'),
    lost: sum(results, 'lost'),
  }
}
