/**
 * UUIDs as people write them (RFC 9562 §4), and as 16 bytes.
 */

const TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** The 16 bytes of `550e8400-e29b-41d4-a716-446655440000`; undefined for any other form. */
export function parseUuid(text: string): Uint8Array | undefined {
  if (!TEXT.test(text)) return undefined
  return new Uint8Array(Buffer.from(text.replaceAll('-', ''), 'hex'))
}

/** In lower case, as RFC 9562 §4 wants it. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
