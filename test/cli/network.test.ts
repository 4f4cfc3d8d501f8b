// `vmbridge network` and `networks`, as far as no daemon is needed: what the environment holds for the daemon is not what a network on demand is made of.

import { join } from 'node:path'
import t from 'tap'
import { scratch, vmbridge } from './command.js'

t.setTimeout(60_000)

t.test("the daemon's VMBRIDGE_MODE and VMBRIDGE_MTU do not count, nor does VMBRIDGE_FORCE", async t => {
  const control = join(scratch(t), 'c')
  const add = ['network', 'add', '10.7.0.1/24', '--control', control]
  for (const [name, value] of [
    ['VMBRIDGE_MODE', 'bridged'],
    ['VMBRIDGE_MTU', 'none'],
    ['VMBRIDGE_FORCE', '1'],
  ] as const) {
    const env = { [name]: value }
    // That nobody answers is found out when all the words are read.
    t.match(await vmbridge(add, { env }), { status: 3, stderr: /no daemon answers/ }, name)
  }
  t.match(await vmbridge([...add, '--mode', 'bridged']), {
    status: 2,
    stderr: /--mode bridged is not one of/,
  })
  t.match(await vmbridge([...add, '--force']), { status: 2, stderr: /takes no --force/ })
  t.match((await vmbridge(['network', '--help'])).stdout, /--force .*not from the environment/)
})

t.test(
  '`networks` with an operand leads to its own help; route-check takes no --network, which meant nothing',
  async t => {
    t.match(await vmbridge(['networks', 'lab']), { status: 2, stderr: /try: vmbridge networks --help\n/ })
    t.match(await vmbridge(['route-check', '10.5.0.8/29', '--network', 'lab']), { status: 2, stdout: '' })
  },
)

t.test('a gateway that no host can be is wrong usage, before a daemon is asked', async t => {
  const control = join(scratch(t), 'c')
  const add = (gateway: string) => vmbridge(['network', 'add', gateway, '--control', control])
  for (const gateway of ['0.0.0.1/8', '224.0.0.1/24', '240.0.0.1/8', '255.255.255.1/24'])
    t.match(await add(gateway), { status: 2, stderr: /no address that a host can have\n {2}try: vmbridge / })
  for (const gateway of ['1.0.0.1/8', '223.255.255.1/24']) t.equal((await add(gateway)).status, 3, gateway)
})
