/**
 * The network: the daemon that makes it, who has its addresses already, and on a Mac what the bridge lets through.
 */

import { join } from 'node:path'
import { CONTROL_NAME, ownPlace } from '../../config/paths.js'
import type { NetworkSummary } from '../../control/api.js'
import { printable } from '../../printable.js'
import { formatCidr, parseCidr, type Cidr } from '../../wire/ipv4.js'
import { readSettings, TALOS, type TalosSettings } from '../settings.js'
import type { Wanted } from './check.js'
import { failed, ok, skipped, warning, type Finding } from './finding.js'
import type { DaemonView, Machine } from './machine.js'

const ROOT = 0
const START = 'sudo vmbridge service install'
const RESTART = 'sudo vmbridge install && sudo vmbridge service stop && sudo vmbridge service start'

export function checkDaemon(
  { uid, platform, stat }: Machine,
  { subnet, prefix }: Wanted,
  daemon: DaemonView,
): Finding[] {
  const name = 'daemon'
  if ('error' in daemon) {
    const { code, message } = daemon.error
    if (code === 'ERR_NO_DAEMON') return [failed(name, message, START)]
    // talosctl asks as root, whom nothing is kept from.
    if (message.startsWith('no right') && uid !== ROOT)
      return [skipped(name, `${message}; to see: sudo vmbridge talos doctor`)]
    return [failed(name, message, RESTART)]
  }
  const { path, version, networks } = daemon
  const clash = networks.find(({ gateway }) => overlapsOther(gateway, subnet))
  if (clash !== undefined) {
    const what = `its network ${clash.name} has ${clash.gateway}, which overlaps ${subnetText(subnet)}`
    return [failed(name, what, endOf(clash))]
  }
  const same = networks.find(({ gateway }) => gateway === formatCidr(subnet))
  const lack =
    same === undefined ? undefined : lackOf(same, readSettings(join(prefix, TALOS))?.dhcp ?? 'answer')
  if (same !== undefined && lack !== undefined)
    return [failed(name, `its network ${same.name} is ${same.gateway} already, and ${lack}`, endOf(same))]
  const owner = stat(path)?.uid
  // On Linux the service has CAP_NET_ADMIN and is nobody's in particular.
  if (platform === 'darwin' && owner !== undefined && owner !== ROOT) {
    const what = `the daemon at ${path} is of the user ${owner}: up to macOS 15 it can make no network`
    return [warning(name, what, START)]
  }
  return [ok(name, `vmbridge ${version} answers at ${path}`)]
}

/** Why the VMs of a cluster cannot be in that network, which has the cluster's gateway; undefined where they can. */
function lackOf({ kind, uplink, dhcp }: NetworkSummary, wanted: TalosSettings['dhcp']): string | undefined {
  if (uplink.kind === 'none') return 'has no uplink: this host is not in it, and talosctl waits in vain'
  // One on demand is refused where it was made for something else; what stands is taken, if addresses can be reserved there.
  const isFit = kind === 'demand' ? dhcp === wanted : wanted === 'passthrough' || dhcp !== 'passthrough'
  if (isFit) return undefined
  const does = { pool: 'leases a range', answer: 'answers DHCP itself', passthrough: 'answers no DHCP' }[dhcp]
  return `${does}, so the stand-ins are refused`
}

function endOf({ name, kind }: NetworkSummary): string {
  return kind === 'demand'
    ? `sudo vmbridge network remove ${name}`
    : `talosctl cluster create qemu --cidr, with another subnet; or --gateway for ${name}`
}

/** Whether a gateway's subnet has addresses in common with the cluster's without being the same. */
function overlapsOther(gateway: string | undefined, subnet: Cidr): boolean {
  const other = gateway === undefined ? undefined : parseCidr(gateway)
  return other !== undefined && overlap(other, subnet) && formatCidr(other) !== formatCidr(subnet)
}

const overlap = (a: Cidr, b: Cidr): boolean => a.network <= b.broadcast && b.network <= a.broadcast

const subnetText = ({ network, prefix, netmask, broadcast }: Cidr): string =>
  formatCidr({ address: network, prefix, netmask, network, broadcast })

