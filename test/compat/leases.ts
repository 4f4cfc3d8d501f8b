// What the tests of the leases file have in common: leases, a file that is kept with little patience, and waiting.

import { readdirSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { LeasesFile, type LeasesFileOptions } from '../../src/compat/leases-file.js'
import type { OwnLease } from '../../src/compat/dhcpd-leases.js'
import { SYSTEM_CLOCK } from '../../src/dhcp/clock.js'
import type { Scope } from '../helpers/daemon.js'
import { parseCidr, parseIpv4 } from '../../src/wire/ipv4.js'
import { parseMac } from '../../src/wire/mac.js'

export const HOUR = 3_600_000
/** No lease of these tests is over before this. */
export const LATER = 4_000_000_000_000

export const lease = (ip: string, mac: string, more: Partial<OwnLease> = {}): OwnLease => ({
  ip: parseIpv4(ip)!,
  mac: parseMac(mac)!,
  expires: LATER,
  ...more,
})

/** An entry as bootpd writes one, in a subnet that is Apple's. */
export const bootpd = (ip: string, mac: string, lease = '0x7fffffff'): string =>
  `{\n\tname=other\n\tip_address=${ip}\n\thw_address=1,${mac}\n\tidentifier=1,${mac}\n\tlease=${lease}\n}\n`

export type Line = { level: 'info' | 'warn'; event: string; message: string }

export type Kept = {
  file: LeasesFile
  /** The leases of the server, to be changed; the longest unused first. */
  leases: OwnLease[]
  lines: Line[]
  warnings: () => string[]
}

/** A file that is kept until the test ends. It looks at it every 20 ms and does not rest for long. */
export function keep(
  t: Scope,
  path: string,
  leases: OwnLease[],
  more: Partial<LeasesFileOptions> = {},
): Kept {
  const lines: Line[] = []
  const log = (level: Line['level']) => (fields: object, message: string) =>
    void lines.push({ level, event: (fields as { event: string }).event, message })
  const file = new LeasesFile({
    path,
    suffix: 'vmbridge-test',
    subnet: parseCidr('192.168.105.1/24')!,
    leases: () => leases,
    log: { info: log('info'), warn: log('warn') },
    clock: SYSTEM_CLOCK,
    timing: { write: 2, assert: 5, look: 20 },
    ...more,
  })
  t.teardown(() => file.close())
  file.start()
  const warnings = (): string[] => lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
  return { file, leases, lines, warnings }
}

/** Resolves when it is so; looks every 5 ms, and gives up after 20 s. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`in 20 s it was not so: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** What lies in the folder of the file beside it. */
export const leftovers = (path: string): string[] =>
  readdirSync(dirname(path)).filter(name => name !== basename(path))
