// The messages of the server that the clients here seldom or never provoke, before tshark: NAK, the ACK of an
// INFORM, replies by broadcast, its ARP probe and answer. The control shows that tshark would tell.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { scratch } from '../cli/command.js'
import { Station } from '../daemon/station.js'
import { Client, ip, type Fields } from '../dhcp/segment.js'
import { requires } from '../helpers/requires.js'
import { decode, faultsIn, pcapOf } from './capture.js'
import { EVERY_OPTION, startAlone } from './host.js'
import { acquire } from './raw.js'

t.setTimeout(60_000)

const skip = requires(['linux', 'tshark'])
const BROADCAST_FLAG = 0x8000
const ALL = Array.from({ length: 254 }, (_, code) => code + 1)

/** Whether a frame is the server's, to this client. */
const replyTo = (client: Client) => (frame: Buffer) =>
  frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 67 && frame.readUInt32BE(46) === client.xid

t.test('tshark finds no fault in any message of the server', { skip }, async t => {
  const daemon = await startAlone(t, ...EVERY_OPTION)
  const station = await Station.plug(t, daemon)
  const client = new Client(1)
  await acquire(station, client)
  const requested: Fields['options'] = [[option.REQUESTED_IP, ip('10.1.2.3')]]
  const messages: Fields[] = [
    { options: [[option.PARAMETER_LIST, ALL]] },
    { options: [[option.PARAMETER_LIST, ALL]], raw: [[57, [0x05, 0xdc]]] },
    { flags: BROADCAST_FLAG },
    { type: option.REQUEST, options: requested },
    { type: option.REQUEST, options: requested, flags: BROADCAST_FLAG },
    { type: option.INFORM, ciaddr: ip('192.168.105.240'), sourceIp: ip('192.168.105.240') },
  ]
  for (const fields of messages) {
    station.send(client.frame(fields))
    await station.receive(replyTo(client))
  }
  const path = join(scratch(t), 'pcap')
  writeFileSync(path, pcapOf(station.frames))
  t.strictSame(await faultsIn(path), [])
  const count = async (filter: string) => (await decode(path, filter)).length
  t.ok((await count('dhcp.option.dhcp == 2')) >= 4, 'OFFERs')
  t.equal(await count('dhcp.option.dhcp == 6'), 2, 'NAKs')
  t.equal(await count('dhcp.option.dhcp == 5'), 2, 'ACKs')
  t.ok((await count('arp.opcode == 1')) > 0, 'an ARP probe')
})

t.test('the control: tshark tells of a message with a fault', { skip }, async t => {
  const reply = Buffer.from(
    new Client(1).frame({ op: 2, sourcePort: 67, destinationPort: 68, raw: [[1, [255, 0]]] }),
  )
  const path = join(scratch(t), 'pcap')
  writeFileSync(path, pcapOf([reply]))
  t.not((await faultsIn(path)).length, 0)
})
