// `talosctl cluster create qemu` and `talosctl cluster destroy` as they are on a Mac, in the order of things of either
// generation. v1.12 and v1.13 predict the name of the bridge before there is one; v1.14 has a keepalive make it.

import { closeSync, mkdirSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import {
  DHCPD_PID,
  isSecondGeneration,
  KEEPALIVE_PID,
  planCluster,
  STATE_FILE,
  stateFile,
  type ClusterPlan,
  type ClusterWanted,
  type NodePlan,
} from './cluster.js'
import { keepaliveArguments } from './command-line.js'
import type { LaunchConfig } from './launch.js'
import { qemuExecutable, selfArgv, spawnLogged, stopByPidfile } from './process.js'

/** How long talosctl waits for an interface, and for a node to take its machine config. */
const PATIENCE_FOR_INTERFACE = 60_000
const PATIENCE_FOR_NODE = 120_000

/** A Mac numbers its bridges from 100, our TAPs begin with 0. */
const FIRST_INTERFACE =
  process.platform === 'darwin' ? { name: 'bridge', number: 100 } : { name: 'vmbridge', number: 0 }

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Waits for what `look` finds, asking again every `every` ms. */
async function waitFor<T>(look: () => T | undefined, every: number, what: string): Promise<T> {
  for (let left = PATIENCE_FOR_INTERFACE; ; left -= every) {
    const found = look()
    if (found !== undefined) return found
    if (left <= 0) throw new Error(what)
    await pause(every)
  }
}

function interfaceWith(address: string): string | undefined {
  const found = Object.entries(networkInterfaces()).find(([, all = []]) =>
    all.some(one => one.address === address),
  )
  return found?.[0]
}

/** The name of the interface that the nodes will share: seen where a keepalive made it, else guessed. */
async function createNetwork(cluster: ClusterPlan): Promise<string> {
  if (!isSecondGeneration(cluster.version)) {
    const taken = networkInterfaces()
    let { name, number } = FIRST_INTERFACE
    while (taken[`${name}${number}`] !== undefined) number++
    return `${name}${number}`
  }
  const log = stateFile(cluster, 'vmnet-keepalive.log')
  const keepalive = spawnLogged([qemuExecutable(), ...keepaliveArguments(cluster)], log)
  keepalive.unref()
  writeFileSync(stateFile(cluster, KEEPALIVE_PID), String(keepalive.pid))
  const what = `no interface has address ${cluster.gateway} yet`
  return waitFor(() => interfaceWith(cluster.gateway), 100, what)
}

function createNode(cluster: ClusterPlan, node: NodePlan): void {
  const file = (suffix: string) => stateFile(cluster, node.name + suffix)
  for (const suffix of ['-0.disk', '-flash0.img', '-flash1.img']) {
    writeFileSync(file(suffix), '')
    truncateSync(file(suffix), 2 ** 20)
  }
  const config: LaunchConfig = { cluster, node }
  writeFileSync(file('.config'), JSON.stringify(config), { mode: 0o600 })
  const stdin = openSync(file('.config'), 'r')
  const launcher = spawnLogged(selfArgv('qemu-launch'), file('.log'), stdin)
  launcher.unref()
  closeSync(stdin)
  writeFileSync(file('.pid'), String(launcher.pid))
}

/** talosctl's DHCP server cannot start before its interface is there. */
async function createDhcpd(cluster: ClusterPlan, bridge: string): Promise<void> {
  await waitFor<unknown>(() => networkInterfaces()[bridge], 50, `interface ${bridge} not found`)
  const log = stateFile(cluster, 'dhcpd.log')
  const dhcpd = spawnLogged(selfArgv('dhcpd-launch'), log)
  dhcpd.unref()
  writeFileSync(stateFile(cluster, DHCPD_PID), String(dhcpd.pid))
  const isUp = () => (readFileSync(log, 'utf8').includes('Ready to handle requests') ? true : undefined)
  await waitFor<unknown>(isUp, 50, 'failure: DHCPd server has not started')
}

/** The node's answer to its machine config: what it says that its name is. */
async function push(ip: string): Promise<string> {
  const response = await fetch(`http://${ip}:50000/cgi-bin/hostname`, { signal: AbortSignal.timeout(2000) })
  return (await response.text()).trim()
}

/** Until the node has said its own name: at the address that was planned for it, and no other is there. */
async function configure(node: NodePlan, since: number): Promise<void> {
  for (;;) {
    const answer = await push(node.ip).catch((error: Error) => error)
    const ms = Math.round(performance.now() - since)
    if (answer === node.name) return say(`${node.name} at ${node.ip} took its config after ${ms} ms`)
    const what = `${node.name} at ${node.ip}: ${answer instanceof Error ? answer.message : `is ${answer}`}`
    if (ms > PATIENCE_FOR_NODE) throw new Error(what)
    await pause(100)
  }
}

export async function createCluster(wanted: ClusterWanted): Promise<void> {
  const cluster = planCluster(wanted)
  // It refuses a folder that is there: the cluster may be running.
  mkdirSync(cluster.state)
  const bridge = await createNetwork(cluster)
  say(`creating network ${cluster.name} on ${bridge}`)
  const started = performance.now()
  const createNodes = (nodes: NodePlan[]) => nodes.forEach(node => createNode(cluster, node))
  createNodes(cluster.nodes.filter(node => node.controlplane))
  await createDhcpd(cluster, bridge)
  createNodes(cluster.nodes.filter(node => !node.controlplane))
  writeFileSync(stateFile(cluster, STATE_FILE), JSON.stringify({ ...cluster, bridge }))
  await Promise.all(cluster.nodes.map(node => configure(node, started)))
  say(`bootstrapped ${cluster.name}`)
}

/** Nobody tells the network's daemon: the VMs' ends are all that it learns. */
export async function destroyCluster(state: string): Promise<void> {
  const cluster = JSON.parse(readFileSync(stateFile({ state }, STATE_FILE), 'utf8')) as ClusterPlan
  await Promise.all(cluster.nodes.map(node => stopByPidfile(stateFile(cluster, `${node.name}.pid`))))
  await stopByPidfile(stateFile(cluster, DHCPD_PID))
  await stopByPidfile(stateFile(cluster, KEEPALIVE_PID))
  rmSync(state, { recursive: true })
}
