// The time as the DHCP server has it: a parameter, so that tests turn it.

export interface DhcpClock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls once, `ms` from now, unless the function that it returns was called before. */
  after(ms: number, call: () => void): () => void
}

/** The machine's. A timer alone does not keep the process alive. */
export const SYSTEM_CLOCK: DhcpClock = {
  now: Date.now,
  after(ms, call) {
    // An event of its own all the same: what runs while a frame passes may do so, too (ports/service-port.ts).
    if (ms === 0) {
      const immediate = setImmediate(call)
      return () => clearImmediate(immediate)
    }
    const timer = setTimeout(call, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
