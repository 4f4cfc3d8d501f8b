// Stands in for another program that keeps leases in the file: `leases-writer.js PATH rename|in-place ROUNDS SEED`. As bootpd
// does, it reads the file once, then has everything in memory and writes all of it for each lease: so it puts stale entries
// back, ours among them. It says `begun` and `done`, and when it is told to (a line on stdin) writes a last time and ends.

import { renameSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { bootpd } from './leases.js'
import { readLeases } from './minikube.js'

const [path, how, rounds, seed] = process.argv.slice(2) as [string, string, string, string]
/** The MACs whose leases it has: 2:SEED:0:0:0:1 and so on. */
const STATIONS = 6

let entries = readLeases(path)
  .split(/(?<=^}\n)/m)
  .filter(text => text !== '')
let state = Number(seed)

function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

function write(): void {
  const text = entries.join('')
  const beside = `${path}-${seed}`
  writeFileSync(how === 'rename' ? beside : path, text)
  if (how === 'rename') renameSync(beside, path)
}

function lease(station: number): void {
  const mac = `2:${seed}:0:0:0:${station}`
  const entry = bootpd(
    `172.16.${seed}.${station}`,
    mac,
    `0x7${random(0xfffffff).toString(16).padStart(7, '0')}`,
  )
  entries = [entry, ...entries.filter(text => !text.includes(`1,${mac}\n`))]
  write()
}

console.log('begun')
for (let round = 0; round < Number(rounds); round++) {
  lease(1 + random(STATIONS))
  await new Promise(resolve => setTimeout(resolve, random(6)))
}
for (let station = 1; station <= STATIONS; station++) lease(station)
console.log('done')
await once(process.stdin, 'data')
write()
process.exit(0)
