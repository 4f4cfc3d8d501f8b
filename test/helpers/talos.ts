// A host with the daemon, the stand-ins for QEMU and talosctl, all in a network namespace: clusters come and go on it
// as `talosctl cluster create qemu` and `talosctl cluster destroy` make and remove them on a Mac.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import type { NetworkStatus } from '../../src/control/api.js'
import { SETTINGS, TALOS, type TalosSettings } from '../../src/talos/settings.js'
import type { ClusterPlan, Version } from '../e2e/talosctl/cluster.js'
import { QEMU_NAME, writeQemu } from '../e2e/talosctl/qemu.js'
import { Child, type Exit } from './child.js'
import { type Daemon, type Scope, startDaemon } from './daemon.js'
import { NetNs } from './netns.js'
import type { Need } from './requires.js'
import { ROOT, VMBRIDGE } from './root.js'
import { eventually, runs, TalosNode } from './talos-node.js'

export const TALOS_LAB: readonly Need[] = [
  'linux',
  'root',
  'tap',
  'ip',
  QEMU_NAME,
  'guest',
  'cpio',
  'ping',
  'curl',
]

const TALOSCTL = join(ROOT, 'dist/test/e2e/talosctl/talosctl.js')

export type ClusterOptions = {
  version?: Version
  name?: string
  cidr?: string
  controlplanes?: number
  workers?: number
  mtu?: number
}

/** The name that the node behind an address says it has, by TCP. */
export const whoIs = async (host: TalosHost, ip: string): Promise<string> => {
  const url = `http://${ip}:50000/cgi-bin/hostname`
  return (await host.netns.sh('curl', '--silent', '--show-error', '--fail', '--max-time', '10', url)).trim()
}

export class Cluster {
  readonly state: string
  readonly #host: TalosHost

  constructor(host: TalosHost, state: string) {
    this.#host = host
    this.state = state
  }

  /** What `create` wrote when it was through. */
  get plan(): ClusterPlan & { bridge: string } {
    return JSON.parse(this.read('state.json')) as ClusterPlan & { bridge: string }
  }

  get nodes(): TalosNode[] {
    return this.plan.nodes.map(node => new TalosNode(this.state, node))
  }

  get keepalive(): number {
    return Number(this.read('vmnet-keepalive.pid'))
  }

  read(name: string): string {
    return readFileSync(join(this.state, name), 'utf8')
  }

  async destroy(): Promise<Exit> {
    return this.#host.talosctl('destroy', this.state).exited
  }
}

export class TalosHost {
  readonly netns: NetNs
  readonly directory: string
  readonly clusters: string
  daemon: Daemon
  readonly #scope: Scope
  readonly #shim: string
  readonly #args = ['--uplink', 'none']

  private constructor(scope: Scope, netns: NetNs, directory: string, shim: string, daemon: Daemon) {
    this.#scope = scope
    this.netns = netns
    this.directory = directory
    this.clusters = join(directory, 'clusters')
    this.daemon = daemon
    this.#shim = shim
  }

  /** All of it goes with the test, the VMs that `create` leaves running included. */
  static async start(t: Scope): Promise<TalosHost> {
    // Short, for a node's sockets have long names.
    const directory = mkdtempSync(join(tmpdir(), 'vbt-'))
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    const netns = await NetNs.create()
    const daemon = await startDaemon(t, { netns, args: ['--uplink', 'none'] })
    // After the daemon's, so before it is run: the namespace takes all VMs with it.
    t.teardown(() => netns.delete())
    const host = new TalosHost(t, netns, directory, installStandIns(join(directory, 'prefix')), daemon)
    mkdirSync(host.clusters)
    host.useQemu(installedQemu())
    return host
  }

  /** What the VMs that start from now on are. */
  useQemu(program: string): void {
    writeQemu(this.directory, program)
  }

  get #env(): Record<string, string> {
    const path = [this.#shim, join(this.directory, 'bin'), process.env.PATH].join(':')
    return { PATH: path, VMBRIDGE_CONTROL: this.daemon.control }
  }

  talosctl(...args: string[]): Child {
    return this.spawn([process.execPath, TALOSCTL, ...args])
  }

