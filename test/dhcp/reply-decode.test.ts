// Every kind of reply as Wireshark reads it: another decoder than ours, which also says what it finds wrong.

import type { Reply } from '../../src/dhcp/reply.js'
import type { Fields } from './segment.js'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseBootRules } from '../../src/dhcp/boot.js'
import * as option from '../../src/dhcp/options.js'
import { requires } from '../helpers/requires.js'
import { answer, BY_RELAY, configured, OFFERED } from './replies.js'
import { ip } from './segment.js'

const ACKED: Reply = { ...OFFERED, type: option.ACK }
const wishes = (...codes: number[]): Fields => ({ options: [[option.PARAMETER_LIST, codes]] })
const ARM64: Fields = { options: [[option.ARCHITECTURE, [11]]] }
const BOOT = { boot: parseBootRules(['efi-arm64:arm64.efi,192.168.105.8,tftp.lab', 'f'.repeat(200)]) }
const NAMES = Array.from({ length: 12 }, (_, i) => `${'n'.repeat(30)}${i}.example${i}.com`)
const long = (code: number, octets: number): string => `${code}=${'ab'.repeat(octets)}`

/** A reply and what Wireshark is to show of it. */
const REPLIES: [what: string, frame: Uint8Array, shows: (string | RegExp)[]][] = [
  [
    'an offer',
    answer(configured(), { xid: 0xcafe }).frame,
    [
      'Dynamic Host Configuration Protocol (Offer)',
      'Message type: Boot Reply (2)',
      'Transaction ID: 0x0000cafe',
      'Your (client) IP address: 192.168.105.2',
      'Next server IP address: 0.0.0.0',
      'Boot file name not given',
      'DHCP Server Identifier: 192.168.105.1',
      'IP Address Lease Time: (3600s) 1 hour',
      'Renewal Time Value: (1800s) 30 minutes',
      'Rebinding Time Value: (3150s)',
      'Subnet Mask: 255.255.255.0',
      'Router: 192.168.105.1',
      'Broadcast Address: 192.168.105.255',
    ],
  ],
  ['an ACK', answer(configured(), { type: option.REQUEST }, ACKED).frame, ['Protocol (ACK)']],
  [
    'a NAK',
    answer(configured(), { type: option.REQUEST }, { type: option.NAK, why: 'wrong network' }).frame,
    ['Protocol (NAK)', 'Message: wrong network', 'Dst: 255.255.255.255'],
  ],
  [
    'the ACK of an INFORM',
    answer(
      configured(),
      { type: option.INFORM, ciaddr: ip('192.168.105.77') },
      { type: option.ACK, yiaddr: 0 },
    ).frame,
    ['Protocol (ACK)', 'Client IP address: 192.168.105.77', 'Your (client) IP address: 0.0.0.0'],
  ],
  [
    'a rapid commit',
    answer(configured(), {}, { ...OFFERED, type: option.ACK, rapidCommit: true }).frame,
    ['Protocol (ACK)', 'Option: (80) Rapid commit'],
  ],
  [
    'an offer without an address',
    answer(configured(['auto-configure=no']), { raw: [[116, [1]]] }, { type: option.OFFER, yiaddr: 0 }).frame,
    ['DHCP Auto-Configuration: DoNotAutoConfigure (0)'],
  ],
  [
    'every option by name',
    answer(
      configured([
        'dns=192.168.105.1,1.1.1.1',
        'log-server=192.168.105.3',
        'domain=lab.internal',
        'root-path=/srv/root',
        'mtu=1400',
        'ntp=192.168.105.4',
        'vendor=01:02:ab:cd',
        'tftp-server=tftp.lab',
        'boot-file=a.efi',
        'timezone=Europe/Berlin',
        'ipv6-only=1800',
        'search=lab.internal,eng.lab.internal',
        'static-routes=10.0.0.0/8,192.168.105.2,10.1.2.0/25,192.168.105.3',
        'next-server=192.168.105.9',
      ]),
      {
        options: [
          [option.PARAMETER_LIST, [121, 119, 6, 7, 12, 15, 17, 26, 42, 43, 66, 67, 101, 108]],
          [option.MAX_SIZE, 1500],
        ],
      },
      { ...OFFERED, hostname: 'web' },
    ).frame,
    [
      'Next server IP address: 192.168.105.9',
      'Domain Name Server: 1.1.1.1',
      'Log Server: 192.168.105.3',
      'Host Name: web',
      'Domain Name: lab.internal',
      'Root Path: /srv/root',
      'Interface MTU: 1400',
      'Network Time Protocol Server: 192.168.105.4',
      'Value: 0102abcd',
      'TFTP Server Name: tftp.lab',
      'Bootfile name: a.efi',
      'TZ TCode: Europe/Berlin',
      /IPv6-Only Preferred\n +Length: 4\n +Value: 00000708/,
      'FQDN: eng.lab.internal',
      '10.0.0.0/8-192.168.105.2',
      '10.1.2.0/25-192.168.105.3',
      'default-192.168.105.1',
    ],
  ],
  [
    'a search list in two parts',
    answer(configured([`search=${NAMES.join(',')}`]), {
      options: [
        [option.PARAMETER_LIST, [119]],
        [option.MAX_SIZE, 1500],
      ],
    }).frame,
    [/Option: \(119\) Domain Search\n +Length: 252\n[^]*Option: \(119\) Domain Search/],
  ],
  [
    'an overload of both fields',
    answer(configured([long(224, 210), long(225, 120), long(226, 60)]), wishes(224, 225, 226, 3)).frame,
    [
      'Option Overload: Boot file and server host names hold options (3)',
      'Option: (224) Private',
      'Option: (225) Private',
      'Option: (226) Private',
    ],
  ],
  [
    'a boot file',
    answer(configured([], BOOT), ARM64).frame,
    ['Next server IP address: 192.168.105.8', 'Server host name: tftp.lab', 'Boot file name: arm64.efi'],
  ],
  [
    'a long boot file',
    answer(configured([], BOOT), wishes(66, 67)).frame,
    ['TFTP Server Name: 192.168.105.1', `Bootfile name: ${'f'.repeat(200)}`],
  ],
  [
    'an HTTP boot',
    answer(configured([], { boot: parseBootRules(['http://192.168.105.1/a.efi']) }), {
      ...ARM64,
      raw: [[60, [...Buffer.from('HTTPClient:Arch:00019')]]],
    }).frame,
    ['Vendor class identifier: HTTPClient', 'Boot file name: http://192.168.105.1/a.efi'],
  ],
  [
    'an offer to a relay',
    answer(configured(), { ...BY_RELAY, raw: [[82, [1, 4, 0x76, 0x6d, 0x31, 0x30]]] }).frame,
    [
      'Relay agent IP address: 192.168.105.250',
      'Dst Port: 67',
      /Option: \(82\) Agent Information Option[^]*Agent Circuit ID: 766d3130/,
    ],
  ],
  [
    'a NAK to a relay',
    answer(configured(), BY_RELAY, { type: option.NAK, why: 'no' }).frame,
    ['Protocol (NAK)', 'Bootp flags: 0x8000, Broadcast flag (Broadcast)', 'Dst: 192.168.105.250'],
  ],
  [
    'a client identifier',
    answer(configured(), { raw: [[61, [1, 0x52, 0x54, 0, 0, 0, 1]]] }).frame,
    [/Option: \(61\) Client identifier[^]*52:54:00:00:00:01/],
  ],
]

