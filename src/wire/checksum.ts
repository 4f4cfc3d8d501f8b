// The Internet checksum (RFC 1071) and the pseudo headers that UDP and ICMPv6 put before it.
//
// Sums are kept as plain numbers and folded once at the end: 64 KiB of 0xffff words and a pseudo header
// stay under 2^32, so no carry is lost on the way.

/** Adds `length` octets at `at` to `sum` as big-endian 16-bit words; an odd last octet is padded with zero. */
export function sumWords(bytes: Uint8Array, at: number, length: number, sum = 0): number {
  const even = at + (length & ~1)
  for (let i = at; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  return length & 1 ? sum + (bytes[even]! << 8) : sum
}

/** Folds the carries of `sum` (under 2^32) and complements: what goes into a checksum field, 0 to 0xffff. */
export function finishChecksum(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/**
 * The checksum of `length` octets at `at` upon an earlier `sum`. Over data that holds its own right
 * checksum it is 0.
 */
export function checksum(bytes: Uint8Array, at: number, length: number, sum = 0): number {
  return finishChecksum(sumWords(bytes, at, length, sum))
}

/**
 * The pseudo header sum of an IPv4 packet whose header is at `ip` (RFC 768): addresses, protocol, and
 * the `length` in octets of what follows the header.
 */
export function pseudoHeader4(bytes: Uint8Array, ip: number, protocol: number, length: number): number {
  return sumWords(bytes, ip + 12, 8) + protocol + length
}

/**
 * The pseudo header sum of an IPv6 packet whose header is at `ip` (RFC 8200 §8.1); `length` is the
 * upper-layer packet's in octets, under 64 Ki.
 */
export function pseudoHeader6(bytes: Uint8Array, ip: number, nextHeader: number, length: number): number {
  return sumWords(bytes, ip + 8, 32) + nextHeader + length
}