  /** A program that finds the stand-ins for QEMU first in its PATH. */
  spawn(argv: readonly string[]): Child {
    return this.netns.spawn(['unshare', '--mount', 'sh', '-c', OWN_STATE, 'sh', ...argv], { env: this.#env })
  }

  /** Starts to create a cluster; `child` ends when all nodes have their config. */
  creating(options: ClusterOptions = {}): { cluster: Cluster; child: Child } {
    const { version = 'v1.14', name = 'talos-default', cidr = '10.5.0.0/24' } = options
    const { controlplanes = 1, workers = 2, mtu = 1500 } = options
    const numbers = [controlplanes, workers, mtu].map(String)
    const child = this.talosctl('create', version, this.clusters, name, cidr, ...numbers)
    return { child, cluster: new Cluster(this, join(this.clusters, name)) }
  }

  async create(options: ClusterOptions = {}): Promise<{ cluster: Cluster; output: string }> {
    const { cluster, child } = this.creating(options)
    const { code } = await child.exited
    if (code !== 0) throw new Error(`create: status ${code}\n${child.text()}${this.#logs(cluster)}`)
    return { cluster, output: child.text() }
  }

  async restartDaemon(signal: NodeJS.Signals): Promise<void> {
    await this.daemon.stop(signal)
    await this.startDaemonAgain()
  }

  async startDaemonAgain(): Promise<void> {
    this.daemon = await startDaemon(this.#scope, { netns: this.netns, args: this.#args, again: this.daemon })
  }

  /** The network of that gateway, as `vmbridge status` has it; undefined when there is none. */
  async network(gateway = '10.5.0.1/24'): Promise<NetworkStatus | undefined> {
    const networks = (await this.daemon.status()).networks as unknown as NetworkStatus[]
    return networks.find(network => network.gateway === gateway)
  }

  async interfaces(): Promise<string[]> {
    const links = JSON.parse(await this.netns.sh('ip', '-j', 'link')) as { ifname: string }[]
    return links.map(({ ifname }) => ifname)
  }

  /** All that is there because of VMs, sorted: interfaces, processes, networks, and files of either side. */
  async traces(): Promise<string[]> {
    const pids = (await this.netns.sh('ip', 'netns', 'pids', this.netns.name)).split('\n').map(Number)
    const others = pids.filter(pid => pid > 0 && pid !== this.daemon.pid && runs(pid))
    const list = await this.netns.sh(VMBRIDGE, 'networks', '--json', '--control', this.daemon.control)
    const { networks } = JSON.parse(list) as { networks: { name: string }[] }
    const files = [this.clusters, this.daemon.directory].flatMap(folder =>
      existsSync(folder) ? (readdirSync(folder, { recursive: true }) as string[]) : [],
    )
    const rules = (await this.netns.sh('nft', 'list', 'tables')).split('\n').filter(Boolean)
    const forwarding = (await this.netns.sh('cat', '/proc/sys/net/ipv4/ip_forward')).trim()
    return [
      `forwarding ${forwarding}`,
      ...rules,
      ...(await this.interfaces()).map(name => `interface ${name}`),
      ...others.map(pid => `process ${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').slice(0, 80)}`),
      ...networks.map(({ name }) => `network ${name}`),
      ...files.map(name => `file ${name}`),
    ].sort()
  }

  /** Waits until that is so: the network goes a moment after its last VM. */
  async isAsBefore(t: Test, before: string[]): Promise<void> {
    const look = async () => JSON.stringify(await this.traces()) === JSON.stringify(before)
    await eventually(look, 'nothing is left').catch(() => {})
    t.same(await this.traces(), before, 'no interface, process, network or file is left')
  }

  /** The last words of every log; QEMU's command lines would bury what went wrong. */
  #logs({ state }: Cluster): string {
    const logs = existsSync(state) ? readdirSync(state).filter(name => name.endsWith('.log')) : []
    const lastOf = (name: string) => {
      const lines = readFileSync(join(state, name), 'utf8').trimEnd().split('\n')
      return lines.slice(-3).map(line => line.slice(0, 200))
    }
    return logs.map(name => [`== ${name}`, ...lastOf(name)].join('\n')).join('\n')
  }
}

function installedQemu(): string {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.map(folder => join(folder, QEMU_NAME)).find(path => existsSync(path))!
}

/**
 * The shape of an installed tree, made of links into this checkout, with the stand-ins for QEMU in it.
 * @returns their folder
 */
function installStandIns(prefix: string): string {
  const folder = join(prefix, TALOS)
  mkdirSync(folder, { recursive: true })
  for (const name of ['dist', 'build', 'node_modules', 'package.json'])
    symlinkSync(join(ROOT, name), join(prefix, name))
  symlinkSync(process.execPath, join(prefix, 'node'))
  copyFileSync(join(ROOT, 'build/Release/launcher'), join(folder, QEMU_NAME))
  const settings: TalosSettings = { format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {} }
  writeFileSync(join(folder, SETTINGS), JSON.stringify(settings))
  return folder
}

/** Of root's a stand-in for QEMU keeps what it learnt in /var/lib: that is the test's own folder. */
const OWN_STATE = 'mount -t tmpfs vbt /var/lib && mkdir /var/lib/vmbridge && exec "$@"'
