// The station as others on the segment meet it: ARP, echo, datagrams, and what it must not take.

import t from 'tap'
import { ECHO_REPLY, ECHO_REQUEST, echoSequence, icmpType, isEcho } from '../../src/wire/icmp.js'
import { echoFrame, udpFrame } from '../../src/selftest/packets.js'
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpFrame,
  arpSenderIp,
  arpTargetIp,
  ARP_SENDER_MAC,
} from '../../src/wire/arp.js'
import { MAC_BROADCAST, macAt } from '../../src/wire/mac.js'
import { framed } from '../daemon/station.js'
import { ip } from '../dhcp/segment.js'
import { MAC, PEER_MAC, startPeer, type Peer } from './peer.js'

t.setTimeout(1_200_000)

const OWN = ip('192.168.105.9')
const PEER = ip('192.168.105.1')
const OTHER = ip('192.168.105.77')
/** Asked for when everything else was said. */
const SETTLED = ip('192.168.105.78')
const NOBODY = { hi: 0, lo: 0 }
const ARP = 14
const ICMP = 34

const to = (destinationIp: number, destination = MAC) => ({
  source: PEER_MAC,
  destination,
  sourceIp: PEER,
  destinationIp,
})
const question = (targetIp: number) =>
  arpFrame(MAC_BROADCAST, {
    operation: ARP_REQUEST,
    senderMac: PEER_MAC,
    senderIp: PEER,
    targetMac: NOBODY,
    targetIp,
  })
const answer = (senderIp: number, senderMac = PEER_MAC) =>
  arpFrame(MAC, { operation: ARP_REPLY, senderMac, senderIp, targetMac: MAC, targetIp: OWN })
const request = (destinationIp: number, sequence: number, destination = MAC) =>
  echoFrame(
    to(destinationIp, destination),
    { type: ECHO_REQUEST, identifier: 7, sequence },
    Buffer.from('data'),
  )

/** The station answers what comes after all that was said before: then that was read. */
async function settled(peer: Peer): Promise<void> {
  peer.station.addresses.add(SETTLED)
  peer.say(question(SETTLED))
  for (;;) {
    const frame = await peer.next()
    if (frame.length === 42 && arpSenderIp(frame, ARP) === SETTLED) break
  }
  peer.station.addresses.delete(SETTLED)
}

t.test('it answers ARP for its own addresses, and for no other', async t => {
  const peer = await startPeer(t)
  peer.station.addresses.add(OWN)
  peer.say(question(OTHER), question(OWN))
  const frame = await peer.next()
  t.same(macAt(frame, 0), PEER_MAC, 'to the one who asked')
  t.same(macAt(frame, ARP + ARP_SENDER_MAC), MAC)
  t.equal(arpSenderIp(frame, ARP), OWN)
  await settled(peer)
  t.equal(peer.frames.length, 2, 'one answer, and that to the last question')
})

t.test('a gratuitous ARP of another for its own address is no question', async t => {
  const peer = await startPeer(t)
  peer.station.addresses.add(PEER)
  peer.say(question(PEER))
  await settled(peer)
  t.equal(peer.frames.length, 1)
})

t.test('an announcement is a broadcast that asks for the address it comes from', async t => {
  const peer = await startPeer(t)
  peer.station.announce(OWN)
  const frame = await peer.next()
  t.same([macAt(frame, 0), macAt(frame, 6)], [MAC_BROADCAST, MAC])
  t.same([arpSenderIp(frame, ARP), arpTargetIp(frame, ARP)], [OWN, OWN])
})

t.test('it asks again until somebody answers, and takes an answer only', async t => {
  const peer = await startPeer(t)
  const asked = peer.station.resolve(PEER, OWN, 20_000)
  const first = await peer.next()
  t.same([arpSenderIp(first, ARP), arpTargetIp(first, ARP)], [OWN, PEER])
  // That is a question of the other's, from which a host would learn, and which answers nothing.
  peer.say(question(OTHER))
  await peer.next()
  peer.say(answer(PEER))
  t.same(await asked, PEER_MAC)
  const again = peer.station.resolve(PEER, OWN, 1)
  t.equal(await again, undefined, 'what was answered before counts for nothing')
  peer.say(answer(PEER, { hi: 2, lo: 1 }))
  await settled(peer)
  t.same([...peer.station.answers.get(PEER)!], ['52:54:00:00:00:0b', '00:02:00:00:00:01'])
})

