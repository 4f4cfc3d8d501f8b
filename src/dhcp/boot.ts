// Which boot file a client gets. A network boot client says what it is: its processor architecture (option 93), or
// that it is iPXE (option 77 or 175), which comes after the first boot file and wants another one.
//
// Only boot clients get one. dnsmasq and Kea name the file to everybody; to a host that has booted it says nothing, and
// the field is room for options that did not fit.

import type { DhcpMessage } from '../wire/dhcp.js'
import { UsageError } from '../errors.js'
import { parseIpv4 } from '../wire/ipv4.js'
import {
  ARCHITECTURE,
  BOOT_FILE,
  getOption,
  IPXE,
  PARAMETER_LIST,
  TFTP_SERVER,
  USER_CLASS,
  VENDOR_CLASS,
} from './options.js'

export interface BootRule {
  /** Whom it is for: iPXE, one of these architectures, or any boot client that no other rule is for. */
  readonly match?: 'ipxe' | readonly number[]
  /** A path on the next server, or a URL; printable ASCII. */
  readonly file: string
  /** A uint32; the default is this server. */
  readonly nextServer?: number
  readonly serverName?: string
}

/** What option 67 holds in one part. */
const MOST_FILE = 255
/** `sname` with its NUL. */
const MOST_SERVER_NAME = 63

/**
 * Names for the numbers of IANA's "Processor Architecture Types". x64 has two: RFC 4578 says 9, firmware says 7.
 */
const ARCHITECTURES: Record<string, readonly number[]> = {
  bios: [0],
  'efi-ia32': [6],
  'efi-x64': [7, 9],
  'efi-arm32': [10],
  'efi-arm64': [11],
  'efi-riscv64': [27],
  'efi-ia32-http': [15],
  'efi-x64-http': [16],
  'efi-arm32-http': [18],
  'efi-arm64-http': [19],
  'efi-riscv64-http': [28],
}
const IPXE_MATCH = 'ipxe'
const IPXE_CLASS = 'iPXE'
const EXAMPLE = '--dhcp-boot efi-arm64:snp.efi,192.168.105.1'

/**
 * Reads rules, each `[MATCH:]FILE[,NEXT-SERVER[,SERVER-NAME]]`; the file may be a URL.
 * @throws UsageError naming what was given, what is wrong, and an example
 */
export function parseBootRules(texts: readonly string[]): BootRule[] {
  const rules: BootRule[] = []
  for (const text of texts) {
    const rule = parseBootRule(text)
    if (rules.some(({ match }) => String(match) === String(rule.match)))
      refuse(text, 'another file was given for the same clients')
    rules.push(rule)
  }
  return rules
}

function refuse(text: string, why: string): never {
  throw new UsageError(`--dhcp-boot ${text}: ${why}`, EXAMPLE)
}

function parseBootRule(text: string): BootRule {
  const colon = text.indexOf(':')
  const match = colon < 0 ? undefined : matchOf(text.slice(0, colon))
  const [file = '', next = '', serverName = '', ...rest] = text
    .slice(match === undefined ? 0 : colon + 1)
    .split(',')
  if (rest.length > 0) refuse(text, 'more than FILE,NEXT-SERVER,SERVER-NAME')
  if (file.length > MOST_FILE || !/^[\x21-\x7e]+$/.test(file))
    refuse(text, `the file is not 1 to ${MOST_FILE} ASCII characters without spaces`)
  // A word before a colon that is neither a known match nor the scheme of a URL is a slip of the hand.
  const word = /^([a-z0-9-]+):(?!\/\/)/i.exec(file)?.[1]
  if (match === undefined && word !== undefined)
    refuse(text, `"${word}" is not ${IPXE_MATCH}, ${Object.keys(ARCHITECTURES).join(', ')}, or a number`)
  const nextServer = next === '' ? undefined : parseIpv4(next)
  if (next !== '' && nextServer === undefined) refuse(text, `"${next}" is not an IPv4 address`)
  if (serverName.length > MOST_SERVER_NAME || !/^[\x21-\x7e]*$/.test(serverName))
    refuse(text, `the server name is over ${MOST_SERVER_NAME} ASCII characters, or has spaces`)
  return {
    file,
    ...(match !== undefined && { match }),
    ...(nextServer !== undefined && { nextServer }),
    ...(serverName !== '' && { serverName }),
  }
}

function matchOf(word: string): BootRule['match'] {
  if (word === IPXE_MATCH) return word
  if (Object.hasOwn(ARCHITECTURES, word)) return ARCHITECTURES[word]
  return /^\d{1,5}$/.test(word) && Number(word) <= 0xffff ? [Number(word)] : undefined
}

/**
 * The rule for the client behind a message, the most specific that there is: for iPXE, for its architecture, for any.
 * Undefined for a client that does not boot from the network.
 */
export function chooseBoot(rules: readonly BootRule[], { options }: DhcpMessage): BootRule | undefined {
  const architectures = getOption(options, ARCHITECTURE) ?? []
  const ipxe = isIpxe(options)
  const wishes = getOption(options, PARAMETER_LIST) ?? []
  if (
    !ipxe &&
    architectures.length === 0 &&
    !wishes.includes(TFTP_SERVER.code) &&
    !wishes.includes(BOOT_FILE.code)
  ) {
    return undefined
  }
  // Firmware that boots by HTTP takes nothing but a URL.
  const http = isHttpClient(options)
  const fits = ({ file }: BootRule): boolean => !http || /^https?:\/\//i.test(file)
  return (
    (ipxe ? rules.find(rule => rule.match === IPXE_MATCH && fits(rule)) : undefined) ??
    rules.find(
      ({ match, ...rule }) =>
        typeof match === 'object' && architectures.some(number => match.includes(number)) && fits(rule),
    ) ??
    rules.find(rule => rule.match === undefined && fits(rule))
  )
}

/** True for firmware that boots by HTTP (UEFI 2.10 §24.7): it takes no offer that does not say the same back. */
export function isHttpClient(options: DhcpMessage['options']): boolean {
  return getOption(options, VENDOR_CLASS)?.startsWith('HTTPClient') === true
}

/** iPXE sends its name as plain text; a client that follows RFC 3004 puts a length before each class. */
function isIpxe(options: DhcpMessage['options']): boolean {
  if (options.has(IPXE.code)) return true
  const bytes = getOption(options, USER_CLASS)
  if (bytes === undefined) return false
  const text = String.fromCharCode(...bytes)
  if (text === IPXE_CLASS) return true
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]!) {
    if (bytes[at] === IPXE_CLASS.length && text.startsWith(IPXE_CLASS, at + 1)) return true
  }
  return false
}
