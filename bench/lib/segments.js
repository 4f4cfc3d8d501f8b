// A host and its VMs on one segment: a network namespace that is the host, the server in it with its uplink, and VMs
// that plug into the server's socket. What the host sends to a VM goes through the host's TCP, the uplink, the server
// and the socket; a VM is native/vm.c with a namespace for its kernel, or a real one.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { programPath } from './build.js'
import { capture, firstOutput, launch, stopRacer, untilReady } from './children.js'
import { BenchError } from './errors.js'
import { addressDevice, closeNetns, inside, ip, openNetns } from './netns.js'
import { cpuSeconds } from './proc.js'
import { connectable, daemonIn } from './racers.js'
import { ownFolder } from './scratch.js'

const HOST = '192.168.105.1/24'
const DEVICE = 'eth0'
const PORT = 5001
// Beyond the time that it is to measure.
const POUR_GRACE_MS = 10_000
// More than a socket's buffer and a port's queue hold.
const FILL_BYTES = 4_000_000

export const addressOf = number => `192.168.105.${10 + number}`
export const macOf = number => `52:54:00:00:00:${String(10 + number)}`

/** vmbridge with a TAP as its uplink, as on Linux. */
export const vmbridgeOnTap = () => ({
  name: 'vmbridge',
  command: (folder, socket) => daemonCommand(folder, socket, `tap:${DEVICE}`),
})

/** vmbridge with vmnet as its uplink, on the stand-in for vmnet.framework, which is built where it is stale. */
export function vmbridgeOnVmnet() {
  const build = fileURLToPath(new URL('../../scripts/build-variant', import.meta.url))
  try {
    execFileSync(build, ['double'], { stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    throw new BenchError(`${build} double: ${error.stderr?.toString().trim() || error.message}`)
  }
  const variables = readFileSync(new URL('../../.variants/double/env', import.meta.url), 'utf8')
  const env = [`VMNET_DOUBLE_TAP=${DEVICE}`, ...variables.split('\n').filter(Boolean)]
  return {
    name: 'vmbridge',
    command: (folder, socket) => ['env', ...env, ...daemonCommand(folder, socket, 'vmnet')],
  }
}

/** Another server; `command` is a line of shell that holds {socket}. */
export const otherServer = command => ({
  name: basename(command.split(' ', 1)[0]),
  command: (folder, socket) => [
    'env',
    `VMNET_DOUBLE_TAP=${DEVICE}`,
    '/bin/sh',
    '-c',
    `exec ${command.replaceAll('{socket}', socket)}`,
  ],
})

const daemonCommand = (folder, socket, uplink) => [
  ...daemonIn(folder, socket),
  '--uplink',
  uplink,
  '--gateway',
  HOST,
  '--log-level',
  'error',
]

/** The host and the server. VMs plug into `socket`. */
export async function startSegment(scratch, { name, command }) {
  const folder = ownFolder(scratch)
  const socket = join(folder, 'vm')
  const netns = openNetns()
  const server = launch(name, inside(netns, command(folder, socket)))
  const parts = [() => closeNetns(netns), () => stopRacer(server)]
  const close = async () => {
    for (const part of parts.reverse()) await part()
  }
  try {
    await connectable(server, socket)
    await untilReady(server, () => hasRoute(server.child.pid), `made no ${DEVICE} with an address`)
  } catch (error) {
    await close()
    throw error
  }
  return { name, socket, netns, pid: server.child.pid, onClose: part => parts.push(part), close }
}

// In the namespace that the process is in: the device is there, up, and has its address.
const hasRoute = pid => readFileSync(`/proc/${pid}/net/route`, 'utf8').includes(`\n${DEVICE}\t`)

/** Plugs in the VM of this number; the first takes what is poured. { stop(), cont() } hang it and let it go on. */
export async function plugVm(segment, number) {
  const netns = openNetns()
  segment.onClose(() => closeNetns(netns))
  const argv = [programPath('vm'), segment.socket, DEVICE, macOf(number)]
  const vm = launch('vm', inside(netns, argv))
  segment.onClose(() => stopRacer(vm, 'SIGKILL'))
  await firstOutput(vm)
  addressDevice(netns, DEVICE, `${addressOf(number)}/24`)
  if (number === 1) {
    const sink = launch('sink', inside(netns, [programPath('pour'), 'sink', String(PORT)]))
    segment.onClose(() => stopRacer(sink))
    await firstOutput(sink)
  }
  return { stop: () => vm.child.kill('SIGSTOP'), cont: () => vm.child.kill('SIGCONT') }
}

/** Pours from the host to a VM. { bytes, seconds, cpu }, cpu being the seconds of a core that the server took. */
export async function pour(segment, { warmup, seconds }) {
  const args = ['to', addressOf(1), String(PORT), String(warmup), String(seconds)]
  const before = cpuSeconds(segment.pid)
  const timeoutMs = (warmup + seconds) * 1000 + POUR_GRACE_MS
  const command = inside(segment.netns, [programPath('pour'), ...args])
  const { status, stdout, stderr } = await capture('pour', command, { timeoutMs })
  if (status !== 0) throw new BenchError(`${segment.name}: ${stderr.trim() || `pour exits ${status}`}`)
  const { bytes, seconds: measured } = JSON.parse(stdout)
  const cpu = cpuSeconds(segment.pid) - before
  return { bytes, seconds: measured, cpu, cpuOf: warmup + measured }
}

/** Pours until something arrives: from then on all know where the VM is. */
export async function untilReached(segment) {
  const racer = { name: segment.name, child: { exitCode: null, signalCode: null } }
  const reached = async () => (await pour(segment, { warmup: 0.1, seconds: 0.1 })).bytes > 0
  await untilReady(racer, reached, `brought nothing to ${addressOf(1)}`)
}

/** Hangs a VM, and sends it more than there is room for on its way. */
export async function hang(segment, vm, number) {
  vm.stop()
  // A VM that hangs answers no ARP.
  const to = addressOf(number)
  ip('-n', segment.netns, 'neigh', 'replace', to, 'lladdr', macOf(number), 'dev', DEVICE)
  const args = ['fill', to, String(PORT), String(FILL_BYTES)]
  const command = inside(segment.netns, [programPath('pour'), ...args])
  const { status, stderr } = await capture('fill', command, { timeoutMs: POUR_GRACE_MS })
  if (status !== 0) throw new BenchError(`fill: ${stderr.trim()}`)
}

/** Slices of pours as one result. */
export function joinPours(slices) {
  const total = name => slices.reduce((sum, slice) => sum + slice[name], 0)
  return { gbps: (total('bytes') * 8) / total('seconds') / 1e9, cores: total('cpu') / total('cpuOf') }
}
