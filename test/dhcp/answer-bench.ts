// The responder of a network of talosctl's on its own, and messages as bytes: what is asked and what must be answered are
// written down octet by octet, by a writer that shares nothing with the one that is tested.

import type { AnswersOptions } from '../../src/dhcp/answers.js'
import type { ReservationRecord } from '../../src/control/api.js'
import { checkAnswerable } from '../../src/dhcp/answer-reply.js'
import { Answers } from '../../src/dhcp/answers.js'
import { toReservation } from '../../src/dhcp/reservation-file.js'
import { Reservations } from '../../src/dhcp/reservations.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { FakeClock, RecordedLog } from './segment.js'

export const SERVER_MAC = '02 76 6d 05 00 01'
export const GATEWAY = '0a 05 00 01'
export const NODE_MAC = '52 54 00 00 00 02'
export const NODE_IP = '0a 05 00 02'
export const BROADCAST_MAC = 'ff ff ff ff ff ff'
export const BROADCAST_IP = 'ff ff ff ff'
export const NOWHERE = '00 00 00 00'
export const RELAY_MAC = '52 54 00 00 00 fa'
export const RELAY_IP = '0a 05 00 fa'

/** As the shim reserves from a record of talosctl's. */
export const NODE: ReservationRecord = {
  ip: '10.5.0.2',
  mac: '52:54:00:00:00:02',
  hostname: 'node-1',
  options: ['router=10.5.0.1', 'dns=8.8.8.8,1.1.1.1', 'mtu=1450'],
}

export class Bench {
  readonly clock = new FakeClock()
  readonly log = new RecordedLog()
  readonly reservations: Reservations
  readonly answers: Answers
  readonly frames: Uint8Array[] = []

  private constructor(more: Partial<AnswersOptions>) {
    const subnet = parseCidr('10.5.0.1/24')!
    const { log, clock } = this
    this.reservations = new Reservations({
      subnet,
      taken: [subnet.address],
      log,
      clock,
      replaces: true,
      check: checkAnswerable,
    })
    this.answers = new Answers({
      serverMac: { hi: 0x0276, lo: 0x6d050001 },
      serverIp: subnet.address,
      subnet,
      mtu: 1500,
      reservations: this.reservations,
      clock,
      log,
      send: frame => void this.frames.push(frame),
      answersArp: false,
      ...more,
    })
  }

  static async start(
    records: readonly ReservationRecord[] = [NODE],
    more: Partial<AnswersOptions> = {},
  ): Promise<Bench> {
    const bench = new Bench(more)
    for (const record of records) await bench.reservations.add(toReservation(record)!)
    return bench
  }

  /** What is answered to a frame, which stands in a larger buffer that is reused afterwards. */
  ask(frame: Uint8Array, port = 'vm1'): Uint8Array[] {
    const run = new Uint8Array(frame.length + 12).fill(0xa5)
    run.set(frame, 8)
    this.answers.handleFrame(run, 8, frame.length, port)
    run.fill(0xa5)
    return this.frames.splice(0)
  }
}

export const hex = (text: string): number[] =>
  (text.match(/[0-9a-f]{2}/gi) ?? []).map(octet => parseInt(octet, 16))

/** What differs from one message to another; all hexadecimal. */
export type Octets = {
  from?: string
  to?: string
  source?: string
  destination?: string
  sourcePort?: number
  destinationPort?: number
  op?: string
  hops?: string
  xid?: string
  secs?: string
  flags?: string
  ciaddr?: string
  yiaddr?: string
  siaddr?: string
  giaddr?: string
  chaddr?: string
  /** Behind the cookie, without END. */
  options: string
}

/** A whole frame: a message of a client, unless told otherwise. */
export function frameOf({ options, ...rest }: Octets): Uint8Array {
  const fields = {
    from: NODE_MAC,
    to: BROADCAST_MAC,
    source: NOWHERE,
    destination: BROADCAST_IP,
    sourcePort: 68,
    destinationPort: 67,
    op: '01',
    hops: '00',
    xid: 'de ad be ef',
    secs: '00 03',
    flags: '00 00',
    ciaddr: NOWHERE,
    yiaddr: NOWHERE,
    siaddr: NOWHERE,
    giaddr: NOWHERE,
    chaddr: NODE_MAC,
    ...rest,
  }
  const { op, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr } = fields
  const bootp = [
    ...hex(`${op} 01 06 ${hops} ${xid} ${secs} ${flags} ${ciaddr} ${yiaddr} ${siaddr} ${giaddr} ${chaddr}`),
    ...new Uint8Array(10 + 64 + 128),
    ...hex(`63 82 53 63 ${options} ff`),
  ]
  while (bootp.length < 300) bootp.push(0)
  const word = (value: number): number[] => [value >> 8, value & 255]
  const addresses = hex(fields.source + fields.destination)
  const ports = [...word(fields.sourcePort), ...word(fields.destinationPort), ...word(8 + bootp.length)]
  const pseudo = [...addresses, 0, 17, ...word(8 + bootp.length), ...ports, 0, 0, ...bootp]
  const udp = [...ports, ...word(sum(pseudo) || 0xffff), ...bootp]
  const head = (check: number): number[] => [
    ...hex('45 00'),
    ...word(20 + udp.length),
    ...hex('00 00 00 00 40 11'),
    ...word(check),
    ...addresses,
  ]
  return Uint8Array.from([...hex(`${fields.to} ${fields.from} 08 00`), ...head(sum(head(0))), ...udp])
}

/** A message of the server to NODE at its address. */
export const replyOf = (octets: Octets): Uint8Array =>
  frameOf({
    from: SERVER_MAC,
    to: NODE_MAC,
    source: GATEWAY,
    destination: NODE_IP,
    sourcePort: 67,
    destinationPort: 68,
    op: '02',
    secs: '00 00',
    yiaddr: NODE_IP,
    siaddr: GATEWAY,
    ...octets,
  })

/** RFC 1071, as it is written there. */
function sum(octets: readonly number[]): number {
  let total = 0
  for (let i = 0; i < octets.length; i += 2) total += (octets[i]! << 8) + (octets[i + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16)
  return ~total & 0xffff
}
