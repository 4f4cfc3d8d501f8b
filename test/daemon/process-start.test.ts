// When a process started, out of /proc, whatever the program calls itself.

import { chmodSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import { parseProcessStart, processStart } from '../../src/daemon/process-start.js'
import { Child } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'

const stat = (name: string) =>
  `4242 (${name}) S 1 4242 4242 0 -1 4194560 174 0 0 0 0 0 0 0 20 0 1 0 987654 5890048 224 18446744073709551615`

t.test('the start is the 22nd field, counted from behind the name', async t => {
  for (const name of ['sleep', 'a b', ') S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 (', '))'])
    t.equal(parseProcessStart(stat(name)), 987654, name)
  for (const broken of ['', '1 (a) S 2 3', 'nothing of the kind'])
    t.equal(parseProcessStart(broken), undefined)
})

t.test(
  'a process has one start, another has another, and one that is gone has none',
  { skip: requires(['linux']) },
  async t => {
    t.ok(Number.isInteger(processStart(process.pid)))
    t.equal(processStart(process.pid), processStart(process.pid))
    const program = join(scratch(t), 'a) S 1 (b')
    copyFileSync('/bin/sleep', program)
    chmodSync(program, 0o755)
    const child = Child.launch([program, '60'])
    t.teardown(() => child.close())
    const start = processStart(child.pid)
    t.ok(start !== undefined && start >= processStart(process.pid)!)
    await child.close()
    t.equal(processStart(child.pid), undefined)
    for (const none of [0, -1, NaN]) t.equal(processStart(none), undefined)
  },
)
