/**
 * Randomness of the system, for what takes it as a parameter.
 */

import { randomBytes } from 'node:crypto'

/** 32 random bits, as a number without sign. */
export function random32(): number {
  return randomBytes(4).readUInt32BE()
}
