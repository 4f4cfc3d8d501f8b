/**
 * What somebody may have meant by a word that is none.
 */

/** More letters than any key has: no work is done for longer ones. */
const LONGEST = 40

/** The candidate that is the fewest slips of a hand away from `word`: two at most, and one for a short one. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > LONGEST) return undefined
  const text = word.toLowerCase().replaceAll('_', '-')
  const found = candidates
    .map(candidate => ({ candidate, slips: slipsBetween(text, candidate) }))
    .filter(({ candidate, slips }) => slips <= (Math.min(candidate.length, text.length) < 5 ? 1 : 2))
  return found.sort((one, other) => one.slips - other.slips)[0]?.candidate
}

/** Letters left out, put in, exchanged, or swapped with their neighbour (the optimal string alignment distance). */
function slipsBetween(one: string, other: string): number {
  let before: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, j) => j)
  for (let i = 1; i <= one.length; i++) {
    const row = [i]
    for (let j = 1; j <= other.length; j++) {
      const exchanged = last[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1)
      row[j] = Math.min(exchanged, last[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        row[j] = Math.min(row[j]!, before[j - 2]! + 1)
    }
    before = last
    last = row
  }
  return last[other.length]!
}
