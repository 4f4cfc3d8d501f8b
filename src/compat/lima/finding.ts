/**
 * What a check of Lima's rules comes to.
 */

export interface Finding {
  /** The first word of its line. */
  name: string
  status: 'ok' | 'failed' | 'skipped'
  /** One line for people. */
  detail: string
  /** Of a failure: what Lima demands, or what it would do. */
  rule?: string
  /** Of a failure: what to do about it. */
  fix?: string
}

export const ok = (name: string, detail: string): Finding => ({ name, status: 'ok', detail })

export const skipped = (name: string, detail: string): Finding => ({ name, status: 'skipped', detail })

export const failed = (name: string, detail: string, rule: string, fix: string): Finding => ({
  name,
  status: 'failed',
  detail,
  rule,
  fix,
})
