/**
 * What a check of `vmbridge talos doctor` comes to.
 */

export interface Finding {
  /** The first word of its line. */
  name: string
  /** `warning`: it works, but not as well as it could, or by chance. */
  status: 'ok' | 'warning' | 'failed' | 'skipped'
  /** One line for people. */
  detail: string
  /** Of a warning or a failure: what to do about it, a command where there is one. */
  fix?: string
}

export const ok = (name: string, detail: string): Finding => ({ name, status: 'ok', detail })

export const skipped = (name: string, detail: string): Finding => ({ name, status: 'skipped', detail })

export const warning = (name: string, detail: string, fix: string): Finding => ({
  name,
  status: 'warning',
  detail,
  fix,
})

export const failed = (name: string, detail: string, fix: string): Finding => ({
  name,
  status: 'failed',
  detail,
  fix,
})
