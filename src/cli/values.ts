/**
 * Values of options: each reader says what it takes, and throws a UsageError that names what was given.
 */

import { UsageError } from '../errors.js'
import { formatMac, isStationMac, parseMac } from '../wire/mac.js'

/** IPv4's least MTU that every host must take (RFC 791), and the most a TAP takes. */
const MIN_MTU = 576
const MAX_MTU = 65_500

export function parseMtu(text: string): number {
  const mtu = Number(text)
  if (!/^\d+$/.test(text) || mtu < MIN_MTU || mtu > MAX_MTU) {
    throw new UsageError(`--mtu ${text} is not a number of bytes from ${MIN_MTU} to ${MAX_MTU}`, '--mtu 1500')
  }
  return mtu
}

/** A file mode in octal, such as 0660. */
export function parseMode(name: string, text: string): number {
  if (!/^0?[0-7]{3}$/.test(text))
    throw new UsageError(`--${name} ${text} is not an octal mode`, `--${name} 0660`)
  return Number.parseInt(text, 8)
}

export function parseChoice<T extends string>(name: string, text: string, choices: readonly T[]): T {
  const choice = choices.find(each => each === text)
  if (choice === undefined) {
    throw new UsageError(`--${name} ${text} is not one of ${choices.join(', ')}`, `--${name} ${choices[0]}`)
  }
  return choice
}

/** A minute: less would be a storm. A year is as good as for ever. */
const MIN_LEASE = 60
const MAX_LEASE = 366 * 86_400

/** Seconds, or a number with s, m, h or d behind it. */
export function parseSeconds(name: string, text: string, least = MIN_LEASE, most = MAX_LEASE): number {
  const [, digits, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  const factor = { s: 1, m: 60, h: 3600, d: 86_400 }[unit]
  const seconds = Number(digits) * (factor ?? NaN)
  if (!(seconds >= least && seconds <= most)) {
    const longest = `${most / 86_400}d`
    throw new UsageError(`--${name} ${text} is not a time from ${least}s to ${longest}`, `--${name} 1h`)
  }
  return seconds
}

/** A MAC that one station can have, as the daemon writes it. */
export function parseClientMac(name: string, text: string): string {
  const mac = parseMac(text)
  if (mac !== undefined && isStationMac(mac.hi, mac.lo)) return formatMac(mac.hi, mac.lo)
  throw new UsageError(`--${name} ${text} is not the MAC of one station`, `--${name} 52:54:00:12:34:56`)
}

/** DHCP's client identifier, 2 to 255 octets (RFC 2132 §9.14): hexadecimal digits, colons between octets or none. */
export function parseClientId(name: string, text: string): string {
  if (/^(?:[0-9a-f]{2}:?){1,254}[0-9a-f]{2}$/i.test(text)) return text.replaceAll(':', '').toLowerCase()
  throw new UsageError(
    `--${name} ${text} is not 2 to 255 octets in hexadecimal`,
    `--${name} 01:52:54:00:12:34:56`,
  )
}

/** A host name of one label (RFC 1123 §2.1). */
export function parseLabel(name: string, text: string): string {
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(text)) return text
  throw new UsageError(`--${name} ${text} is not a host name without dots`, `--${name} web-1`)
}
