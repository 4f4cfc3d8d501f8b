// Stations without a kernel that lease addresses as fast as a test likes: many clients on a few ports, each with a
// MAC of its own, that send again when nobody answers.

import * as option from '../../src/dhcp/options.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import type { Station } from '../daemon/station.js'
import { type Client, ip } from '../dhcp/segment.js'

const SERVER = '192.168.105.1'
const CHADDR = 42 + 28
const YIADDR = 42 + 16

/** The type of a server's message to this client; 0 for any other frame. */
function typeOf(frame: Buffer, { mac }: Client): number {
  if (frame.length < 282 || frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 17) return 0
  if (frame.readUInt16BE(34) !== 67) return 0
  if (frame.readUInt16BE(CHADDR) !== mac.hi || frame.readUInt32BE(CHADDR + 2) !== mac.lo) return 0
  // Our server says the type first.
  return frame[282] === 53 ? frame[284] : 0
}

/** What the server said to this client since `from` of the station's frames, as soon as it has. */
async function answer(
  station: Station,
  client: Client,
  from: number,
  ms: number,
): Promise<Buffer | undefined> {
  let at = 0
  try {
    return await station.receive(frame => at++ >= from && typeOf(frame, client) > 0, ms)
  } catch {
    return undefined
  }
}

export type Patience = { tries?: number; ms?: number }

/** DISCOVER to ACK; the address, or undefined when nobody gives one. */
export async function acquire(
  station: Station,
  client: Client,
  { tries = 5, ms = 1000 }: Patience = {},
): Promise<string | undefined> {
  for (let i = 0; i < tries; i++) {
    let from = station.frames.length
    station.send(client.frame())
    const offer = await answer(station, client, from, ms)
    if (!offer || typeOf(offer, client) !== option.OFFER) continue
    const address = offer.readUInt32BE(YIADDR)
    from = station.frames.length
    station.send(request(client, address))
    const ack = await answer(station, client, from, ms)
    if (ack && typeOf(ack, client) === option.ACK) return formatIpv4(ack.readUInt32BE(YIADDR))
  }
  return undefined
}

/** The REQUEST of a client that was offered this address (a uint32). */
export function request(client: Client, address: number): Uint8Array {
  return client.frame({
    type: option.REQUEST,
    options: [
      [option.SERVER_ID, ip(SERVER)],
      [option.REQUESTED_IP, address],
    ],
  })
}
