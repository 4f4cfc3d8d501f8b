/**
 * What the commands that ask a daemon share: how they find it, what they say where none answers, and how they print.
 */

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { CONTROL_NAME, controlBeside, findInRun } from '../config/paths.js'
import type { ReservationRecord } from '../control/api.js'
import { ControlClient } from '../control/client.js'
import { BridgeError, hasCode, UsageError } from '../errors.js'
import { shellQuote } from '../shell.js'
import type { Option, Parsed } from './options.js'

const EXIT_NO_DAEMON = 3

export const DAEMON_OPTIONS: Record<string, Option> = {
  control: { value: 'PATH', help: "the daemon's control socket", fallback: "the daemon's default" },
  socket: { value: 'PATH', environmentList: true, help: 'find the daemon by its VM socket instead' },
}

export const ASK_OPTIONS: Record<string, Option> = {
  ...DAEMON_OPTIONS,
  network: {
    value: 'NAME',
    help: 'which network of the daemon is meant',
    fallback: 'the only one; all, to be shown',
  },
}

/**
 * Hands `ask` the daemon that --control or --socket names, and the network that --network names or --socket belongs to. Resolves
 * to its exit status, or to 3 where no daemon answers, having said how to start one.
 */
export async function askDaemon(
  { get }: Parsed,
  ask: (daemon: ControlClient, network: string | undefined) => Promise<number>,
): Promise<number> {
  const socket = get('socket')
  // node:http would take an empty path for none, and ask port 80.
  if (get('control') === '')
    throw new UsageError('--control takes a path', '--control /run/vmbridge/control.sock')
  const control = get('control') ?? controlOf(socket)
  const daemon = new ControlClient(control)
  try {
    const ofSocket = socket === undefined ? undefined : await networkOf(daemon, resolve(socket))
    if (socket !== undefined && ofSocket === undefined) {
      return noDaemon(`no daemon answers for ${socket}`, control, socket)
    }
    return await ask(daemon, get('network') ?? ofSocket)
  } catch (error) {
    if (!(error instanceof BridgeError) || error.code !== 'ERR_NO_DAEMON') throw error
    return noDaemon(error.message, control, socket)
  }
}

async function networkOf(daemon: ControlClient, socket: string): Promise<string | undefined> {
  const { networks } = await daemon.status()
  return networks.find(({ sockets }) => sockets.includes(socket))?.name
}

/**
 * What `ask` finds out about the network meant, or about the only one. Where none is meant and there are several, or
 * none: about each that has a DHCP server, and `isOne` is false. One may go between two questions.
 */
export async function ofNetworks<T>(
  daemon: ControlClient,
  network: string | undefined,
  ask: (network: string | undefined) => Promise<T>,
): Promise<{ isOne: boolean; lists: T[] }> {
  try {
    return { isOne: true, lists: [await ask(network)] }
  } catch (error) {
    const isOpen =
      error instanceof BridgeError && ['ERR_WHICH_NETWORK', 'ERR_NO_NETWORK'].includes(error.code)
    if (network !== undefined || !isOpen) throw error
  }
  const lists: T[] = []
  for (const { name } of (await daemon.status()).networks) {
    try {
      lists.push(await ask(name))
    } catch (error) {
      if (!isWithout(error)) throw error
    }
  }
  return { isOne: false, lists }
}

/** Of a question about a network: that it has no DHCP server, or is gone. */
function isWithout(error: unknown): boolean {
  return error instanceof BridgeError && ['ERR_NO_DHCP', 'ERR_NO_NETWORK'].includes(error.code)
}

/** A network without a DHCP server has none, and one may go between two questions. */
export async function reservationsOf(
  daemon: ControlClient,
  network: string,
): Promise<{ reservations: ReservationRecord[] }> {
  try {
    return await daemon.reservations(network)
  } catch (error) {
    if (isWithout(error)) return { reservations: [] }
    throw error
  }
}

/** Where the daemon of that VM socket, or the default one, is asked. */
function controlOf(socket: string | undefined): string {
  const beside = socket === undefined ? '' : controlBeside(resolve(socket))
  return existsSync(beside) ? beside : findInRun(CONTROL_NAME)
}

function noDaemon(message: string, control: string, socket: string | undefined): number {
  let start = 'vmbridge daemon'
  if (socket !== undefined) start += ` --socket ${shellQuote(socket)}`
  else if (control !== findInRun(CONTROL_NAME)) start += ` --control ${shellQuote(control)}`
  process.stderr.write(`vmbridge: ${message}\n  start one with: ${start}\n`)
  return EXIT_NO_DAEMON
}

/** Writes all of it, however slowly it is read; rejects when it cannot be written. A reader that has enough is no failure. */
export function print(text: string): Promise<void> {
  return new Promise((done, failed) => {
    const end = (error?: Error | null): void => (error && !hasCode(error, 'EPIPE') ? failed(error) : done())
    process.stdout.on('error', end)
    process.stdout.write(text, end)
  })
}

/** JSON leaves DEL and the C1 controls as they are; a terminal obeys some of them. */
export function printJson(value: unknown): Promise<void> {
  const json = JSON.stringify(value, null, 2)
  const escape = (character: string): string => `\\u00${character.charCodeAt(0).toString(16)}`
  return print(`${json.replace(/[\u007f-\u009f]/g, escape)}\n`)
}
