// A log that a flood of messages does not fill: so many lines a second, and the number of those that were left out.

import type { DhcpClock } from './clock.js'
import type { DhcpLog } from './lease-store.js'

/** How long, in ms, lines are counted before the log says how many were left out: a flood costs one line a second. */
const REPORT_AFTER = 1000

export interface LogLimit {
  perSecond: number
  /** Lines that may come at once after a silence. */
  burst: number
}

/**
 * 300 VMs that boot at once are 1,200 lines, so that a burst of 2,000 shows each; in the long run 200 lines a second
 * are some 3 MB a minute, which a log's rotation can follow.
 */
const USUAL: LogLimit = { perSecond: 200, burst: 2000 }

/** `log` with a limit on what is information or warning; errors always pass, and count for nothing. */
export function limitLog(log: DhcpLog, clock: DhcpClock, { perSecond, burst }: LogLimit = USUAL): DhcpLog {
  let room = burst
  let last = clock.now()
  let suppressed = 0

  function report(): void {
    const fields = { event: 'dhcp.log', suppressed }
    const lines = suppressed === 1 ? 'line' : 'lines'
    suppressed = 0
    log.warn(fields, `${fields.suppressed} DHCP log ${lines} left out`)
  }

  function passes(): boolean {
    const now = clock.now()
    // The clock is the wall's: a step back adds nothing.
    room = Math.min(burst, room + (Math.max(0, now - last) * perSecond) / 1000)
    last = now
    if (room >= 1) {
      room--
      return true
    }
    if (suppressed++ === 0) clock.after(Math.max(REPORT_AFTER, 1000 / perSecond), report)
    return false
  }

  return {
    info(fields, message) {
      if (passes()) log.info(fields, message)
    },
    warn(fields, message) {
      if (passes()) log.warn(fields, message)
    },
    error(fields, message) {
      log.error(fields, message)
    },
  }
}
