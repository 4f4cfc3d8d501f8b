// A self-test with something broken at a moment that the test chooses: a program of its own, for a namespace. The
// arguments are the check after which it breaks, what breaks, and what that needs; the report goes to stdout.

import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { NetworkSettings } from '../../src/daemon/settings.js'
import { random32 } from '../../src/random.js'
import { runSelftest } from '../../src/selftest/run.js'
import { Station } from '../../src/selftest/station.js'
import { parseCidr, parseIpv4 } from '../../src/wire/ipv4.js'

export const DEVICE = 'vbst0'

const [after, fault, ...rest] = process.argv.slice(2)
const { signal } = new AbortController()

const network: NetworkSettings = {
  name: 'faulty',
  sockets: [],
  rights: { mode: 0o600 },
  uplink: { kind: 'tap', name: DEVICE },
  gateway: parseCidr('192.168.237.1/24')!,
  dhcp: { exclude: [], dns: [], options: new Map(), boot: [] },
  mtu: 1500,
  stateDir: '',
}
if (fault === 'small-pool') {
  const only = parseIpv4(rest[0])!
  network.dhcp!.range = { first: only, last: only }
}

let impostor: Station | undefined

const FAULTS: Record<string, () => unknown> = {
  'small-pool': () => {},
  run: () => promisify(execFile)(rest[0], rest.slice(1)),
  /** Another station that has the address as well. */
  impostor: () => {
    const folder = readdirSync(tmpdir()).find(name => name.startsWith('vmbridge-selftest-'))!
    const path = join(tmpdir(), folder, 's')
    const mac = { hi: 0x5254, lo: 0x99 }
    impostor = new Station({ name: 'impostor', mac, path, clock: performance, random32, signal })
    impostor.addresses.add(parseIpv4(rest[0])!)
  },
}

const report = await runSelftest({
  network,
  lanDhcp: false,
  random32,
  signal,
  report: async ({ name }) => {
    if (name === after) await FAULTS[fault]()
  },
})
impostor?.close()
console.log(JSON.stringify(report))
