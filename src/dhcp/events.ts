// The server's log lines, in the words that people grep for: `DHCPACK(port) 192.168.105.2 52:54:… web`, and
// the same as fields. Whatever a client sent is safe in them: its name was made so, the rest is ours.

import type { DhcpClient } from './client.js'
import type { DhcpLog } from './lease-store.js'
import { formatIpv4 } from '../wire/ipv4.js'
import { formatMac } from '../wire/mac.js'
import { MESSAGE_TYPE } from './options.js'

/** `ack`: the name of a message type in counters and events. */
export function nameOf(type: number): string {
  return MESSAGE_TYPE.text(type).slice('DHCP'.length).toLowerCase()
}

/** What a line says beyond who it is about. */
export interface Event {
  /** Option 53 of the message received or sent. */
  type: number
  client: DhcpClient
  /** A uint32; 0 or undefined for none. */
  ip?: number | undefined
  /** Added to the line. */
  why?: string | undefined
  /** In place of the message type's name. */
  name?: string
}

/** Logs an event at a level. */
export function logEvent(log: DhcpLog, level: 'info' | 'warn', { type, client, ip, why, name }: Event): void {
  const { port, hostname } = client
  const mac = formatMac(client.mac.hi, client.mac.lo)
  const address = ip ? formatIpv4(ip) : undefined
  const line = [`${MESSAGE_TYPE.text(type)}(${port})`, address, mac, hostname, why].filter(
    part => part !== undefined,
  )
  log[level]({ event: `dhcp.${name ?? nameOf(type)}`, port, mac, ip: address, hostname, why }, line.join(' '))
}
