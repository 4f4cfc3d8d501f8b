/**
 * The self-test: every check in its order, each with a limit, whatever became of those before; and at the end, or
 * when it is interrupted, everything is stopped and removed.
 */

import { pino } from 'pino'
import { version } from '../version.js'
import type { Check } from './checks/check.js'
import { dhcpGuard } from './checks/dhcp-guard.js'
import { environment } from './checks/environment.js'
import { arpGateway, lanArp, pingGateway } from './checks/gateway.js'
import { hostPing, staticAddress } from './checks/host-ping.js'
import { lease } from './checks/lease.js'
import { stations } from './checks/stations.js'
import { hostToStation, stationToHost, stationToStation } from './checks/throughput.js'
import { stop, uplink } from './checks/uplink.js'
import { vip, vipMove } from './checks/vip.js'
import { releaseLease } from './dhcp-client.js'
import { Lab, type LabOptions } from './lab.js'
import { CheckFailure, CheckSkipped, type CheckResult, type SelftestReport } from './result.js'
import { Interrupted, sleep, within } from './wait.js'

const FIRST: readonly Check[] = [environment, uplink]
const CHECKS: readonly Check[] = [
  lease,
  arpGateway,
  pingGateway,
  hostPing,
  staticAddress,
  vip,
  vipMove,
  stations,
  dhcpGuard,
  hostToStation,
  stationToHost,
  stationToStation,
]

/** More than any check's own limits come to, in ms. */
const CHECK_LIMIT = 60_000
/** What a RELEASE gets to leave before the network stops, in ms. */
const RELEASE_TIME = 200
/** Log lines that are kept. */
const MOST_LINES = 1000

export interface SelftestOptions extends Omit<LabOptions, 'log' | 'logger'> {
  /** Told of each check when it is done, and waited for. */
  report: (result: CheckResult) => unknown
}

/** Makes every check. It never rejects for what a check finds. */
export async function runSelftest({ report, ...options }: SelftestOptions): Promise<SelftestReport> {
  const log: string[] = []
  const write = (line: string): void => void (log.length < MOST_LINES && log.push(line.trimEnd()))
  const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, { write })
  const lab = new Lab({ ...options, log, logger })
  const checks: CheckResult[] = []
  const make = async (check: Check): Promise<void> => {
    const result = await runCheck(check, lab)
    checks.push(result)
    await report(result)
  }
  try {
    for (const check of FIRST) await make(check)
    for (const check of lab.plan === 'lan' ? [lanArp, ...CHECKS] : CHECKS)
      await make(lab.isUp ? check : missing(check))
    if (lab.plan === 'lan') await giveBack(lab)
    await make(lab.isUp ? stop : missing(stop))
  } finally {
    for (const station of lab.stations) station.close()
    lab.cleanUp()
  }
  const interrupted = options.signal.aborted
  const ok = !interrupted && checks.every(({ status }) => status !== 'failed')
  return { version: version(), ok, interrupted, checks, log }
}

/** Gives back the leases of others; ours go with the server. */
async function giveBack({ leases }: Lab): Promise<void> {
  for (const [station, taken] of leases) releaseLease(station, taken)
  // Nobody answers a RELEASE. Not the run's own signal: it is said after Ctrl-C, too.
  await sleep(RELEASE_TIME, new AbortController().signal)
}

const missing = ({ name }: Check): Check => ({
  name,
  run: () => Promise.reject(new CheckSkipped('there is no network: see uplink')),
})

async function runCheck(check: Check, lab: Lab): Promise<CheckResult> {
  const start = lab.clock.now()
  const done = (rest: Omit<CheckResult, 'name' | 'ms'>): CheckResult => ({
    name: check.name,
    ms: Math.round(lab.clock.now() - start),
    ...rest,
  })
  try {
    if (lab.signal.aborted && check !== stop) throw new Interrupted()
    const finding = await within(check.run(lab), CHECK_LIMIT)
    if (finding !== undefined) return done({ status: 'ok', ...finding })
    const expected = `its end within ${CHECK_LIMIT / 1000} s`
    return done({ status: 'failed', detail: 'it does not end', expected, seen: 'nothing' })
  } catch (error) {
    if (error instanceof Interrupted || error instanceof CheckSkipped) {
      return done({ status: 'skipped', detail: error.message })
    }
    const cause = lab.isUp && check !== stop ? broken(lab) : undefined
    return done({ status: 'failed', ...failure(error, cause) })
  }
}

/** `cause` stands above what the check itself takes for likely. */
function failure(error: unknown, cause: string | undefined): Omit<CheckResult, 'name' | 'ms' | 'status'> {
  if (!(error instanceof CheckFailure)) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    return {
      detail: message,
      expected: 'no error',
      seen: stack ?? message,
      likely: 'a fault of the self-test: please report it',
    }
  }
  const { expected, seen, measured } = error.fields
  const likely = cause ?? error.fields.likely
  return {
    detail: error.message,
    expected,
    seen,
    ...(likely === undefined ? {} : { likely }),
    ...(measured === undefined ? {} : { measured }),
  }
}

/** What is broken for every check, whatever else each would point to. */
function broken({ network, stations: all }: Lab): string | undefined {
  const { kind, name, state, detail } = network.uplink.status()
  if (state === 'down') return `the uplink ${kind} ${name ?? ''} is down: ${detail ?? 'no reason given'}`
  const cut = all.find(({ down }) => down !== undefined)
  return cut === undefined ? undefined : `the cable of station ${cut.name} is down: ${cut.down}`
}
