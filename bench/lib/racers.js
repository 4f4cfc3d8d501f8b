// The servers that are raced for frames: how each is started, when it is ready, how it is stopped. All have the
// same face: { name, pid, address, loadgen, stop() }, address being what the load generator connects to.

import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { programPath } from './build.js'
import { firstOutput, launch, stopRacer, untilReady } from './children.js'
import { ownFolder } from './scratch.js'

/** The program of this checkout. */
export const vmbridge = fileURLToPath(new URL('../../bin/vmbridge', import.meta.url))

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

/** The same daemon, by datagrams. */
export async function startDatagrams(scratch) {
  const folder = ownFolder(scratch)
  const [stream, datagrams] = [join(folder, 'vm'), join(folder, 'dg')]
  const racer = launch('datagrams', [...daemonCommand(folder, stream), '--dgram', datagrams])
  await connectable(racer, stream)
  return finished(racer, datagrams, 'loadgen-dgram')
}

function daemonCommand(folder, socket) {
  return [...daemonIn(folder, socket), '--uplink', 'none', '--no-dhcp', '--log-level', 'error']
}

/** The command of a daemon whose socket is `socket` and which keeps everything else in `folder`. */
export function daemonIn(folder, socket) {
  const paths = [
    '--socket',
    socket,
    '--control',
    join(folder, 'control'),
    '--state-dir',
    join(folder, 'state'),
  ]
  mkdirSync(join(folder, 'state'), { recursive: true })
  return [vmbridge, 'daemon', ...paths]
}

const shellCommand = (command, socket) => ['/bin/sh', '-c', `exec ${command.replaceAll('{socket}', socket)}`]

/** Waits until a Unix socket takes connections. Throws a BenchError when it never does. */
export const connectable = (racer, path) =>
  untilReady(racer, () => canConnect(path), `took no connection at ${path}`)

function canConnect(path) {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => (socket.destroy(), resolve(true)))
    socket.once('error', () => resolve(false))
  })
}

function finished(racer, address, loadgen) {
  const { name, child } = racer
  return { name, pid: child.pid, address, loadgen, stop: () => stopRacer(racer) }
}
