// A log that a flood of messages does not fill: so many lines a second, and the number of those that were left out.

/** How long, in ms, lines are counted before the log says how many were left out: a flood costs one line a second. */
const REPORT_AFTER = 1000

export interface LineLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface LogClock {
  /** Milliseconds since any moment; may go back. */
  now(): number
  /** Calls once, `ms` from now. */
  after(ms: number, call: () => void): unknown
}

export interface LogLimit {
  /** What the lines are about: `DHCP` or `port`. Those left out are told of by an event `dhcp.log` or `port.log`. */
  topic: 'DHCP' | 'port'
  perSecond: number
  /** Lines that may come at once after a silence. */
  burst: number
}

/** `log` with a limit on what is information or warning; errors always pass, and count for nothing. */
export function limitLog(log: LineLog, clock: LogClock, { topic, perSecond, burst }: LogLimit): LineLog {
  let room = burst
  let last = clock.now()
  let suppressed = 0

  function report(): void {
    const fields = { event: `${topic.toLowerCase()}.log`, suppressed }
    const lines = suppressed === 1 ? 'line' : 'lines'
    suppressed = 0
    log.warn(fields, `${fields.suppressed} ${topic} log ${lines} left out`)
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
