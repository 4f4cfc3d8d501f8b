/**
 * The host as one more station on the segment: its interface, and what its neighbour table says.
 */

import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { formatIpv4, parseCidr } from '../wire/ipv4.js'
import { formatMac, parseMac } from '../wire/mac.js'
import { runProgram } from './program.js'

/** What `arp` may take, in ms. */
const ARP_LIMIT = 5000

export interface HostInterface {
  name: string
  mac: string
  /** Of the host, a uint32. */
  ip: number
}

/** The host's first interface whose IPv4 subnet holds `ip` (a uint32). */
export function interfaceOn(ip: number, interfaces = networkInterfaces()): HostInterface | undefined {
  for (const [name, addresses = []] of Object.entries(interfaces)) {
    for (const { family, cidr, mac } of addresses) {
      const subnet = family === 'IPv4' && cidr !== null ? parseCidr(cidr) : undefined
      if (subnet !== undefined && subnet.network <= ip && ip <= subnet.broadcast && subnet.prefix < 32) {
        return { name, mac, ip: subnet.address }
      }
    }
  }
  return undefined
}

/** The host's first IPv4 address on an interface, a uint32. */
export function addressOn(device: string): HostInterface | undefined {
  for (const { family, cidr, mac } of networkInterfaces()[device] ?? []) {
    const subnet = family === 'IPv4' && cidr !== null ? parseCidr(cidr) : undefined
    if (subnet !== undefined) return { name: device, mac, ip: subnet.address }
  }
  return undefined
}

/** The MAC that the host's neighbour table has for `ip` (a uint32), as text; undefined where it has none. */
export async function hostNeighbor(ip: number, signal: AbortSignal): Promise<string | undefined> {
  if (process.platform === 'linux') return readProcArp(await readFile('/proc/net/arp', 'utf8'), ip)
  const outcome = await runProgram(['arp', '-an'], ARP_LIMIT, signal)
  return readArp(outcome?.stdout ?? '', ip)
}

/** Lines of /proc/net/arp: `192.168.105.2    0x1         0x2         52:54:00:00:00:0a     *        vmbridge0`. */
export function readProcArp(text: string, ip: number): string | undefined {
  for (const line of text.split('\n')) {
    const [address, , , mac] = line.split(/\s+/)
    if (address === formatIpv4(ip) && mac !== '00:00:00:00:00:00') return mac
  }
  return undefined
}

/** Lines of `arp -an` on macOS: `? (192.168.64.2) at 52:54:0:0:0:a on bridge100 ifscope [bridge]`. */
export function readArp(text: string, ip: number): string | undefined {
  for (const [, address, octets] of text.matchAll(/\(([\d.]+)\) at ([0-9a-f:]+) /gi)) {
    const mac = parseMac(octets)
    if (address === formatIpv4(ip) && mac !== undefined) return formatMac(mac.hi, mac.lo)
  }
  return undefined
}
