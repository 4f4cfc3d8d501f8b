// The TAP uplink in its other modes under the suite: shared, with its table and DNS beside the device; bridged, where the
// bridge that is the cable is the one it joins.

import { execFileSync } from 'node:child_process'
import { BRIDGE, devices, forwards, ip, layCable, subnetTaken } from './host.js'
import type { Kind } from './kind.js'
import { GATEWAY } from './network.js'
import { DEVICE, tap } from './tap.js'

const { LD_PRELOAD: _, ...env } = process.env

const tables = (): string[] =>
  execFileSync('nft', ['list', 'tables'], { encoding: 'utf8', env }).split('\n').filter(Boolean)

export const shared: Kind = {
  ...tap,
  async lay(t) {
    const ground = await tap.lay(t)
    return {
      ...ground,
      choice: { kind: 'tap', name: DEVICE, mode: 'shared' },
      name: `${DEVICE} (shared)`,
      traces: () => [...ground.traces(), ...tables()],
    }
  },
}

export const bridged: Kind = {
  ...tap,
  // The bridge's, whatever is said.
  mtus: [1500],
  failures: [
    ...tap.failures.filter(({ code }) => code !== subnetTaken(GATEWAY).code),
    {
      name: 'there is no such bridge',
      code: 'ERR_BRIDGE',
      hint: /vmbridge interfaces/,
      provoke() {
        ip('link', 'set', BRIDGE, 'name', 'vbtelsewhere')
        return () => ip('link', 'set', 'vbtelsewhere', 'name', BRIDGE)
      },
    },
  ],
  async lay(t) {
    const cable = layCable(t)
    return {
      choice: { kind: 'tap', name: DEVICE, mode: 'bridged', interface: BRIDGE },
      name: `${DEVICE} (bridged ${BRIDGE})`,
      far: cable.far,
      async join() {
        if (!devices().includes(DEVICE)) throw new Error(`there is no ${DEVICE}`)
        await forwards(DEVICE)
        await cable.join(DEVICE)
      },
      part() {},
      traces: () => devices().filter(name => name === DEVICE),
    }
  },
}
