// DHCP messages (RFC 2131 §2): the fixed BOOTP header, the magic cookie, options.
//
// A message is parsed into an object that owns its bytes, since a reply may wait for a disk long after
// the borrowed buffer is reused. How options lie in their fields is the business of dhcp-fields.ts.

import { readU16, readU32, writeU16, writeU32 } from './bytes.js'
import {
  fieldOctets,
  joinParts,
  layOutOptions,
  OPTION_OVERLOAD,
  type LaterParts,
  readOptions,
  writeField,
} from './dhcp-fields.js'

const OP = 0
const HTYPE = 1
const HLEN = 2
const HOPS = 3
const XID = 4
const SECS = 8
const FLAGS = 10
const CIADDR = 12
const YIADDR = 16
const SIADDR = 20
const GIADDR = 24
const CHADDR = 28
const SNAME = 44
const FILE = 108
const COOKIE = 236
const OPTIONS = 240

const SNAME_LENGTH = FILE - SNAME
const FILE_LENGTH = COOKIE - FILE
const CHADDR_LENGTH = SNAME - CHADDR

const MAGIC = 0x63825363

export const DHCP_SERVER_PORT = 67
export const DHCP_CLIENT_PORT = 68

/** `op` of what clients send, and of what servers send. */
export const BOOT_REQUEST = 1
export const BOOT_REPLY = 2
export const HTYPE_ETHERNET = 1
/** In `flags`: the client cannot take unicast yet (RFC 2131 §4.1). */
export const FLAG_BROADCAST = 0x8000

/** Relays and old clients drop what is shorter than a BOOTP message (RFC 951 §3). */
const BOOTP_LENGTH = 300
export interface DhcpMessage {
  op: number
  htype: number
  hlen: number
  hops: number
  xid: number
  /** Seconds since the client began. */
  secs: number
  flags: number
  /** The client's, your (the client's to be), next server's and relay's address: uint32, 0 for none. */
  ciaddr: number
  yiaddr: number
  siaddr: number
  giaddr: number
  /** All 16 octets of the hardware address field. */
  chaddr: Uint8Array
  /** Server host name and boot file, Latin-1; empty where option 52 put options in their place. */
  sname: string
  file: string
  /** Code to value, the parts of a long option joined, in the order of their first parts. */
  options: Map<number, Uint8Array>
}

/** Why some bytes are no DHCP message: the name a drop is counted under. */
export type DhcpFault = 'bootp-short' | 'bootp-cookie' | 'bootp-options'

/** Parses the `length` octets at `at`, all of a UDP payload. Never throws. */
export function parseDhcp(bytes: Uint8Array, at: number, length: number): DhcpMessage | DhcpFault {
  if (length < OPTIONS) return 'bootp-short'
  if (readU32(bytes, at + COOKIE) !== MAGIC) return 'bootp-cookie'
  const options = new Map<number, Uint8Array>()
  const later: LaterParts = []
  if (!readOptions(bytes, at + OPTIONS, at + length, options, later)) return 'bootp-options'
  const overload = options.get(OPTION_OVERLOAD)
  const fields = overload?.length === 1 ? overload[0]! : 0
  // RFC 3396 §5: the options field first, then file, then sname.
  if (fields & 1 && !readOptions(bytes, at + FILE, at + COOKIE, options, later)) return 'bootp-options'
  if (fields & 2 && !readOptions(bytes, at + SNAME, at + FILE, options, later)) return 'bootp-options'
  if (later.length > 0) joinParts(bytes, options, later)
  options.delete(OPTION_OVERLOAD)
  return {
    op: bytes[at + OP]!,
    htype: bytes[at + HTYPE]!,
    hlen: bytes[at + HLEN]!,
    hops: bytes[at + HOPS]!,
    xid: readU32(bytes, at + XID),
    secs: readU16(bytes, at + SECS),
    flags: readU16(bytes, at + FLAGS),
    ciaddr: readU32(bytes, at + CIADDR),
    yiaddr: readU32(bytes, at + YIADDR),
    siaddr: readU32(bytes, at + SIADDR),
    giaddr: readU32(bytes, at + GIADDR),
    chaddr: bytes.slice(at + CHADDR, at + SNAME),
    sname: fields & 2 ? '' : readText(bytes, at + SNAME, at + FILE),
    file: fields & 1 ? '' : readText(bytes, at + FILE, at + COOKIE),
    options,
  }
}

/**
 * The octets of a message: options in the order of the map, those over 255 octets in parts (RFC 3396 §6),
 * END, and padding to a BOOTP message's 300. Names too long for their field are cut.
 */
export function emitDhcp(message: DhcpMessage): Uint8Array {
  return emitDhcpWithin(message, Infinity)!
}

/**
 * The same in at most `most` octets (300 or more): what does not fit behind the header goes into `file` and `sname`,
 * where they are empty. Undefined if the options do not fit even so.
 */
export function emitDhcpWithin(message: DhcpMessage, most: number): Uint8Array | undefined {
  const { file, sname } = message
  const fields = layOutOptions(message.options, [
    most - OPTIONS,
    file === '' ? FILE_LENGTH : 0,
    sname === '' ? SNAME_LENGTH : 0,
  ])
  if (fields === undefined) return undefined
  const [inOptions, inFile = [], inSname = []] = fields
  const bytes = new Uint8Array(Math.max(BOOTP_LENGTH, OPTIONS + fieldOctets(inOptions!)))
  bytes[OP] = message.op
  bytes[HTYPE] = message.htype
  bytes[HLEN] = message.hlen
  bytes[HOPS] = message.hops
  writeU32(bytes, XID, message.xid)
  writeU16(bytes, SECS, message.secs)
  writeU16(bytes, FLAGS, message.flags)
  writeU32(bytes, CIADDR, message.ciaddr)
  writeU32(bytes, YIADDR, message.yiaddr)
  writeU32(bytes, SIADDR, message.siaddr)
  writeU32(bytes, GIADDR, message.giaddr)
  bytes.set(message.chaddr.subarray(0, CHADDR_LENGTH), CHADDR)
  if (inSname.length > 0) writeField(bytes, SNAME, inSname)
  else writeText(bytes, SNAME, SNAME_LENGTH, sname)
  if (inFile.length > 0) writeField(bytes, FILE, inFile)
  else writeText(bytes, FILE, FILE_LENGTH, file)
  writeU32(bytes, COOKIE, MAGIC)
  writeField(bytes, OPTIONS, inOptions!)
  return bytes
}

/** Latin-1 up to the first NUL. */
function readText(bytes: Uint8Array, at: number, end: number): string {
  let text = ''
  for (; at < end && bytes[at] !== 0; at++) text += String.fromCharCode(bytes[at]!)
  return text
}

/** Latin-1, always with a NUL behind it: what does not fit is cut. */
function writeText(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let i = 0; i < text.length && i < length - 1; i++) bytes[at + i] = text.charCodeAt(i)
}
