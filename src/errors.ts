/**
 * The one error class that people see: a stable code, what happened to which thing, and what to do next.
 */

export interface BridgeErrorOptions {
  /** What the reader can do about it: a command or a setting, without a full stop. */
  hint?: string
  cause?: unknown
}

export class BridgeError extends Error {
  readonly code: string
  readonly hint?: string

  constructor(code: string, message: string, { hint, cause }: BridgeErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'BridgeError'
    this.code = code
    if (hint !== undefined) this.hint = hint
  }
}

/** A wrong command line or setting: the command exits with 2, as `ip` and `grep` do. */
export class UsageError extends BridgeError {
  constructor(message: string, hint?: string) {
    super('ERR_USAGE', message, hint === undefined ? {} : { hint })
    this.name = 'UsageError'
  }
}

/** True for an error of the operating system that carries `code`, such as ENOENT. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code
}
