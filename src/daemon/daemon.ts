/**
 * The daemon: its networks, its control socket and its pidfile, and the order in which they start and stop. It
 * ends by SIGINT or SIGTERM with status 0, having removed what it made; by SIGHUP as well, unless there is a file to read
 * again.
 */

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { ControlServer } from '../control/server.js'
import type { DaemonStatus } from '../control/api.js'
import { BridgeError } from '../errors.js'
import { openLog, type Logger } from '../log.js'
import { native } from '../native.js'
import { explainPath } from '../ports/claim.js'
import { random32 } from '../random.js'
import { shellQuote } from '../shell.js'
import { version } from '../version.js'
import { formatCidr } from '../wire/ipv4.js'
import { demandFolderOf, ownPlace } from '../config/paths.js'
import { formatMac } from '../wire/mac.js'
import { dhcpOf } from './dhcp-control.js'
import { networkHandlers } from './network-control.js'
import { Networks } from './networks.js'
import { Pidfile } from './pidfile.js'
import { becomeUser } from './privileges.js'
import { servesItself, type DaemonSettings, type NetworkSettings } from './settings.js'
import { networkStatus } from './status.js'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

export class Daemon {
  readonly #settings: DaemonSettings
  readonly #log: Logger
  readonly #networks: Networks
  readonly #version = version()
  readonly #startedAt = performance.now()
  #isStopped = false
  #control: ControlServer | undefined
  #pidfile: Pidfile | undefined

  constructor(settings: DaemonSettings, log: Logger) {
    this.#settings = settings
    this.#log = log
    this.#networks = new Networks({
      context: { log, clock: native, wallClock: Date, random32 },
      log,
      rights: settings.rights,
      prepare: makeRunFolder,
    })
  }

  /** @throws BridgeError; what was started until then is stopped */
  async start(): Promise<void> {
    const { networks, pidfile } = this.#settings
    try {
      await this.#networks.start(networks)
      // A signal may have come meanwhile, and what is made now would stay.
      if (this.#isStopped) return
      // Who has the control socket has the networks on demand that were left beside it.
      this.#control = this.#openControl()
      const { demandUplink: uplink } = this.#settings
      if (uplink !== undefined)
        await this.#networks.openDemand({ folder: demandFolderOf(this.#control.path), uplink })
      if (this.#isStopped) return
      if (pidfile !== undefined) this.#writePidfile(pidfile)
      this.#giveUpRoot()
      this.#control.start()
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#sayReady()
  }

  /** Reads the file again. Never rejects: what is wrong with it is said, and all stays as it is. */
  async reload(): Promise<void> {
    let wanted: NetworkSettings[]
    try {
      wanted = this.#settings.reload!()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#log.error({ event: 'config.reload', reason }, `nothing was changed: ${reason}`)
      return
    }
    await this.#networks.reload(wanted)
    this.#log.info({ event: 'config.reload' }, 'the file was read again')
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#control?.close()
    await this.#networks.stop()
    if (this.#pidfile?.remove()) {
      const { path } = this.#pidfile
      this.#log.debug({ event: 'pidfile.removed', path }, `the pidfile ${path} is removed`)
    }
    this.#pidfile = undefined
  }

  #writePidfile(path: string): void {
    this.#pidfile = new Pidfile(path)
    this.#log.debug({ event: 'pidfile.created', path }, `the pidfile ${path} is written`)
  }

  status(): DaemonStatus {
    return {
      version: this.#version,
      pid: process.pid,
      uptime: Math.floor((performance.now() - this.#startedAt) / 1000),
      networks: this.#networks.list().map(({ network, kind }) => networkStatus(network, kind)),
    }
  }

  #giveUpRoot(): void {
    const { user, networks, pidfile } = this.#settings
    if (user === undefined) return
    const run = ownPlace().run
    const files = [...networks.flatMap(pathsOf), this.#control?.path, pidfile].filter(
      path => path !== undefined,
    )
    const states = networks.map(({ stateDir }) => stateDir)
    becomeUser(
      user,
      // The default folder of the sockets is this program's own; any other may be anybody's.
      { states, files, ...(files.some(path => dirname(path) === run) ? { run } : {}) },
      this.#log,
    )
  }

  /** Who may plug a VM in may also look; changes are for fewer. */
  #openControl(): ControlServer {
    const { control, controlFallback, rights } = this.#settings
    const open = (path: string): ControlServer => {
      if (dirname(path) === ownPlace().run) makeFolder(dirname(path))
      return new ControlServer({
        path,
        rights,
        log: this.#log,
        handlers: {
          status: () => this.status(),
          dhcp: name => {
            const networks = this.#networks.list().map(({ network }) => network)
            // One that comes or goes at this moment has no DHCP server to ask, though it will, or had.
            const up = networks.filter(({ isUp }) => isUp)
            return dhcpOf(up, name, this.#log)
          },
          networks: networkHandlers(this.#networks, this.#log),
        },
      })
    }
    try {
      return open(control)
    } catch (error) {
      if (
        !(error instanceof BridgeError) ||
        error.code !== 'ERR_SOCKET_IN_USE' ||
        controlFallback === undefined
      )
        throw error
      this.#log.warn(
        { event: 'control.fallback', path: controlFallback },
        `${error.message}; this daemon's control socket is ${controlFallback}`,
      )
      return open(controlFallback)
    }
  }

  #sayReady(): void {
    const { networks } = this.#settings
    const control = this.#control?.path
    const sockets = networks.flatMap(({ sockets }) => sockets)
    const qemu = sockets[0] === undefined ? undefined : qemuCommand(sockets[0])
    const running = this.#networks.list().filter(({ kind }) => kind === 'standing')
    const told = running.map(({ network: { settings, uplink } }) => {
      const { kind, name } = uplink.status()
      const which = servesItself(settings)
        ? 'with a gateway of its own'
        : `network ${formatCidr(settings.gateway)}`
      return `${which}, uplink ${[kind, name].filter(Boolean).join(' ')}, sockets ${settings.sockets.join(' ')},`
    })
    if (told.length === 0) told.push('no network until one is wanted,')
    this.#log.info(
      { event: 'daemon.ready', pid: process.pid, sockets, control, qemu },
      [
        `ready: PID ${process.pid},`,
        ...told,
        `control ${control}${qemu === undefined ? '' : `; join a VM with:\n\n  ${qemu}\n`}`,
      ].join(' '),
    )
  }
}

