// The answers as a table for people. A ratio is the median of its pairs, with the least and the most of
// them behind it; the columns of the two contenders hold kpps, Gbit/s, nanoseconds of the server's CPU for a
// frame, and in brackets how much of a core that was. A server that is well under 1 core waited for the load. A row
// that has other things to tell of them brings its text for both columns as `sides`.

import { isMet } from './goals.js'

// Cores that something else may use before the answers are called into doubt.
const QUIET = 0.1

const fixed = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '-')

function goalText({ goal }) {
  if (!goal) return ''
  if (goal.atLeast !== undefined) return `>= ${goal.atLeast}`
  if (goal.atMost !== undefined) return `<= ${goal.atMost}`
  return `< ${goal.below}`
}

function verdict(row) {
  const met = isMet(row)
  return met === undefined ? '' : met ? 'met' : 'MISSED'
}

function contender(result) {
  if (result.p50Us !== undefined) {
    return `${result.name} p50 ${fixed(result.p50Us, 1)} us, p99 ${fixed(result.p99Us, 1)} us`
  }
  const cpu = `${fixed(result.cpuNsPerFrame, 0)} ns (${fixed(result.serverBusy, 2)})`
  return `${result.name} ${fixed(result.kpps, 0)} kpps, ${fixed(result.gbps, 2)} Gbit/s, ${cpu}`
}

const troubleNames = ['lost', 'reordered', 'wrong', 'stray']

function trouble(result) {
  const found = troubleNames.filter(name => result[name] > 0).map(name => `${result[name]} ${name}`)
  return found.length ? ` [${found.join(', ')}]` : ''
}

function cells(row) {
  const { result } = row
  const spread = result?.least === undefined ? '' : `${fixed(result.least, 2)}..${fixed(result.most, 2)}`
  const value = row.value === undefined ? '' : `${fixed(row.value, 2)} ${row.unit}`
  const sides = row.sides ?? (result ? [result.a, result.b].map(side => contender(side) + trouble(side)) : [])
  const [first = '', second = ''] = sides
  return [row.what, value, spread, goalText(row), verdict(row), first, second]
}

const headings = ['', 'median', 'of pairs', 'goal', '', 'first', 'second']

function align(lines) {
  const widths = headings.map((_, column) => Math.max(...lines.map(line => line[column].length)))
  return lines.map(line =>
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  )
}

/** One line of text for each row, under the question, with a warning when the machine was not quiet. */
export function questionTable(title, busy, rows) {
  const warning =
    busy > QUIET ? `\n  ! ${fixed(busy, 1)} cores were busy with something else: do not trust this` : ''
  if (rows.length === 0) return `\n${title}${warning}\n`
  return `\n${title}${warning}\n${align([headings, ...rows.map(cells)])
    .map(line => `  ${line}\n`)
    .join('')}`
}

/** What was measured on, and how. */
export function heading(machine, { pairs, seconds }) {
  const where = `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`
  return `${where}\n${pairs} pairs, ${seconds} s a side\n`
}

/** How many goals there were and how many were met; nothing where there were none. */
export function summary(rows) {
  const judged = rows.map(isMet).filter(met => met !== undefined)
  if (judged.length === 0) return ''
  return `\n${judged.filter(Boolean).length} of ${judged.length} goals met\n`
}
