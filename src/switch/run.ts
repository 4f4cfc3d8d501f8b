/**
 * A framed run: a stretch of a byte buffer that holds frames one behind the other, each after its length as a
 * 32-bit big-endian number that does not count itself. It is what QEMU's stream socket carries, and what every
 * reader of this project lays into its buffer, so that one walk serves all ports.
 */

/** Bytes of the length that stands before each frame. */
export const LENGTH_BYTES = 4

/** The longest frame that the framing may announce (socket_vmnet's limit); more breaks the port's framing. */
export const MAX_FRAME = 65_536

/** An Ethernet header: the shortest frame. Guests send ARP unpadded, 42 bytes, so 60 is not a limit here. */
export const MIN_FRAME = 14

/** Room for one read of many frames, and always for one frame of the greatest length. */
export const RUN_BYTES = 256 * 1024

/** Ports that one run can leave by: one for each that a switch takes. */
export const MAX_DEPARTURES = 512

export class Run {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** What native code sends after its run was walked: how many ports, then (slot, stretches, frames) for each. */
  readonly departures = new Int32Array(1 + 3 * MAX_DEPARTURES)

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  static allocate(length: number = RUN_BYTES): Run {
    return new Run(new Uint8Array(length))
  }
}
