// A vmnet interface at every stage of its life, of the process's and of a worker's, on the stand-in for vmnet.framework:
// each ends with the exit code that was asked for and never by a signal, and nothing stays behind.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VARIANT_NEEDS, variantEnv, type Variant } from '../helpers/variant.js'
import type { Scope } from '../helpers/daemon.js'

const STAGES = fileURLToPath(new URL('./vmnet-stages.js', import.meta.url))
const skip = requires(VARIANT_NEEDS)

// A variant that is stale is built by the first test that needs it.
t.setTimeout(1_200_000)

interface RunOptions {
  variant?: Variant
  worker?: boolean
  /** The limit of open descriptors. */
  descriptors?: number
}

async function run(t: Scope, stage: string, { variant = 'double', worker, descriptors }: RunOptions = {}) {
  const host = await NetNs.create()
  t.teardown(() => host.delete())
  // Set by env(1) and for Node alone: a sanitizer's runtime would be loaded by `ip` as well.
  const variables = Object.entries(variantEnv(variant)).map(([name, value]) => `${name}=${value}`)
  const limit = descriptors === undefined ? [] : ['prlimit', `--nofile=${descriptors}`]
  const node = [process.execPath, '--expose-gc', STAGES, stage, ...(worker ? ['worker'] : [])]
  const argv = [...limit, 'env', '-u', 'NODE_OPTIONS', ...variables, ...node]
  return host.exec(argv, { timeoutMs: 60_000 })
}

const ENDS = [
  // stage, what it is, exit code, what stderr of the process or the error of the worker says
  ['starting-exit', 'by process.exit before the loop has run', 7],
  ['starting-slowly-exit', 'by process.exit while a start is under way', 7],
  ['running-exit', 'by process.exit, running without a port', 7],
  ['traffic-exit', 'by process.exit under traffic', 7],
  ['exit-in-run', 'by process.exit from within a run', 7],
  ['exit-in-end', 'by process.exit when the interface is lost', 7],
  ['exit-in-report', 'by process.exit when it runs', 7],
  ['throw-in-report', 'by an error when it runs', 1, 'thrown from within a report'],
  ['throw-in-run', 'by an error from within a run', 1, 'thrown from within a run'],
  ['throw-in-end', 'by an error when the interface is lost', 1, 'thrown from within onEnd'],
  ['stopping-exit', 'by process.exit while a stop is under way', 7],
  ['stop-never-exit', 'by process.exit while a stop hangs', 7],
  ['close-in-exit', 'by process.exit, with an exit handler that stops it', 7],
] as const

for (const [stage, what, code, error] of ENDS) {
  t.test(`a process ends ${what}: ${code}`, { skip }, async t => {
    const { status, stdout, stderr } = await run(t, stage)
    t.equal(status, code, stderr)
    if (error === undefined) t.equal(stderr, '')
    else t.match(stderr, error)
    t.equal(stdout, '')
  })

  t.test(`a worker ends ${what}: ${code}`, { skip }, async t => {
    const { status, stdout, stderr } = await run(t, stage, { worker: true })
    t.equal(status, 0, stderr)
    t.equal(stdout, `${error === undefined ? '' : `error: ${error}\n`}the worker ended with ${code}\n`)
  })
}

const SAYS = [
  [
    'stop-all',
    'stopped twice: one report, and it does no more',
    /^running 1000 \S+, stopped 1000 \S+; parameters undefined\n$/,
  ],
  ['close-in-run', 'closed and stopped from within a run', /^stopped 1000 vmnet_stop_interface\n$/],
  [
    'abandoned-while-starting',
    'given up while it starts: it is stopped when it is up, and nothing is said',
    /^0 reports\n$/,
  ],
  ['stop-under-port', 'stopped, or given up, under its port: the port ends', /^1005 0 sent\n1005 0 sent\n$/],
  ['collected', 'what has ended is collected', /^9 collected\n$/],
  ['options-that-throw', 'wrong arguments are errors, and start nothing', /^no mode\n1 started\n$/],
  ['terminate-workers', 'workers are terminated at any time', /^$/],
] as const

for (const [stage, what, says] of SAYS) {
  t.test(what, { skip }, async t => {
    const { status, stdout, stderr } = await run(t, stage)
    t.same([status, stderr], [0, ''])
    t.match(stdout, says)
  })
}

t.test('starts and stops that do not come: said after the limit, and no timer is left', { skip }, async t => {
  const { status, stdout, stderr } = await run(t, 'limits')
  t.same([status, stderr], [0, ''])
  t.same(stdout.split('\n'), [
    'it runs',
    'after the abort: true',
    'stop: undefined',
    'stop=1001: vmnet_stop_interface: VMNET_FAILURE, undefined',
    'stop=return:1004: vmnet_stop_interface: VMNET_SETUP_INCOMPLETE, undefined',
    'stop=never: vmnet_stop_interface did not answer within 0.2 s, undefined',
    'start=1009: ERR_VMNET_SHARING_BUSY',
    'start=never: ERR_VMNET_TIMEOUT',
    'start=delay:400: ERR_VMNET_TIMEOUT',
    'aborted: ERR_VMNET_ABORTED',
    '',
  ])
})

t.test('an interface and a port that nobody holds any more go on', { skip }, async t => {
  const { status, stderr } = await run(t, 'dropped')
  t.equal(status, 7, stderr)
})

t.test(
  'out of descriptors at any point: an error with a code, and it works when there are some',
  { skip },
  async t => {
    const { status, stdout, stderr } = await run(t, 'out-of-descriptors', { descriptors: 48 })
    t.same([status, stderr], [0, ''])
    t.equal(stdout, 'link: undefined\nlink: up\nEMFILE ERR_VMNET_START\n')
  },
)

for (const variant of ['double-asan', 'double-tsan'] as const) {
  for (const stage of [
    'traffic-exit',
    'stopping-exit',
    'stop-under-port',
    'collected',
    'terminate-workers',
  ]) {
    t.test(`${stage}, under ${variant}`, { skip }, async t => {
      const { status, stderr } = await run(t, stage, { variant })
      t.equal(status, stage.endsWith('exit') ? 7 : 0, stderr)
      t.notMatch(stderr, /Sanitizer|runtime error/)
    })
  }
}
