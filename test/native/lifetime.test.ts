// The addon at every stage of a process's life and of a worker's: each ends as Node itself would, with the exit
// code that was asked for and never by a signal.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child } from '../helpers/child.js'
import { scratch, type Scope } from '../ports/bench.js'

const STAGES = fileURLToPath(new URL('./stages.js', import.meta.url))

async function run(t: Scope, ...args: string[]) {
  // Who exits in the middle of things leaves its socket files: here they are swept.
  const env = { TMPDIR: scratch(t) }
  const child = Child.launch([process.execPath, '--expose-gc', STAGES, ...args], { env })
  t.teardown(() => child.close())
  return { ...(await child.exited), stdout: child.text(1), stderr: child.text(2) }
}

const INSIDE = [
  // stage, what it is, exit code, what stderr of the process or the error of the worker says
  ['loaded', 'with the addon just loaded', 0],
  ['listening-exit', 'by process.exit before the loop has run, listening and dialled', 7],
  ['traffic-exit', 'by process.exit while frames go round', 7],
  ['exit-in-run', 'by process.exit from within a run', 7],
  ['exit-in-end', 'by process.exit when a port ends', 7],
  ['exit-in-connection', 'by process.exit when one plugs in', 7],
  ['throw-in-run', 'by an error from within a run', 1, 'thrown from within a run'],
  ['throw-in-end', 'by an error when a port ends', 1, 'thrown from within onEnd'],
  ['exit-in-exit', 'by process.exit from an exit handler, with ports open', 9],
  ['close-in-exit', 'by process.exit, with an exit handler that closes the ports', 7],
  ['close-in-run', 'by itself when all is closed from within a run', 0],
  ['close-all', 'by itself when all ports are closed, twice even', 0],
  ['open-again', 'by itself after ports were opened and closed again and again', 0],
] as const

for (const [stage, what, code, error] of INSIDE) {
  t.test(`a process ends ${what}: ${code}`, async t => {
    const { stderr, stdout, ...exit } = await run(t, stage)
    t.same(exit, { code, signal: null }, stderr)
    if (error === undefined) t.equal(stderr, '')
    else t.match(stderr, error)
    t.equal(stdout, '')
  })

  t.test(`a worker ends ${what}: ${code}`, async t => {
    const { stderr, stdout, ...exit } = await run(t, stage, 'worker')
    t.same(exit, { code: 0, signal: null }, stderr)
    t.equal(stdout, `${error === undefined ? '' : `error: ${error}\n`}the worker ended with ${code}\n`)
  })
}

t.test('an error from within a run that is caught ends that port alone', async t => {
  const { stdout, stderr, ...exit } = await run(t, 'throw-in-run-caught')
  t.same(exit, { code: 0, signal: null }, stderr)
  t.equal(stdout, 'caught: thrown from within a run\nended: framing\n')
})

for (const stage of ['dropped', 'dropped-native']) {
  t.test(`ports that nobody holds any more go on until they are closed (${stage})`, async t => {
    const { stderr, code, signal } = await run(t, stage)
    t.same({ code, signal }, { code: 7, signal: null }, stderr)
  })
}

t.test('workers are terminated while frames go round, one after the other', async t => {
  const { stderr, code, signal } = await run(t, 'terminate-workers')
  t.same({ code, signal }, { code: 0, signal: null }, stderr)
  t.equal(stderr, '')
})

t.test(
  'two workers and the main thread each have their own; the end of one is not that of another',
  async t => {
    const { stdout, stderr, code, signal } = await run(t, 'two-workers')
    t.same({ code, signal }, { code: 0, signal: null }, stderr)
    t.equal(stdout, 'a worker that closes all ends with 0\n')
    t.equal(stderr, '')
  },
)

t.test('a process exits beside a worker whose frames go round', async t => {
  const { stderr, code, signal } = await run(t, 'exit-beside-worker')
  t.same({ code, signal }, { code: 7, signal: null }, stderr)
})
