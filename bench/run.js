// Races vmbridge against the ceiling, vde_switch and dnsmasq, and tells what came of it: a table for people,
// JSON for programs. README.md says what each number means.

import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArguments, usage } from './lib/arguments.js'
import { buildPrograms } from './lib/build.js'
import { BenchError, UsageError } from './lib/errors.js'
import { isMet } from './lib/goals.js'
import { busyCores, machine } from './lib/proc.js'
import { killAll } from './lib/children.js'
import { closeAllNetns } from './lib/netns.js'
import { startDatagrams, startVde, startVmbridge } from './lib/racers.js'
import { openScratch, removeScratch } from './lib/scratch.js'
import { heading, questionTable, summary } from './lib/report.js'

/** What a question has to work with. What it starts here is stopped when it is answered. */
function openBench({ pairs, seconds, server, against }) {
  const scratch = openScratch()
  const racers = []
  const started = async racer => (racers.push(await racer), racers.at(-1))
  return {
    pairs,
    seconds,
    server,
    against,
    scratch: scratch.path,
    oneCore: cpus().length - 1,
    startVmbridge: options => started(startVmbridge(scratch.path, { ...options, command: server })),
    startDatagrams: () => started(startDatagrams(scratch.path)),
    startVde: () => started(startVde(scratch.path)),
    async close() {
      for (const racer of racers) await racer.stop()
      scratch.remove()
    },
  }
}

/** Answers a question as far as it can be answered. */
async function answer(name, options, print) {
  const { title, ask } = await import(`./questions/${name}.js`)
  const busyBefore = await busyCores()
  const bench = openBench(options)
  const rows = []
  let failure
  try {
    for await (const row of ask(bench)) rows.push({ question: name, busyBefore, ...row })
  } catch (error) {
    if (!(error instanceof BenchError)) throw error
    failure = { question: name, reason: error.message }
  } finally {
    await bench.close()
  }
  print(questionTable(title, busyBefore, rows))
  if (failure) print(`  NOT MEASURED: ${failure.reason}\n`)
  return { rows, failure }
}

async function run(options) {
  // With JSON on stdout the table goes to stderr.
  const out = options.json === '-' ? process.stderr : process.stdout
  const print = text => out.write(text)
  buildPrograms()
  const about = { date: new Date().toISOString(), machine: machine() }
  print(heading(about.machine, options))
  const rows = []
  const failures = []
  for (const name of options.questions) {
    const answered = await answer(name, options, print)
    rows.push(...answered.rows)
    if (answered.failure) failures.push(answered.failure)
  }
  print(summary(rows))
  if (options.json) writeJson(options.json, { ...about, ...settings(options), rows, failures })
  if (failures.length > 0) process.exitCode = 1
}

const settings = ({ pairs, seconds, server, against }) => ({
  pairs,
  seconds,
  server: server ?? 'vmbridge',
  against,
})

function writeJson(file, report) {
  report.rows = report.rows.map(row => ({ ...row, met: isMet(row) ?? null }))
  const text = `${JSON.stringify(report, null, 2)}\n`
  if (file === '-') process.stdout.write(text)
  else writeFileSync(file, text)
}

process.on('exit', () => {
  killAll()
  closeAllNetns()
  removeScratch()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

try {
  const options = parseArguments(process.argv.slice(2))
  if (options.help) process.stdout.write(usage)
  else await run(options)
} catch (error) {
  if (!(error instanceof BenchError)) throw error
  process.stderr.write(`bench: ${error.message}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
