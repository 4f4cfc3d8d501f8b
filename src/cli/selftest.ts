/**
 * `vmbridge selftest`: builds a network as the daemon does, with two stations inside this process as its VMs, and
 * checks what VMs and this host need of it. What a Mac can show nobody can show elsewhere: this is how it shows it.
 */

import { defaultRange } from '../dhcp/range.js'
import { hasCode, UsageError } from '../errors.js'
import { pretty } from '../log-text.js'
import type { CheckResult, SelftestReport } from '../selftest/result.js'
import { printJson } from './ask.js'
import { checkCount, checkLines } from './check-lines.js'
import { readDaemonSettings } from './daemon-settings.js'
import { command as daemon } from './daemon.js'
import type { Command, Parsed } from './options.js'
import { VMNET_OPTIONS } from './vmnet-settings.js'

/** Options of the daemon that the uplink is chosen and set up with; the others mean nothing here. */
const NAMES = ['uplink', ...Object.keys(VMNET_OPTIONS), 'gateway', 'no-dhcp', 'mtu'].filter(
  name => name !== 'dhcp-on-lan',
)

const UPLINK = process.platform === 'darwin' ? 'vmnet' : 'tap'
/** Subnets of VM programs and of homes are mostly others. */
const GATEWAY = '192.168.237.1/24'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** How long the process may live on when all is done, in ms: what hangs then is not waited for. */
const FAREWELL = 2000

export const command: Command = {
  name: 'selftest',
  summary:
    'Checks on this machine what VMs need: lease, ARP, ping, a VIP that moves, throughput. Two stations inside of this process stand in for the VMs.',
  options: {
    ...Object.fromEntries(NAMES.map(name => [name, daemon.options[name]])),
    uplink: { ...daemon.options['uplink'], fallback: 'tap on Linux, vmnet on macOS' },
    gateway: { ...daemon.options['gateway'], fallback: GATEWAY },
    'interface-id': { ...VMNET_OPTIONS['interface-id'], fallback: 'a new one' },
    'network-id': { ...VMNET_OPTIONS['network-id'], fallback: 'a new one' },
    'lan-dhcp': {
      help: 'with --mode bridged or --uplink socket:PATH: take two leases of the DHCP server on the LAN, and give them back',
    },
    json: { help: 'print one JSON document' },
  },
  examples: [
    ['sudo vmbridge selftest', 'on a Mac a shared network of vmnet, on Linux a TAP'],
    ['sudo vmbridge selftest --json >report.json', 'for a bug report'],
    ['sudo vmbridge selftest --uplink vmnet --mode host', 'a host network of vmnet'],
    [
      'sudo vmbridge selftest --uplink vmnet --mode bridged --interface en0',
      'on the LAN of en0, where it takes no address',
    ],
    ['vmbridge selftest --uplink none', 'the switch and the DHCP server alone, no root needed'],
  ],
}

export async function run(parsed: Parsed): Promise<number> {
  const { operands, has } = parsed
  if (operands.length > 0)
    throw new UsageError(`selftest takes no operand, but got "${operands[0]}"`, 'vmbridge selftest --help')
  const [network] = readDaemonSettings(withDefaults(parsed)).networks
  const { uplink, gateway } = network
  // Addresses for static use must stay free, whoever leases the others.
  if (uplink.kind === 'vmnet' && uplink.mode !== 'bridged')
    uplink.dhcpEnd ??= defaultRange(gateway)?.last ?? gateway.broadcast - 1
  const json = has('json')
  const [{ runSelftest }, { planOf }, { native }, { random32 }] = await Promise.all([
    import('../selftest/run.js'),
    import('../selftest/lab.js'),
    import('../native.js'),
    import('../random.js'),
  ])
  if (has('lan-dhcp') && planOf(uplink) !== 'lan')
    throw new UsageError(
      `--lan-dhcp is of no use with --uplink ${uplink.kind}: its addresses are our own`,
      '--mode bridged, or --uplink socket:PATH',
    )
  const interruption = new AbortController()
  for (const signal of SIGNALS) process.on(signal, () => interruption.abort())
  // A reader that has enough stops nothing; that a line cannot be written is said when all is stopped.
  let unwritten: Error | undefined
  process.stdout.on('error', error => {
    if (!hasCode(error, 'EPIPE')) unwritten ??= error
  })
  const result = await runSelftest({
    network,
    lanDhcp: has('lan-dhcp'),
    random32,
    signal: interruption.signal,
    report: each => (json ? undefined : say(lines(each))),
  })
  await (json ? printJson(result) : say(summary(result)))
  const status = result.ok && unwritten === undefined ? 0 : 1
  setTimeout(() => native.exitNow(status), FAREWELL).unref()
  if (unwritten !== undefined) throw unwritten
  return status
}

/**
 * What the daemon's settings are read from: this command's options with its own defaults, and nothing of what a daemon
 * would be given by the environment besides.
 */
function withDefaults({ get, all, has }: Parsed): Parsed {
  const uplink = get('uplink') ?? UPLINK
  // Elsewhere the addresses are somebody else's, and a gateway would ask for a DHCP server of ours.
  const isOwn = !uplink.startsWith('socket:') && get('mode') !== 'bridged'
  const defaults: Record<string, string> = { uplink, ...(isOwn ? { gateway: GATEWAY } : {}) }
  return {
    get: name => (NAMES.includes(name) ? (get(name) ?? defaults[name]) : undefined),
    all: name => (NAMES.includes(name) ? all(name) : []),
    has: name => NAMES.includes(name) && has(name),
    operands: [],
  }
}

function lines({ expected, seen, likely, ...check }: CheckResult): string {
  return checkLines(check, { expected, seen, likely })
}

/** The count, and what the network logged where that may explain a failure. */
function summary({ checks, ok, interrupted, log }: SelftestReport): string {
  const end = `${checkCount(checks)}${interrupted ? ', interrupted' : ''}\n`
  if (ok || log.length === 0) return `\n${end}`
  return `\nthe log of the network:\n${log.map(line => pretty(line)).join('')}\n${end}`
}

function say(text: string): Promise<void> {
  return new Promise(done => process.stdout.write(text, () => done()))
}
