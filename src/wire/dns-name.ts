// Lists of DNS names as octets (RFC 1035 §3.1), with the pointers that make them short (§4.1.4), as the domain
// search option has them (RFC 3397 §2): pointers count from the start of the list.

const MOST_LABEL = 63
/** Octets of a name, each label's length and the root's included. */
const MOST_NAME = 255
const POINTER = 0xc0
/** A pointer has 14 bits. */
const MOST_OFFSET = 0x3fff

/** True for `lab.internal`: labels of letters, digits and inner hyphens (RFC 1123 §2.1), no dot at the end. */
export function isDomainName(text: string): boolean {
  return /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(
    text,
  )
}

/** The octets of names, each true to isDomainName(); an ending that stood before is a pointer to it. */
export function encodeNames(names: readonly string[]): Uint8Array {
  const bytes: number[] = []
  const offsets = new Map<string, number>()
  for (const name of names) {
    const labels = name.split('.')
    let pointer: number | undefined
    for (; labels.length > 0; labels.shift()) {
      const ending = labels.join('.').toLowerCase()
      pointer = offsets.get(ending)
      if (pointer !== undefined) break
      if (bytes.length <= MOST_OFFSET) offsets.set(ending, bytes.length)
      bytes.push(labels[0]!.length, ...Array.from(labels[0]!, character => character.charCodeAt(0)))
    }
    if (pointer === undefined) bytes.push(0)
    else bytes.push(POINTER | (pointer >>> 8), pointer & 255)
  }
  return Uint8Array.from(bytes)
}

/** The names in `bytes`, all of them; undefined for none, or for what is cut off, too long, or points ahead. */
export function decodeNames(bytes: Uint8Array): string[] | undefined {
  const names: string[] = []
  for (let at = 0; at < bytes.length;) {
    const name = decodeName(bytes, at)
    if (name === undefined) return undefined
    names.push(name.text)
    at = name.end
  }
  return names.length > 0 ? names : undefined
}

function decodeName(bytes: Uint8Array, start: number): { text: string; end: number } | undefined {
  const labels: string[] = []
  let octets = 1
  let end: number | undefined
  for (let at = start, before = start; ;) {
    const length = bytes[at]
    if (length === undefined) return undefined
    if (length === 0) return labels.length > 0 ? { text: labels.join('.'), end: end ?? at + 1 } : undefined
    if (length >= POINTER) {
      const target = ((length & ~POINTER) << 8) | bytes[at + 1]!
      // Ever further back, so that it ends.
      if (at + 1 >= bytes.length || target >= before) return undefined
      end ??= at + 2
      at = before = target
      continue
    }
    octets += 1 + length
    if (length > MOST_LABEL || octets > MOST_NAME || at + 1 + length > bytes.length) return undefined
    labels.push(String.fromCharCode(...bytes.subarray(at + 1, at + 1 + length)))
    at += 1 + length
  }
}
