// The options of a DHCP message in the fields that hold them: `options`, and where that is too small `file` and
// `sname` (option 52, RFC 2132 §9.3). Long options go in parts (RFC 3396).
//
// What is taken as it comes: padding anywhere, a missing END, an option in several parts, parts of one option in
// several fields. What is not: an option that runs past the end of its field.

const OPTION_PAD = 0
export const OPTION_OVERLOAD = 52
const OPTION_RELAY_AGENT = 82
const OPTION_SEARCH = 119
const OPTION_STATIC_ROUTES = 121
/** Of each route, behind the length of its network and the network itself. */
const ROUTER_OCTETS = 4
const OPTION_END = 255

/** Octets that one length octet can count. */
const LONGEST_PART = 255
/** Of a part: its code and its length. */
const PART_HEADER = 2
/** Option 52 with its one octet. */
const OVERLOAD_OCTETS = PART_HEADER + 1

/** Options or parts of them, in the order in which they stand in one field. */
export type OptionField = [code: number, part: Uint8Array][]

/** Where further parts of options lie: code, first octet and end of each, one after the other. */
export type LaterParts = number[]

/**
 * Adds the options from `at` to `end` to `options`, and what is a further part of one that is there to `later`, for
 * joinParts(); false if one runs past `end`.
 */
export function readOptions(
  bytes: Uint8Array,
  at: number,
  end: number,
  options: Map<number, Uint8Array>,
  later: LaterParts,
): boolean {
  while (at < end) {
    const code = bytes[at]!
    if (code === OPTION_END) return true
    if (code === OPTION_PAD) {
      at++
      continue
    }
    const value = at + PART_HEADER
    if (value > end || value + bytes[at + 1]! > end) return false
    at = value + bytes[at + 1]!
    if (options.has(code)) later.push(code, value, at)
    else options.set(code, bytes.slice(value, at))
  }
  return true
}

/**
 * Joins further parts to the first ones (RFC 3396 §7), each option in one go: a large frame may hold thousands of
 * parts, and to join them one by one would copy hundreds of megabytes.
 */
export function joinParts(bytes: Uint8Array, options: Map<number, Uint8Array>, later: LaterParts): void {
  const lengths = new Map<number, number>()
  for (let i = 0; i < later.length; i += 3) {
    const code = later[i]!
    const before = lengths.get(code) ?? options.get(code)!.length
    lengths.set(code, before + later[i + 2]! - later[i + 1]!)
  }
  const ends = new Map<number, number>()
  for (const [code, length] of lengths) {
    const first = options.get(code)!
    const joined = new Uint8Array(length)
    joined.set(first)
    options.set(code, joined)
    ends.set(code, first.length)
  }
  for (let i = 0; i < later.length; i += 3) {
    const code = later[i]!
    const joined = options.get(code)!
    let end = ends.get(code)!
    for (let at = later[i + 1]!; at < later[i + 2]!; at++) joined[end++] = bytes[at]!
    ends.set(code, end)
  }
}

/** Octets that an option takes in a field, the code and length of each part included. */
export function optionOctets(code: number, value: Uint8Array): number {
  let octets = value.length
  let from = 0
  do {
    octets += PART_HEADER
    from = partEnd(code, value, from, LONGEST_PART)
  } while (from < value.length)
  return octets
}

/**
 * Where the part of a value ends that begins at `from` and has up to `room` octets; `from` if nothing goes in. Readers
 * that join no parts should find whole things in each: routes (RFC 3442) in option 121, else numbers and addresses of up
 * to 4 octets.
 */
function partEnd(code: number, value: Uint8Array, from: number, room: number): number {
  const most = from + Math.min(room, LONGEST_PART)
  if (value.length <= most) return value.length
  if (code !== OPTION_STATIC_ROUTES) return most - ((most - from) % 4)
  let end = from
  for (;;) {
    const next = end + ROUTER_OCTETS + 1 + Math.ceil(value[end]! / 8)
    if (next > most) return end
    end = next
  }
}

/**
 * Divides options over the fields that have `rooms` octets, END included: `options`, `file`, `sname` (0 where a field
 * is not free). One field, the first, if all fit there; else three, and option 52 among the first says which of the
 * others are used. Undefined if there is no room.
 *
 * Only what is longer than a part can count is split: some clients join no parts, and nobody has to (RFC 3396 §4). Relay
 * agent information stays last in the first field (RFC 3046 §2.2).
 */
export function layOutOptions(
  options: ReadonlyMap<number, Uint8Array>,
  rooms: readonly [options: number, file: number, sname: number],
): OptionField[] | undefined {
  let octets = 1
  for (const [code, value] of options) octets += optionOctets(code, value)
  if (octets <= rooms[0]) return [[...options]]

  const left = rooms.map(room => room - 1)
  const relay = options.get(OPTION_RELAY_AGENT)
  left[0]! -= OVERLOAD_OCTETS + (relay ? optionOctets(OPTION_RELAY_AGENT, relay) : 0)
  if (left[0]! < 0) return undefined
  const fields: OptionField[] = [[], [], []]
  for (const [code, value] of options) {
    if (code !== OPTION_RELAY_AGENT && !place(fields, left, code, value)) return undefined
  }
  const overload = (fields[1]!.length > 0 ? 1 : 0) | (fields[2]!.length > 0 ? 2 : 0)
  // Behind the message type, which sloppy clients look for in the first place.
  fields[0]!.splice(1, 0, [OPTION_OVERLOAD, Uint8Array.of(overload)])
  if (relay) fields[0]!.push([OPTION_RELAY_AGENT, relay])
  return fields
}

/** Puts an option into the first field with room for it, or the parts of a long one into what is left of each. */
function place(fields: OptionField[], left: number[], code: number, value: Uint8Array): boolean {
  const octets = optionOctets(code, value)
  const whole = left.findIndex(room => octets <= room)
  if (whole >= 0) {
    left[whole]! -= octets
    fields[whole]!.push([code, value])
    return true
  }
  // The names of a search list point at each other, and many readers look at one field at a time.
  if (value.length <= LONGEST_PART || code === OPTION_SEARCH) return false
  let from = 0
  for (const [i, field] of fields.entries()) {
    while (from < value.length) {
      const end = partEnd(code, value, from, left[i]! - PART_HEADER)
      if (end <= from) break
      field.push([code, value.subarray(from, end)])
      left[i]! -= PART_HEADER + end - from
      from = end
    }
  }
  return from === value.length
}

/** Octets of a field with END. */
export function fieldOctets(field: OptionField): number {
  let octets = 1
  for (const [code, part] of field) octets += optionOctets(code, part)
  return octets
}

/** Writes a field at `at`, those over 255 octets in parts, and END. */
export function writeField(bytes: Uint8Array, at: number, field: OptionField): void {
  for (const [code, value] of field) {
    let from = 0
    do {
      const part = value.subarray(from, partEnd(code, value, from, LONGEST_PART))
      bytes[at] = code
      bytes[at + 1] = part.length
      bytes.set(part, at + PART_HEADER)
      at += PART_HEADER + part.length
      from += part.length
    } while (from < value.length)
  }
  bytes[at] = OPTION_END
}
