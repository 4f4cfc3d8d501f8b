// What holds for every workflow of .github, and that what they name is there.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { VMNET_NETWORKS } from '../e2e/vmnet-networks.js'
import { ROOT } from '../helpers/root.js'

type Step = { uses?: string; run?: string; if?: string; id?: string; env?: Record<string, string> }
type Job = {
  'runs-on': string
  if?: string
  'timeout-minutes'?: number
  needs?: string
  strategy?: { matrix?: { os?: string[] } }
  permissions?: unknown
  defaults?: { run?: { shell?: string } }
  steps: Step[]
}
type Workflow = { permissions?: unknown; concurrency?: unknown; jobs: Record<string, Job> }

const FOLDER = join(ROOT, '.github/workflows')
const texts = new Map(readdirSync(FOLDER).map(name => [name, readFileSync(join(FOLDER, name), 'utf8')]))
const workflows = new Map([...texts].map(([name, text]) => [name, parse(text) as Workflow]))
const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps }) => steps)

t.test('there are the two', async t => {
  t.strictSame([...workflows.keys()].sort(), ['linux.yml', 'macos.yml'])
})

for (const [name, workflow] of workflows) {
  t.test(`${name}: may read and no more, and ends`, async t => {
    t.strictSame(workflow.permissions, { contents: 'read' })
    t.ok(workflow.concurrency, 'a newer push of a pull request ends the older one')
    for (const [id, job] of Object.entries(workflow.jobs)) {
      t.notOk('permissions' in job, `${id} asks for nothing beyond`)
      t.ok(Number(job['timeout-minutes']) <= 60, `${id} has a time limit`)
      t.equal(job.defaults?.run?.shell, 'bash', `${id}: with pipefail, so that tee hides no failure`)
    }
  })

  t.test(`${name}: actions are those of one commit`, async t => {
    const lines = texts
      .get(name)!
      .split('\n')
      .filter(line => /\buses:/.test(line))
    t.ok(lines.length > 0)
    for (const line of lines) {
      t.match(line, /uses: actions\/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, line.trim())
    }
  })

  t.test(`${name}: no text of others becomes shell`, async t => {
    for (const { run = '' } of stepsOf(workflow)) t.notMatch(run, /\$\{\{/, run.split('\n')[0])
  })

  t.test(`${name}: the scripts are there, and the steps that others wait for`, async t => {
    const steps = stepsOf(workflow)
    const commands = steps.map(({ run = '' }) => run).join('\n')
    const named = commands.match(/(?:^|\s)(?:scripts|bin|\.ci)\/[\w-]+/gm) ?? []
    t.ok(named.length > 0)
    for (const path of named) t.ok(existsSync(join(ROOT, path.trim())), path.trim())
    const ids = new Set(steps.map(({ id }) => id))
    for (const { if: condition = '' } of steps) {
      for (const [, id] of condition.matchAll(/steps\.(\w+)\./g)) t.ok(ids.has(id), `${condition}: ${id}`)
    }
  })
}

t.test('.ci/run is what Linux runs', async t => {
  t.ok(stepsOf(workflows.get('linux.yml')!).some(({ run }) => run?.startsWith('.ci/run ')))
})

t.test('every macOS in use, and each network with the selftest and with guests', async t => {
  const macos = workflows.get('macos.yml')!
  t.strictSame(macos.jobs['mac'].strategy?.matrix?.os, ['macos-14', 'macos-15', 'macos-26'])
  t.equal(macos.jobs['mac'].needs, 'guest', 'the guest comes from a job on Linux')
  t.equal(macos.jobs['mac'].if, '${{ !cancelled() }}', 'whose failure hides nothing of what needs no guest')
  const steps = macos.jobs['mac'].steps
  for (const mode of ['shared', 'host']) {
    t.ok(
      steps.some(({ run }) => run?.includes(`bin/vmbridge selftest --uplink vmnet --mode ${mode} `)),
      `the selftest of ${mode} mode`,
    )
  }
  const guests = steps.filter(({ run }) => run?.startsWith('scripts/macos-guests '))
  t.strictSame(
    guests.map(({ env }) => env?.['VMBRIDGE_TEST_UPLINK']),
    VMNET_NETWORKS.map(({ uplink }) => uplink),
    'the networks with guests are those that the double has here',
  )
})
