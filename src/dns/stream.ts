/**
 * DNS messages in a TCP stream, each behind its length (RFC 1035 §4.2.2).
 */

import { DNS_LENGTH } from '../wire/dns.js'

/** A message as it goes into a stream. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(DNS_LENGTH)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

/** Cuts a stream into messages. What waits here is one message and what came with its end: its user reads no further. */
export class MessageReader {
  #buffer = Buffer.alloc(0)
  #length = 0

  /** Takes what came; the first message that is whole by now, if one is. */
  push(chunk: Buffer): Buffer | undefined {
    const length = this.#length + chunk.length
    if (length > this.#buffer.length) {
      // Twice the size: a peer may send its bytes one by one, and they are not to be moved for each.
      const larger = Buffer.alloc(Math.max(length, 2 * this.#buffer.length))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    chunk.copy(this.#buffer, this.#length)
    this.#length = length
    return this.next()
  }

  /** The next message that is whole. */
  next(): Buffer | undefined {
    if (this.#length < DNS_LENGTH) return undefined
    const end = DNS_LENGTH + this.#buffer.readUInt16BE()
    if (this.#length < end) return undefined
    const message = Buffer.from(this.#buffer.subarray(DNS_LENGTH, end))
    this.#buffer = Buffer.from(this.#buffer.subarray(end, this.#length))
    this.#length -= end
    return message
  }
}
