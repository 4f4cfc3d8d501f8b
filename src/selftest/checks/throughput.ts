/**
 * How much passes: datagrams of the full MTU, one way at a time. Sender, switch and receiver share one thread of this
 * process, so this is what the way carries at least, not what the switch can do.
 */

import { createSocket, type Socket } from 'node:dgram'
import { ETHERNET_HEADER } from '../../wire/ethernet.js'
import { formatIpv4 } from '../../wire/ipv4.js'
import type { Lab } from '../lab.js'
import { framed } from '../link.js'
import { DATAGRAM_HEADERS } from '../packets.js'
import { CheckFailure, type Finding } from '../result.js'
import type { Route, Station } from '../station.js'
import { measure, WINDOW, type Way } from '../throughput.js'
import type { Check } from './check.js'
import { askFor } from './gateway.js'

/** How long each way is used, in ms. */
const TIME = 1000
/** The share that must arrive: with the window there is no reason for loss. */
const LEAST = 0.95
/** Discard (RFC 863): stations count what comes there. */
const DISCARD = 9

export const hostToStation: Check = {
  name: 'host-to-vm',
  async run(lab) {
    const { a, host } = lab
    const to = lab.addressOf(a)
    const socket = await bound(host.ip)
    let fault: string | undefined
    const payload = Buffer.alloc(payloadOf(lab))
    const send = (frames: number): void => {
      for (let i = 0; i < frames; i++) {
        socket.send(payload, DISCARD, formatIpv4(to), error => (fault ??= error?.message))
      }
    }
    try {
      const way = { send, received: () => a.datagrams.get(DISCARD) ?? 0 }
      return await report(lab, way, () => fault, 'as for host-ping')
    } finally {
      socket.close()
    }
  },
}

export const stationToHost: Check = {
  name: 'vm-to-host',
  async run(lab) {
    const { a, host } = lab
    const from = lab.addressOf(a)
    const { mac } = await askFor(lab, host.ip, from)
    const socket = await bound(host.ip)
    let received = 0
    socket.on('message', () => received++)
    try {
      const send = sender(lab, a, { from, to: host.ip, mac }, socket.address().port)
      return await report(
        lab,
        { send, received: () => received },
        () => undefined,
        'a firewall of the host drops datagrams to this program (macOS: allow incoming connections for node)',
      )
    } finally {
      socket.close()
    }
  },
}

export const stationToStation: Check = {
  name: 'vm-to-vm',
  async run(lab) {
    const { a, b } = lab
    const route = { from: lab.addressOf(a), to: lab.addressOf(b), mac: b.mac }
    const way = { send: sender(lab, a, route, DISCARD), received: () => b.datagrams.get(DISCARD) ?? 0 }
    return report(lab, way, () => undefined, 'the switch itself is at fault: please report it')
  },
}

async function report(lab: Lab, way: Way, fault: () => string | undefined, likely: string): Promise<Finding> {
  const { clock, signal, stations } = lab
  const wrong = (): number => stations.reduce((sum, { badChecksums }) => sum + badChecksums, 0)
  const wrongBefore = wrong()
  const { sent, received, framesPerSecond } = await measure(way, TIME, () => clock.now(), signal)
  const frame = ETHERNET_HEADER + DATAGRAM_HEADERS + payloadOf(lab)
  const megabits = (framesPerSecond * frame * 8) / 1e6
  const lost = sent - received
  const percent = `${((lost / Math.max(sent, 1)) * 100).toFixed(2)} % lost`
  const measured = {
    sent,
    received,
    lost,
    framesPerSecond: Math.round(framesPerSecond),
    megabitsPerSecond: Math.round(megabits),
    frameBytes: frame,
  }
  const detail = `${measured.framesPerSecond} frames/s of ${frame} bytes, ${measured.megabitsPerSecond} Mbit/s, ${percent}`
  if (received >= sent * LEAST && received > 0) return { detail, measured }
  const bad = wrong() - wrongBefore
  const seen = [`${received} of ${sent}`, fault(), bad > 0 ? `${bad} with a wrong checksum` : undefined]
  throw new CheckFailure(detail, {
    expected: `${LEAST * 100} % of the datagrams at the other end`,
    seen: seen.filter(Boolean).join(', '),
    likely,
    measured,
  })
}

function payloadOf({ network }: Lab): number {
  return network.mtu - DATAGRAM_HEADERS
}

/** Sends windows of one datagram, each by one write. */
function sender(lab: Lab, station: Station, route: Route, port: number): (frames: number) => void {
  const datagram = station.datagram(
    route,
    { source: DISCARD, destination: port },
    new Uint8Array(payloadOf(lab)),
  )
  const one = framed(datagram)
  const run = Buffer.concat(Array.from({ length: WINDOW }, () => one))
  return frames => station.sendRun(run.subarray(0, frames * one.length))
}

function bound(ip: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(0, formatIpv4(ip), () => {
      socket.on('error', () => {})
      resolve(socket)
    })
  })
}
