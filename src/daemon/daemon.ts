/**
 * The daemon: its network, its control socket and its pidfile, and the order in which they start and stop. It
 * ends by SIGINT, SIGTERM or SIGHUP with status 0, having removed what it made.
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
import { ownPlace } from '../config/paths.js'
import { formatMac } from '../wire/mac.js'
import { dhcpOf } from './dhcp-control.js'
import { Network } from './network.js'
import { Pidfile } from './pidfile.js'
import { becomeUser } from './privileges.js'
import { servesItself, type DaemonSettings } from './settings.js'
import { networkStatus } from './status.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export class Daemon {
  readonly #settings: DaemonSettings
  readonly #log: Logger
  readonly #network: Network
  readonly #version = version()
  readonly #startedAt = performance.now()
  #isStopped = false
  #control: ControlServer | undefined
  #pidfile: Pidfile | undefined

  constructor(settings: DaemonSettings, log: Logger) {
    this.#settings = settings
    this.#log = log
    this.#network = new Network(settings.network, { log, clock: native, wallClock: Date, random32 })
  }

  /** @throws BridgeError; what was started until then is stopped */
  async start(): Promise<void> {
    const { network, pidfile } = this.#settings
    const run = ownPlace().run
    if ([...network.sockets, ...(network.dgrams ?? [])].some(path => dirname(path) === run)) makeFolder(run)
    try {
      await this.#network.start()
      // A signal may have come meanwhile, and what is made now would stay.
      if (this.#isStopped) return
      this.#control = this.#openControl()
      if (pidfile !== undefined) this.#writePidfile(pidfile)
      this.#giveUpRoot()
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#sayReady()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#control?.close()
    await this.#network.stop()
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
      networks: [networkStatus(this.#network)],
    }
  }

  #giveUpRoot(): void {
    const { user, network, pidfile } = this.#settings
    if (user === undefined) return
    const run = ownPlace().run
    const files = [...network.sockets, ...(network.dgrams ?? []), this.#control?.path, pidfile].filter(
      path => path !== undefined,
    )
    becomeUser(
      user,
      // The default folder of the sockets is this program's own; any other may be anybody's.
      { state: network.stateDir, files, ...(files.some(path => dirname(path) === run) ? { run } : {}) },
      this.#log,
    )
  }

  /** Who may plug a VM in may also look; changes are for fewer. */
  #openControl(): ControlServer {
    const { control, controlFallback, network } = this.#settings
    const open = (path: string): ControlServer => {
      if (dirname(path) === ownPlace().run) makeFolder(dirname(path))
      return new ControlServer({
        path,
        rights: network.rights,
        log: this.#log,
        handlers: {
          status: () => this.status(),
          dhcp: name => dhcpOf([this.#network], name, this.#log),
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
    const { network } = this.#settings
    const { uplink } = this.#network
    const { kind, name } = uplink.status()
    const qemu = qemuCommand(network.sockets[0])
    this.#log.info(
      {
        event: 'daemon.ready',
        pid: process.pid,
        sockets: network.sockets,
        control: this.#control?.path,
        qemu,
      },
      [
        `ready: PID ${process.pid}, ${servesItself(network) ? 'with a gateway of its own' : `network ${formatCidr(network.gateway)}`}, uplink ${[kind, name].filter(Boolean).join(' ')},`,
        `sockets ${network.sockets.join(' ')}, control ${this.#control?.path}; join a VM with:\n\n  ${qemu}\n`,
      ].join(' '),
    )
  }
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
  for (const signal of SIGNALS) {
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
