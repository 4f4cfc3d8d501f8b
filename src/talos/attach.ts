/**
 * Has the daemon make the network that a netdev stands for, and keep the node's address: both are there before QEMU
 * starts, as QEMU 7.2 would run on with a dead NIC if nobody listened.
 */

import type { NetworkSummary, NetworkWanted, ReservationRecord } from '../control/api.js'
import type { ControlClient } from '../control/client.js'
import { BridgeError, hasCode } from '../errors.js'

export interface Attachment {
  network: NetworkWanted
  /** Of the node; not there for a VM whose address nobody planned, and where the switch answers no DHCP. */
  reservation?: ReservationRecord
}

export interface Patience {
  /** How long to try, in ms. */
  total: number
  /** Between two tries, in ms. */
  pause: number
  /** Monotonic ms. */
  now(): number
  sleep(ms: number): Promise<void>
}

/** The daemon is not there (yet), is being restarted, or let the network go between two questions. */
const PASSING = ['ERR_NO_DAEMON', 'ERR_CONTROL', 'ERR_NO_NETWORK']

const isPassing = (error: unknown): boolean =>
  error instanceof BridgeError && PASSING.includes(error.code) && !hasCode(error.cause, 'EACCES')

/** What a VM plugs into. */
export interface Attached {
  /** The path of the socket. */
  socket: string
  /** Whether the network has the MTU that was asked for: one that was there keeps its own. */
  hasMtu: boolean
}

/** The longest path of a Unix socket: sun_path on macOS, without its NUL. */
const MOST_PATH = 103

/**
 * Tries again while no daemon answers.
 * @throws BridgeError the daemon's refusal, or the last reason when patience is at its end
 */
export async function attach(
  daemon: ControlClient,
  attachment: Attachment,
  { total, pause, now, sleep }: Patience,
): Promise<Attached> {
  const end = now() + total
  for (;;) {
    try {
      return await tryAttach(daemon, attachment)
    } catch (error) {
      if (!isPassing(error) || now() + pause > end) throw error
    }
    await sleep(pause)
  }
}

async function tryAttach(
  daemon: ControlClient,
  { network: wanted, reservation }: Attachment,
): Promise<Attached> {
  const { network, hasMtu } = await ensure(daemon, wanted)
  const socket: unknown = network.sockets?.[0]
  if (typeof socket !== 'string' || !isSocketPath(socket)) {
    throw new BridgeError('ERR_NO_SOCKET', `the daemon gave network ${wanted.gateway} no usable socket`)
  }
  if (reservation !== undefined) await reserve(daemon, network.name, reservation)
  return { socket, hasMtu }
}

/**
 * A network is known by its gateway and mask, and the first VM of a cluster, a keepalive, does not say which MTU the nodes
 * will have.
 */
async function ensure(
  daemon: ControlClient,
  { mtu, ...wanted }: NetworkWanted,
): Promise<{ network: NetworkSummary; hasMtu: boolean }> {
  if (mtu !== undefined) {
    try {
      const { network } = await daemon.ensureNetwork({ ...wanted, mtu })
      return { network, hasMtu: true }
    } catch (error) {
      if (!(error instanceof BridgeError) || error.code !== 'ERR_NETWORK_DIFFERS') throw error
    }
  }
  // Whatever else differs is refused here.
  const { network } = await daemon.ensureNetwork(wanted)
  return { network, hasMtu: mtu === undefined }
}

const isSocketPath = (path: string): boolean =>
  path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= MOST_PATH

/** What talosctl plans now holds: a cluster made anew has other MACs for the same addresses while the network still lives. */
async function reserve(
  daemon: ControlClient,
  network: string,
  reservation: ReservationRecord,
): Promise<void> {
  try {
    await daemon.reserve(reservation, network)
    return
  } catch (error) {
    if (!(error instanceof BridgeError) || error.code !== 'ERR_RESERVATION_EXISTS') throw error
  }
  const { reservations } = await daemon.reservations(network)
  const former = reservations.filter(({ ip, mac }) => ip === reservation.ip || mac === reservation.mac)
  for (const { ip } of former) await unreserve(daemon, network, ip)
  await daemon.reserve(reservation, network)
}

/** Another node that starts at this moment may have removed it. */
async function unreserve(daemon: ControlClient, network: string, ip: string): Promise<void> {
  try {
    await daemon.unreserve(ip, network)
  } catch (error) {
    if (!(error instanceof BridgeError) || error.code !== 'ERR_NO_RESERVATION') throw error
  }
}
