// What several groups of cases need: the stations' addresses, one exchange, counters as a table, and how much is
// to be done.

import { DROP_REASONS, RX_BYTES, RX_FRAMES, TX_BYTES, TX_FRAMES } from '../../../src/switch/counters.js'
import type { Port } from '../../../src/switch/port.js'
import { frame, runOf, station } from '../../helpers/frames.js'
import type { Tester } from '../../switch/segment.js'
import type { Taker } from '../end.js'
import type { Scene } from '../kind.js'
import { eventually } from '../patience.js'
import { difference, putAll, receive } from '../traffic.js'

export const VM = station(1)
export const OTHER_VM = station(2)
export const FAR = station(0x0f00)

/** How much is done: a build with a sanitizer is some ten times slower. */
export interface Effort {
  /** Frames each way in the longest transfer. */
  frames: number
  restarts: number
}

/** Waits until a VM in memory was given `count` frames, and takes them. */
export async function given(vm: Tester, count: number): Promise<Buffer[]> {
  await eventually(
    () => `frame ${vm.received.length} of ${count} for a VM`,
    () => vm.received.length >= count,
  )
  return vm.take()
}

/** A broadcast of the VM goes out, an answer comes back: SAME, or what was wrong. */
export async function exchange({ network, far }: Scene, vm: Tester, seed = 0): Promise<string> {
  const question = frame({ from: VM, seed })
  const answer = frame({ from: FAR, to: VM, seed, length: 200 })
  network.say(vm, question)
  const heard = await receive(far, 1)
  await putAll(far, runOf(answer))
  return difference([...heard, ...(await given(vm, 1))], [question, answer])
}

/** The counters of a port that are not zero. */
export function counted({ counters }: Port): Record<string, number> {
  const all: (readonly [number, string])[] = [
    [RX_FRAMES, 'rx'],
    [RX_BYTES, 'rx-bytes'],
    [TX_FRAMES, 'tx'],
    [TX_BYTES, 'tx-bytes'],
    ...DROP_REASONS,
  ]
  return Object.fromEntries(
    all.filter(([index]) => counters[index] !== 0).map(([index, name]) => [name, counters[index]]),
  )
}

export const drops = ({ counters }: Port, reason: string): number =>
  counters[DROP_REASONS.find(([, name]) => name === reason)![0]]

/** Frames with what tells one from the other, whatever their lengths. */
export const series = (count: number, fields: Parameters<typeof frame>[0]): Uint8Array[] =>
  Array.from({ length: count }, (_, seed) => {
    const bytes = frame({ ...fields, seed })
    if (bytes.length >= 18) new DataView(bytes.buffer).setUint32(14, seed)
    return bytes
  })

export const bytesOf = (frames: readonly Uint8Array[]): number =>
  frames.reduce((sum, { length }) => sum + length, 0)

/** Length of the frame that ends what `drain` reads: no other has it there. */
const MARK = 61
/** Turns of the loop without a frame after which most likely all has come. */
const QUIET_TURNS = 100

/** Takes all that comes out before a frame that a VM says now. */
export async function drain({ network, far }: Scene, vm: Tester, each: Taker = () => {}): Promise<void> {
  let marks = 0
  let ended = 0
  let quiet = 0
  await eventually(
    () => 'the end of what comes out',
    () => {
      const taken = far.take(4096, (bytes, at, length) => {
        if (length === MARK) ended++
        else each(bytes, at, length)
      })
      quiet = taken > 0 ? 0 : quiet + 1
      // While there is no room it is lost, as others were.
      if (ended === 0 && quiet % QUIET_TURNS === 1)
        network.say(vm, frame({ from: VM, to: FAR, length: MARK, seed: marks++ }))
      return ended > 0 && (ended === marks || quiet > QUIET_TURNS)
    },
  )
}
