// One run of DHCP exchanges against one server, and what many runs come to. Each has a server of its own, on an empty
// lease file: dnsmasq writes all of its file for each lease, and grows slower with every client that it has.

import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { MOST_CLIENTS } from './lease-servers.js'
import { inside } from './netns.js'
import { median } from './pairs.js'
import { runPerfdhcp } from './perfdhcp.js'
import { cpuSeconds } from './proc.js'

// The server was started just now, and looks for many new addresses at once.
const FIRST_MS = 1000

/** An exchange that perfdhcp began and that did not end: a run is clean with fewer than this share of them. */
const CLEAN_BELOW = 0.01

export const isClean = run => run.drops < CLEAN_BELOW

/**
 * Loads a fresh server, kills it with SIGKILL, and looks what leases it has.
 *
 * @param start starts the server
 * @param load { rate, seconds }: exchanges begun a second, and for how long
 * @returns { asked, rate, sent, acks, drops, p50Ms, p99Ms, laterP99Ms, clientLost, cpuUs, wireCpuUs, busy, leases }:
 *   times of whole exchanges, also without those of the first second; datagrams that perfdhcp did not take in time;
 *   CPU time for each exchange, and how much of a core the server used
 */
export async function runExchanges(start, { rate, seconds }) {
  const server = await start()
  try {
    const time = runSeconds(rate, seconds)
    const before = cpuOf(server)
    const lostBefore = lostByClient(server.at)
    const report = await runPerfdhcp(server.at, { rate, seconds: time })
    const after = cpuOf(server)
    const { sent, acks, drops, times } = report
    const later = times.filter(({ begun }) => begun >= FIRST_MS)
    const perExchange = key => ((after[key] - before[key]) * 1e6) / acks
    return {
      asked: rate,
      rate: report.rate,
      sent,
      acks,
      drops,
      p50Ms: percentile(times, sent, 0.5),
      p99Ms: percentile(times, sent, 0.99),
      laterP99Ms: percentile(later, sent - (times.length - later.length), 0.99),
      clientLost: lostByClient(server.at) - lostBefore,
      cpuUs: perExchange('server'),
      wireCpuUs: perExchange('wire'),
      busy: (after.server - before.server) / time,
      leases: (await server.kept()).length,
    }
  } finally {
    await server.stop()
  }
}

/**
 * Loads a fresh server and kills it in the middle of it.
 *
 * @returns { acks, leases, forgotten }: ACKs that clients have, leases that the server has, and how many of the
 *   clients' addresses are not among them
 */
export async function killUnderLoad(start, { rate, seconds }) {
  const server = await start()
  try {
    const time = runSeconds(rate, seconds)
    const until = sleep((time * 1000) / 2).then(() => server.kill())
    const { acks, addresses } = await runPerfdhcp(server.at, { rate, seconds: time, list: 'leases', until })
    const leases = new Set(await server.kept())
    const forgotten = addresses.filter(address => !leases.has(address)).length
    return { acks, leases: leases.size, forgotten }
  } finally {
    await server.stop()
  }
}

// perfdhcp knows whole seconds.
const runSeconds = (rate, seconds) =>
  Math.max(1, Math.min(Math.round(seconds), Math.floor(MOST_CLIENTS / rate)))

const cpuOf = ({ pid, wirePid }) => ({
  server: cpuSeconds(pid),
  wire: wirePid === undefined ? 0 : cpuSeconds(wirePid),
})

// What its socket's buffer did not hold: the answers were given, and are counted as lost all the same.
function lostByClient({ netns }) {
  const [file, ...args] = inside(netns, ['cat', '/proc/net/snmp'])
  const [names, values] = execFileSync(file, args, { encoding: 'utf8' })
    .split('\n')
    .filter(line => line.startsWith('Udp:'))
    .map(line => line.split(' '))
  return Number(values[names.indexOf('RcvbufErrors')])
}

// Of all exchanges that were begun: one without an end took for ever.
function percentile(times, begun, share) {
  const sorted = times.map(({ took }) => took).sort((a, b) => a - b)
  return sorted[Math.ceil(begun * share) - 1] ?? Infinity
}

/** Runs at one rate as one: the median of each number, the sum of what is counted. */
export function joinRuns(runs) {
  const joined = {}
  for (const key of Object.keys(runs[0])) {
    const values = runs.map(run => run[key])
    const isCount = ['sent', 'acks', 'leases', 'clientLost'].includes(key)
    joined[key] = isCount ? values.reduce((a, b) => a + b) : median(values)
  }
  return { ...joined, drops: joined.sent === 0 ? 1 : 1 - joined.acks / joined.sent, runs }
}

/** A run, or several, in a line. */
export function describe({ name, rate, drops, clientLost, p50Ms, p99Ms, cpuUs, wireCpuUs, busy }) {
  const overrun = clientLost > 0 ? ` (${clientLost} by perfdhcp's socket)` : ''
  const served = `${rate.toFixed(0)}/s, ${(drops * 100).toFixed(2)} % lost${overrun}`
  const plug = wireCpuUs > 0 ? ` + ${wireCpuUs.toFixed(0)} us plug` : ''
  const cpu = `${cpuUs.toFixed(0)} us (${busy.toFixed(2)})${plug}`
  return `${name} ${served}, p50 ${ms(p50Ms)}, p99 ${ms(p99Ms)}, ${cpu}`
}

const ms = value => (Number.isFinite(value) ? `${value.toFixed(1)} ms` : '-')
