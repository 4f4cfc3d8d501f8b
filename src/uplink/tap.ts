/**
 * The TAP uplink: the host is a station on the segment, by a network device that has the gateway's address. The
 * device goes with the daemon.
 */

import { networkInterfaces } from 'node:os'
import { BridgeError } from '../errors.js'
import type { RunPort } from '../ports/run-port.js'
import { tapPort } from '../ports/run-port.js'
import { openTap } from '../ports/tap.js'
import { Port } from '../switch/port.js'
import { formatCidr, parseCidr, type Cidr } from '../wire/ipv4.js'
import { tapMac } from './tap-mac.js'
import { maxFrameOf, type Uplink, type UplinkContext, type UplinkStatus } from './uplink.js'

/** The kernel fills in the first number that is free. */
export const DEFAULT_TAP_NAME = 'vmbridge%d'

export class TapUplink implements Uplink {
  readonly port: Port
  readonly name: string
  /** The host's MAC address on the segment. */
  readonly mac: Uint8Array
  readonly #io: RunPort
  #gone: string | undefined

  /** @throws BridgeError as openTap does, or ERR_SUBNET_IN_USE */
  constructor(
    context: UplinkContext,
    { name = DEFAULT_TAP_NAME, gateway }: { name?: string; gateway: Cidr },
  ) {
    refuseOverlap(gateway)
    const { mtu, log, stateDir } = context
    const { address, prefix } = gateway
    const tap = openTap({ name, mtu, address, prefix, mac: tapMac(stateDir) })
    this.name = tap.name
    this.mac = tap.mac
    this.port = new Port({ name: tap.name, role: 'uplink', maxFrame: maxFrameOf(mtu) })
    this.#io = tapPort({
      ...context,
      port: this.port,
      fd: tap.fd,
      onEnd: reason => {
        this.#gone = reason
        log.error(
          { event: 'uplink.down', name: this.name, reason },
          `the TAP ${this.name} is gone (${reason}): the host has left the segment; restart the daemon to bring it back`,
        )
      },
    })
  }

  status(): UplinkStatus {
    if (this.#gone === undefined) return { kind: 'tap', name: this.name, state: 'up' }
    return { kind: 'tap', name: this.name, state: 'down', detail: this.#gone }
  }

  close(): void {
    this.#io.close()
  }
}

/** Two devices with routes to one subnet work by luck: say whose it is before there is a second one. */
function refuseOverlap(gateway: Cidr): void {
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    for (const { family, cidr } of addresses) {
      const other = family === 'IPv4' && cidr !== null ? parseCidr(cidr) : undefined
      if (other === undefined || other.prefix === 32) continue
      if (other.network > gateway.broadcast || gateway.network > other.broadcast) continue
      throw new BridgeError('ERR_SUBNET_IN_USE', `${formatCidr(gateway)} overlaps ${cidr} of ${name}`, {
        hint: 'choose another subnet with --gateway, such as 192.168.106.1/24',
      })
    }
  }
}
