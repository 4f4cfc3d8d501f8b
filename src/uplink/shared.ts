/**
 * The shared network of Linux: the TAP with the gateway's address, a way out for the VMs behind this host's addresses
 * (nat.ts), and DNS at the gateway by the host's resolvers (src/dns), as vmnet has it on a Mac.
 *
 * The TAP first, since its address is what the rest is about; taken down the other way round.
 */

import { DnsRelay } from '../dns/relay.js'
import { Resolvers } from '../dns/resolvers.js'
import { BridgeError, hasCode } from '../errors.js'
import { native } from '../native.js'
import { random32 } from '../random.js'
import { formatIpv4, type Cidr } from '../wire/ipv4.js'
import { Nat } from './nat.js'
import { TapUplink } from './tap.js'
import type { Uplink, UplinkContext, UplinkStatus } from './uplink.js'

const RESOLV_CONF = '/etc/resolv.conf'

export class SharedUplink implements Uplink {
  readonly #tap: TapUplink
  #nat: Nat | undefined
  #dns: DnsRelay | undefined
  #closing: Promise<void> | undefined

  /** @throws BridgeError as TapUplink and Nat.open do; nothing is left then */
  static async start(
    context: UplinkContext,
    { name, gateway }: { name?: string | undefined; gateway: Cidr },
  ): Promise<SharedUplink> {
    // A rule of the packet filter has it between quotes, and takes a * for any letters.
    if (name !== undefined && !/^[\w.%-]+$/.test(name)) {
      throw new BridgeError('ERR_TAP_NAME', `"${name}" cannot name the TAP of a shared network`, {
        hint: 'use letters, digits, _, . and - only',
      })
    }
    const uplink = new SharedUplink(new TapUplink(context, { name, gateway }))
    try {
      uplink.#nat = await Nat.open(gateway, uplink.#tap.name, context.log)
      uplink.#dns = await openDns(context, gateway)
    } catch (error) {
      await uplink.close()
      throw error
    }
    return uplink
  }

  private constructor(tap: TapUplink) {
    this.#tap = tap
  }

  get port(): TapUplink['port'] {
    return this.#tap.port
  }

  status(): UplinkStatus {
    return { ...this.#tap.status(), name: `${this.#tap.name} (shared)` }
  }

  /** Who closes it again waits for the same end. */
  close(): Promise<void> {
    this.#closing ??= this.#takeDown()
    return this.#closing
  }

  async #takeDown(): Promise<void> {
    await this.#dns?.close()
    await this.#nat?.close()
    this.#tap.close()
  }
}

/** Without DNS of ours the network is one all the same: whoever has the port answers, or DHCP names another server. */
async function openDns({ log }: UplinkContext, gateway: Cidr): Promise<DnsRelay | undefined> {
  const address = formatIpv4(gateway.address)
  const now = (): number => native.now()
  const resolvers = new Resolvers({ path: RESOLV_CONF, except: address, now })
  try {
    return await DnsRelay.open({ gateway, resolvers: () => resolvers.list(), random32, now })
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const [why, then] = hasCode(error, 'EADDRINUSE')
      ? [
          'another program has port 53 of it',
          `that one must answer the VMs: see ss -lnp 'sport = 53'; or name another server with --dns`,
        ]
      : [error.message, 'name another server with --dns; port 53 takes root (CAP_NET_BIND_SERVICE)']
    log.warn({ event: 'dns.none', address, reason: why }, `no DNS of ours at ${address}: ${why}; ${then}`)
    return undefined
  }
}
