/**
 * Other DHCP servers on the segment, for the log: which station says so, behind which port, and of which address.
 * Their messages are dropped and counted in any case; a line is written once for a port and a MAC, and once a minute
 * for a port whatever it does.
 *
 * What the data path leaves here is a copy of the frame. It is read, and reported, from an event of the loop.
 */

import { getOption, SERVER_ID } from '../dhcp/options.js'
import type { Logger } from '../log.js'
import type { Port } from '../switch/port.js'
import { parseDhcp } from '../wire/dhcp.js'
import { ETHERNET_HEADER, ETHERNET_SOURCE } from '../wire/ethernet.js'
import { formatIpv4, ipv4HeaderLength, ipv4Source } from '../wire/ipv4.js'
import { formatMac, macHigh, macLow } from '../wire/mac.js'
import { UDP_HEADER } from '../wire/udp.js'

/** How long, in ms, a port that was reported is not reported again. */
const QUIET_TIME = 60_000
/** Stations of a port that are remembered as reported. */
const MAX_STATIONS = 16
/** Frames that wait for their report: ports that come and go are not kept count of. */
const MAX_WAITING = 64
/** More of a frame than its Ethernet MTU has is not read. */
const MAX_COPY = 1518

export interface RogueServer {
  port: string
  mac: string
  /** What it says is its address: option 54, siaddr, or the packet's source. Undefined if it says nothing. */
  server: string | undefined
}

interface Waiting {
  /** The frame from the addresses on; `skipped` octets of tags stand between these and the type. */
  frame: Uint8Array
  skipped: number
  port: string
}

interface PortNotes {
  quietUntil: number
  /** MACs as numbers: 48 bits fit. */
  stations: number[]
}

export class RogueServers {
  readonly #onRogue: (rogue: RogueServer) => void
  readonly #ports = new Map<number, PortNotes>()
  #waiting: Waiting[] = []

  /** `onRogue` is called from an event of its own, never within a run. */
  constructor(onRogue: (rogue: RogueServer) => void) {
    this.#onRogue = onRogue
  }

  /**
   * Notes the frame of `length` octets at `at`, which only a server sends, from a port at `now` (ms). Its tags
   * are behind its addresses, `skipped` octets of them. Called on the data path.
   */
  note(bytes: Uint8Array, at: number, length: number, skipped: number, from: Port, now: number): void {
    let notes = this.#ports.get(from.id)
    if (notes === undefined) {
      notes = { quietUntil: -Infinity, stations: [] }
      this.#ports.set(from.id, notes)
    }
    if (now < notes.quietUntil) return
    const source = at + ETHERNET_SOURCE
    const station = macHigh(bytes, source) * 2 ** 32 + macLow(bytes, source)
    if (notes.stations.includes(station) || this.#waiting.length >= MAX_WAITING) return
    notes.quietUntil = now + QUIET_TIME
    if (notes.stations.length === MAX_STATIONS) notes.stations.shift()
    notes.stations.push(station)
    const frame = bytes.slice(at, at + Math.min(length, MAX_COPY))
    if (this.#waiting.push({ frame, skipped, port: from.name }) === 1) setImmediate(this.#report)
  }

  forgetPort(id: number): void {
    this.#ports.delete(id)
  }

  readonly #report = (): void => {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { frame, skipped, port } of waiting) {
      const mac = formatMac(macHigh(frame, ETHERNET_SOURCE), macLow(frame, ETHERNET_SOURCE))
      const address = serverAddress(frame, ETHERNET_HEADER + skipped)
      this.#onRogue({ port, mac, server: address === 0 ? undefined : formatIpv4(address) })
    }
  }
}

/** Writes the line for people. */
export function logRogue(log: Logger, { port, mac, server }: RogueServer): void {
  const says = server === undefined ? '' : `, says it is ${server}`
  log.warn(
    { event: 'dhcp.rogue', port, mac, ip: server },
    `DHCP server on ${port} (${mac}${says}): dropped; only the built-in one answers here`,
  )
}

/** What the packet at `ip`, which was found to be DHCP, says is its server's address; 0 for none. */
function serverAddress(frame: Uint8Array, ip: number): number {
  const message = ip + ipv4HeaderLength(frame, ip, frame.length - ip) + UDP_HEADER
  const dhcp = parseDhcp(frame, message, frame.length - message)
  if (typeof dhcp === 'string') return ipv4Source(frame, ip)
  return getOption(dhcp.options, SERVER_ID) || dhcp.siaddr || ipv4Source(frame, ip)
}
