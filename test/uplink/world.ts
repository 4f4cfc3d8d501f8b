// What lies around a host with a shared network: the host, a world beyond its one link, and VMs, each a network namespace.
//
//   VM 192.168.105.9 -- switch -- TAP .1 | host 203.0.113.2 -- 203.0.113.1 | world

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startDaemon, type Daemon, type DaemonOptions, type Scope } from '../helpers/daemon.js'
import type { Host } from '../helpers/host.js'
import { NetNs, withPrivateResolv } from '../helpers/netns.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'

export const HOST = '203.0.113.2'
export const WORLD = '203.0.113.1'
export const TABLE = 'vmbridge_192_168_105_0_24'
const DNS_PROGRAM = join(ROOT, 'dist/test/dns/program.js')
/** Says each caller its address. */
const MIRROR = `require('node:net').createServer(s => { s.on('error', () => {}); s.end(s.remoteAddress + '\\n') })
  .listen(8080, '0.0.0.0', () => console.log('listening'))`
const CALL = `const s = require('node:net').connect(8080, process.argv[1]); s.on('error', e => console.log(e.code)); s.pipe(process.stdout)
  setTimeout(() => { console.log('silence'); process.exit() }, Number(process.argv[2])).unref()`

export class Surroundings {
  readonly host: NetNs
  readonly world: NetNs
  /** The host's own resolv.conf, and what runs a program that sees it. */
  readonly #resolv: ReturnType<typeof withPrivateResolv>

  private constructor(host: NetNs, world: NetNs, resolv: ReturnType<typeof withPrivateResolv>) {
    this.host = host
    this.world = world
    this.#resolv = resolv
  }

  static async lay(t: Scope): Promise<Surroundings> {
    const host = await namespace(t)
    const world = await namespace(t)
    await host.sh('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'eth0', 'netns', world.name)
    for (const [ns, address] of [
      [host, HOST],
      [world, WORLD],
    ] as const) {
      await ns.sh('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0')
      await ns.sh('ip', 'link', 'set', 'eth0', 'up')
    }
    await host.sh('ip', 'route', 'add', 'default', 'via', WORLD)
    await host.sh('sysctl', '-qw', 'net.ipv4.ip_forward=0')
    const resolv = withPrivateResolv()
    t.teardown(() => resolv.close())
    const around = new Surroundings(host, world, resolv)
    around.nameservers(WORLD)
    return around
  }

  nameservers(...addresses: string[]): void {
    writeFileSync(this.#resolv.path, addresses.map(address => `nameserver ${address}\n`).join(''))
  }

  /** The host with a resolv.conf of its own. */
  get inside(): Host {
    const wrap = (argv: readonly string[]) => this.host.wrap([...this.#resolv.prefix, ...argv])
    return Object.create(this.host, { wrap: { value: wrap } }) as Host
  }

  /** A daemon on the host, in shared mode unless `args` say another. */
  start(t: Scope, { args = ['--mode', 'shared'], ...options }: DaemonOptions = {}): Promise<Daemon> {
    return startDaemon(t, { netns: this.inside, args: ['--uplink', 'tap', ...args], ...options })
  }

  /** A VM with an address and a route. */
  async plug(t: Scope, daemon: Daemon, subnet = '192.168.105'): Promise<NetNs> {
    const vm = await namespace(t)
    const plug = vm.spawn([VMBRIDGE, 'plug', 'eth0', '--socket', daemon.socket])
    t.teardown(() => plug.close('SIGTERM'))
    await plug.waitForLine(/on the segment/)
    await vm.sh('ip', 'addr', 'add', `${subnet}.9/24`, 'dev', 'eth0')
    await vm.sh('ip', 'route', 'add', 'default', 'via', `${subnet}.1`)
    return vm
  }

  /** A server in a namespace that `call` is answered by. */
  async mirror(t: Scope, ns: NetNs): Promise<void> {
    const server = ns.spawn([process.execPath, '-e', MIRROR])
    t.teardown(() => server.close())
    await server.waitForLine(/^listening$/)
  }

  async resolver(t: Scope, address = WORLD): Promise<void> {
    const server = this.world.spawn([process.execPath, DNS_PROGRAM, 'serve', address])
    t.teardown(() => server.close())
    await server.waitForLine(/^serving$/)
  }

  tables(): Promise<string> {
    return this.host.sh('nft', 'list', 'tables')
  }

  async isForwarding(): Promise<boolean> {
    return (await this.host.sh('cat', '/proc/sys/net/ipv4/ip_forward')).trim() === '1'
  }

  /** Tables, forwarding, sockets at port 53, devices: what a shared network has beyond its daemon. */
  async left(): Promise<string[]> {
    const sockets = await this.host.sh('cat', '/proc/net/udp', '/proc/net/tcp')
    const devices = await this.host.sh('ip', '-br', 'link')
    return [
      ...(await this.tables()).split('\n').filter(Boolean),
      ...((await this.isForwarding()) ? ['forwarding'] : []),
      ...(sockets.match(/ [0-9A-F]{8}:0035 .*/g) ?? []),
      ...(devices.match(/^vmbridge\S*/gm) ?? []),
    ]
  }
}

/** The address that a mirror sees, or `silence`; a caller who expects that waits for less long. */
export async function call(ns: NetNs, address: string, ms = 10_000): Promise<string> {
  return (await ns.sh(process.execPath, '-e', CALL, address, String(ms))).split('\n')[0]
}

export async function askDns(ns: NetNs, how: 'udp' | 'tcp', address: string, name: string): Promise<string> {
  return (await ns.sh(process.execPath, DNS_PROGRAM, 'ask', how, address, name)).trim()
}

async function namespace(t: Scope): Promise<NetNs> {
  const ns = await NetNs.create()
  t.teardown(() => ns.delete())
  return ns
}
