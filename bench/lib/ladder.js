// The search for the highest rate that a server serves cleanly: up the steps until two are not clean, then between
// the last that was and the first that was not, twice, which finds it to a tenth.

/** Exchanges a second. */
export const STEPS = [100, 150, 200, 300, 450, 700, 1000, 1500, 2000, 3000, 4000, 6000]

const UNCLEAN_STEPS = 2
const REFINEMENTS = 2

export class Ladder {
  #at = []
  #from
  #refinements = 0

  /** Begins at the highest step that is not above `from`, where one looked before. */
  constructor(from = 0) {
    this.#from = Math.max(
      0,
      STEPS.findLastIndex(step => step <= from),
    )
  }

  /** The highest rate that was clean; 0 when none was. */
  get clean() {
    return Math.max(0, ...this.#at.filter(({ isClean }) => isClean).map(({ rate }) => rate))
  }

  /** The rate to try next; undefined when it is found. */
  next() {
    if (this.#at.length === 0) return STEPS[this.#from]
    const { clean } = this
    const tried = this.#at.map(({ rate }) => rate)
    if (clean === 0) return STEPS.findLast(step => step < Math.min(...tried))
    const unclean = tried.filter(rate => rate > clean)
    const onwards = STEPS.find(step => step > Math.max(...tried))
    if (this.#refinements === 0 && unclean.length < UNCLEAN_STEPS && onwards) return onwards
    if (unclean.length === 0 || this.#refinements === REFINEMENTS) return undefined
    this.#refinements++
    return Math.round(Math.sqrt(clean * Math.min(...unclean)))
  }

  /** What came of a rate. */
  take(rate, isClean) {
    this.#at.push({ rate, isClean })
  }
}
