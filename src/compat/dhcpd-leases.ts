/**
 * The format of macOS's /var/db/dhcpd_leases, in which minikube and others find a VM's address: what of it they can read,
 * and what of others' entries may stand beside ours. Text in, text out; leases-file.ts keeps the file.
 *
 * minikube trims every line and fails the whole file on one that is neither `{`, `}` nor KEY=VALUE with a key that it
 * knows: a blank line will do. It takes the first entry with the MAC, and looks at no times. Hence:
 *
 * - ours stand first, the newest first, and only the newest of a MAC: which of two is the right one cannot be told;
 * - an entry of others with a MAC or an address of ours goes: it is stale, since our server leased that to that station;
 * - every other entry stays, byte for byte, but for lines that minikube cannot read. What is not an entry goes, too.
 *
 * Whether what we found is in order does not hang on where our entries stand: two daemons that share the file, each with
 * its own in front, would never come to an end.
 */

import { parseIpv4, formatIpv4 } from '../wire/ipv4.js'
import { parseMac, type Mac } from '../wire/mac.js'

/** A lease of our server. */
export interface OwnLease {
  /** A uint32. */
  readonly ip: number
  readonly mac: Mac
  /** Option 61, where the client sent one. */
  readonly clientId?: Uint8Array
  /** A host name without dots, where the client gave one. */
  readonly hostname?: string
  /** Milliseconds since the epoch. */
  readonly expires: number
}

/** An entry of the file that minikube can read. */
export interface LeaseEntry {
  /** As it stands there, from its brace to the newline behind the other. */
  readonly text: string
  /** A uint32; undefined where it holds no IPv4 address. */
  readonly ip?: number | undefined
  /** What minikube would take for its MAC; undefined where that is none. */
  readonly mac?: Mac | undefined
  /** When the lease ends, in milliseconds since the epoch; undefined where it does not say. */
  readonly expires?: number | undefined
}

export interface LeaseEntries {
  readonly entries: readonly LeaseEntry[]
  /** Nothing else was there. */
  readonly isClean: boolean
}

/** What `name=` has for a client without a name: there are readers that take no entry without. */
const NAMELESS = 'vmbridge'
const KEYS = new Set(['name', 'ip_address', 'hw_address', 'identifier', 'lease'])
/** minikube reads lines of less than 64 KiB (Go's bufio.Scanner), and fails on longer ones. */
const LONGEST_LINE = 60_000

/** Reads what may be anything, as one character an octet. */
export function readEntries(text: string): LeaseEntries {
  const entries: LeaseEntry[] = []
  let isClean = true
  let lines: string[] | undefined
  const rows = text.split('\n')
  // What stands behind the last newline is a line only if it is something.
  if (rows.at(-1) === '') rows.pop()
  for (const row of rows) {
    const line = trim(row)
    if (line === '{') {
      if (lines !== undefined) isClean = false
      lines = [row]
    } else if (lines === undefined || (line !== '}' && !isReadable(row, line))) {
      isClean = false
    } else {
      lines.push(row)
      if (line !== '}') continue
      entries.push(entryOf(lines))
      lines = undefined
    }
  }
  return { entries, isClean: isClean && lines === undefined }
}

/** ASCII's white space: of more minikube's idea and ours may differ, so that such a line is none. */
function trim(line: string): string {
  return line.replace(/^[\t\v\f\r ]+|[\t\v\f\r ]+$/g, '')
}

function isReadable(row: string, line: string): boolean {
  const equals = line.indexOf('=')
  const key = line.slice(0, equals)
  if (equals < 0 || !KEYS.has(key) || row.length > LONGEST_LINE) return false
  // It cuts off two characters, the type of the hardware, and panics where there is less; white space counts for nothing.
  return key !== 'hw_address' || /^[!-~]{2}/.test(line.slice(equals + 1))
}

