/**
 * The TAP uplink: a network device of the host that is a station on the segment. In host mode it has the gateway's
 * address; in bridged mode it has none, and is a port of a bridge of the host, whose LAN the segment then is. The device
 * goes with the daemon; one that was there before stays, as it was.
 */

import { networkInterfaces } from 'node:os'
import { BridgeError } from '../errors.js'
import { native, type FormerTap } from '../native.js'
import type { RunPort } from '../ports/run-port.js'
import { tapPort } from '../ports/run-port.js'
import { openTap } from '../ports/tap.js'
import { Port } from '../switch/port.js'
import { formatCidr, parseCidr, type Cidr } from '../wire/ipv4.js'
import { LinkWatch, type LinkState } from './link-watch.js'
import { tapMac } from './tap-mac.js'
import { maxFrameOf, type Uplink, type UplinkContext, type UplinkStatus } from './uplink.js'

/** The kernel fills in the first number that is free. */
export const DEFAULT_TAP_NAME = 'vmbridge%d'

export interface TapUplinkOptions {
  /** Of the device. */
  name?: string | undefined
  gateway: Cidr
  /** The bridge to join; then the gateway is somebody else's. */
  bridge?: string | undefined
}

export class TapUplink implements Uplink {
  readonly port: Port
  readonly name: string
  /** The host's MAC address on the segment. */
  readonly mac: Uint8Array
  /** Of the bridge; a TAP of its own has that of the settings. */
  readonly mtu?: number
  readonly #bridge: string | undefined
  readonly #gateway: Cidr
  /** Of a device that is there without us, until it has got that back. */
  #former: FormerTap | undefined
  readonly #io: RunPort
  readonly #watch: LinkWatch | undefined
  #gone: string | undefined
  #bridgeState: LinkState = 'up'

  /** @throws BridgeError as openTap does, or ERR_SUBNET_IN_USE */
  constructor(context: UplinkContext, { name = DEFAULT_TAP_NAME, gateway, bridge }: TapUplinkOptions) {
    const { mtu, log, stateDir } = context
    const mac = tapMac(stateDir)
    let tap
    if (bridge === undefined) {
      refuseOverlap(gateway)
      const { address, prefix } = gateway
      tap = openTap({ name, mtu, address, prefix, mac })
    } else {
      // A bridge takes the lowest address among its ports as its own: not this one, or the host would change its own on
      // the LAN.
      mac[0] = 0xfe
      mac[1] = 0xff
      tap = openTap({ name, mtu, mac, bridge })
      this.mtu = tap.mtu
    }
    this.name = tap.name
    this.mac = tap.mac
    this.#bridge = bridge
    this.#gateway = gateway
    this.#former = tap.former
    this.port = new Port({ name: tap.name, role: 'uplink', maxFrame: maxFrameOf(tap.mtu) })
    this.#io = tapPort({
      ...context,
      port: this.port,
      fd: tap.fd,
      onEnd: reason => {
        this.#gone = reason
        this.#watch?.close()
        log.error(
          { event: 'uplink.down', name: this.name, reason },
          `the TAP ${this.name} is gone (${reason}): the host has left the segment; restart the daemon to bring it back`,
        )
      },
    })
    if (bridge === undefined) return
    this.#watch = new LinkWatch({
      interface: bridge,
      onLook() {},
      onWake() {},
      onLink: state => this.#bridgeChanged(context, bridge, state),
    })
  }

  status(): UplinkStatus {
    const name = this.#bridge === undefined ? this.name : `${this.name} (bridged ${this.#bridge})`
    const detail = this.#gone ?? WORDS[this.#bridgeState](this.#bridge)
    return detail === undefined
      ? { kind: 'tap', name, state: 'up' }
      : { kind: 'tap', name, state: 'down', detail }
  }

  close(): void {
    this.#watch?.close()
    // While nobody else can open it.
    if (this.#former !== undefined) native.leaveTap(this.name, this.#gateway.address, this.#former)
    this.#former = undefined
    this.#io.close()
  }

  #bridgeChanged({ log }: UplinkContext, bridge: string, state: LinkState): void {
    // One that was deleted has let go of its ports, and another of its name does not have them.
    if (this.#bridgeState === 'missing') return
    this.#bridgeState = state
    const { name } = this
    if (state === 'up') {
      log.info({ event: 'uplink.up', name }, `the bridge ${bridge} is up again`)
      return
    }
    const lost = state === 'missing' ? 'restart the daemon once it is back' : `ip link set ${bridge} up`
    log.error(
      { event: 'uplink.down', name, reason: WORDS[state](bridge) },
      `${WORDS[state](bridge)}: VMs reach each other only; ${lost}`,
    )
  }
}

const WORDS: Record<LinkState, (bridge: string | undefined) => string | undefined> = {
  up: () => undefined,
  down: bridge => `the bridge ${bridge} is down`,
  missing: bridge => `the bridge ${bridge} is gone`,
}

/** Two devices with routes to one subnet work by luck: say whose it is before there is a second one. */
function refuseOverlap(gateway: Cidr): void {
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    for (const { family, cidr } of addresses) {
      const other = family === 'IPv4' && cidr !== null ? parseCidr(cidr) : undefined
      if (other === undefined || other.prefix === 32) continue
      if (other.network > gateway.broadcast || gateway.network > other.broadcast) continue
      throw new BridgeError('ERR_SUBNET_IN_USE', `${formatCidr(gateway)} overlaps ${cidr} of ${name}`, {
        hint: `choose another subnet with --gateway, such as 192.168.106.1/24, or end what has this one: ip address show dev ${name}`,
      })
    }
  }
}
