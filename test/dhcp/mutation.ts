// Messages with faults in them, the same in every run, and how much memory is held after so many of them.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { checksum, pseudoHeader4 } from '../../src/wire/checksum.js'

// Offsets into an Ethernet frame with an IPv4 header of 20 octets.
const UDP = 34
export const BOOTP = 42
export const OPTIONS = BOOTP + 240

/** Numbers from 0 to n - 1, the same in every run (mulberry32). */
let state = 20_260_101
export function random(n: number): number {
  state = (state + 0x6d2b79f5) | 0
  let word = Math.imul(state ^ (state >>> 15), 1 | state)
  word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
  return ((word ^ (word >>> 14)) >>> 0) % n
}

export const pick = <T>(values: readonly T[]): T => values[random(values.length)]

/** The frame with up to a few faults; mostly its checksums are made right again, so that the faults get far. */
export function mutated(frame: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(frame)
  for (let faults = random(5); faults > 0; faults--) {
    const from = random(3) ? OPTIONS : random(2) ? BOOTP : 0
    const at = Math.min(from + random(Math.max(1, bytes.length - from)), bytes.length - 1)
    switch (random(6)) {
      case 0:
        bytes[at] ^= 1 << random(8)
        break
      case 1:
        bytes[at] = pick([0, 1, 4, 127, 128, 255, random(256)])
        break
      case 2:
        bytes = bytes.slice(0, Math.max(14, at))
        break
      case 3: {
        const [rest, more] = [bytes.subarray(at), random(40)]
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...Array.from({ length: more }, () => random(256)),
          ...rest,
        ])
        break
      }
      case 4:
        bytes.copyWithin(at, from, Math.min(bytes.length, from + random(60)))
        break
      default:
        bytes.set(
          Array.from({ length: Math.min(4, bytes.length - at) }, () => random(256)),
          at,
        )
    }
  }
  if (random(10)) repair(bytes)
  return bytes
}

/** Lengths and checksums as a sender's stack writes them, whatever is inside. */
function repair(bytes: Uint8Array): void {
  if (bytes.length < BOOTP) return
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  view.setUint16(16, bytes.length - 14)
  view.setUint16(24, 0)
  view.setUint16(24, checksum(bytes, 14, 20))
  view.setUint16(UDP + 4, bytes.length - UDP)
  view.setUint16(UDP + 6, 0)
  view.setUint16(
    UDP + 6,
    checksum(bytes, UDP, bytes.length - UDP, pseudoHeader4(bytes, 14, 17, bytes.length - UDP)) || 0xffff,
  )
}

// So that memory is what is held and not what was not collected yet.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Octets that this process holds. */
export function held(): number {
  collect()
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
}
