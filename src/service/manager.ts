/**
 * A service manager as the command sees it. launchd and systemd are the two.
 */

import { BridgeError } from '../errors.js'
import type { ServiceDefinition } from './definition.js'
import type { Host } from './host.js'

export interface ServiceState {
  manager: 'launchd' | 'systemd'
  /** The label or the unit. */
  name: string
  /** The file that tells the manager of it. */
  definition: string
  installed: boolean
  /** The manager knows it. */
  loaded: boolean
  /** It is started at boot. */
  enabled: boolean
  running: boolean
  pid?: number
  /** The manager's own word, such as `running`, `spawn scheduled` or `failed`. */
  state: string
  /** How it ended the last time: `status 1`, `signal KILL`. */
  lastExit?: string
  /** The control socket of its daemon. */
  control: string
  /** The folder of what outlives the daemon. */
  stateDir: string
  /** A file, or the command that shows the log. */
  log: string
}

/**
 * Each change returns what it did, a phrase a step, and none where nothing was to be done. They reject with BridgeError:
 * ERR_NOT_ROOT, ERR_SERVICE_NOT_INSTALLED, and ERR_SERVICE_START or ERR_SERVICE_STOP with the manager's own words.
 */
export interface ServiceManager {
  readonly definition: ServiceDefinition
  install(): Promise<string[]>
  uninstall(): Promise<string[]>
  start(): Promise<string[]>
  stop(): Promise<string[]>
  state(): Promise<ServiceState>
}

/** @throws BridgeError ERR_SERVICE_NOT_INSTALLED */
export function requireInstalled(
  { name, installed, definition }: ServiceState,
  { flags }: ServiceDefinition,
): void {
  if (installed) return
  throw new BridgeError('ERR_SERVICE_NOT_INSTALLED', `${name} is not installed: there is no ${definition}`, {
    hint: `sudo vmbridge service install${flags}`,
  })
}

/** How long a daemon may take to answer, and how often it is asked, in ms. vmnet's start alone has ten seconds. */
const START_PATIENCE = 20_000
const ASK_INTERVAL = 200

/**
 * Waits until the daemon of a service that was started answers; `answers` asks its control socket for a PID.
 * @throws BridgeError ERR_SERVICE_START when it does not, with how it ended and where its log is
 */
export async function waitUntilServing(
  manager: ServiceManager,
  host: Host,
  answers: () => Promise<number | undefined>,
): Promise<ServiceState> {
  const end = host.now() + START_PATIENCE
  for (;;) {
    const answering = await answers()
    const state = await manager.state()
    if (answering !== undefined && answering === state.pid) return state
    if (state.state === 'failed' || host.now() >= end) {
      const what = state.running
        ? 'runs, but its daemon does not answer'
        : `does not stay up (${state.state})`
      const how = state.lastExit === undefined ? '' : `; its last exit: ${state.lastExit}`
      const other = answering === undefined ? '' : `; PID ${answering} answers in its place`
      throw new BridgeError('ERR_SERVICE_START', `${state.name} ${what}${how}${other}`, {
        hint: answering === undefined ? `see ${state.log}` : 'stop that daemon first',
      })
    }
    await host.pause(ASK_INTERVAL)
  }
}
