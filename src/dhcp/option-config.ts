// Options as people write them: NAME=VALUE for those with a name here, NUMBER=HEX for any other. They are encoded
// once, when they are read. `none` leaves out what the server would say by itself.

import { UsageError } from '../errors.js'
import { fromHex } from '../wire/bytes.js'
import { isDomainName } from '../wire/dns-name.js'
import { parseCidr, parseIpv4 } from '../wire/ipv4.js'
import * as option from './options.js'
import type { DhcpOption, StaticRoute } from './options.js'

export interface OptionConfig {
  /** Code to encoded value, in the order in which they were given; an empty value leaves a default out. */
  options: Map<number, Uint8Array>
  /** A uint32: no option, but a field of the header (siaddr). */
  nextServer?: number
}

/** How the value of a named option is written. */
interface Syntax {
  code: number
  /** The encoded value, or undefined for a text that is none. */
  encode(text: string): Uint8Array | undefined
  decode(bytes: Uint8Array): unknown
  /** What a value is, to stand behind "is not". */
  wants: string
  example: string
}

/** RFC 791 §3.1, and what option 26 can say (RFC 2132 §5.1). */
const LEAST_MTU = 68
const MOST_MTU = 0xffff
/** MIN_V6ONLY_WAIT (RFC 8925 §3.4). */
const LEAST_V6ONLY_WAIT = 300
/** Text goes in one part: some clients join none. */
const MOST_TEXT = 255
/** What a reply of an Ethernet frame has room for, beside the rest. */
const MOST_OCTETS = 1024

/** Reads a value with `read`, and encodes it as `of` has it. */
function syntax<T>(
  of: DhcpOption<T>,
  read: (text: string) => T | undefined,
  wants: string,
  example: string,
): Syntax {
  const encode = (text: string): Uint8Array | undefined => {
    const value = read(text)
    return value === undefined ? undefined : of.encode(value)
  }
  return { code: of.code, encode, decode: of.decode, wants, example }
}

/** The members of a comma-separated list, if `read` takes each. */
function list<T>(read: (text: string) => T | undefined): (text: string) => T[] | undefined {
  return text => {
    const values = text.split(',').map(read)
    return values.some(value => value === undefined) ? undefined : (values as T[])
  }
}

function number(least: number, most: number): (text: string) => number | undefined {
  return text => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : -1
    return value >= least && value <= most ? value : undefined
  }
}

const printable = (text: string): string | undefined =>
  text.length <= MOST_TEXT && /^[\x20-\x7e]+$/.test(text) ? text : undefined

const domainName = (text: string): string | undefined => (isDomainName(text) ? text : undefined)

function readHex(text: string): Uint8Array | undefined {
  const digits = /^[0-9a-f]{2}(:[0-9a-f]{2})+$/i.test(text)
    ? text.replaceAll(':', '')
    : text.replace(/^0x/i, '')
  const bytes = fromHex(digits)
  return bytes && bytes.length > 0 && bytes.length <= MOST_OCTETS ? bytes : undefined
}

/** NET/LEN,ROUTER pairs; a bit of NET behind LEN is a slip of the hand. */
function readRoutes(text: string): StaticRoute[] | undefined {
  const words = text.split(',')
  const routes: StaticRoute[] = []
  for (let i = 0; i < words.length; i += 2) {
    const network = parseCidr(words[i]!)
    const router = parseIpv4(words[i + 1] ?? '')
    if (network === undefined || network.address !== network.network || router === undefined) return undefined
    routes.push({ network, router })
  }
  return routes
}

const ADDRESSES = 'a list of IPv4 addresses'
const TEXT = `text of 1 to ${MOST_TEXT} ASCII characters`
const HEX = `octets in hexadecimal (dead, 0xdead, de:ad), at most ${MOST_OCTETS}`

const NAMED: Record<string, Syntax> = {
  router: syntax(option.ROUTER, list(parseIpv4), ADDRESSES, '192.168.105.1'),
  dns: syntax(option.DNS, list(parseIpv4), ADDRESSES, '192.168.105.1,1.1.1.1'),
  ntp: syntax(option.NTP, list(parseIpv4), ADDRESSES, '192.168.105.1'),
  'log-server': syntax(option.LOG_SERVER, list(parseIpv4), ADDRESSES, '192.168.105.1'),
  domain: syntax(option.DOMAIN, domainName, 'a domain name', 'lab.internal'),
  search: syntax(option.SEARCH, list(domainName), 'a list of domain names', 'lab.internal,example.com'),
  hostname: syntax(
    option.HOSTNAME,
    text => (isDomainName(text) && text.length <= MOST_TEXT ? text : undefined),
    'a host name',
    'web',
  ),
  timezone: syntax(option.TIMEZONE, printable, TEXT, 'Europe/Berlin'),
  mtu: syntax(
    option.MTU,
    number(LEAST_MTU, MOST_MTU),
    `a number of octets from ${LEAST_MTU} to ${MOST_MTU}`,
    '1400',
  ),
  broadcast: syntax(option.BROADCAST, parseIpv4, 'an IPv4 address', '192.168.105.255'),
  'static-routes': syntax(
    option.STATIC_ROUTES,
    readRoutes,
    'NET/LEN,ROUTER[,NET/LEN,ROUTER...] with no bit of NET set behind LEN',
    '10.0.0.0/8,192.168.105.1',
  ),
  'root-path': syntax(option.ROOT_PATH, printable, TEXT, '192.168.105.1:/srv/root'),
  'tftp-server': syntax(option.TFTP_SERVER, printable, TEXT, '192.168.105.1'),
  'boot-file': syntax(option.BOOT_FILE, printable, TEXT, 'undionly.kpxe'),
  vendor: syntax(option.VENDOR, readHex, HEX, '01:04:c0:a8:69:01'),
  'ipv6-only': syntax(
    option.IPV6_ONLY,
    number(LEAST_V6ONLY_WAIT, 0xffffffff),
    `a number of seconds, ${LEAST_V6ONLY_WAIT} or more`,
    '1800',
  ),
  'auto-configure': syntax(
    option.AUTO_CONFIGURE,
    text => (text === 'yes' ? 1 : text === 'no' ? 0 : undefined),
    'yes or no',
    'no',
  ),
}

