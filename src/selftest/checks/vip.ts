/**
 * The reason for all of this: an address that a station claims by gratuitous ARP and nothing else, which the host
 * reaches, and still reaches when another station has claimed it.
 */

import { formatIpv4 } from '../../wire/ipv4.js'
import { formatMac } from '../../wire/mac.js'
import { hostNeighbor } from '../host-side.js'
import type { Lab } from '../lab.js'
import { NO_PING, Ping } from '../ping.js'
import { CheckFailure, CheckSkipped } from '../result.js'
import type { Station } from '../station.js'
import { ms } from '../words.js'
import type { Check } from './check.js'
import { pingFromHost } from './host-ping.js'

/** Pings before the move, and after it. */
const BEFORE = 3
const AFTER = 5
/**
 * The longest gap in the replies, in ms. An announcement that is heard takes effect with the next ping; without one
 * Linux asks again after 8 s at the earliest, and macOS after minutes.
 */
const GAP_LIMIT = 3000
const MOVE_LIMIT = 6000
/** How long the first pings may take, in ms. */
const START_LIMIT = 10_000
/** The bounds of ping itself: pings and seconds. */
const MOST_PINGS = 150
const MOST_SECONDS = 30

interface Claim {
  ip: number
  from: Station
  to: Station
}

/** On a LAN the second station's lease serves: it is ours, and nobody else has it. */
function claimOf(lab: Lab): Claim {
  const { a, b } = lab
  if (lab.plan === 'lan') return { ip: lab.addressOf(b), from: b, to: a }
  return { ip: lab.staticAddress(2), from: a, to: b }
}

export const vip: Check = {
  name: 'vip',
  async run(lab) {
    const { name } = lab.host
    const { ip, from } = claimOf(lab)
    from.addresses.add(ip)
    from.announce(ip)
    return pingFromHost(lab, from, ip, name)
  },
}

export const vipMove: Check = {
  name: 'vip-move',
  async run(lab) {
    const { clock, signal } = lab
    const device = lab.host.name
    const { ip, from, to } = claimOf(lab)
    const text = formatIpv4(ip)
    const first = from.echoes.length
    const pings = (station: Station, since: number): number[] =>
      station.echoes.filter(echo => echo.ip === ip && echo.at >= since).map(({ at }) => at)

    const ping = new Ping(ip, MOST_PINGS, MOST_SECONDS, signal)
    try {
      const asked = (): true | undefined => (from.echoes.length >= first + BEFORE ? true : undefined)
      const begun = await from.until(asked, START_LIMIT)
      if (begun === undefined) await noPings(ping, text)
      from.addresses.delete(ip)
      to.addresses.add(ip)
      const moved = clock.now()
      to.announce(ip)
      const arrived = await to.until(() => (pings(to, moved).length >= AFTER ? true : undefined), MOVE_LIMIT)
      ping.end()
      const result = (await ping.ended)!
      const at = await hostNeighbor(ip, signal)
      const wanted = formatMac(to.mac.hi, to.mac.lo)
      const answered = answerTimes([...from.echoes.slice(first), ...to.echoes], ip, result.replies)
      const gap = largestGap(answered, moved)
      if (arrived === undefined || at !== wanted || gap > GAP_LIMIT) {
        const lost = pings(from, moved).length
        throw new CheckFailure(`the host does not follow ${text} from station ${from.name} to ${to.name}`, {
          expected: `pings at station ${to.name} within ${GAP_LIMIT / 1000} s of its announcement, and ${wanted} in the host's neighbour table`,
          seen: `${pings(to, moved).length} pings at ${to.name} and ${lost} still at ${from.name}; the host has it at ${at ?? 'no MAC'}; largest gap ${gap === Infinity ? 'without an end' : ms(gap)}`,
          likely:
            at === wanted
              ? 'the answers of the second station are lost, or this machine is too slow'
              : 'the announcement does not reach the host, or the host does not heed it: a static entry, drop_gratuitous_arp',
        })
      }
      return {
        detail: `${text} moved from station ${from.name} to ${to.name}, largest gap ${ms(gap)}; ${device} has it at ${at}`,
        measured: { ip: text, gapMs: gap, firstAnswerMs: pings(to, moved)[0] - moved, neighbor: at },
      }
    } finally {
      ping.end()
      if (lab.plan === 'lan') takeBack(ip, to, from)
    }
  },
}

/** The address is one station's by lease: the other had it for the time of the move. */
function takeBack(ip: number, from: Station, to: Station): void {
  from.addresses.delete(ip)
  to.addresses.add(ip)
  to.announce(ip)
}

async function noPings(ping: Ping, text: string): Promise<never> {
  ping.end()
  const result = await ping.ended
  if (result === undefined) throw new CheckSkipped(NO_PING)
  throw new CheckFailure(`the host does not reach ${text} before it moves`, {
    expected: `${BEFORE} pings within ${START_LIMIT / 1000} s`,
    seen: result.complaint ?? `${result.replies.length} replies`,
    likely: 'as for vip',
  })
}

/** When the requests came to a station that the host had a reply to, in order. */
export function answerTimes(
  echoes: readonly { ip: number; sequence: number; at: number; answered: boolean }[],
  ip: number,
  replies: readonly number[],
): number[] {
  const heard = new Set(replies)
  return echoes
    .filter(echo => echo.ip === ip && echo.answered && heard.has(echo.sequence))
    .map(({ at }) => at)
    .sort((x, y) => x - y)
}

/** The longest time between two answers; infinite if none came after `moved`. */
export function largestGap(times: readonly number[], moved: number): number {
  if (!times.some(time => time >= moved)) return Infinity
  let gap = 0
  for (let i = 1; i < times.length; i++) gap = Math.max(gap, times[i] - times[i - 1])
  return gap
}
