/**
 * A DHCP client (RFC 2131 §3.1): DISCOVER, OFFER, REQUEST, ACK, said again where nobody answers, and RELEASE.
 */

import {
  ACK,
  DISCOVER,
  DNS,
  getOption,
  LEASE_TIME,
  MESSAGE_TYPE,
  MTU,
  NAK,
  OFFER,
  PARAMETER_LIST,
  RELEASE,
  REQUEST,
  REQUESTED_IP,
  ROUTER,
  SERVER_ID,
  setOption,
  SUBNET_MASK,
} from '../dhcp/options.js'
import {
  BOOT_REPLY,
  BOOT_REQUEST,
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  emitDhcp,
  HTYPE_ETHERNET,
  type DhcpMessage,
} from '../wire/dhcp.js'
import { IPV4_BROADCAST } from '../wire/ipv4.js'
import { MAC_BROADCAST, MAC_LENGTH, writeMac, type Mac } from '../wire/mac.js'
import { udpFrame } from './packets.js'
import type { ServerMessage, Station } from './station.js'

/** How long an answer is waited for before the message is said again, in ms. */
const PATIENCE = 1000
const WANTED = [SUBNET_MASK, ROUTER, DNS, MTU].map(({ code }) => code)

/** What the server gave; addresses are uint32. */
export interface Lease {
  ip: number
  server: number
  /** Of the station that sent the ACK. */
  serverMac: Mac
  mask: number | undefined
  routers: readonly number[]
  dns: readonly number[]
  mtu: number | undefined
  /** Of the lease. */
  seconds: number | undefined
  /** From the first DISCOVER to the ACK. */
  ms: number
}

/** How far an exchange came that brought no lease. */
export type NoLease = 'no offer' | 'no answer to the request' | 'refused (NAK)'

/** Takes a lease for the station's MAC within `ms`; the address is not added to the station's. */
export async function takeLease(station: Station, ms: number): Promise<Lease | NoLease> {
  const xid = station.random32()
  const start = station.clock.now()
  const answer = async (
    types: readonly number[],
    options: readonly [code: { code: number; encode(value: number): Uint8Array }, value: number][],
    type: number,
  ): Promise<ServerMessage | undefined> => {
    for (let left = ms; left > 0; left = start + ms - station.clock.now()) {
      broadcast(station, clientMessage(station.mac, xid, type, options))
      const said = await station.until(
        () => station.serverMessages.find(each => isAnswer(each, station.mac, xid, types)),
        Math.min(left, PATIENCE),
      )
      if (said !== undefined) return said
    }
    return undefined
  }

  const offer = await answer([OFFER], [], DISCOVER)
  if (offer === undefined) return 'no offer'
  const server = getOption(offer.message.options, SERVER_ID) ?? offer.ip
  const chosen = [
    [SERVER_ID, server],
    [REQUESTED_IP, offer.message.yiaddr],
  ] as const
  const said = await answer(
    [ACK, NAK],
    chosen.map(([code, value]) => [code, value]),
    REQUEST,
  )
  if (said === undefined) return 'no answer to the request'
  const { message, mac } = said
  if (getOption(message.options, MESSAGE_TYPE) === NAK) return 'refused (NAK)'
  const { options } = message
  return {
    ip: message.yiaddr,
    server,
    serverMac: mac,
    mask: getOption(options, SUBNET_MASK),
    routers: getOption(options, ROUTER) ?? [],
    dns: getOption(options, DNS) ?? [],
    mtu: getOption(options, MTU),
    seconds: getOption(options, LEASE_TIME),
    ms: said.at - start,
  }
}

/** Says a DISCOVER that nothing follows; the xid tells its answers. */
export function discover(station: Station): number {
  const xid = station.random32()
  broadcast(station, clientMessage(station.mac, xid, DISCOVER, []))
  return xid
}

/** Gives the address back: the server does not answer. */
export function releaseLease(station: Station, lease: Lease): void {
  const message = clientMessage(station.mac, station.random32(), RELEASE, [[SERVER_ID, lease.server]])
  const route = { from: lease.ip, to: lease.server, mac: lease.serverMac }
  const ports = { source: DHCP_CLIENT_PORT, destination: DHCP_SERVER_PORT }
  station.send(station.datagram(route, ports, emitDhcp({ ...message, ciaddr: lease.ip })))
}

function isAnswer({ message }: ServerMessage, mac: Mac, xid: number, types: readonly number[]): boolean {
  const type = getOption(message.options, MESSAGE_TYPE)
  return message.op === BOOT_REPLY && message.xid === xid && types.includes(type ?? 0) && isOwn(message, mac)
}

function isOwn({ chaddr }: DhcpMessage, mac: Mac): boolean {
  return hardware(mac).every((octet, i) => chaddr[i] === octet)
}

function hardware({ hi, lo }: Mac): Uint8Array {
  const bytes = new Uint8Array(MAC_LENGTH)
  writeMac(bytes, 0, hi, lo)
  return bytes
}

function clientMessage(
  mac: Mac,
  xid: number,
  type: number,
  extra: readonly [option: { code: number; encode(value: number): Uint8Array }, value: number][],
): DhcpMessage {
  const options = new Map<number, Uint8Array>()
  setOption(options, MESSAGE_TYPE, type)
  for (const [{ code, encode }, value] of extra) options.set(code, encode(value))
  if (type !== RELEASE) setOption(options, PARAMETER_LIST, WANTED)
  const chaddr = new Uint8Array(16)
  chaddr.set(hardware(mac))
  return {
    op: BOOT_REQUEST,
    htype: HTYPE_ETHERNET,
    hlen: MAC_LENGTH,
    hops: 0,
    xid,
    secs: 0,
    flags: 0,
    ciaddr: 0,
    yiaddr: 0,
    siaddr: 0,
    giaddr: 0,
    chaddr,
    sname: '',
    file: '',
    options,
  }
}

function broadcast(station: Station, message: DhcpMessage): void {
  const addresses = {
    source: station.mac,
    destination: MAC_BROADCAST,
    sourceIp: 0,
    destinationIp: IPV4_BROADCAST,
  }
  const ports = { source: DHCP_CLIENT_PORT, destination: DHCP_SERVER_PORT }
  station.send(udpFrame(addresses, ports, emitDhcp(message)))
}
