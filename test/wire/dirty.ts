// Buffers as they are in life: full of something else. What an emitter forgets to write shows as 0xa5.

import fc from 'fast-check'

export function dirty(length: number): Uint8Array {
  return new Uint8Array(length).fill(0xa5)
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export const uint8 = fc.integer({ min: 0, max: 0xff })
export const uint16 = fc.integer({ min: 0, max: 0xffff })
export const uint32 = fc.integer({ min: 0, max: 0xffffffff })
export const mac = fc.record({ hi: uint16, lo: uint32 })

/** Random bytes at a random offset of a larger buffer, as a frame stands in a run. */
export const placed = fc
  .tuple(fc.uint8Array({ maxLength: 400 }), fc.nat(20), fc.nat(20))
  .map(([bytes, before, after]) => {
    const run = dirty(before + bytes.length + after)
    run.set(bytes, before)
    return { run, at: before, length: bytes.length }
  })
