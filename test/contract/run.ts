// Runs the suite for one uplink as a program of its own, in a network namespace of its own: its assertions are the
// caller's, and so is a crash, an abort, a sanitizer's report or a time that is up.

import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { NetNs } from '../helpers/netns.js'
import type { Need } from '../helpers/requires.js'

const SUITE = fileURLToPath(new URL('suite.js', import.meta.url))

/** What every run of the suite needs of the machine. */
export const CONTRACT_NEEDS: readonly Need[] = ['linux', 'root', 'tap', 'ip', 'tc', 'setpriv']

export interface ContractOptions {
  /** Frames each way in the longest transfer; a million unless told otherwise. */
  frames?: number
  env?: Record<string, string>
}

export async function runContract(t: Test, uplink: string, options: ContractOptions = {}): Promise<void> {
  const { frames = 1_000_000, env = {} } = options
  const ns = await NetNs.create()
  t.teardown(() => ns.delete())
  // Set by env(1) and for the suite alone: a sanitizer's runtime would be loaded by `ip` as well. NODE_OPTIONS would
  // have it load tap's instruments, which measure tap.
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const leash = ['setpriv', '--pdeathsig', 'KILL', '--']
  const bare = ['env', '-u', 'NODE_OPTIONS', ...variables]
  const [file, ...args] = ns.wrap([...leash, ...bare, process.execPath, SUITE, uplink, String(frames)])
  await t.spawn(file, args, `the contract, kept by ${uplink}`)
}
