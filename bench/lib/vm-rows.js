// The rows of the questions that pour to one VM with others plugged in. A side is { name, cases }, the first side
// being ours; cases are { vms, hung, slices }, slices being what was poured, pair by pair.

import { compare, median } from './pairs.js'
import { joinPours } from './segments.js'

// The goal of issue #58: others that are plugged in do not slow a VM down.
const FLAT = { atLeast: 0.9 }
const NOT_SLOWER = { atLeast: 1 }

const rates = ({ slices }) => slices.map(own => joinPours(own).gbps)
const share = (side, at, of) => compare(rates(side.cases[at]), rates(side.cases[of]))

/**
 * A row for each case: against the other side where there is one, else against the same side's `of`, the case that a
 * case is held against, by default the first.
 */
export function* vmRows(uplink, sides) {
  const [ours, theirs] = sides
  for (const [at, { vms, hung, of = 0 }] of ours.cases.entries()) {
    const count = `${vms} ${vms === 1 ? 'VM' : 'VMs'}`
    const what = `${uplink}, ${count}${hung ? ', the other hangs' : ''}`
    yield {
      what,
      ...valueOf(ours, theirs, at, of),
      sides: sides.map(side => sideText(side, at, of)),
    }
  }
}

function valueOf(ours, theirs, at, of) {
  const { vms, hung } = ours.cases[at]
  const both = { a: detail(ours, at), b: theirs && detail(theirs, at) }
  const ratioRow = ({ ratio, ...spread }, goal) => {
    return { value: ratio, unit: '×', goal, result: { ...spread, ...both } }
  }
  // What hangs altogether has no ratio.
  if (theirs && !hung) return ratioRow(compare(rates(ours.cases[at]), rates(theirs.cases[at])), NOT_SLOWER)
  if (at !== of) return ratioRow(share(ours, at, of), FLAT)
  const all = rates(ours.cases[at])
  const spread = { least: Math.min(...all), most: Math.max(...all) }
  return { value: median(all), unit: 'Gbit/s', result: { ...spread, ...both, vms } }
}

const detail = (side, at) => {
  const { vms, hung = false, slices } = side.cases[at]
  return { name: side.name, vms, hung, ...joinPours(slices.flat()), pairs: rates(side.cases[at]) }
}

function sideText(side, at, of) {
  const { gbps, cores } = joinPours(side.cases[at].slices.flat())
  const held = at === of ? '' : `, ${share(side, at, of).ratio.toFixed(2)} of ${side.cases[of].vms}'s`
  return `${side.name} ${gbps.toFixed(2)} Gbit/s${held} (${cores.toFixed(2)})`
}
