// A change of a lease as a line of the journal, which a person can read and a fault of the disk cannot fake:
//
//   0f2c7d1e {"lease":"192.168.105.8","mac":"52:54:00:00:00:07","hostname":"web","expires":"2026-01-01T00:00:00.000Z"}
//   9be3a04c {"remove":"192.168.105.8"}
//   51d80c37 {"decline":"192.168.105.9","mac":"52:54:00:00:00:07","until":"2026-01-01T00:10:00.000Z"}
//
// In front stands the CRC-32 of the JSON, as eight hexadecimal digits. A newline stands before each line as well as
// after it: whatever was cut off or flipped before, the next record begins on a line of its own.

import type { LeaseChange } from './leases.js'
import { crc32 } from 'node:zlib'
import { fromHex, toHex } from '../wire/bytes.js'
import { formatIpv4, parseIpv4 } from '../wire/ipv4.js'
import { formatMac, parseMac } from '../wire/mac.js'
import { clientKey } from './client.js'
import { safeHostname } from './options.js'

/** No record of ours has more octets: one with a client identifier of 255 and a hostname of 63 has 702. */
export const LONGEST_RECORD = 720
/** Octets of a line above which it is not read. */
const MAX_LINE = 4096
/** The longest client identifier, in octets: what one option holds. */
const MAX_CLIENT_ID = 255
const CRC_DIGITS = 8
const NEWLINE = 0x0a

/** The record that holds `value`. */
export function formatRecord(value: object): string {
  const json = JSON.stringify(value)
  return `\n${crc32(json).toString(16).padStart(CRC_DIGITS, '0')} ${json}\n`
}

/** What the records among `bytes` hold, line by line: undefined for a line that is not whole. */
export function* readRecords(bytes: Buffer): Generator<unknown, void, undefined> {
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, start)
    const end = newline < 0 ? bytes.length : newline
    if (end > start) yield readLine(bytes.subarray(start, end))
    start = end + 1
  }
}

function readLine(line: Buffer): unknown {
  if (line.length <= CRC_DIGITS + 1 || line.length > MAX_LINE) return undefined
  const head = line.toString('latin1', 0, CRC_DIGITS + 1)
  const json = line.subarray(CRC_DIGITS + 1)
  if (!/^[0-9a-f]{8} $/.test(head) || Number.parseInt(head, 16) !== crc32(json)) return undefined
  try {
    return JSON.parse(json.toString()) as unknown
  } catch {
    return undefined
  }
}

/** A change as formatRecord() takes it. */
export function recordOf(change: LeaseChange): object {
  if (change.kind === 'remove') return { remove: formatIpv4(change.ip) }
  if (change.kind === 'decline') {
    const { ip, mac, until } = change.declined
    return { decline: formatIpv4(ip), mac: formatMac(mac.hi, mac.lo), until: new Date(until).toISOString() }
  }
  const { ip, mac, clientId, hostname, expires } = change.lease
  return {
    lease: formatIpv4(ip),
    mac: formatMac(mac.hi, mac.lo),
    ...(clientId && { clientId: toHex(clientId) }),
    ...(hostname !== undefined && { hostname }),
    expires: new Date(expires).toISOString(),
  }
}

/** The change from what may be anything; undefined where it is none. */
export function changeOf(record: unknown): LeaseChange | undefined {
  if (typeof record !== 'object' || record === null) return undefined
  const fields = record as Record<string, unknown>
  if ('lease' in fields) return putOf(fields)
  if ('decline' in fields) return declineOf(fields)
  const ip = addressOf(fields.remove)
  return ip === undefined ? undefined : { kind: 'remove', ip }
}

function putOf({
  lease,
  mac,
  clientId,
  hostname,
  expires,
}: Record<string, unknown>): LeaseChange | undefined {
  const ip = addressOf(lease)
  const station = typeof mac === 'string' ? parseMac(mac) : undefined
  const until = timeOf(expires)
  const id = typeof clientId === 'string' ? fromHex(clientId) : undefined
  if (ip === undefined || station === undefined || until === undefined) return undefined
  if (clientId !== undefined && (id === undefined || id.length > MAX_CLIENT_ID)) return undefined
  const name = typeof hostname === 'string' ? safeHostname(hostname) : undefined
  return {
    kind: 'put',
    lease: {
      ip,
      key: clientKey(station, id),
      mac: station,
      ...(id && { clientId: id }),
      ...(name !== undefined && { hostname: name }),
      expires: until,
    },
  }
}

function declineOf({ decline, mac, until }: Record<string, unknown>): LeaseChange | undefined {
  const ip = addressOf(decline)
  const station = typeof mac === 'string' ? parseMac(mac) : undefined
  const end = timeOf(until)
  if (ip === undefined || station === undefined || end === undefined) return undefined
  return { kind: 'decline', declined: { ip, mac: station, until: end } }
}

function addressOf(value: unknown): number | undefined {
  return typeof value === 'string' ? parseIpv4(value) : undefined
}

function timeOf(value: unknown): number | undefined {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}
