// No uplink, under those cases of the suite that need no far side.

import type { Kind } from './kind.js'

export const none: Kind = {
  name: 'none',
  reaches: false,
  mtus: [1500, 9000],
  longestOut: () => 0,
  longestIn: () => 0,
  sendsRunts: false,
  whenFull: 'waits',
  returns: false,
  breaks: [],
  failures: [],
  async lay() {
    return {
      choice: { kind: 'none' },
      far: { put: run => run.length, take: () => 0 },
      async join() {},
      part() {},
      traces: () => [],
    }
  },
  stall: () => () => {},
  stallsAs: '',
}
