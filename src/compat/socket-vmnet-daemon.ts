/**
 * `socket_vmnet`: the daemon under the name and by the command line of lima-vm/socket_vmnet, for the programs that start
 * it. vmnet's own DHCP server serves, as their users expect; where there is no vmnet (Linux) a TAP takes the host's part,
 * and our server that of vmnet's, with the same range.
 */

import { writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { controlBeside, ownPlace, stateFolderFor } from '../config/paths.js'
import type { DaemonSettings, DhcpSettings, NetworkSettings } from '../daemon/settings.js'
import { BridgeError } from '../errors.js'
import { native } from '../native.js'
import { version } from '../version.js'
import { cidr } from '../wire/ipv4.js'
import { lineOf, socketVmnetLines } from './socket-vmnet-log.js'
import {
  readSocketVmnet,
  SocketVmnetError,
  USAGE,
  type SocketVmnetCommand,
  type SocketVmnetOptions,
} from './socket-vmnet-options.js'
import { inSocketVmnetWords } from './socket-vmnet-words.js'

/** What a network has on Linux when nothing is said: 192.168.105.1/24, the address that minikube wants. */
const DEFAULT_GATEWAY = cidr(0xc0a86901, 24)
const DEFAULT_END = 0xc0a869fe
const SOCKET_MODE = 0o770

/** The daemon's settings. `hasVmnet`: whether this system has vmnet.framework. */
export function settingsOf(
  options: SocketVmnetOptions,
  gid: number,
  hasVmnet: boolean,
  isDebug = false,
): DaemonSettings {
  const socket = absolute(options.socket)
  const rights = { mode: SOCKET_MODE, gid }
  return {
    networks: [
      {
        name: 'default',
        sockets: [socket],
        rights,
        mtu: 1500,
        stateDir: stateFolderFor(ownPlace(), socket),
        ...(hasVmnet ? onVmnet(options) : onTap(options)),
      },
    ],
    rights,
    control: controlBeside(socket),
    ...(options.pidfile === undefined ? {} : { pidfile: absolute(options.pidfile) }),
    // Its format leaves out what nobody asked to see.
    logLevel: 'debug',
    logFormat: socketVmnetLines({ mode: options.mode, isDebug }),
  }
}

/** @throws BridgeError ERR_SOCKET_PATH for a relative path in a folder that is gone, or whose own path is too long */
function absolute(path: string): string {
  try {
    return resolve(path)
  } catch (cause) {
    throw new BridgeError(
      'ERR_SOCKET_PATH',
      `${path}: no path to the current folder: ${(cause as Error).message}`,
      {
        hint: 'an absolute path',
        cause,
      },
    )
  }
}

type Wire = Pick<NetworkSettings, 'uplink' | 'gateway' | 'dhcp'>

function onVmnet(options: SocketVmnetOptions): Wire {
  const {
    mode,
    interface: name,
    gateway,
    dhcpEnd,
    interfaceId,
    networkId,
    nat66Prefix,
    disableDhcp,
  } = options
  return {
    gateway: gateway ?? DEFAULT_GATEWAY,
    uplink: {
      kind: 'vmnet',
      mode,
      isolate: false,
      appleDhcp: disableDhcp || networkId !== undefined || mode === 'bridged' ? 'off' : 'on',
      ...(name === undefined ? {} : { interface: name }),
      ...(gateway === undefined ? { subnet: 'macos' as const } : {}),
      ...(dhcpEnd === undefined ? {} : { dhcpEnd }),
      ...(interfaceId === undefined ? {} : { interfaceId }),
      ...(networkId === undefined ? {} : { networkId }),
      ...(nat66Prefix === undefined ? {} : { nat66Prefix }),
    },
  }
}

/** @throws BridgeError ERR_VMNET_UNSUPPORTED for what a TAP is no stand-in for */
function onTap({
  mode,
  gateway = DEFAULT_GATEWAY,
  dhcpEnd = DEFAULT_END,
  disableDhcp,
  networkId,
}: SocketVmnetOptions): Wire {
  if (mode === 'bridged') {
    throw new BridgeError('ERR_VMNET_UNSUPPORTED', 'vmnet mode "bridged" needs macOS', {
      hint: '--vmnet-mode=shared: a TAP takes the part of vmnet here',
    })
  }
  const isServed = !disableDhcp && networkId === undefined
  const dhcp = {
    range: { first: gateway.address + 1, last: dhcpEnd },
    exclude: [],
    dns: [],
    options: new Map<number, Uint8Array>(),
    boot: [],
    ...leasesFile(process.env['VMBRIDGE_LEASES_FILE']),
  }
  return { gateway, uplink: { kind: 'tap' }, ...(isServed ? { dhcp } : {}) }
}

/** vmnet's server would write one; where minikube looks for it here, only its user can say. */
function leasesFile(path: string | undefined): Pick<DhcpSettings, 'leasesFile'> {
  return path === undefined || path === '' || path === 'none' ? {} : { leasesFile: absolute(path) }
}

async function start({ options, warnings }: Extract<SocketVmnetCommand, { do: 'run' }>): Promise<void> {
  const gid = native.groupId(options.group)
  if (gid === undefined) {
    throw new BridgeError('ERR_GROUP', `unknown group name "${options.group}"`, {
      hint: '--socket-group with a group of this system',
    })
  }
  const isDebug = process.env['DEBUG'] !== undefined
  const settings = settingsOf(options, gid, native.VmnetInterface !== undefined, isDebug)
  const { runDaemon } = await import('../daemon/daemon.js')
  await runDaemon(settings, [...warnings, ...warningsOfRights()])
}

function warningsOfRights(): string[] {
  const effective = process.geteuid?.()
  return [
    ...(effective === 0 ? [] : ['Running without root. This is very unlikely to work']),
    ...(effective === process.getuid?.() ? [] : ['Seems running with SETUID. This is insecure']),
  ]
}

async function main(args: readonly string[]): Promise<void> {
  const command = readSocketVmnet(args)
  if (command.do === 'run') return start(command)
  say(1, command.what === 'usage' ? USAGE : `${version()}\n`)
  process.exitCode = command.status
}

/** Every failure is one line, or two with what to do, and status 1; with the usage where the command line is at fault. */
export async function runSocketVmnet(args: readonly string[]): Promise<void> {
  try {
    await main(args)
  } catch (error) {
    process.exitCode = 1
    if (error instanceof SocketVmnetError) say(1, USAGE)
    const { text, hint } =
      error instanceof BridgeError ? inSocketVmnetWords(error) : { text: textOf(error), hint: undefined }
    say(2, lineOf('ERROR', text) + (hint === undefined ? '' : lineOf('ERROR', `try: ${hint}`)))
  }
}

function textOf(error: unknown): string {
  if (error instanceof SocketVmnetError) return error.message
  return error instanceof Error && error.stack !== undefined ? error.stack : String(error)
}

/** A reader who has gone is no reason to end in another way. */
function say(fd: number, text: string): void {
  try {
    writeSync(fd, text)
  } catch {
    // nobody hears it
  }
}
