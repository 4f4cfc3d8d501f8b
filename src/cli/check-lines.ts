/**
 * Checks for people, as `selftest`, `lima check` and `talos doctor` print them: a line each, and below a failure what there is to say.
 */

import { printable } from '../printable.js'

interface Check {
  status: 'ok' | 'warning' | 'failed' | 'skipped'
  name: string
  detail: string
}

const WORDS = { ok: 'ok', warning: 'warning', failed: 'FAILED', skipped: 'skipped' } as const
const NAME_COLUMN = 9
const TEXT_COLUMN = NAME_COLUMN + 14

/** @param more what stands below, a line each, behind its word */
export function checkLines(
  { status, name, detail }: Check,
  more: Readonly<Record<string, string | undefined>>,
): string {
  const head = `${WORDS[status].padEnd(NAME_COLUMN)}${`${name}: `.padEnd(TEXT_COLUMN - NAME_COLUMN)}${detail}`
  const below = Object.entries(more)
    .filter(([, text]) => text !== undefined)
    .map(([word, text]) => `${' '.repeat(TEXT_COLUMN)}${word}: ${text}`)
  return [head, ...below].map(line => `${printable(line)}\n`).join('')
}

export function checkCount(checks: readonly Check[]): string {
  const count = (wanted: Check['status']): number => checks.filter(({ status }) => status === wanted).length
  const warnings = count('warning')
  const middle = warnings === 0 ? '' : `, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`
  return `${count('ok')} ok${middle}, ${count('failed')} failed, ${count('skipped')} skipped`
}
