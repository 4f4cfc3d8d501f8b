/**
 * The gateway of a network with its subnet, as `10.5.0.1/24`: what it can be.
 */

import { formatIpv4, parseCidr, type Cidr } from '../wire/ipv4.js'

/** What an interface can have with a route: /31 and /32 leave no room for VMs. */
const LONGEST_PREFIX = 30
const SHORTEST_PREFIX = 8
/** The first byte from which on addresses are multicast or reserved (RFC 5771, RFC 1112 §4); 0 is "this network" (RFC 1122). */
const FIRST_MULTICAST = 224
/** The first byte of addresses that never leave a host (RFC 1122 §3.2.1.3). */
const LOOPBACK = 127

/** Why a text is no gateway, to stand behind it, and one that is right. */
export interface GatewayFault {
  wrong: string
  example?: string
}

export function readGateway(text: string): Cidr | GatewayFault {
  const gateway = parseCidr(text)
  if (gateway === undefined) return { wrong: ' is not an address with a prefix length' }
  const { address, prefix, network, broadcast } = gateway
  if (prefix < SHORTEST_PREFIX || prefix > LONGEST_PREFIX)
    return { wrong: `: the prefix is not from /${SHORTEST_PREFIX} to /${LONGEST_PREFIX}` }
  const first = address >>> 24
  if (first === 0 || first === LOOPBACK || first >= FIRST_MULTICAST)
    return { wrong: ' is no address that a host can have' }
  if (address !== network && address !== broadcast) return gateway
  const which = address === network ? 'network' : 'broadcast'
  return {
    wrong: ` is the ${which} address of its subnet`,
    example: `${formatIpv4(network + 1)}/${prefix}`,
  }
}
