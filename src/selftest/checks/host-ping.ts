/**
 * From the host to the stations, with the system's own `ping` and neighbour table: what a user would do.
 */

import { formatIpv4 } from '../../wire/ipv4.js'
import { formatMac } from '../../wire/mac.js'
import { hostNeighbor } from '../host-side.js'
import type { Lab } from '../lab.js'
import { NO_PING, Ping, type PingResult } from '../ping.js'
import { CheckFailure, CheckSkipped, type Finding } from '../result.js'
import type { Station } from '../station.js'
import { ms } from '../words.js'
import type { Check } from './check.js'

const PINGS = 5
/** Seconds for all of them. */
const LIMIT = 10

export const hostPing: Check = {
  name: 'host-ping',
  async run(lab) {
    const { a, host } = lab
    return pingFromHost(lab, a, lab.addressOf(a), host.name)
  },
}

export const staticAddress: Check = {
  name: 'static',
  async run(lab) {
    const { b, host } = lab
    const ip = lab.staticAddress(1)
    b.addresses.add(ip)
    return pingFromHost(lab, b, ip, host.name)
  },
}

/** The host pings an address that `station` has, and knows the station's MAC afterwards. @throws CheckFailure */
export async function pingFromHost(lab: Lab, station: Station, ip: number, device: string): Promise<Finding> {
  const { signal, stations } = lab
  const seen = (each: Station): number => each.echoes.filter(echo => echo.ip === ip).length
  const before = stations.map(seen)
  const result = await new Ping(ip, PINGS, LIMIT, signal).ended
  if (result === undefined) throw new CheckSkipped(NO_PING)
  const arrived = stations.map((each, i) => seen(each) - before[i])
  const at = await hostNeighbor(ip, signal)
  const mine = arrived[stations.indexOf(station)]
  const wanted = formatMac(station.mac.hi, station.mac.lo)
  if (result.replies.length < PINGS || mine < PINGS || at !== wanted) {
    throw new CheckFailure(
      `${formatIpv4(ip)} answered ${result.replies.length} of ${PINGS} pings of the host`,
      {
        expected: `${PINGS} replies by station ${station.name}, and ${wanted} in the host's neighbour table`,
        seen: `${result.complaint ?? 'no complaint of ping'}; ${stations.map(({ name }, i) => `${name} saw ${arrived[i]}`).join(', ')}; the host has it at ${at ?? 'no MAC'}`,
        likely: likely(result, mine, at, wanted),
      },
    )
  }
  const rtt = result.rtts.toSorted((x, y) => x - y)[PINGS >> 1]
  return {
    detail: `${formatIpv4(ip)} answered ${PINGS} of ${PINGS} by station ${station.name}, median ${ms(rtt)}; ${device} has it at ${at}`,
    measured: { ip: formatIpv4(ip), replies: PINGS, medianMs: rtt, station: station.name, neighbor: at },
  }
}

/** What the evidence points to; `arrived` is how many requests came to the station. */
export function likely(
  { complaint = '' }: Pick<PingResult, 'complaint'>,
  arrived: number,
  at: string | undefined,
  wanted: string,
  platform = process.platform,
): string {
  if (at !== undefined && at !== wanted) {
    return 'the host believes in another MAC: a static entry, or another station with this address'
  }
  if (arrived > 0)
    return 'the replies are lost on the way back: a firewall of the host drops ICMP, or the uplink does'
  if (/no route to host/i.test(complaint)) {
    return platform === 'darwin'
      ? 'macOS 15 and later: allow your terminal under System Settings, Privacy & Security, Local Network; else another network has this subnet (netstat -rn)'
      : 'a route or a rule of the host forbids it: ip route get, ip rule'
  }
  if (/not permitted/i.test(complaint)) return 'a firewall of the host forbids it'
  if (/unreachable|prohibited|host is down/i.test(complaint)) {
    return 'nobody answered the host, or its routes lead elsewhere: another network has this subnet'
  }
  if (at === undefined)
    return 'a firewall of the host drops what it sends; or its ARP questions do not reach the station, or the answers are lost'
  return 'the requests are lost on the way to the station: a firewall of the host, or a route into another network'
}