const NEXT_SERVER = 'next-server'

/** What the server says without being told; `none` is for them. */
const DEFAULTS = ['router', 'dns', 'broadcast', 'mtu', 'hostname']

/** Why these are nobody's to set. */
const OF_THE_PROTOCOL: Record<number, string> = {
  0: 'is padding',
  1: 'is the subnet mask, which comes with the gateway',
  50: 'is what a client asks for',
  51: 'is the lease time, which has a setting of its own',
  52: 'says how options are laid out',
  53: 'is the type of the message',
  54: 'is the address of this server',
  55: 'is what a client asks for',
  56: 'is the reason of a refusal',
  57: 'is what a client can take',
  58: 'follows from the lease time',
  59: 'follows from the lease time',
  61: 'is the identifier of a client',
  80: 'is part of the exchange',
  82: 'is what a relay says',
  255: 'is the end of the options',
}

/** Says what is wrong with an option as it was given, and a form that is right. */
type Refuse = (text: string, why: string, example?: string) => never

/**
 * Reads options, each NAME=VALUE or NUMBER=HEX.
 * @param what they are called where they come from
 * @throws UsageError naming the option, what was given, and a form that is right
 */
export function parseOptions(
  texts: readonly string[],
  what: '--dhcp-option' | 'option' = '--dhcp-option',
): OptionConfig {
  const config: OptionConfig = { options: new Map() }
  // On a command line the right form is one that can be typed.
  const before = what === 'option' ? '' : `${what} `
  const refuse: Refuse = (text, why, example) => {
    throw new UsageError(`${what} ${text}: ${why}`, example === undefined ? 'leave it out' : before + example)
  }
  const refuseTwice = (text: string): never => refuse(text, 'the option was given before')
  for (const text of texts) {
    const equals = text.indexOf('=')
    const name = text.slice(0, Math.max(0, equals))
    const value = text.slice(equals + 1)
    if (equals < 1) refuse(text, 'is not NAME=VALUE or NUMBER=HEX', 'ntp=192.168.105.1')
    if (name === NEXT_SERVER) {
      const nextServer = parseIpv4(value)
      if (nextServer === undefined) refuse(text, `"${value}" is not an IPv4 address`, `${name}=192.168.105.1`)
      if (config.nextServer !== undefined) refuseTwice(text)
      config.nextServer = nextServer
      continue
    }
    const [code, bytes] = Object.hasOwn(NAMED, name)
      ? parseNamed(text, name, value, refuse)
      : parseNumbered(text, name, value, refuse)
    if (config.options.has(code)) refuseTwice(text)
    config.options.set(code, bytes)
  }
  return config
}

function parseNamed(
  text: string,
  name: string,
  value: string,
  refuse: Refuse,
): [code: number, bytes: Uint8Array] {
  const { code, encode, wants, example } = NAMED[name]!
  if (value === 'none' && DEFAULTS.includes(name)) return [code, new Uint8Array(0)]
  const bytes = encode(value)
  if (bytes === undefined || bytes.length > MOST_OCTETS)
    refuse(text, `"${value}" is not ${wants}`, `${name}=${example}`)
  return [code, bytes]
}

function parseNumbered(
  text: string,
  name: string,
  value: string,
  refuse: Refuse,
): [code: number, bytes: Uint8Array] {
  if (!/^\d+$/.test(name)) {
    const names = [...Object.keys(NAMED), NEXT_SERVER].join(', ')
    return refuse(
      text,
      `there is no option "${name}"; the names are ${names}, and any other goes by its number in hexadecimal`,
      '224=dead',
    )
  }
  const code = Number(name)
  const reason = OF_THE_PROTOCOL[code]
  if (reason !== undefined) refuse(text, `option ${code} ${reason}`)
  if (code > 254) refuse(text, `"${name}" is not a number from 1 to 254`, '224=dead')
  const known = Object.entries(NAMED).find(([, syntax]) => syntax.code === code)
  const example = known ? `${known[0]}=${known[1].example}` : `${code}=dead`
  const bytes = readHex(value)
  if (bytes === undefined) refuse(text, `"${value}" is not ${HEX}`, example)
  if (known && known[1].decode(bytes) === undefined)
    refuse(text, `"${value}" is not what option ${code} can hold`, example)
  return [code, bytes]
}
