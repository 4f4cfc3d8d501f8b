// The servers that are raced: how each is started, when it is ready, how it is stopped. All have the same
// face: { name, pid, address, loadgen, stop() }, address being what the load generator connects to.
//
// A racer is a direct child, started without a shell between (or with one that execs), so that its PID is
// the one whose CPU time is read, and the one that is signalled.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { programPath } from './build.js'
import { BenchError } from './errors.js'

const READY_MS = 10_000
const RETRY_MS = 10
const STOP_MS = 3_000

const running = new Set()
let serial = 0

/** Kills what is still running; for the way out, whatever the reason. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL')
}

/** Where sockets and state go for one run of the bench. Sun_path is short, so is this. */
export function openScratch() {
  const path = mkdtempSync(join(tmpdir(), 'vmbb-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** The copying program. It serves one pair of ports and ends: one is started for each measurement. */
export async function startCeiling(scratch, { cpu } = {}) {
  const address = join(ownFolder(scratch), 'copy')
  const racer = launch('ceiling', [programPath('copy'), address], { cpu })
  await firstOutput(racer)
  return finished(racer, address, 'loadgen')
}

/** vde_switch. It takes commands on its standard input and ends with it, so that is a pipe that stays open. */
export async function startVde(scratch) {
  const directory = join(ownFolder(scratch), 'vde')
  const racer = launch('vde_switch', ['vde_switch', '-s', directory], { stdin: 'pipe' })
  await connectable(racer, join(directory, 'ctl'))
  return finished(racer, directory, 'loadgen-vde')
}

/** The vmbridge daemon of this checkout, or any server of the same framing in its place. */
export async function startVmbridge(scratch, { cpu, command } = {}) {
  const folder = ownFolder(scratch)
  const address = join(folder, 'vm')
  const racer = command
    ? launch('server', shellCommand(command, address), { cpu })
    : launch('vmbridge', daemonCommand(folder, address), { cpu })
  await connectable(racer, address)
  return finished(racer, address, 'loadgen')
}

// No racer meets the sockets or the state that another has left.
function ownFolder(scratch) {
  const folder = join(scratch, String(++serial))
  mkdirSync(folder)
  return folder
}

function daemonCommand(folder, socket) {
  const bin = fileURLToPath(new URL('../../bin/vmbridge', import.meta.url))
  const paths = [
    '--socket',
    socket,
    '--control',
    join(folder, 'control'),
    '--state-dir',
    join(folder, 'state'),
  ]
  return [bin, 'daemon', ...paths, '--uplink', 'none', '--no-dhcp', '--log-level', 'error']
}

const shellCommand = (command, socket) => ['/bin/sh', '-c', `exec ${command.replaceAll('{socket}', socket)}`]

function launch(name, command, { cpu, stdin = 'ignore' }) {
  const [file, ...args] = cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command]
  const child = spawn(file, args, { stdio: [stdin, 'pipe', 'pipe'] })
  const racer = { name, child, said: '', error: undefined }
  running.add(child)
  child.stdout.resume()
  child.stderr.on('data', text => (racer.said = (racer.said + text).slice(-2000)))
  racer.gone = new Promise(resolve => {
    child.once('error', error => resolve((racer.error = error)))
    child.once('close', resolve)
  }).then(() => running.delete(child))
  return racer
}

const hasEnded = ({ child, error }) =>
  error !== undefined || child.exitCode !== null || child.signalCode !== null

function deathOf({ name, child, said, error }) {
  const how = error?.message ?? `exit ${child.exitCode ?? child.signalCode}`
  return new BenchError(`${name} ended before it was ready (${how})\n${said.trim()}`)
}

async function firstOutput(racer) {
  const output = new Promise(resolve => racer.child.stdout.once('data', resolve))
  await Promise.race([output, racer.gone])
  if (hasEnded(racer)) throw deathOf(racer)
}

async function connectable(racer, path) {
  const deadline = Date.now() + READY_MS
  while (!(await canConnect(path))) {
    if (hasEnded(racer)) throw deathOf(racer)
    if (Date.now() > deadline)
      throw new BenchError(`${racer.name} took no connection for ${READY_MS} ms at ${path}`)
    await sleep(RETRY_MS)
  }
}

function canConnect(path) {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => (socket.destroy(), resolve(true)))
    socket.once('error', () => resolve(false))
  })
}

function finished(racer, address, loadgen) {
  const { name, child } = racer
  const stop = async () => {
    if (!hasEnded(racer)) child.kill('SIGTERM')
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await racer.gone
    clearTimeout(force)
  }
  return { name, pid: child.pid, address, loadgen, stop }
}