t.test('an echo request to its address is answered, to another it is noted', async t => {
  const peer = await startPeer(t)
  const { station } = peer
  station.addresses.add(OWN)
  peer.say(request(OTHER, 1), request(OWN, 2), request(OWN, 3, PEER_MAC))
  const frame = await peer.next()
  t.same(macAt(frame, 0), PEER_MAC)
  t.ok(isEcho(frame, ICMP, frame.length - ICMP))
  t.same([icmpType(frame, ICMP), echoSequence(frame, ICMP)], [ECHO_REPLY, 2])
  t.equal(frame.toString('latin1', ICMP + 8), 'data')
  await settled(peer)
  t.same(
    station.echoes.map(({ ip, sequence, answered }) => [ip, sequence, answered]),
    [
      [OTHER, 1, false],
      [OWN, 2, true],
    ],
    'what is for another MAC is not even noted',
  )
})

t.test('it pings: the reply of the same identifier and number counts', async t => {
  const peer = await startPeer(t)
  const route = { from: OWN, to: PEER, mac: PEER_MAC }
  const reply = (identifier: number, sequence: number) =>
    echoFrame(to(OWN), { type: ECHO_REPLY, identifier, sequence }, Buffer.alloc(56))
  const time = peer.station.ping(route, 5, 20_000)
  const frame = await peer.next()
  t.same([icmpType(frame, ICMP), echoSequence(frame, ICMP)], [ECHO_REQUEST, 5])
  let isOver = false
  void time.then(() => (isOver = true))
  peer.say(reply(1, 4), reply(2, 5))
  await settled(peer)
  t.notOk(isOver, 'neither that number of another request, nor another number of this one')
  peer.say(reply(1, 5))
  t.ok((await time)! >= 0)
  // The next request has the identifier 2.
  peer.say(reply(1, 5))
  await settled(peer)
  t.equal(await peer.station.ping(route, 5, 1), undefined, 'a reply that nobody waits for does not count')
})

t.test('datagrams to its addresses are counted by port; wrong checksums are dropped and counted', async t => {
  const peer = await startPeer(t)
  const { station } = peer
  station.addresses.add(OWN)
  const ports = { source: 1, destination: 9 }
  const good = udpFrame(to(OWN), ports, Buffer.from('good'))
  const bad = udpFrame(to(OWN), ports, Buffer.from('bad!'))
  bad[44] ^= 1
  const badHeader = Uint8Array.from(good)
  badHeader[24] ^= 1
  const badEcho = request(OWN, 1)
  badEcho[45] ^= 1
  const longer = Uint8Array.from([...good, 0, 0, 0])
  const cut = good.subarray(0, good.length - 1)
  peer.say(good, bad, badHeader, badEcho, longer, cut, udpFrame(to(OTHER), ports, Buffer.from('not ours')))
  await settled(peer)
  t.same([...station.datagrams], [[9, 2]], 'padding behind the packet is no fault')
  t.equal(station.badChecksums, 3)
  t.equal(station.echoes.length, 0)
})

t.test('frames may be cut anywhere on the way', async t => {
  const peer = await startPeer(t)
  peer.station.addresses.add(OWN)
  const run = framed(question(OWN), request(OWN, 1), question(OWN))
  const before = peer.station.frames
  for (const [i] of run.entries()) {
    peer.socket.write(run.subarray(i, i + 1))
    if (i % 7 === 0) await new Promise<void>(resolve => setImmediate(resolve))
  }
  const kinds = [await peer.next(), await peer.next(), await peer.next()].map(
    frame => frame[12] * 256 + frame[13],
  )
  t.same(kinds, [0x0806, 0x0800, 0x0806])
  t.equal(peer.station.frames - before, 3)
})

t.test('a switch that loses its place, or leaves, is said', async t => {
  const lost = await startPeer(t)
  lost.socket.write(Buffer.from([0, 0, 0, 0]))
  t.match(await lost.station.until(() => lost.station.down, 20_000), /announced a frame of 0 bytes/)
  const left = await startPeer(t)
  left.socket.end()
  t.match(await left.station.until(() => left.station.down, 20_000), /closed the connection/)
})

t.test('Ctrl-C ends every wait', async t => {
  const peer = await startPeer(t)
  const waits = [
    peer.station.resolve(PEER, OWN, 1e6),
    peer.station.ping({ from: OWN, to: PEER, mac: PEER_MAC }, 1, 1e6),
  ]
  peer.interrupt()
  for (const wait of waits as Promise<unknown>[]) await t.rejects(wait, { message: 'interrupted' })
  await t.rejects(
    peer.station.until(() => true, 1e6),
    { message: 'interrupted' },
  )
})
