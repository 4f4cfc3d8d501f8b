/**
 * `vmbridge service`: has the daemon run by the system, from its boot on. On macOS that is launchd, on Linux systemd.
 */

import { DEFAULT_PREFIX } from '../config/paths.js'
import type { DaemonStatus } from '../control/api.js'
import { ControlClient } from '../control/client.js'
import { BridgeError, UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { checkChoice, linuxDefinition, macDefinition, type ServiceChoice } from '../service/definition.js'
import { thisHost, type Host } from '../service/host.js'
import { Launchd } from '../service/launchd.js'
import { waitUntilServing, type ServiceManager, type ServiceState } from '../service/manager.js'
import { Systemd } from '../service/systemd.js'
import { print, printJson } from './ask.js'
import { parseCommand, type Command, type Parsed } from './options.js'
import { duration } from './words.js'

export const command: Command = {
  name: 'service',
  operands: 'install|uninstall|start|stop|status [-- DAEMON-OPTION...]',
  summary: 'Has the daemon run by launchd (macOS) or systemd (Linux): now, at every boot, and after a crash.',
  options: {
    bridged: { value: 'IF', help: 'the service whose VMs are on the LAN of that interface (macOS)' },
    prefix: {
      value: 'DIR',
      help: 'where `vmbridge install` put the program',
      fallback: DEFAULT_PREFIX,
    },
    json: { help: 'print what was done, and the state, as JSON' },
  },
  examples: [
    ['sudo vmbridge service install', 'started now and at every boot; VMs and this host on one segment'],
    ['sudo vmbridge service install --bridged en0', 'a second one, with its own socket: VMs on the LAN'],
    [
      'sudo vmbridge service install -- --gateway 10.5.0.1/24 --socket-group staff',
      'options of `vmbridge daemon`; those of the last install are what holds',
    ],
    ['sudo vmbridge service install -- --config /etc/vmbridge.yaml', 'the networks of a file'],
    ['vmbridge service status', 'installed? running? how it ended last, and where its log is'],
    ['sudo vmbridge service stop', 'until the next start or boot'],
    ['sudo vmbridge service uninstall', 'leases and logs stay; it says where'],
  ],
}

const HINT = 'vmbridge service --help'
const VERBS = ['install', 'uninstall', 'start', 'stop', 'status'] as const
type Verb = (typeof VERBS)[number]
/** As of `vmbridge status`: no daemon answers. */
const EXIT_NOT_RUNNING = 3

export async function run(parsed: Parsed, host: Host = thisHost): Promise<number> {
  const [given, ...options] = parsed.operands
  const verb = VERBS.find(each => each === given)
  if (verb === undefined) {
    const what = given === undefined ? 'service takes a verb' : `service has no "${given}"`
    throw new UsageError(what, HINT)
  }
  if (verb !== 'install' && options.length > 0)
    throw new UsageError(`service ${verb} takes no operand, but got "${options[0]}"`, HINT)
  const bridged = parsed.get('bridged')
  const prefix = parsed.get('prefix') ?? DEFAULT_PREFIX
  const choice = { prefix, options, ...(bridged === undefined ? {} : { bridged }) }
  checkChoice(choice, host.platform)
  const manager = openManager(host, choice)
  if (verb === 'install') await checkDaemonOptions(manager)
  const did = verb === 'status' ? undefined : await change(manager, host, verb)
  const [state, daemon] = await Promise.all([manager.state(), ask(manager)])
  if (parsed.has('json')) await printJson({ ...(did && { did }), service: state, daemon: daemon ?? null })
  else await print(printable(did === undefined ? renderState(state, daemon) : renderChange(verb, did, state)))
  return verb === 'status' && !isServedBy(state, daemon) ? EXIT_NOT_RUNNING : 0
}

function openManager(host: Host, choice: ServiceChoice): ServiceManager {
  if (host.platform === 'darwin') return new Launchd(host, macDefinition(choice), choice.prefix)
  return new Systemd(host, linuxDefinition(choice), choice.prefix)
}

/** A wrong word is said here, and not by a daemon that starts over and over. */
async function checkDaemonOptions({ definition }: ServiceManager): Promise<void> {
  const [daemon, { readDaemonSettings }, { readConfig }] = await Promise.all([
    import('./daemon.js'),
    import('./daemon-settings.js'),
    import('./daemon-config.js'),
  ])
  const parsed = parseCommand(daemon.command, definition.args.slice(1), {})
  if (parsed === undefined) throw new UsageError('--help is no option of a service', HINT)
  if (readConfig(parsed, daemon.command.options) === undefined) readDaemonSettings(parsed)
}

async function change(manager: ServiceManager, host: Host, verb: Exclude<Verb, 'status'>): Promise<string[]> {
  const did = await manager[verb]()
  if (verb === 'install' || verb === 'start') {
    await waitUntilServing(manager, host, async () => (await ask(manager))?.pid)
  }
  return did
}

/** What the daemon of the service says; undefined when none answers, or not to this user. */
async function ask({ definition: { control } }: ServiceManager): Promise<DaemonStatus | undefined> {
  try {
    return await new ControlClient(control).status()
  } catch (error) {
    if (error instanceof BridgeError) return undefined
    throw error
  }
}

function renderChange(verb: Verb, did: readonly string[], state: ServiceState): string {
  const lines = did.length > 0 ? [...did] : [`nothing to do: ${stateLine(state)}`]
  if (verb === 'uninstall') lines.push(`left: ${state.stateDir} (leases), the log (${state.log})`)
  else if (state.running) lines.push(stateLine(state))
  return `${lines.join('\n')}\n`
}

const stateLine = ({ name, running, pid, state }: ServiceState): string =>
  running ? `${name} runs, PID ${pid}` : `${name} is ${state}`

/** Another daemon may have the service's place: one that was started by hand. */
const isServedBy = ({ pid }: ServiceState, daemon: DaemonStatus | undefined): boolean =>
  daemon !== undefined && daemon.pid === pid

/** What `service status` prints. */
export function renderState(service: ServiceState, daemon: DaemonStatus | undefined): string {
  const { name, manager, definition, installed, loaded, enabled, running, pid, state, lastExit } = service
  const answer =
    daemon === undefined
      ? `no answer at ${service.control}${running ? '; with sudo there may be one' : ''}`
      : `vmbridge ${daemon.version}, PID ${daemon.pid}, up ${duration(daemon.uptime)}`
  const whose = daemon === undefined || isServedBy(service, daemon) ? '' : '; that is not the service'
  const word = (is: boolean): string => (is ? 'yes' : 'no')
  const rows = [
    ['installed', installed ? `yes, ${definition}` : 'no'],
    ['loaded', word(loaded)],
    ['at boot', word(enabled)],
    ['running', running ? `yes, PID ${pid}` : `no (${state})`],
    ['last exit', lastExit ?? '-'],
    ['daemon', answer + whose],
    ['log', service.log],
    ['leases', service.stateDir],
  ]
  return `${name} (${manager})\n${rows.map(([key, value]) => `  ${key.padEnd(9)}  ${value}\n`).join('')}`
}
