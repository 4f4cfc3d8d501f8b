// What the disk takes for a promise: a small append and fdatasync, which is what a lease costs before its ACK may leave.

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const ROUNDS = 300
const BYTES = 128

/** In a file of this folder: { p50Ms, p99Ms } of an append of 128 bytes and its fdatasync. */
export function measureSync(folder) {
  const path = join(folder, 'sync')
  const file = openSync(path, 'wx')
  const record = Buffer.alloc(BYTES, 0xa5)
  const times = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    writeSync(file, record)
    fdatasyncSync(file)
    times.push(performance.now() - start)
  }
  closeSync(file)
  rmSync(path)
  times.sort((a, b) => a - b)
  return { p50Ms: times[ROUNDS / 2], p99Ms: times[Math.floor(ROUNDS * 0.99)] }
}