/** Interfaces of this machine that stand in the cluster's subnet: a bridge of others, Docker's, a VPN's. */
export function checkAddresses(machine: Machine, { subnet }: Wanted, daemon: DaemonView): Finding[] {
  const name = 'addresses'
  const ours = 'error' in daemon ? [] : daemon.networks.map(({ gateway }) => gateway)
  const text = subnetText(subnet)
  const clashes = machine.addresses().filter(({ cidr }) => {
    const own = parseCidr(cidr)
    return own !== undefined && overlap(own, subnet)
  })
  const strangers = clashes.filter(({ cidr }) => !ours.includes(cidr))
  // Two with one gateway's address: only one can be ours.
  const isSecond = ({ cidr }: { cidr: string }, at: number): boolean =>
    clashes.findIndex(each => each.cidr === cidr) < at
  const rest = strangers.length > 0 ? strangers : clashes.filter(isSecond)
  if (rest.length > 0) {
    const who = rest.map(each => `${printable(each.name)} with ${each.cidr}`).join(', ')
    const fix = `end what made ${printable(rest[0].name)}, or talosctl cluster create qemu --cidr with another subnet`
    return [failed(name, `${who} overlaps ${text}`, fix)]
  }
  const own = clashes.find(({ cidr }) => cidr === formatCidr(subnet))
  if (own !== undefined) return [ok(name, `${own.name} has ${own.cidr}: the cluster's network is up`)]
  // An overlapping network of this daemon is told of the daemon.
  if (clashes.length > 0) return [ok(name, `nobody but this daemon has an address in ${text}`)]
  return [ok(name, `nobody here has an address in ${text}`)]
}

const IFCONFIG = '/sbin/ifconfig'

/**
 * Apple's bridge can hold a member to one MAC and one IP: then no VIP passes. `ifconfig -v` prints a line a member,
 * `hostfilter 0 hw: 0:0:0:0:0:0 ip: 0.0.0.0` where it is held to nothing. Only on a Mac, and while a cluster runs.
 */
export function checkHostFilter(machine: Machine, { subnet }: Wanted, daemon: DaemonView): Finding[] {
  if (machine.platform !== 'darwin') return []
  const name = 'hostfilter'
  const bridge = machine.addresses().find(({ cidr }) => cidr === formatCidr(subnet))?.name
  const isOurs = !('error' in daemon) && daemon.networks.some(({ gateway }) => gateway === formatCidr(subnet))
  if (bridge === undefined || !isOurs)
    return [skipped(name, 'there is a bridge to look at only while a cluster of vmbridge runs')]
  const { status, stdout } = machine.run([IFCONFIG, '-v', bridge])
  if (status !== 0) return [skipped(name, `${IFCONFIG} -v ${bridge} does not answer`)]
  const held = heldMembers(stdout)
  if (held.members === 0) return [skipped(name, `${bridge} shows no member`)]
  if (held.filtered.length === 0) return [ok(name, `${bridge} lets any address through`)]
  const what = held.filtered.map(({ member, to }) => `${member} is held to ${to}`).join(', ')
  const fix = `send a bug report with: ${IFCONFIG} -v ${bridge}`
  return [failed(name, printable(`${bridge}: ${what}; VIPs do not pass`), fix)]
}

/** The members of a bridge by the text of `ifconfig -v`, and those that are held to an address. */
export function heldMembers(text: string): { members: number; filtered: { member: string; to: string }[] } {
  const filtered: { member: string; to: string }[] = []
  let members = 0
  let member = ''
  for (const line of text.split('\n')) {
    const [, found] = /^\s*member:\s+(\S+)/.exec(line) ?? []
    if (found !== undefined) {
      member = found
      members++
    }
    const [, isOn, hw, ip] = /^\s*hostfilter\s+(\d+)\s+hw:\s+(\S+)\s+ip:\s+(\S+)/.exec(line) ?? []
    if (isOn !== undefined && isOn !== '0') filtered.push({ member, to: `${hw} ${ip}` })
  }
  return { members, filtered }
}

/** Where the daemon is asked that root's talosctl asks: not a user's own. */
export const rootControl = (): string => `${ownPlace(ROOT).run}/${CONTROL_NAME}`