function pathsOf({ sockets, dgrams = [] }: NetworkSettings): string[] {
  return [...sockets, ...dgrams]
}

/** Makes the default folder of the sockets for a network that has one there. */
function makeRunFolder(settings: NetworkSettings): void {
  const { run } = ownPlace()
  if (pathsOf(settings).some(path => dirname(path) === run)) makeFolder(run)
}

/** Makes the default folder of the sockets. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 })
  } catch (error) {
    throw explainPath(path, error)
  }
}

/** A command that can be pasted as it is: a guest with this machine's own firmware and one NIC on the segment. */
export function qemuCommand(socket: string, architecture: string = process.arch): string {
  const machine =
    architecture === 'arm64' ? 'qemu-system-aarch64 -M virt -cpu max' : 'qemu-system-x86_64 -M q35'
  const mac = formatMac(0x5254, random32() & 0xffffff)
  const path = socket.replaceAll(',', ',,')
  const net = `stream,id=net0,server=off,addr.type=unix,addr.path=${path}`
  return `${machine} -m 1024 -netdev ${shellQuote(net)} -device virtio-net-pci,netdev=net0,mac=${mac}`
}

/**
 * Runs a daemon until a signal. Resolves to the exit status only if it could not start.
 * @param warnings of who read the settings, for the beginning of the log
 */
export async function runDaemon(
  settings: DaemonSettings,
  warnings: readonly string[] = [],
): Promise<undefined> {
  const log = openLog(settings.logLevel, settings.logFormat, settings.logFile)
  for (const warning of warnings) log.logger.warn({ event: 'settings' }, warning)
  const daemon = new Daemon(settings, log.logger)
  let stopping = false
  const finish = async (status: number): Promise<void> => {
    if (stopping) return
    stopping = true
    let ended = status
    try {
      await daemon.stop()
    } catch (error) {
      ended = 1
      log.logger.fatal(
        { event: 'daemon.stop', err: error },
        'stopping went wrong: what is left is not taken down',
      )
    }
    await log.flush()
    native.exitNow(ended)
  }
  const { reload } = settings
  // A file can be read again; without one, a terminal that goes takes the daemon with it.
  if (reload !== undefined) process.on('SIGHUP', () => void daemon.reload())
  for (const signal of reload === undefined ? [...SIGNALS, 'SIGHUP' as const] : SIGNALS) {
    process.on(signal, () => {
      log.logger.info({ event: 'daemon.stop', signal }, `stopping on ${signal}`)
      void finish(0)
    })
  }
  // SIGUSR1 is Node's own, for its debugger.
  process.on('SIGUSR2', () => log.reopen())
  process.on('uncaughtException', error => {
    log.logger.fatal({ event: 'daemon.crash', err: error }, 'an error that nobody caught: stopping')
    void finish(1)
  })
  try {
    await daemon.start()
  } catch (error) {
    await log.flush()
    throw error
  }
  return undefined
}
