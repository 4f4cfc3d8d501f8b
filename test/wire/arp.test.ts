import fc from 'fast-check'
import t from 'tap'
import * as arp from '../../src/wire/arp.js'
import { ETHERNET_HEADER, ETHERTYPE_ARP, emitEthernet, etherType } from '../../src/wire/ethernet.js'
import { MAC_BROADCAST, macAt } from '../../src/wire/mac.js'
import { dirty, hex, mac, placed, uint16, uint32 } from './dirty.js'

const A = { hi: 0x5254, lo: 0x00000001 }
const B = { hi: 0x5254, lo: 0x00000002 }

t.test('a gratuitous announcement is the bytes that arping sends', async t => {
  const frame = arp.arpFrame(MAC_BROADCAST, {
    operation: arp.ARP_REQUEST,
    senderMac: A,
    senderIp: 0xc0a869c8,
    targetMac: MAC_BROADCAST,
    targetIp: 0xc0a869c8,
  })
  const words = ['ffffffffffff', '525400000001', '0806', '0001', '0800', '06', '04', '0001']
  t.equal(hex(frame), [...words, '525400000001', 'c0a869c8', 'ffffffffffff', 'c0a869c8'].join(''))
})

t.test('what is written is read, and nothing else is touched', async t => {
  fc.assert(
    fc.property(mac, mac, uint16, uint32, uint32, (senderMac, targetMac, operation, senderIp, targetIp) => {
      const bytes = dirty(60)
      emitEthernet(bytes, 1, { destination: targetMac, source: senderMac, type: ETHERTYPE_ARP })
      const at = 1 + ETHERNET_HEADER
      arp.emitArp(bytes, at, { operation, senderMac, senderIp, targetMac, targetIp })
      t.equal(etherType(bytes, 1), ETHERTYPE_ARP)
      t.same(macAt(bytes, 1), targetMac)
      t.same(macAt(bytes, 7), senderMac)
      t.ok(arp.isArpIpv4(bytes, at, arp.ARP_LENGTH))
      t.equal(arp.arpOperation(bytes, at), operation)
      t.same(macAt(bytes, at + arp.ARP_SENDER_MAC), senderMac)
      t.equal(arp.arpSenderIp(bytes, at), senderIp)
      t.same(macAt(bytes, at + arp.ARP_TARGET_MAC), targetMac)
      t.equal(arp.arpTargetIp(bytes, at), targetIp)
      t.equal(bytes[0], 0xa5)
      t.ok(bytes.subarray(at + arp.ARP_LENGTH).every(byte => byte === 0xa5))
    }),
    { numRuns: 50 },
  )
})

t.test('other hardware, other protocols, other lengths and short packets are not read', async t => {
  const packet = arp
    .arpFrame(B, {
      operation: arp.ARP_REPLY,
      senderMac: A,
      senderIp: 1,
      targetMac: B,
      targetIp: 2,
    })
    .subarray(ETHERNET_HEADER)
  t.equal(arp.isArpIpv4(packet, 0, packet.length), true)
  t.equal(arp.isArpIpv4(packet, 0, packet.length - 1), false)
  for (const [at, what] of ['hardware', '', 'protocol', '', 'hlen', 'plen'].entries()) {
    const wrong = packet.slice()
    wrong[at]! ^= 0x40
    t.equal(arp.isArpIpv4(wrong, 0, wrong.length), false, what)
  }
})

t.test('random bytes never throw', async () => {
  fc.assert(
    fc.property(placed, ({ run, at, length }) => {
      arp.isArpIpv4(run, at, length)
      arp.arpOperation(run, at)
      arp.arpSenderIp(run, at)
      arp.arpTargetIp(run, at)
    }),
  )
})
