/**
 * The service under launchd: `launchctl`'s verbs in the order that makes them safe to repeat.
 *
 * What they answer was learnt from launchctl's manual page and from text that others recorded on Macs; nothing of it was
 * run on a Mac by this project. So as little as possible rests on words: whether a job is there is asked of
 * `launchctl print`, and never taken from the status of `bootstrap` or `bootout`, which are known to return before they
 * are done, and `bootstrap` to say "5: Input/output error" of a job that it has loaded.
 */

import { join } from 'node:path'
import { BridgeError } from '../errors.js'
import type { ServiceDefinition } from './definition.js'
import {
  isOwned,
  readText,
  removeOwned,
  requireRoot,
  wordsOf,
  writeOwned,
  type Host,
  type Outcome,
} from './host.js'
import { isMissing, parsePrint, type LaunchdJob } from './launchctl-print.js'
import { requireInstalled, type ServiceManager, type ServiceState } from './manager.js'
import { launchdJob, newsyslogEntry, renderPlist } from './plist.js'
import { requireTree } from './tree.js'

const LAUNCHCTL = '/bin/launchctl'
export const COMMENT = 'Written by `vmbridge service install`; run that again to change it.'

/** How long launchd may take to let a job go, in ms: its ExitTimeOut, and some. */
const STOP_PATIENCE = 30_000
const LOOK_INTERVAL = 100
/** A job that ended a moment ago may be in the way of its successor. */
const BOOTSTRAP_ATTEMPTS = 5
const BOOTSTRAP_INTERVAL = 500

export class Launchd implements ServiceManager {
  readonly definition: ServiceDefinition
  readonly #host: Host
  readonly #prefix: string
  readonly #target: string
  readonly #plist: string
  readonly #newsyslog: string

  constructor(host: Host, definition: ServiceDefinition, prefix: string) {
    this.#host = host
    this.definition = definition
    this.#prefix = prefix
    this.#target = `system/${definition.name}`
    this.#plist = join('/Library/LaunchDaemons', `${definition.name}.plist`)
    this.#newsyslog = join('/etc/newsyslog.d', `${definition.name}.conf`)
  }

  async install(): Promise<string[]> {
    requireRoot(this.#host, 'install', this.definition)
    requireTree(this.#host, this.#prefix)
    const did: string[] = []
    if (writeOwned(this.#host, this.#newsyslog, newsyslogEntry(this.definition))) {
      did.push(`wrote ${this.#newsyslog}`)
    }
    const plist = renderPlist(launchdJob(this.definition), COMMENT)
    if (!isOwned(this.#host, this.#plist, plist)) {
      // launchd has read the old one, and looks at the file no more: the job must go, or it would stay as it was.
      did.push(...(await this.#bootout()))
      writeOwned(this.#host, this.#plist, plist)
      did.push(`wrote ${this.#plist}`)
    }
    return [...did, ...(await this.#bootstrap())]
  }

  async uninstall(): Promise<string[]> {
    requireRoot(this.#host, 'uninstall', this.definition)
    const did = await this.#bootout()
    for (const path of [this.#plist, this.#newsyslog]) {
      if (removeOwned(this.#host, path)) did.push(`removed ${path}`)
    }
    return did
  }

  async start(): Promise<string[]> {
    requireRoot(this.#host, 'start', this.definition)
    requireInstalled(await this.state(), this.definition)
    return this.#bootstrap()
  }

  async stop(): Promise<string[]> {
    requireRoot(this.#host, 'stop', this.definition)
    requireInstalled(await this.state(), this.definition)
    return this.#bootout()
  }

  async state(): Promise<ServiceState> {
    const [job, enabled] = await Promise.all([this.#print(), this.#isEnabled()])
    const { name, control, state, log = '' } = this.definition
    const installed = readText(this.#host, this.#plist) !== undefined
    return {
      manager: 'launchd',
      name,
      definition: this.#plist,
      installed,
      loaded: job !== undefined,
      enabled: installed && enabled,
      running: job?.pid !== undefined,
      ...(job?.pid === undefined ? {} : { pid: job.pid }),
      state: job?.state ?? (installed ? 'not loaded' : 'not installed'),
      ...(job?.lastExit === undefined ? {} : { lastExit: job.lastExit }),
      control,
      stateDir: state,
      log,
    }
  }

  /** Loads the job, which starts it; one that is loaded and does not run is started. */
  async #bootstrap(): Promise<string[]> {
    const { name } = this.definition
    const loaded = await this.#print()
    if (loaded?.pid !== undefined) return []
    if (loaded !== undefined) {
      // It waits for launchd's next try, or something holds it back: -k starts it now, whichever it is.
      const kicked = await this.#launchctl('kickstart', '-k', this.#target)
      if (kicked.status === 0) return [`started ${name}`]
      throw this.#startError(kicked)
    }
    // What `launchctl disable` forbade once is remembered, over reboots and reinstalls.
    const did = (await this.#isEnabled()) ? [] : [`enabled ${name}`]
    const enabled = await this.#launchctl('enable', this.#target)
    if (enabled.status !== 0) throw this.#startError(enabled)
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#launchctl('bootstrap', 'system', this.#plist)
      if ((await this.#print()) !== undefined) return [...did, `started ${name}`]
      if (attempt === BOOTSTRAP_ATTEMPTS) throw this.#startError(outcome)
      await this.#host.pause(BOOTSTRAP_INTERVAL)
    }
  }

  /** Ends the job and takes it out of launchd, and waits until both are true. */
  async #bootout(): Promise<string[]> {
    const { name } = this.definition
    if ((await this.#print()) === undefined) return []
    const outcome = await this.#launchctl('bootout', this.#target)
    const end = this.#host.now() + STOP_PATIENCE
    while ((await this.#print()) !== undefined) {
      if (this.#host.now() >= end) {
        throw new BridgeError('ERR_SERVICE_STOP', `launchd does not let ${name} go: ${wordsOf(outcome)}`, {
          hint: `${LAUNCHCTL} print ${this.#target}`,
        })
      }
      await this.#host.pause(LOOK_INTERVAL)
    }
    return [`stopped ${name}`]
  }

  /** What launchd has under the label; undefined when it has none. Anybody may ask. */
  async #print(): Promise<LaunchdJob | undefined> {
    const outcome = await this.#launchctl('print', this.#target)
    if (outcome.status === 0) return parsePrint(outcome.stdout)
    if (isMissing(outcome)) return undefined
    throw new BridgeError('ERR_SERVICE_STATE', `launchctl print ${this.#target}: ${wordsOf(outcome)}`)
  }

  async #isEnabled(): Promise<boolean> {
    const { stdout } = await this.#launchctl('print-disabled', 'system')
    // `"LABEL" => disabled`, and `=> true` up to macOS 12. A label that is not listed is enabled.
    const line = stdout.split('\n').find(each => each.includes(`"${this.definition.name}"`))
    return line === undefined || !/=> (disabled|true)\b/.test(line)
  }

  #startError(outcome: Outcome): BridgeError {
    const { name, log } = this.definition
    return new BridgeError('ERR_SERVICE_START', `launchd does not start ${name}: ${wordsOf(outcome)}`, {
      hint: `allow vmbridge in System Settings > General > Login Items (Allow in the Background), and see ${log}`,
    })
  }

  #launchctl(...args: string[]): Promise<Outcome> {
    return this.#host.run(LAUNCHCTL, args)
  }
}
