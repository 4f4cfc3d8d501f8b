// The TAP uplink under the suite.

import { devices, forwards, ip, layCable, subnetTaken } from './host.js'
import type { Kind } from './kind.js'
import { GATEWAY } from './network.js'

export const DEVICE = 'vbtup'

export const tap: Kind = {
  name: 'tap',
  reaches: true,
  mtus: [1500, 576, 9000, 65_500],
  longestOut: mtu => mtu + 18,
  longestIn: mtu => mtu + 18,
  sendsRunts: false,
  whenFull: 'fails',
  returns: false,
  breaks: [
    { name: 'its device is deleted', reason: /^gone$/, act: () => ip('link', 'delete', DEVICE) },
    {
      name: 'its device goes with a namespace',
      reason: /^gone$/,
      act() {
        const netns = `vbt-${process.pid}-gone`
        ip('netns', 'add', netns)
        ip('link', 'set', DEVICE, 'netns', netns)
        ip('netns', 'delete', netns)
      },
    },
  ],
  failures: [
    {
      name: 'its name is taken',
      code: 'ERR_TAP_IN_USE',
      hint: /ip -d link show/,
      provoke() {
        ip('link', 'add', DEVICE, 'type', 'bridge')
        return () => ip('link', 'delete', DEVICE)
      },
    },
    subnetTaken(GATEWAY),
  ],
  async lay(t) {
    const cable = layCable(t)
    return {
      choice: { kind: 'tap', name: DEVICE },
      name: DEVICE,
      far: cable.far,
      join: () => cable.join(DEVICE),
      part() {},
      traces: () => devices().filter(name => name === DEVICE),
    }
  },
  // A device that is down takes nothing.
  stall() {
    ip('link', 'set', DEVICE, 'down')
    return async () => {
      ip('link', 'set', DEVICE, 'up')
      await forwards(DEVICE)
    }
  },
  stallsAs: 'tx-error',
}
