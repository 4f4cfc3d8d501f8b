// Who sent a DHCP message, as far as leases and log lines care.

import type { DhcpMessage } from '../wire/dhcp.js'
import type { Mac } from '../wire/mac.js'
import type { ClientKey } from './leases.js'
import { toHex } from '../wire/bytes.js'
import { formatMac, macAt } from '../wire/mac.js'
import { CLIENT_ID, getOption, HOSTNAME, safeHostname } from './options.js'

/** A DHCP client, in RFC 2131's sense. */
export interface DhcpClient {
  readonly key: ClientKey
  readonly mac: Mac
  readonly clientId?: Uint8Array
  /** Its own name, safe to print. */
  readonly hostname?: string
  /** The name of the port the message came in by. */
  readonly port: string
}

/** The client identifier if there is one, else the hardware address (RFC 2131 §4.2). */
export function clientKey(mac: Mac, clientId: Uint8Array | undefined): ClientKey {
  return clientId ? `id:${toHex(clientId)}` : `hw:${formatMac(mac.hi, mac.lo)}`
}

/** The client behind a message whose hardware address was found to be Ethernet. */
export function clientOf({ chaddr, options }: DhcpMessage, port: string): DhcpClient {
  const mac = macAt(chaddr, 0)
  const clientId = getOption(options, CLIENT_ID)
  const hostname = safeHostname(getOption(options, HOSTNAME))
  return {
    key: clientKey(mac, clientId),
    mac,
    ...(clientId && { clientId }),
    ...(hostname !== undefined && { hostname }),
    port,
  }
}
