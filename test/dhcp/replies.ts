// Replies without a server: a request as a client or a relay frames it, what is to be answered, and the frame that
// comes of it, for any configuration.

import type { Reply, SegmentOptions } from '../../src/dhcp/reply.js'
import type { DhcpMessage } from '../../src/wire/dhcp.js'
import type { Mac } from '../../src/wire/mac.js'
import type { Fields } from './segment.js'
import { parseOptions } from '../../src/dhcp/option-config.js'
import { OFFER } from '../../src/dhcp/options.js'
import { type ReceivedDhcp, receiveDhcp } from '../../src/dhcp/receive.js'
import { ReplyBuilder } from '../../src/dhcp/reply.js'
import { parseDhcp } from '../../src/wire/dhcp.js'
import { ETHERNET_SOURCE } from '../../src/wire/ethernet.js'
import { ipv4Destination, parseCidr } from '../../src/wire/ipv4.js'
import { macAt, writeMac } from '../../src/wire/mac.js'
import { udpDestinationPort } from '../../src/wire/udp.js'
import { Client, ip, SERVER_MAC, station } from './segment.js'

export const SERVER_IP = ip('192.168.105.1')
export const RELAY_IP = ip('192.168.105.250')
export const OFFERED: Extract<Reply, { leaseSeconds: number }> = {
  type: OFFER,
  yiaddr: ip('192.168.105.2'),
  leaseSeconds: 3600,
}
export const RELAY_MAC = station(250)
/** What makes a request one of a relay on this segment. */
export const BY_RELAY: Fields = { giaddr: RELAY_IP, hops: 1, sourceIp: RELAY_IP, sourcePort: 67 }

export interface Answer {
  frame: Uint8Array
  message: DhcpMessage
  codes: number[]
  destination: Mac
  destinationIp: number
  port: number
}

/** The segment 192.168.105.0/24 with options as they are configured. */
export function configured(texts: string[] = [], more: Partial<SegmentOptions> = {}): SegmentOptions {
  return {
    serverMac: SERVER_MAC,
    serverIp: SERVER_IP,
    subnet: parseCidr('192.168.105.1/24')!,
    router: SERVER_IP,
    dns: [SERVER_IP],
    ...parseOptions(texts),
    ...more,
  }
}

/** A message as the server receives it. */
export function request(fields: Fields, client = new Client(1)): ReceivedDhcp {
  const frame = client.frame(fields)
  if (fields.giaddr !== undefined) writeMac(frame, ETHERNET_SOURCE, RELAY_MAC.hi, RELAY_MAC.lo)
  const received = receiveDhcp(frame, 0, frame.length, {
    isOurs: () => true,
    isLocal: address => address >>> 8 === SERVER_IP >>> 8,
  })
  if (typeof received === 'string') throw new Error(received)
  return received
}

/** What a segment answers to a request; an offer unless told otherwise. */
export function answer(segment: SegmentOptions, fields: Fields = {}, reply: Reply = OFFERED): Answer {
  const frame = new ReplyBuilder(segment).frame(request(fields), reply)
  const message = parseDhcp(frame, 42, frame.length - 42)
  if (typeof message === 'string') throw new Error(message)
  return {
    frame,
    message,
    codes: [...message.options.keys()],
    destination: macAt(frame, 0),
    destinationIp: ipv4Destination(frame, 14),
    port: udpDestinationPort(frame, 34),
  }
}