/** The frames as a capture file (the classic format, Ethernet). */
function pcap(frames: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(4, 6)
  header.writeUInt32LE(65_535, 16)
  header.writeUInt32LE(1, 20)
  const records = frames.flatMap(frame => {
    const record = Buffer.alloc(16)
    record.writeUInt32LE(frame.length, 8)
    record.writeUInt32LE(frame.length, 12)
    return [record, frame]
  })
  return Buffer.concat([header, ...records])
}

t.test(
  'Wireshark reads every reply as it was meant, and finds no fault',
  { skip: requires(['tshark']) },
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'replies.pcap')
    writeFileSync(file, pcap(REPLIES.map(([, frame]) => frame)))
    const tshark = (...args: string[]): string =>
      execFileSync(
        'tshark',
        ['-n', '-r', file, '-o', 'ip.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE', ...args],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      )
    const decoded = tshark('-V').split(/^(?=Frame \d+:)/m)
    t.equal(decoded.length, REPLIES.length)
    for (const [i, [what, , shows]] of REPLIES.entries()) {
      for (const each of shows)
        t.ok(
          typeof each === 'string' ? decoded[i]!.includes(each) : each.test(decoded[i]!),
          `${what}: ${each}`,
        )
      t.notMatch(decoded[i], /Malformed|Severity level: (Warning|Error)|incorrect/, what)
    }
    // That `file` and `sname` hold options is a note to Wireshark, under its warnings.
    t.equal(tshark('-Y', '_ws.malformed || _ws.expert.severity > "Note"'), '')
  },
)
