// What the tests of real DHCP clients have in common: a network namespace as a host on the segment, a script
// that a client calls and that keeps what it was told, and what the daemon is asked to tell.

import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratch } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { startDaemon, type Daemon, type Scope } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { VMBRIDGE } from '../helpers/root.js'

export const HOST_NEEDS = ['linux', 'root', 'tap', 'ip', 'ping', 'busybox']

/** The addresses of the hosts in these tests. */
export const MAC = '52:54:00:00:00:0a'
export const OTHER_MAC = '52:54:00:00:00:0b'

/** Every option by its name, as a person would give it. */
export const EVERY_OPTION = [
  '--gateway=192.168.105.1/24',
  '--mtu=1400',
  // The least that the daemon takes: T1 after half a minute, T2 after 52 s.
  '--lease-time=60',
  '--dns=192.168.105.3',
  '--dns=9.9.9.9',
  '--domain=lab.internal',
  '--dhcp-option=ntp=192.168.105.4,192.168.105.5',
  '--dhcp-option=search=lab.internal,apps.lab.internal',
  '--dhcp-option=static-routes=10.0.0.0/8,192.168.105.6,172.16.32.0/20,192.168.105.7',
  '--dhcp-option=tftp-server=tftp.lab.internal',
  '--dhcp-option=boot-file=plain.img',
  '--dhcp-option=next-server=192.168.105.8',
  '--dhcp-option=vendor=01:02:ca:fe',
  '--dhcp-option=224=de:ad:be:ef',
]

/** A daemon with nothing but its VMs and its DHCP server. */
export function startAlone(t: Scope, ...args: string[]): Promise<Daemon> {
  return startDaemon(t, { args: ['--uplink', 'none', ...args] })
}

export async function namespace(t: Scope): Promise<NetNs> {
  const ns = await NetNs.create()
  t.teardown(() => ns.delete())
  return ns
}

/** A namespace as a host on the segment, by its `eth0`. */
export async function plug(t: Scope, daemon: Daemon, mac: string): Promise<NetNs> {
  const ns = await namespace(t)
  const argv = [VMBRIDGE, 'plug', 'eth0', '--socket', daemon.socket, '--netns', ns.name, '--mac', mac]
  const child = Child.launch(argv)
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/is on the segment/)
  return ns
}

/** The variables that a client's script found in its environment. */
export type Told = Record<string, string>

export type Recorder = {
  /** The path of the script. */
  script: string
  /** Every call of the script, in order; the name of its event is `event`. */
  calls: () => Told[]
  /** The last call. */
  told: () => Told
}

/**
 * A script for a DHCP client (udhcpc's, dhclient's and dhcpcd's protocols) that gives the device the address
 * and keeps every call; it touches nothing else. It says `event NAME` when it has. `verdict` is shell, run at
 * its end.
 */
export function recorder(t: Scope, verdict = ''): Recorder {
  const folder = scratch(t)
  const script = join(folder, 'script')
  const calls = join(folder, 'calls')
  writeFileSync(
    script,
    `#!/bin/sh
    export event="\${reason:-$1}"
    case $event in
      bound | renew | BOUND | RENEW | REBIND | REBOOT)
        ip addr replace "\${new_ip_address:-$ip}/\${new_subnet_mask:-$mask}" dev "$interface" ;;
      deconfig | EXPIRE | RELEASE | STOP) ip -4 addr flush dev "$interface" ;;
    esac
    mkdir -p ${calls}
    number=$(printf %04d "$(ls ${calls} | wc -l)")
    env -0 >"${folder}/new" && mv "${folder}/new" "${calls}/$number"
    echo "event $event"
    ${verdict}
    exit 0
    `,
  )
  chmodSync(script, 0o755)
  const entry = (text: string) => {
    const at = text.indexOf('=')
    return [text.slice(0, at), text.slice(at + 1)] as const
  }
  const read = (name: string): Told =>
    Object.fromEntries(readFileSync(join(calls, name), 'utf8').split('\0').filter(Boolean).map(entry))
  const all = () => readdirSync(calls).sort().map(read)
  return { script, calls: all, told: () => all().at(-1)! }
}

/** A device's IPv4 addresses with their prefix lengths, as `ip` has them. */
export async function addressesOf(ns: NetNs, device = 'eth0'): Promise<string[]> {
  type Link = { addr_info: { local: string; prefixlen: number }[] }
  const [link] = JSON.parse(await ns.sh('ip', '-4', '-j', 'addr', 'show', 'dev', device)) as Link[]
  return (link?.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`)
}

/** A namespace's IPv4 routes through gateways: destination to gateway. */
export async function routesOf(ns: NetNs): Promise<Record<string, string>> {
  type Route = { dst: string; gateway?: string }
  const routes = JSON.parse(await ns.sh('ip', '-4', '-j', 'route')) as Route[]
  return Object.fromEntries(routes.flatMap(({ dst, gateway }) => (gateway ? [[dst, gateway]] : [])))
}

/**
 * Has the host find out the server's MAC. A client that takes its address away as soon as it has sent a RELEASE
 * loses it to its own kernel, which still asks for that MAC.
 */
export async function meetServer(ns: NetNs): Promise<void> {
  // Nobody answers the ping: there is only a DHCP server at this address.
  await ns.exec(['ping', '-c', '1', '-W', '0.2', '192.168.105.1'])
  const neighbour = await ns.sh('ip', 'neigh', 'show', '192.168.105.1')
  if (!neighbour.includes('lladdr')) throw new Error(`the server did not answer ARP: ${neighbour}`)
}
