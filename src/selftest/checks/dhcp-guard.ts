/**
 * DHCP stays on this side of the uplink: only the built-in server answers a station, and no server of the host hears
 * one.
 */

import { createSocket } from 'node:dgram'
import { getOption, MESSAGE_TYPE, OFFER, SERVER_ID } from '../../dhcp/options.js'
import { DROP_RX_GUARD } from '../../switch/counters.js'
import { readU32 } from '../../wire/bytes.js'
import { DHCP_SERVER_PORT } from '../../wire/dhcp.js'
import { formatIpv4 } from '../../wire/ipv4.js'
import { formatMac, type Mac } from '../../wire/mac.js'
import { discover } from '../dhcp-client.js'
import { CheckFailure, CheckSkipped } from '../result.js'
import type { ServerMessage } from '../station.js'
import { count, ms } from '../words.js'
import type { Check } from './check.js'

/** How long other servers are listened for, in ms: Apple's bootpd answers in tens of them. */
const LISTEN = 1000
const OFFER_LIMIT = 10_000
/** Of the transaction's number in a message. */
const XID = 4

export const dhcpGuard: Check = {
  name: 'dhcp-guard',
  async run(lab) {
    const { network, settings, leases } = lab
    if (settings.dhcp === undefined)
      throw new CheckSkipped('the DHCP server is not ours here, so there is no guard')
    const [station] = leases.keys()
    if (station === undefined) throw new CheckSkipped('no station has a lease: see lease')
    const ears = await listenOnHost()
    try {
      const start = lab.clock.now()
      const xid = discover(station)
      const offered = await station.until(() => station.serverMessages.find(isOffer(xid)), OFFER_LIMIT)
      const took = lab.clock.now() - start
      await station.until(() => undefined, LISTEN)
      const said = lab.stations.flatMap(({ serverMessages }) => serverMessages)
      const foreign = foreignServers(said, mac => lab.isOwnServer(mac))
      const leaked = ears.heard.has(xid)
      if (offered === undefined || foreign.length > 0 || leaked) {
        const seen = [
          ...(offered === undefined ? ['no offer at all'] : []),
          ...foreign.map(text => `also ${text}`),
          ...(leaked ? ["the station's DISCOVER, on port 67 of the host"] : []),
        ].join(', ')
        throw new CheckFailure(`DHCP is not kept apart: ${seen}`, {
          expected: 'offers of the built-in server only, and nothing of it on the host',
          seen,
          likely: 'the guard of the uplink is at fault: please report it',
        })
      }
      const kept = network.uplink.port?.counters[DROP_RX_GUARD] ?? 0
      const offers = station.serverMessages.filter(isOffer(xid)).length
      const host = ears.deaf === undefined ? ', none of it heard on port 67 of the host' : `; ${ears.deaf}`
      return {
        detail: `${count(offers, 'offer')} in ${ms(took)}, from ${formatIpv4(settings.gateway.address)} alone${host}; ${count(kept, 'frame')} of DHCP from outside kept out`,
        measured: { offers, offerMs: took, keptOut: kept, listenedOnHost: ears.deaf === undefined },
      }
    } finally {
      ears.close()
    }
  },
}

const isOffer =
  (xid: number) =>
  ({ message }: ServerMessage): boolean =>
    message.xid === xid && getOption(message.options, MESSAGE_TYPE) === OFFER

/** What servers said that are not ours, each once, as text. */
export function foreignServers(said: readonly ServerMessage[], isOwn: (mac: Mac) => boolean): string[] {
  const found = new Set<string>()
  for (const { message, mac, ip } of said) {
    const server = getOption(message.options, SERVER_ID) ?? ip
    if (!isOwn(mac)) found.add(`${formatIpv4(server)} at ${formatMac(mac.hi, mac.lo)}`)
  }
  return [...found]
}

interface Ears {
  /** Transactions of the messages to a DHCP server that reached the host. */
  heard: Set<number>
  /** Why nothing could be heard. */
  deaf: string | undefined
  close(): void
}

/** Listens where a DHCP server of the host would, unless there is one: then its answers would show. */
async function listenOnHost(): Promise<Ears> {
  const heard = new Set<number>()
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.on('message', message => {
    if (message.length >= XID + 4) heard.add(readU32(message, XID))
  })
  const deaf = await new Promise<string | undefined>(resolve => {
    socket.once('error', error => resolve(`could not listen on port 67 of the host (${error.message})`))
    socket.bind(DHCP_SERVER_PORT, () => resolve(undefined))
  })
  return { heard, deaf, close: () => socket.close() }
}
