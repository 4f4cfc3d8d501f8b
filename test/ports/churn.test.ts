// What is left of ports that come and go: nothing.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { execute } from '../helpers/child.js'

const CHURN = fileURLToPath(new URL('./churn.js', import.meta.url))
const MIB = 1024 * 1024

t.test('10,000 VMs that connect, send and leave, leave no descriptor and no memory behind', async t => {
  const { status, stdout, stderr } = await execute(
    [process.execPath, '--expose-gc', CHURN, '2000', '10000'],
    { timeoutMs: 55_000 },
  )
  t.equal(status, 0, stderr)
  const { before, after, ports, fdb } = JSON.parse(stdout)
  t.equal(after.descriptors, before.descriptors)
  t.equal(ports, 1, 'the one that stays')
  t.equal(fdb, 0)
  // A port has some 8 KiB of lists: 10,000 that stayed would be 80 MiB.
  for (const kind of ['rss', 'external', 'arrayBuffers', 'heapUsed']) {
    const grown = (after[kind] - before[kind]) / MIB
    t.ok(grown < 8, `${kind} grew by ${grown.toFixed(1)} MiB`)
  }
})
