/**
 * Each station takes a lease, as a VM does when it boots.
 */

import { cidr, formatIpv4 } from '../../wire/ipv4.js'
import { formatMac } from '../../wire/mac.js'
import { takeLease, type Lease } from '../dhcp-client.js'
import type { Lab } from '../lab.js'
import { CheckFailure, CheckSkipped } from '../result.js'
import type { Station } from '../station.js'
import { ms } from '../words.js'
import type { Check } from './check.js'

const LEASE_LIMIT = 10_000

export const lease: Check = {
  name: 'lease',
  async run(lab) {
    if (lab.plan === 'lan' && !lab.lanDhcp) {
      throw new CheckSkipped('no address of the LAN is taken unless --lan-dhcp is given')
    }
    if (!hasServer(lab)) throw new CheckSkipped('with --no-dhcp nobody leases addresses here')
    const details: string[] = []
    const measured: Record<string, unknown> = {}
    for (const station of lab.stations) {
      const taken = await take(lab, station)
      // Whatever it is worth, it is held from here on, and has to be given back on a LAN.
      station.addresses.add(taken.ip)
      lab.leases.set(station, taken)
      const faults = faultsOf(lab, taken)
      if (faults.length > 0) {
        throw new CheckFailure(`the lease of ${formatIpv4(taken.ip)} is not right: ${faults.join(', ')}`, {
          expected: 'address, mask, server and router of this segment',
          seen: faults.join(', '),
          likely: 'another DHCP server answers on this segment',
        })
      }
      details.push(`${station.name} has ${formatIpv4(taken.ip)} in ${ms(taken.ms)}`)
      measured[station.name] = {
        ip: formatIpv4(taken.ip),
        leaseMs: taken.ms,
        server: formatIpv4(taken.server),
        serverMac: formatMac(taken.serverMac.hi, taken.serverMac.lo),
        mask: taken.mask === undefined ? undefined : formatIpv4(taken.mask),
        routers: taken.routers.map(formatIpv4),
        dns: taken.dns.map(formatIpv4),
        mtu: taken.mtu,
        seconds: taken.seconds,
      }
    }
    const { server, routers, dns, seconds } = lab.leases.get(lab.a)!
    const list = (ips: readonly number[]): string => ips.map(formatIpv4).join(' ') || 'none'
    return {
      detail: `${details.join(', ')}; server ${formatIpv4(server)}, router ${list(routers)}, DNS ${list(dns)}, ${seconds} s`,
      measured,
    }
  },
}

function hasServer({ settings: { dhcp, uplink }, plan }: Lab): boolean {
  return dhcp !== undefined || plan === 'lan' || (uplink.kind === 'vmnet' && uplink.appleDhcp === 'on')
}

async function take({ settings }: Lab, station: Station): Promise<Lease> {
  const taken = await takeLease(station, LEASE_LIMIT)
  if (typeof taken !== 'string') return taken
  throw new CheckFailure(`station ${station.name} has no lease: ${taken}`, {
    expected: `an address by DHCP within ${LEASE_LIMIT / 1000} s`,
    seen: `${taken}; ${station.serverMessages.length} messages of DHCP servers came`,
    likely:
      settings.dhcp === undefined
        ? 'no DHCP server is on this segment, or the uplink does not carry broadcasts of VMs'
        : 'the built-in server refused: the log below says why',
  })
}

function faultsOf(lab: Lab, { ip, server, serverMac, mask, routers, dns, seconds }: Lease): string[] {
  const { gateway, dhcp } = lab.settings
  const faults: string[] = []
  if (mask === undefined) faults.push('no subnet mask')
  if (!seconds) faults.push('no lease time')
  // What else a LAN has is its own matter.
  if (lab.plan === 'lan') return faults
  if (routers.length === 0) faults.push('no router')
  if (dns.length === 0) faults.push('no DNS server')
  if (cidr(ip, gateway.prefix).network !== gateway.network) faults.push('an address outside of the subnet')
  if (mask !== gateway.netmask) faults.push(`mask ${formatIpv4(mask ?? 0)}`)
  if (dhcp !== undefined && !lab.isOwnServer(serverMac)) {
    faults.push(`another server, ${formatIpv4(server)} at ${formatMac(serverMac.hi, serverMac.lo)}`)
  }
  return faults
}