function entryOf(rows: readonly string[]): LeaseEntry {
  const text = rows.map(row => `${row}\n`).join('')
  // The last one of a key counts.
  const values = new Map<string, string>()
  for (const line of rows.map(trim)) {
    const equals = line.indexOf('=')
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1))
  }
  // Whatever the type; and what follows six octets is not looked at.
  const [, mac] = /^..((?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2})/i.exec(values.get('hw_address') ?? '') ?? []
  const [, seconds] = /^0x([0-9a-f]{1,10})$/i.exec(values.get('lease') ?? '') ?? []
  return {
    text,
    ip: parseIpv4(values.get('ip_address') ?? ''),
    mac: mac === undefined ? undefined : parseMac(mac),
    expires: seconds === undefined ? undefined : Number.parseInt(seconds, 16) * 1000,
  }
}

/**
 * A lease as an entry. The hardware address is always the MAC, also where bootpd would write the client identifier in its
 * place: nobody could find the VM by that. Octets are in hexadecimal without padding.
 */
export function toEntry({ ip, mac, clientId, hostname, expires }: OwnLease): LeaseEntry {
  const hardware = `1,${octets([mac.hi >>> 8, mac.hi & 0xff, ...bytesOf(mac.lo)])}`
  const [type, ...id] = clientId ?? []
  const seconds = Math.floor(expires / 1000)
  const text = [
    '{',
    `\tname=${hostname ?? NAMELESS}`,
    `\tip_address=${formatIpv4(ip)}`,
    `\thw_address=${hardware}`,
    `\tidentifier=${type === undefined ? hardware : `${type.toString(16)},${octets(id)}`}`,
    `\tlease=0x${seconds.toString(16)}`,
    '}\n',
  ].join('\n')
  return { text, ip, mac, expires: seconds * 1000 }
}

const bytesOf = (word: number): number[] => [24, 16, 8, 0].map(shift => (word >>> shift) & 0xff)
const octets = (bytes: readonly number[]): string => bytes.map(byte => byte.toString(16)).join(':')

export interface Merged {
  /** Ours and then theirs: what the file should hold. */
  readonly entries: readonly LeaseEntry[]
  /** What was found holds just that, in whatever order. */
  readonly isInOrder: boolean
}

/**
 * What the file should hold when `ours`, the newest first, are the live leases of our server. `isOver` says of an entry
 * which is not in the way of any of ours that it was ours once, or says nothing true for another reason.
 */
export function mergeEntries(
  found: LeaseEntries,
  ours: readonly LeaseEntry[],
  isOver: (entry: LeaseEntry) => boolean,
): Merged {
  const own: LeaseEntry[] = []
  const taken = new Claims()
  for (const entry of ours) {
    if (!taken.has(entry)) own.push(entry)
    taken.add(entry)
  }
  const missing = new Set(own.map(({ text }) => text))
  let isInOrder = found.isClean
  const theirs = found.entries.filter(entry => {
    if (missing.delete(entry.text)) return false
    const stays = !taken.has(entry) && !isOver(entry)
    isInOrder &&= stays
    return stays
  })
  return { entries: [...own, ...theirs], isInOrder: isInOrder && missing.size === 0 }
}

/** `found`, and behind it those of `more` whose MAC and address nobody there has. */
export function addEntries(found: LeaseEntries, more: readonly LeaseEntry[]): LeaseEntries {
  const taken = new Claims()
  for (const entry of found.entries) taken.add(entry)
  const added = more.filter(entry => !taken.has(entry))
  return added.length === 0 ? found : { entries: [...found.entries, ...added], isClean: false }
}

/** MACs and addresses that entries have. */
class Claims {
  readonly #ips = new Set<number>()
  readonly #macs = new Set<number>()

  has({ ip, mac }: LeaseEntry): boolean {
    return (ip !== undefined && this.#ips.has(ip)) || (mac !== undefined && this.#macs.has(numberOf(mac)))
  }

  add({ ip, mac }: LeaseEntry): void {
    if (ip !== undefined) this.#ips.add(ip)
    if (mac !== undefined) this.#macs.add(numberOf(mac))
  }
}

const numberOf = ({ hi, lo }: Mac): number => hi * 2 ** 32 + lo
