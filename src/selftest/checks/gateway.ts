/**
 * From the station to the gateway: ARP, then echo.
 */

import { formatIpv4 } from '../../wire/ipv4.js'
import { formatMac, type Mac } from '../../wire/mac.js'
import { interfaceOn } from '../host-side.js'
import type { Lab } from '../lab.js'
import { CheckFailure, CheckSkipped } from '../result.js'
import { count, ms } from '../words.js'
import type { Check } from './check.js'

const ARP_LIMIT = 5000
/** How long a second answer, which nobody should give, is listened for. */
const SECOND_ANSWER = 300
const PINGS = 5
const PING_LIMIT = 2000

export const arpGateway: Check = {
  name: 'arp-gateway',
  async run(lab) {
    const { a, gateway } = lab
    const from = lab.addressOf(a)
    const { mac, took } = await askFor(lab, gateway, from)
    const text = formatMac(mac.hi, mac.lo)
    const own = interfaceOn(gateway)
    const whose =
      own?.ip !== gateway
        ? ''
        : own.mac === text
          ? `, ${own.name} of this host`
          : `, not the MAC of ${own.name}`
    return {
      detail: `${formatIpv4(gateway)} is at ${text}${whose}, in ${ms(took)}`,
      measured: { ip: formatIpv4(gateway), mac: text, arpMs: took },
    }
  },
}

export const pingGateway: Check = {
  name: 'ping-gateway',
  async run(lab) {
    const { a, gateway, plan } = lab
    if (plan === 'alone') throw new CheckSkipped('with --uplink none no host has the address of the gateway')
    const from = lab.addressOf(a)
    const { mac } = await askFor(lab, gateway, from)
    const times: number[] = []
    for (let sequence = 1; sequence <= PINGS; sequence++) {
      const time = await a.ping({ from, to: gateway, mac }, sequence, PING_LIMIT)
      if (time !== undefined) times.push(time)
    }
    if (times.length < PINGS) {
      throw new CheckFailure(`${formatIpv4(gateway)} answered ${times.length} of ${count(PINGS, 'ping')}`, {
        expected: `${PINGS} echo replies`,
        seen: `${times.length}, though ARP says that it is at ${formatMac(mac.hi, mac.lo)}`,
        likely:
          'the host drops ICMP echo: its firewall, stealth mode of the macOS firewall, icmp_echo_ignore_all',
      })
    }
    const rtt = times.toSorted((x, y) => x - y)[PINGS >> 1]
    return {
      detail: `${PINGS} of ${PINGS} by station a, median ${ms(rtt)}`,
      measured: { replies: PINGS, medianMs: rtt },
    }
  },
}

/** The one thing that can be asked of a LAN without an address of it: an ARP probe claims nothing (RFC 5227 §1.1). */
export const lanArp: Check = {
  name: 'lan-arp',
  async run(lab) {
    const own = lab.bridged
    if (own === undefined) throw new CheckSkipped('no IPv4 address of this host is known on the segment')
    const { mac } = await askFor(lab, own.ip, 0)
    return {
      detail: `this host's ${formatIpv4(own.ip)} on ${own.name} answers a probe, at ${formatMac(mac.hi, mac.lo)}`,
      measured: { ip: formatIpv4(own.ip), mac: formatMac(mac.hi, mac.lo) },
    }
  },
}

/** The MAC of an address, and in how many ms it answered. @throws CheckFailure where nobody does, or more than one */
export async function askFor(
  { a, clock }: Lab,
  ip: number,
  from: number,
): Promise<{ mac: Mac; took: number }> {
  const before = a.frames
  const start = clock.now()
  const mac = await a.resolve(ip, from, ARP_LIMIT)
  const took = clock.now() - start
  if (mac === undefined) {
    throw new CheckFailure(`nobody answers ARP for ${formatIpv4(ip)}`, {
      expected: `an ARP reply within ${ARP_LIMIT / 1000} s`,
      seen: `${count(a.frames - before, 'frame')} of any kind reached station a meanwhile`,
      likely:
        'the uplink does not carry frames one way or the other, or whoever has that address is gone, or drops ARP',
    })
  }
  await a.until(() => undefined, SECOND_ANSWER)
  const macs = [...(a.answers.get(ip) ?? [])]
  if (macs.length > 1) {
    throw new CheckFailure(`${macs.length} stations say that they have ${formatIpv4(ip)}`, {
      expected: 'one MAC for one address',
      seen: macs.join(', '),
      likely: 'another host on this segment has the same address: choose a subnet with --gateway',
    })
  }
  return { mac, took }
}
