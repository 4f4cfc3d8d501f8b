/**
 * Reads talosctl's S/ipam.db: which address it has planned for which MAC, and what the node is to be told with it.
 * A record is one line of JSON, written at once at the end of the file before QEMU is started; of a MAC the last
 * record counts, for each of IPv4 and IPv6, and we serve IPv4 (siderolabs/talos, pkg/provision/providers/vm/ipam.go).
 *
 * The folder is the user's: any file may stand there, of any size, and what makes no sense is left out.
 */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { ReservationRecord } from '../control/api.js'
import { parseIpv4 } from '../wire/ipv4.js'
import { formatMac, parseMac } from '../wire/mac.js'

const FILE = 'ipam.db'
/** Of the file's end: ten thousand records. A record of one node is some 300 bytes. */
const MOST_BYTES = 4 * 1024 * 1024
/** A host name of one label, as a reservation takes it (RFC 1123 §2.1). */
const HOSTNAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
/** What options 12, 66 and 67 can carry. */
const TEXT = /^[\x20-\x7e]{1,255}$/
/** What one option has room for. */
const MOST_SERVERS = 63
const LEAST_MTU = 68
const MOST_MTU = 0xffff

/** As Go's encoding/json writes it: addresses are text, Netmask is the length of the prefix. */
interface IpamRecord {
  IP?: unknown
  MAC?: unknown
  Hostname?: unknown
  Gateway?: unknown
  MTU?: unknown
  Nameservers?: unknown
  TFTPServer?: unknown
  IPXEBootFilename?: unknown
}

export type Planned = ReservationRecord & { options: string[] }

/** The reservation that talosctl planned for a MAC (lower case, colons); undefined where there is none. */
export function findPlanned(folder: Buffer, mac: string): Planned | undefined {
  const lines = readEnd(Buffer.concat([folder, Buffer.from(`/${FILE}`)])).split('\n')
  for (const line of lines.reverse()) {
    // Millions of lines of rubbish are passed over: what is no JSON costs an exception each.
    if (!line.toLowerCase().includes(mac)) continue
    const record = readRecord(line)
    if (record === undefined || macOf(record) !== mac) continue
    const ip = typeof record.IP === 'string' ? parseIpv4(record.IP) : undefined
    if (ip !== undefined) return reservationOf(record, mac)
  }
  return undefined
}

/** The end of a file as text; empty where there is none, or none that can be read without waiting. */
function readEnd(path: Buffer): string {
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(fd)
    if (!stats.isFile()) return ''
    const bytes = Buffer.alloc(Math.min(stats.size, MOST_BYTES))
    const length = readSync(fd, bytes, 0, bytes.length, stats.size - bytes.length)
    return bytes.toString('utf8', 0, length)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    return ''
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Undefined for a line that is no record: half of one, at the file's end or where reading began. */
function readRecord(line: string): IpamRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

function macOf({ MAC }: IpamRecord): string | undefined {
  const mac = typeof MAC === 'string' ? parseMac(MAC) : undefined
  return mac && formatMac(mac.hi, mac.lo)
}

function reservationOf(record: IpamRecord, mac: string): Planned {
  const { IP, Hostname, Gateway, MTU, Nameservers, TFTPServer, IPXEBootFilename } = record
  const servers = Array.isArray(Nameservers) ? Nameservers.filter(isIpv4).slice(0, MOST_SERVERS) : []
  const isLabel = typeof Hostname === 'string' && HOSTNAME.test(Hostname)
  const options = [
    // A reservation's own host name is one label. talosctl sends any.
    !isLabel && isText(Hostname) && `12=${Buffer.from(Hostname).toString('hex')}`,
    isIpv4(Gateway) && `router=${Gateway}`,
    servers.length > 0 && `dns=${servers.join(',')}`,
    isMtu(MTU) && `mtu=${MTU}`,
    isIpv4(TFTPServer) && `next-server=${TFTPServer}`,
    isText(TFTPServer) && `tftp-server=${TFTPServer}`,
    isText(IPXEBootFilename) && `boot-file=${IPXEBootFilename}`,
  ].filter(option => option !== false)
  return { ip: IP as string, mac, ...(isLabel && { hostname: Hostname }), options }
}

const isIpv4 = (value: unknown): value is string =>
  typeof value === 'string' && parseIpv4(value) !== undefined

const isText = (value: unknown): value is string => typeof value === 'string' && TEXT.test(value)

const isMtu = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= LEAST_MTU && value <= MOST_MTU
