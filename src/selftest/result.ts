/**
 * What a check comes to: ok with what was measured, failed with what was expected and what was seen, or skipped with
 * the reason.
 */

/** What a check that went well has to say. */
export interface Finding {
  /** One line for people. */
  detail: string
  /** The same as values, for --json; names end in their unit, as in `leaseMs`. */
  measured?: Record<string, unknown>
}

export interface CheckResult extends Finding {
  name: string
  status: 'ok' | 'failed' | 'skipped'
  /** How long the check took. */
  ms: number
  /** Of a failure. */
  expected?: string
  seen?: string
  /** What it mostly comes from, and what to do about it. */
  likely?: string
}

export interface FailureFields {
  expected: string
  seen: string
  likely?: string | undefined
  measured?: Record<string, unknown>
}

/** Thrown by a check that found something wrong; the message is one line. */
export class CheckFailure extends Error {
  readonly fields: FailureFields

  constructor(message: string, fields: FailureFields) {
    super(message)
    this.fields = fields
  }
}

/** Thrown by a check that cannot be made here, or must not. */
export class CheckSkipped extends Error {}

/** The whole run. */
export interface SelftestReport {
  version: string
  ok: boolean
  interrupted: boolean
  checks: CheckResult[]
  /** The network's log as JSON lines, the oldest first. */
  log: string[]
}
