/**
 * Between the stations, inside of the switch.
 */

import { formatIpv4 } from '../../wire/ipv4.js'
import { formatMac } from '../../wire/mac.js'
import { CheckFailure } from '../result.js'
import { ms } from '../words.js'
import type { Check } from './check.js'
import { askFor } from './gateway.js'

const PINGS = 5
const PING_LIMIT = 2000

export const stations: Check = {
  name: 'stations',
  async run(lab) {
    const { a, b } = lab
    const [from, to] = [lab.addressOf(a), lab.addressOf(b)]
    const { mac } = await askFor(lab, to, from)
    const times: number[] = []
    for (let sequence = 1; sequence <= PINGS; sequence++) {
      const time = await a.ping({ from, to, mac }, sequence, PING_LIMIT)
      if (time !== undefined) times.push(time)
    }
    if (times.length < PINGS || mac.hi !== b.mac.hi || mac.lo !== b.mac.lo) {
      throw new CheckFailure(`station b answered ${times.length} of ${PINGS} pings of station a`, {
        expected: `${PINGS} replies of ${formatMac(b.mac.hi, b.mac.lo)}`,
        seen: `${times.length} of ${formatMac(mac.hi, mac.lo)}`,
        likely: 'another station has the same address; else the switch itself is at fault',
      })
    }
    const rtt = times.toSorted((x, y) => x - y)[PINGS >> 1]
    return {
      detail: `a reaches ${formatIpv4(to)} on b, ${PINGS} of ${PINGS}, median ${ms(rtt)}`,
      measured: { replies: PINGS, medianMs: rtt },
    }
  },
}
