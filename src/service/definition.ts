/**
 * What the service is, whoever runs it: its name, its program with all arguments, and its places. Each network has its
 * own of everything but the program: on macOS one in shared mode, and one for each interface that is bridged.
 */

import { join } from 'node:path'
import { CONTROL_NAME, controlBeside, DEFAULT_PREFIX, SOCKET_NAME } from '../config/paths.js'
import { UsageError } from '../errors.js'

export const LABEL = 'io.github.vmbridge'

/** Those who may plug in: on a Mac, who could become root anyway; on Linux, who may run VMs with KVM. */
export const MAC_GROUP = 'admin'
export const LINUX_GROUP = 'kvm'

export interface ServiceChoice {
  /** The root-owned tree; its bin/vmbridge is what is started. */
  prefix: string
  /** The interface that is bridged (macOS). */
  bridged?: string
  /** Further options of `vmbridge daemon`, which win over the ones here. */
  options: readonly string[]
}

export interface ServiceDefinition {
  /** launchd's label, systemd's unit. */
  name: string
  /** What `vmbridge service VERB` is followed by when this one is meant. */
  flags: string
  program: string
  /** What follows the program: `daemon` and its options. */
  args: readonly string[]
  control: string
  /** The folder of what outlives the daemon. */
  state: string
  /** A file where the system keeps no journal. */
  log?: string
  pidfile?: string
}

/** Those that say where a service's own things are: another daemon, or `status`, would look elsewhere. */
const OWN_OPTIONS = ['socket', 'control', 'pidfile', 'state-dir', 'log-file', 'uplink', 'user']

const HINT = 'vmbridge service --help'

/** @throws UsageError when `bridged` cannot name an interface, or an option is the service's own or no text */
export function checkChoice({ prefix, bridged, options }: ServiceChoice, platform: NodeJS.Platform): void {
  if (!/^(\/[\w.+-]+)+$/.test(prefix) || prefix.split('/').some(part => /^\.+$/.test(part))) {
    throw new UsageError(`--prefix ${prefix} is not a plain absolute path`, `--prefix ${DEFAULT_PREFIX}`)
  }
  if (bridged !== undefined) {
    if (platform !== 'darwin') {
      throw new UsageError(
        '--bridged needs vmnet.framework, which only macOS has',
        'vmbridge service install -- --mode bridged --interface br0, a bridge of this host',
      )
    }
    // It becomes part of file names and of launchd's label.
    if (!/^[a-z][a-z0-9]{0,14}$/.test(bridged))
      throw new UsageError(`--bridged ${bridged} is not the name of an interface`, '--bridged en0')
  }
  for (const option of options) {
    // A line of the unit would end there, and what follows be a directive; a property list cannot hold it.
    if (/\p{Cc}/u.test(option))
      throw new UsageError(`${JSON.stringify(option)}: no option of a service has a control character`, HINT)
    const name = /^--([^=]+)/.exec(option)?.[1]
    // On a Mac the network that is bridged is a service of its own.
    if (name !== undefined && (OWN_OPTIONS.includes(name) || (name === 'interface' && platform === 'darwin')))
      throw new UsageError(`--${name} is the service's own: it has a fixed place`, HINT)
  }
  const config = lastValue(options, 'config')
  if (config === undefined) return
  if (!config.startsWith('/'))
    throw new UsageError(`--config ${config} is no absolute path`, '--config /etc/vmbridge.yaml')
  if (bridged !== undefined)
    throw new UsageError('--bridged with --config: the file says what its networks are', HINT)
}

/** The service under launchd. */
export function macDefinition({ prefix, bridged, options }: ServiceChoice): ServiceDefinition {
  const run = '/var/run/vmbridge'
  const network = bridged === undefined ? 'default' : `bridged.${bridged}`
  const socket = join(run, bridged === undefined ? SOCKET_NAME : `${network}.sock`)
  const control = bridged === undefined ? join(run, CONTROL_NAME) : controlBeside(socket)
  const pidfile = join(run, bridged === undefined ? 'vmbridge.pid' : `${network}.pid`)
  const state = `/var/db/vmbridge/${network}`
  const log = bridged === undefined ? '/var/log/vmbridge.log' : `/var/log/vmbridge.${network}.log`
  const mode = bridged === undefined ? ['--mode', 'shared'] : ['--mode', 'bridged', '--interface', bridged]
  return {
    name: bridged === undefined ? LABEL : `${LABEL}.${network}`,
    flags: bridged === undefined ? '' : ` --bridged ${bridged}`,
    program: join(prefix, 'bin/vmbridge'),
    args: [
      'daemon',
      ...(hasFile(options)
        ? []
        : ['--uplink', 'vmnet', ...mode, '--socket', socket, '--socket-group', MAC_GROUP]),
      '--control',
      control,
      '--pidfile',
      pidfile,
      ...(hasFile(options) ? [] : ['--state-dir', state]),
      '--log-file',
      log,
      ...options,
    ],
    control,
    state,
    log,
    pidfile,
  }
}

/** The service under systemd, which keeps its log and knows its PID. */
export function linuxDefinition({ prefix, options }: ServiceChoice): ServiceDefinition {
  const run = '/run/vmbridge'
  const control = join(run, CONTROL_NAME)
  const state = '/var/lib/vmbridge'
  return {
    name: 'vmbridge.service',
    flags: '',
    program: join(prefix, 'bin/vmbridge'),
    args: [
      'daemon',
      ...(hasFile(options)
        ? []
        : ['--uplink', 'tap', '--socket', join(run, SOCKET_NAME), '--socket-group', LINUX_GROUP]),
      '--control',
      control,
      ...(hasFile(options) ? [] : ['--state-dir', join(state, 'default')]),
      ...options,
    ],
    control,
    state,
  }
}

/** Whether a file says what the networks are, and whose group may plug in. */
const hasFile = (options: readonly string[]): boolean => lastValue(options, 'config') !== undefined

/** The value of an option that is given once or more, each over the one before. */
export function lastValue(args: readonly string[], option: string): string | undefined {
  let value: string | undefined
  for (const [i, arg] of args.entries()) {
    if (arg === `--${option}`) value = args[i + 1]
    else if (arg.startsWith(`--${option}=`)) value = arg.slice(option.length + 3)
  }
  return value
}
