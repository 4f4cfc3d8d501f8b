// What the server says on the wire, judged by a decoder that is not ours: tcpdump keeps the DHCP messages that
// reach a host, and tshark takes them apart.

import type { Test } from 'tap'
import { join } from 'node:path'
import { scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import type { NetNs } from '../helpers/netns.js'

export const CAPTURE_NEEDS = ['tcpdump', 'tshark']

/** From the server alone: what clients get wrong is theirs. */
const FROM_SERVER = 'udp.srcport == 67 || arp'
/** PI_WARN and PI_ERROR of Wireshark's expert severities. */
const FAULTY = '_ws.malformed || _ws.expert.severity >= 0x600000'

export type Capture = {
  /** Ends the capture, and finds in it as many messages of the server as were expected at least, and no fault. */
  check: (t: Test, least: number) => Promise<void>
}

/** Captures the DHCP that reaches a host from now on. */
export async function capture(t: Scope, ns: NetNs, device = 'eth0'): Promise<Capture> {
  const path = join(scratch(t), 'pcap')
  const dump = ns.spawn([
    'tcpdump',
    '--immediate-mode',
    '-U',
    '-n',
    '-Z',
    'root',
    '-i',
    device,
    '-w',
    path,
    'udp',
  ])
  t.teardown(() => dump.close())
  await dump.waitForLine(/listening on/)
  return {
    async check(t, least) {
      await dump.close('SIGINT')
      t.strictSame(await faultsIn(path), [], 'tshark finds no fault in what the server sent')
      const all = await decode(path, 'dhcp.type == 2')
      t.ok(all.length >= least, `in ${all.length} messages`)
    },
  }
}

/** tshark's lines on what is wrong with the server's frames in a file. */
export const faultsIn = (path: string): Promise<string[]> => decode(path, `(${FROM_SERVER}) && (${FAULTY})`)

/** tshark's lines on the frames of a file that a display filter picks. */
export async function decode(path: string, filter: string): Promise<string[]> {
  // Checksums too: nothing on this segment leaves them to a NIC.
  const checks = ['ip.check_checksum:TRUE', 'udp.check_checksum:TRUE'].flatMap(text => ['-o', text])
  const columns = ['-T', 'fields', '-e', '_ws.col.Info', '-e', '_ws.expert.message']
  const argv = ['tshark', '-n', '-r', path, ...checks, '-Y', filter, ...columns]
  const { status, stdout, stderr } = await execute(argv)
  if (status !== 0) throw new Error(`tshark: status ${status}\n${stderr}`)
  return stdout.split('\n').filter(Boolean)
}

/** A capture file of Ethernet frames (pcap 2.4, little-endian, all at time 0). */
export function pcapOf(frames: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(4, 6)
  header.writeUInt32LE(0x40000, 16)
  header.writeUInt32LE(1, 20) // LINKTYPE_ETHERNET
  const records = frames.flatMap(frame => {
    const record = Buffer.alloc(16)
    record.writeUInt32LE(frame.length, 8)
    record.writeUInt32LE(frame.length, 12)
    return [record, frame]
  })
  return Buffer.concat([header, ...records])
}
