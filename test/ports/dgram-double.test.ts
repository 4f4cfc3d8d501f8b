// The cases of the datagram ports with the system calls that macOS has in place of Linux's, on their stand-in: many
// datagrams a call, one a call where those are missing or refuse these sockets; and under AddressSanitizer.
//
// What a Mac's kernel does with these sockets, and how fast, only a Mac can show.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VARIANT_NEEDS, type Variant, variantEnv } from '../helpers/variant.js'
import { DGRAM_NEEDS } from './dgram-bench.js'

t.setTimeout(600_000)

const skip = requires([...DGRAM_NEEDS, ...VARIANT_NEEDS])
const FILES = ['in', 'out', 'peers']

for (const [what, variant, messages] of [
  ['many datagrams a call', 'double', undefined],
  ['calls for many that are missing', 'double', 'missing'],
  ['calls for many that refuse these sockets', 'double', 'refused'],
  ['many datagrams a call, under AddressSanitizer', 'double-asan', undefined],
  ['one datagram a call, under AddressSanitizer', 'double-asan', 'missing'],
] as const satisfies readonly (readonly [string, Variant, string | undefined])[]) {
  t.test(what, { skip }, async t => {
    const set = Object.entries({
      ...variantEnv(variant),
      ...(messages !== undefined && { VMNET_DOUBLE_MESSAGES: messages }),
    }).map(([name, value]) => `${name}=${value}`)
    for (const file of FILES) {
      const program = fileURLToPath(new URL(`./dgram-${file}.test.js`, import.meta.url))
      // Set by env(1): a sanitizer's runtime is for Node alone.
      const argv = ['env', ...set, process.execPath, program]
      const { status, stdout, stderr } = await execute(argv, { timeoutMs: 200_000 })
      const failed = stdout.split('\n').filter(line => /^\s*not ok/.test(line))
      t.equal(status, 0, `dgram-${file}`, { failed, stderr })
      t.equal(stderr, '', 'no sanitizer has reported')
    }
  })
}
