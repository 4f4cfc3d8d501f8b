// Kea's DHCP load generator, as anyone would run it: `perfdhcp -4 -r RATE -R CLIENTS -p SECONDS -l DEVICE`. It
// speaks as a relay does (giaddr is the device's address) and starts RATE exchanges a second, each of a client that
// was not there before: DISCOVER, OFFER, REQUEST, ACK.
//
// `-x t` makes it keep the times of all packets and print them when it is done, `-x l` the addresses it was given.

import { BenchError } from './errors.js'
import { capture } from './children.js'
import { inside } from './netns.js'

// After the last exchange has begun; perfdhcp takes an answer that is later than 1 s for none, so it is 1 s as well.
const EXIT_WAIT_US = 1_000_000
const PATIENCE_MS = 20_000
// Exchanges that were not all completed: what a load is for.
const EXIT_WITH_DROPS = 3

/**
 * Runs it in a namespace.
 *
 * @param at { netns, device }
 * @param load { rate, seconds, mac, list, until }: exchanges a second, for so long; `list` 'times' or 'leases'; `until` a promise
 *   that ends it earlier
 * @returns { sent, acks, seconds, rate, drops, times, addresses }: DISCOVERs sent and ACKs received, the rate of ACKs
 *   a second and the share of the exchanges that had none; `times` of whole exchanges
 *   (if listed), { begun, took } in ms, and `addresses` of the ACKs (if listed)
 */
export async function runPerfdhcp({ netns, device }, { rate, seconds, list = 'times', until }) {
  // One more than can be begun, so that no client comes twice.
  const clients = Math.ceil(rate * seconds) + 1
  const load = ['-r', String(rate), '-R', String(clients), '-p', String(seconds), '-l', device]
  const command = ['perfdhcp', '-4', ...load, '-W', String(EXIT_WAIT_US), '-x', list === 'times' ? 't' : 'l']
  const { status, stdout, stderr } = await capture('perfdhcp', inside(netns, command), {
    timeoutMs: seconds * 1000 + PATIENCE_MS,
    until,
  })
  if (status !== 0 && status !== EXIT_WITH_DROPS)
    throw new BenchError(`perfdhcp exits ${status}\n${(stderr || stdout).trim().slice(-2000)}`)
  const report = parseReport(stdout)
  return { ...report, seconds, rate: report.acks / seconds }
}

/** Reads its report. Throws a BenchError on one that lacks a part. */
export function parseReport(text) {
  const [offers, answers] = ['DISCOVER-OFFER', 'REQUEST-ACK'].map(half => ({
    statistics: section(text, `Statistics for: ${half}`),
    times: parseTimes(section(text, `Timestamps for packets: ${half}`)),
    leases: section(text, `Leases for ${half}`),
  }))
  const sent = counter(offers.statistics, 'sent packets')
  const acks = counter(answers.statistics, 'received packets')
  return {
    sent,
    acks,
    drops: sent === 0 ? 1 : 1 - acks / sent,
    times: wholeExchanges(offers.times, answers.times),
    addresses: [...answers.leases.matchAll(/^[^,\n]*,(\d+\.\d+\.\d+\.\d+),/gm)].map(([, address]) => address),
  }
}

// From a section's heading, which stands between asterisks, to the next.
function section(text, heading) {
  const start = text.indexOf(`***${heading}***`)
  if (start < 0) return ''
  const body = start + heading.length + 6
  const end = text.indexOf('\n***', body)
  return text.slice(body, end < 0 ? undefined : end)
}

function counter(statistics, name) {
  const found = new RegExp(`^${name}: (\\d+)`, 'm').exec(statistics)
  if (!found) throw new BenchError(`perfdhcp reported no "${name}"`)
  return Number(found[1])
}

// In ms since the run began.
function parseTimes(lines) {
  const rows = lines.matchAll(/^sent \/ received: ([\d.]+) \/ ([\d.]+)/gm)
  return [...rows].map(([, sent, received]) => ({ sent: sent * 1000, received: received * 1000 }))
}

/**
 * The times of whole exchanges, DISCOVER to ACK. perfdhcp gives a REQUEST a transaction of its own and lists
 * the halves apart; but it answers OFFERs in the order in which they come, so the nth REQUEST belongs to the nth OFFER.
 * A REQUEST that had no answer is not listed; those after it are then taken for earlier ones, and so for slower than
 * they were, never for quicker.
 */
function wholeExchanges(offers, acks) {
  const begun = [...offers].sort((a, b) => a.received - b.received)
  const ended = [...acks].sort((a, b) => a.sent - b.sent)
  return ended.map(({ received }, nth) => ({ begun: begun[nth].sent, took: received - begun[nth].sent }))
}
