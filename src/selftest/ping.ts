/**
 * The system's `ping` program: how it is called on Linux (iputils) and macOS, and what it says. Its lines are read
 * when it has ended, as macOS's may keep them back until then; when a reply came is told by the station.
 */

import { formatIpv4 } from '../wire/ipv4.js'
import { Program, type Outcome } from './program.js'

export const NO_PING = 'there is no ping program on this system (Debian: apt-get install iputils-ping)'

/** Between two requests, in s: the least that Linux lets users have who are not root. */
const INTERVAL = 0.2

export interface PingResult {
  sent: number
  /** Sequence numbers of the replies, in their order. */
  replies: number[]
  /** Of each reply, in ms. */
  rtts: number[]
  /** What it says of what went wrong, in one line: `sendto: No route to host`. */
  complaint: string | undefined
}

export class Ping {
  readonly #program: Program

  /** Starts to ping `ip` (a uint32), `count` times at most, for `seconds` at most. */
  constructor(ip: number, count: number, seconds: number, signal: AbortSignal) {
    this.#program = new Program(pingCommand(ip, count, seconds), (seconds + 2) * 1000, signal)
  }

  /** Undefined where this system has no `ping`. @throws Interrupted */
  get ended(): Promise<PingResult | undefined> {
    return this.#program.ended.then(outcome => (outcome === undefined ? undefined : readPing(outcome)))
  }

  end(): void {
    this.#program.end()
  }
}

export function pingCommand(
  ip: number,
  count: number,
  seconds: number,
  platform = process.platform,
): string[] {
  // -W, how long for one reply, is in ms there and in s here; -t or -w ends it all, in s.
  const limits = platform === 'darwin' ? ['-W', '1000', '-t', `${seconds}`] : ['-W', '1', '-w', `${seconds}`]
  return ['ping', '-n', '-c', `${count}`, '-i', `${INTERVAL}`, ...limits, formatIpv4(ip)]
}

export function readPing({ stdout, stderr }: Outcome): PingResult {
  const replies: number[] = []
  const rtts: number[] = []
  for (const [, sequence, ms] of stdout.matchAll(/icmp_seq=(\d+) .*?time[=<]([\d.]+) ms/g)) {
    replies.push(Number(sequence))
    rtts.push(Number(ms))
  }
  const sent = Number(/(\d+) packets transmitted/.exec(stdout)?.[1] ?? 0)
  const lines = `${stderr}\n${stdout}`.split('\n')
  const complaint = lines.find(line => /^ping: |Unreachable|unreachable|prohibited/.test(line))
  return { sent, replies, rtts, complaint: complaint?.replace(/^ping: /, '').trim() }
}
