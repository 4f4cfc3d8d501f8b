// Numbers that stand in native code and in TypeScript both: the two lists must be one.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as counters from '../../src/switch/counters.js'
import { MAX_STRETCHES } from '../../src/switch/port.js'
import { LENGTH_BYTES, MAX_FRAME } from '../../src/switch/run.js'
import { ROOT } from '../helpers/root.js'

const header = (name: string) => readFileSync(join(ROOT, 'native', name), 'utf8')

/** The number that a header gives a name. */
function constant(name: string, text: string): number {
  const found = new RegExp(`\\b${name} = (\\d+);`).exec(text)
  if (found === null) throw new Error(`no ${name}`)
  return Number(found[1])
}

t.test('the counters that native code writes are where TypeScript reads them', async t => {
  const cells = [...header('counters.h').matchAll(/^ {2}k(\w+) = (\d+),$/gm)]
  t.ok(cells.length >= 5, 'the enumeration was found')
  const known = new Map<string, unknown>(Object.entries(counters))
  for (const [, name, index] of cells) {
    const constantName = name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()
    t.equal(known.get(constantName), Number(index), constantName)
  }
})

t.test('every counter has a cell of its own, and every drop a name of its own', async t => {
  const cells = Object.entries(counters)
    .filter(([name, value]) => typeof value === 'number' && name !== 'COUNTERS')
    .map(([, value]) => value as number)
  t.same(
    cells.toSorted((a, b) => a - b),
    Array.from({ length: counters.COUNTERS }, (_, i) => i),
  )
  const drops = Object.entries(counters).filter(
    ([name]) => name.startsWith('DROP_') && name !== 'DROP_REASONS',
  )
  t.same(
    counters.DROP_REASONS.map(([index]) => index).toSorted((a, b) => a - b),
    drops.map(([, index]) => index as number).toSorted((a, b) => a - b),
  )
  t.equal(new Set(counters.DROP_REASONS.map(([, reason]) => reason)).size, drops.length)
})

t.test('both sides agree on the framing and on the length of a list', async t => {
  t.equal(constant('kLengthBytes', header('frames.h')), LENGTH_BYTES)
  t.equal(constant('kMaxFrame', header('frames.h')), MAX_FRAME)
  t.equal(constant('kMaxStretches', header('run_io.h').replace(/;.*/g, ';')), MAX_STRETCHES)
})
