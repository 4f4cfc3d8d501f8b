// Traffic that does not care what becomes of it: a run that is said again and again, as fast as it is taken.

import { runOf } from '../../helpers/frames.js'
import type { Mac } from '../../../src/wire/mac.js'
import type { End } from '../end.js'
import { eventually } from '../patience.js'
import { series } from './common.js'

export class Babble {
  readonly #run: Buffer
  readonly #end: End
  #at = 0

  constructor(end: End, from: Mac) {
    this.#run = runOf(...series(50, { from, length: 300 }))
    this.#end = end
  }

  push(): void {
    this.#at += this.#end.put(this.#run.subarray(this.#at))
    if (this.#at === this.#run.length) this.#at = 0
  }

  /** Says the rest of a run that was begun. */
  async finish(): Promise<void> {
    if (this.#at === 0) return
    await eventually(
      () => 'the rest of a run',
      () => {
        this.push()
        return this.#at === 0
      },
    )
  }
}
