// A row is one answer: { question, what, value, unit, goal, detail }. Its goal is one of
// { atLeast }, { atMost }, { below }, or is not there: then the row is for information.

/** Whether a row meets its goal; undefined where it has none. */
export function isMet({ value, goal }) {
  if (!goal) return undefined
  if (goal.atLeast !== undefined) return value >= goal.atLeast
  if (goal.atMost !== undefined) return value <= goal.atMost
  return value < goal.below
}

/** A ratio that was raced for, as a row. */
export const ratioRow = (what, result, goal) => ({ what, value: result.ratio, unit: '×', goal, result })
