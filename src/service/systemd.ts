/**
 * The service under systemd.
 */

import { join } from 'node:path'
import { BridgeError } from '../errors.js'
import type { ServiceDefinition } from './definition.js'
import { readText, removeOwned, requireRoot, wordsOf, writeOwned, type Host, type Outcome } from './host.js'
import { requireInstalled, type ServiceManager, type ServiceState } from './manager.js'
import { requireTree } from './tree.js'
import { renderUnit } from './unit.js'

const SYSTEMCTL = '/usr/bin/systemctl'
const LOG = 'journalctl -u vmbridge'

export class Systemd implements ServiceManager {
  readonly definition: ServiceDefinition
  readonly #host: Host
  readonly #prefix: string
  readonly #unit: string

  constructor(host: Host, definition: ServiceDefinition, prefix: string) {
    this.#host = host
    this.definition = definition
    this.#prefix = prefix
    this.#unit = join('/etc/systemd/system', definition.name)
  }

  async install(): Promise<string[]> {
    requireRoot(this.#host, 'install', this.definition)
    requireTree(this.#host, this.#prefix)
    const { name } = this.definition
    const before = await this.state()
    const did: string[] = []
    const isNew = writeOwned(this.#host, this.#unit, renderUnit(this.definition))
    if (isNew) did.push(`wrote ${this.#unit}`)
    // Also for a file that stayed: an install that was cut short may have written it.
    await this.#must('daemon-reload')
    if (!before.enabled) {
      await this.#must('enable', name)
      did.push(`enabled ${name}`)
    }
    if (isNew && before.running) {
      await this.#must('restart', name)
      return [...did, `restarted ${name}`]
    }
    return [...did, ...(await this.#start(before))]
  }

  async uninstall(): Promise<string[]> {
    requireRoot(this.#host, 'uninstall', this.definition)
    const { name } = this.definition
    const before = await this.state()
    const did = await this.#stop(before)
    if (!before.installed) return did
    await this.#must('disable', name)
    removeOwned(this.#host, this.#unit)
    await this.#must('daemon-reload')
    // A failure that is remembered would keep the unit's name; there may be none.
    await this.#systemctl('reset-failed', name)
    return [...did, `removed ${this.#unit}`]
  }

  async start(): Promise<string[]> {
    requireRoot(this.#host, 'start', this.definition)
    const before = await this.state()
    requireInstalled(before, this.definition)
    return this.#start(before)
  }

  async stop(): Promise<string[]> {
    requireRoot(this.#host, 'stop', this.definition)
    const before = await this.state()
    requireInstalled(before, this.definition)
    return this.#stop(before)
  }

  async state(): Promise<ServiceState> {
    const { name, control, state } = this.definition
    const shown = await this.#must('show', name, `--property=${PROPERTIES.join(',')}`)
    const fields = new Map(
      shown.stdout
        .split('\n')
        .filter(Boolean)
        .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    )
    const active = fields.get('ActiveState') ?? 'unknown'
    const pid = Number(fields.get('MainPID'))
    const lastExit = exitOf(fields)
    const isRunning = active === 'active' && pid > 0
    const installed = readText(this.#host, this.#unit) !== undefined
    return {
      manager: 'systemd',
      name,
      definition: this.#unit,
      installed,
      loaded: fields.get('LoadState') === 'loaded',
      enabled: fields.get('UnitFileState') === 'enabled',
      running: isRunning,
      ...(isRunning ? { pid } : {}),
      state: active === 'activating' ? (fields.get('SubState') ?? active) : active,
      ...(lastExit === undefined ? {} : { lastExit }),
      control,
      stateDir: state,
      log: LOG,
    }
  }

  async #start({ running, name }: ServiceState): Promise<string[]> {
    if (running) return []
    // After too many failures in a row systemd starts nothing until it is told to forget them.
    await this.#systemctl('reset-failed', name)
    await this.#must('start', name)
    return [`started ${name}`]
  }

  async #stop({ running, state, name }: ServiceState): Promise<string[]> {
    if (!running && (state === 'inactive' || state === 'failed')) return []
    await this.#must('stop', name)
    return [`stopped ${name}`]
  }

  async #must(verb: string, ...args: string[]): Promise<Outcome> {
    const outcome = await this.#systemctl(verb, ...args)
    if (outcome.status === 0) return outcome
    const words = wordsOf(outcome)
    if (/not been booted with systemd|Failed to connect to bus/.test(words)) {
      throw new BridgeError('ERR_SERVICE_PLATFORM', 'this system was not started by systemd', {
        hint: 'run `vmbridge daemon` by whatever starts services here',
      })
    }
    throw new BridgeError(
      CODES[verb] ?? 'ERR_SERVICE_START',
      `systemctl ${verb} ${args[0] ?? ''}: ${words}`,
      { hint: `see ${LOG}` },
    )
  }

  #systemctl(...args: string[]): Promise<Outcome> {
    return this.#host.run(SYSTEMCTL, args)
  }
}

const CODES: Record<string, string> = {
  show: 'ERR_SERVICE_STATE',
  stop: 'ERR_SERVICE_STOP',
  disable: 'ERR_SERVICE_STOP',
}

const PROPERTIES = [
  'LoadState',
  'ActiveState',
  'SubState',
  'UnitFileState',
  'MainPID',
  'ExecMainExitTimestampMonotonic',
  'ExecMainCode',
  'ExecMainStatus',
]

/** CLD_EXITED of waitid(2); the others are signals. */
const EXITED = '1'

function exitOf(fields: ReadonlyMap<string, string>): string | undefined {
  const at = fields.get('ExecMainExitTimestampMonotonic')
  if (at === undefined || at === '0') return undefined
  const kind = fields.get('ExecMainCode') === EXITED ? 'status' : 'signal'
  return `${kind} ${fields.get('ExecMainStatus')}`
}
