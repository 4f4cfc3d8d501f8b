// The daemon knows behind which port a DHCP message, another server and a claim were heard, and what a port does
// there is its own affair: the others are served all the same.

import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import type { NetworkStatus } from '../../src/control/api.js'
import { Client, ip } from '../dhcp/segment.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { announcement, Station } from './station.js'

t.setTimeout(60_000)

const SKIP = { skip: requires(['linux']) }
const mac = (n: number) => `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`

/** Whether a frame is a reply of the server to a client, whose MAC it bears in chaddr. */
const isReplyTo = (n: number) => (frame: Buffer) =>
  frame.readUInt16BE(12) === 0x0800 &&
  frame.readUInt16BE(34) === 67 &&
  frame.toString('hex', 70, 76) === mac(n).replaceAll(':', '')

t.test('a message is logged with the port it came in by, whatever address it bears', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const [victim, forger] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  victim.send(new Client(0x0a).frame())
  await daemon.waitForLog(/DHCPDISCOVER\(vm1\)/)
  forger.send(new Client(0x0a).frame())
  await daemon.waitForLog(/DHCPDISCOVER\(vm2\).* 52:54:00:00:00:0a/)
})

t.test('a message that came before its port left is logged with that port', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const vm = await Station.plug(t, daemon)
  vm.send(...Array.from({ length: 100 }, (_, n) => new Client(n + 1).frame()))
  await vm.close()
  await daemon.child.waitForLine(/DHCPDISCOVER\(vm1\)/, { count: 100 })
})

t.test("another server's port, MAC and address are in the log, once", SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const rogue = await Station.plug(t, daemon)
  const client = new Client(0x66)
  const reply = { op: 2, type: option.OFFER, sourceIp: ip('10.0.0.1'), sourcePort: 67, destinationPort: 68 }
  rogue.send(client.frame(reply), client.frame(reply), client.frame())
  t.match(await daemon.waitForLog(/"event":"dhcp\.rogue"/), {
    port: 'vm1',
    mac: mac(0x66),
    ip: '10.0.0.1',
    msg: `DHCP server on vm1 (${mac(0x66)}, says it is 10.0.0.1): dropped; only the built-in one answers here`,
  })
  await daemon.waitForLog(/DHCPDISCOVER/)
  t.equal(daemon.log.filter(({ event }) => event === 'dhcp.rogue').length, 1)
})

t.test('who claims what, and where, is in the status', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const [one, two] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const arrived = (frame: Buffer) => frame.readUInt16BE(12) === 0x0806
  one.send(announcement(mac(1), '192.168.105.250'))
  await two.receive(arrived)
  two.send(announcement(mac(2), '192.168.105.250'), announcement(mac(2), '192.168.105.251'))
  await one.receive(frame => arrived(frame) && frame[31] === 251)
  const [network] = (await daemon.status()).networks as unknown as { neighbors: Record<string, unknown>[] }[]
  const claim = { mac: mac(2), port: 'vm2', how: 'arp' }
  t.match(network.neighbors, [
    { ...claim, ip: '192.168.105.250', moves: 1 },
    { ...claim, ip: '192.168.105.251', moves: 0 },
  ])
  for (const { firstSeen, lastSeen } of network.neighbors) {
    t.ok([firstSeen, lastSeen].every(age => Number.isInteger(age) && Number(age) >= 0 && Number(age) < 60))
  }
})

t.test('a claim of a leased address by another station is a conflict in the log', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const [vm, thief] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const client = new Client(1)
  vm.send(client.frame())
  const offered = (await vm.receive(isReplyTo(1))).readUInt32BE(58)
  vm.frames.length = 0
  vm.send(
    client.frame({
      type: option.REQUEST,
      options: [
        [option.SERVER_ID, ip('192.168.105.1')],
        [option.REQUESTED_IP, offered],
      ],
    }),
  )
  await vm.receive(isReplyTo(1))
  const address = [24, 16, 8, 0].map(shift => (offered >>> shift) & 255).join('.')
  thief.send(announcement(mac(2), address))
  t.match(await daemon.waitForLog(/"event":"dhcp\.conflict"/), {
    ip: address,
    mac: mac(1),
    port: 'vm1',
    claimMac: mac(2),
    claimPort: 'vm2',
  })
})

t.test('a port that floods the server is cut to its rate, and another is served meanwhile', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const [flood, vm] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const messages = Array.from({ length: 20_000 }, (_, n) => new Client(0x1000 + n).frame())
  flood.send(...messages)
  vm.send(new Client(7).frame())
  await vm.receive(isReplyTo(7))
  const received = async () => (await daemon.status()).networks[0].ports.find(({ name }) => name === 'vm1')!
  while ((await received()).rx.frames < messages.length);
  const drops = (await received()).drops['rx-dhcp-rate']
  t.ok(drops > 5_000 && drops <= 18_000, `${drops} of ${messages.length} dropped`)
})

t.test(
  'a client whose card adds a priority tag is answered; one on a VLAN is on another segment',
  async t => {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
    const station = await Station.plug(t, daemon)
    const tagged = (client: Client, ...tags: number[]): Buffer => {
      const frame = Buffer.from(client.frame())
      const words = Buffer.from(tags.flatMap(tag => [0x81, 0, tag >> 8, tag & 255]))
      return Buffer.concat([frame.subarray(0, 12), words, frame.subarray(12)])
    }
    station.send(tagged(new Client(1), 5), tagged(new Client(2), 0xe000), tagged(new Client(3), 0, 0x2000))
    await station.receive(isReplyTo(2))
    await station.receive(isReplyTo(3))
    t.notOk(station.frames.some(isReplyTo(1)))
  },
)

t.test('an address that a station only asks for is a neighbour, and not the station’s', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const station = await Station.plug(t, daemon)
  const probe = announcement(mac(7), '192.168.105.77')
  probe.fill(0, 28, 32)
  const listener = await Station.plug(t, daemon)
  station.send(probe)
  await listener.receive(frame => frame.subarray(0, probe.length).equals(probe))
  const [network] = (await daemon.status()).networks as unknown as NetworkStatus[]
  t.match(network.neighbors, [{ ip: '192.168.105.77', mac: mac(7), how: 'probe' }])
  t.same(network.ports.find(({ name }) => name === 'vm1')?.ips, [])
})
