// The client's side of an exchange, against a server that says what the test wants.

import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { discover, releaseLease, takeLease, type Lease } from '../../src/selftest/dhcp-client.js'
import { udpFrame } from '../../src/selftest/packets.js'
import { foreignServers } from '../../src/selftest/checks/dhcp-guard.js'
import { emitDhcp, parseDhcp, type DhcpMessage } from '../../src/wire/dhcp.js'
import { MAC_BROADCAST, macAt, type Mac } from '../../src/wire/mac.js'
import { ip } from '../dhcp/segment.js'
import { PEER_MAC, startPeer, type Peer } from './peer.js'

t.setTimeout(1_200_000)

const SERVER = ip('192.168.105.1')
const GIVEN = ip('192.168.105.5')

function heard(frame: Buffer): DhcpMessage {
  const message = parseDhcp(frame, 42, frame.length - 42)
  if (typeof message === 'string') throw new Error(message)
  return message
}
const typeOf = ({ options }: DhcpMessage) => option.getOption(options, option.MESSAGE_TYPE)

/** What a server says to that message; `change` is the test's. */
function say(
  peer: Peer,
  to: DhcpMessage,
  type: number,
  change: Partial<DhcpMessage> = {},
  source: Mac = PEER_MAC,
): void {
  const options = new Map<number, Uint8Array>()
  option.setOption(options, option.MESSAGE_TYPE, type)
  option.setOption(options, option.SERVER_ID, SERVER)
  option.setOption(options, option.SUBNET_MASK, ip('255.255.255.0'))
  option.setOption(options, option.ROUTER, [SERVER])
  option.setOption(options, option.DNS, [SERVER, ip('9.9.9.9')])
  option.setOption(options, option.LEASE_TIME, 3600)
  const message = { ...to, op: 2, yiaddr: GIVEN, options, ...change }
  const addresses = {
    source,
    destination: MAC_BROADCAST,
    sourceIp: SERVER,
    destinationIp: 0xffffffff,
  }
  peer.say(udpFrame(addresses, { source: 67, destination: 68 }, emitDhcp(message)))
}

t.test('DISCOVER, OFFER, REQUEST, ACK; answers for others are none', async t => {
  const peer = await startPeer(t)
  const taken = takeLease(peer.station, 30_000)
  const first = await peer.next()
  t.same(macAt(first, 0), MAC_BROADCAST)
  const asked = heard(first)
  t.equal(typeOf(asked), option.DISCOVER)
  t.match([...asked.chaddr.subarray(0, 6)], [0x52, 0x54, 0, 0, 0, 10])
  say(peer, asked, option.OFFER, { xid: asked.xid + 1, yiaddr: 1 })
  say(peer, asked, option.OFFER, { chaddr: new Uint8Array(16), yiaddr: 2 })
  say(peer, asked, option.ACK, { yiaddr: 3 })
  say(peer, asked, option.OFFER)
  let request = heard(await peer.next())
  // On a slow machine it may have asked twice.
  while (typeOf(request) === option.DISCOVER) request = heard(await peer.next())
  t.equal(typeOf(request), option.REQUEST)
  t.equal(option.getOption(request.options, option.SERVER_ID), SERVER)
  t.equal(option.getOption(request.options, option.REQUESTED_IP), GIVEN)
  say(peer, request, option.ACK)
  const lease = (await taken) as Lease
  t.match(lease, {
    server: SERVER,
    serverMac: PEER_MAC,
    mask: ip('255.255.255.0'),
    routers: [SERVER],
    dns: [SERVER, ip('9.9.9.9')],
    seconds: 3600,
  })
  t.ok(lease.ms >= 0)

  releaseLease(peer.station, lease)
  let release = await peer.next()
  while (typeOf(heard(release)) === option.REQUEST) release = await peer.next()
  t.same(macAt(release, 0), PEER_MAC, 'to the server alone')
  t.match(heard(release), { ciaddr: lease.ip })
  t.equal(typeOf(heard(release)), option.RELEASE)
})

t.test('an ACK that was for an earlier wish is not taken for the lease', async t => {
  const peer = await startPeer(t)
  const taken = takeLease(peer.station, 30_000)
  const asked = heard(await peer.next())
  say(peer, asked, option.OFFER)
  await peer.next()
  say(peer, asked, option.NAK)
  t.equal(await taken, 'refused (NAK)')
})

t.test('who is not answered asks again, and says how far it came', async t => {
  const silent = await startPeer(t)
  t.equal(await takeLease(silent.station, 1200), 'no offer')
  t.ok(silent.frames.length >= 2, `${silent.frames.length} questions`)
  const half = await startPeer(t)
  const taken = takeLease(half.station, 3000)
  say(half, heard(await half.next()), option.OFFER)
  t.equal(await taken, 'no answer to the request')
})

t.test('servers that are not ours are told once each, by what they say they are', async t => {
  const peer = await startPeer(t)
  const xid = discover(peer.station)
  const asked = heard(await peer.next())
  t.equal(asked.xid, xid)
  say(peer, asked, option.OFFER)
  const foreign = new Map<number, Uint8Array>()
  option.setOption(foreign, option.MESSAGE_TYPE, option.OFFER)
  option.setOption(foreign, option.SERVER_ID, ip('192.168.64.1'))
  say(peer, asked, option.OFFER, { options: foreign }, { ...PEER_MAC, lo: 0x77 })
  say(peer, asked, option.OFFER, { options: foreign }, { ...PEER_MAC, lo: 0x77 })
  await peer.station.until(() => (peer.station.serverMessages.length === 3 ? true : undefined), 20_000)
  const said = peer.station.serverMessages
  const ours = ({ lo }: Mac) => lo === PEER_MAC.lo
  t.same(foreignServers(said, ours), ['192.168.64.1 at 52:54:00:00:00:77'])
  t.same(foreignServers(said.slice(0, 1), ours), [])
  t.same(
    foreignServers(said.slice(0, 1), () => false),
    ['192.168.105.1 at 52:54:00:00:00:0b'],
  )
})
