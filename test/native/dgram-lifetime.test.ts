// Datagram ports at every stage of a process's life and of a worker's: each ends as Node itself would, with the exit
// code that was asked for and never by a signal.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { scratch, type Scope } from '../ports/bench.js'
import { DGRAM_NEEDS } from '../ports/dgram-bench.js'

t.setTimeout(120_000)

const STAGES = fileURLToPath(new URL('./dgram-stages.js', import.meta.url))
const skip = requires(DGRAM_NEEDS)

async function run(t: Scope, ...args: string[]) {
  // Who exits in the middle of things leaves its socket files: here they are swept.
  const env = { TMPDIR: scratch(t) }
  const child = Child.launch([process.execPath, '--expose-gc', STAGES, ...args], { env })
  t.teardown(() => child.close())
  return { ...(await child.exited), stdout: child.text(1), stderr: child.text(2) }
}

for (const [stage, what, code, error] of [
  // stage, what it is, exit code, what stderr of the process or the error of the worker says
  ['open-exit', 'by process.exit before the loop has run, with a socket open', 7],
  ['traffic-exit', 'by process.exit while datagrams come', 7],
  ['exit-in-peer', 'by process.exit when a VM is met', 7],
  ['exit-in-run', 'by process.exit from within a run', 7],
  ['exit-in-end', 'by process.exit when a port ends', 7],
  ['throw-in-run', 'by an error from within a run', 1, 'thrown from within a run'],
  ['close-in-run', 'by itself when all is closed from within a run', 0],
  ['close-in-peer', 'by itself when all is closed when a VM is met', 0],
  ['close-all', 'by itself when all is closed, twice even', 0],
] as const) {
  t.test(`a process ends ${what}: ${code}`, { skip }, async t => {
    const { stderr, stdout, ...exit } = await run(t, stage)
    t.same(exit, { code, signal: null }, stderr)
    if (error === undefined) t.equal(stderr, '')
    else t.match(stderr, error)
    t.equal(stdout, '')
  })

  t.test(`a worker ends ${what}: ${code}`, { skip }, async t => {
    const { stderr, stdout, ...exit } = await run(t, stage, 'worker')
    t.same(exit, { code: 0, signal: null }, stderr)
    t.equal(stdout, `${error === undefined ? '' : `error: ${error}\n`}the worker ended with ${code}\n`)
  })
}

t.test('datagram ports that nobody holds any more go on until they are closed', { skip }, async t => {
  const { stderr, code, signal } = await run(t, 'dropped')
  t.same({ code, signal }, { code: 7, signal: null }, stderr)
})
