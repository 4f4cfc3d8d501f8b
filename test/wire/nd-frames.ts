// Neighbour discovery frames as a station sends them, for tests of what reads them.

import type { Mac } from '../../src/wire/mac.js'
import { writeU16, writeU32 } from '../../src/wire/bytes.js'
import { checksum, pseudoHeader6 } from '../../src/wire/checksum.js'
import { emitEthernet, ETHERNET_HEADER, ETHERTYPE_IPV6 } from '../../src/wire/ethernet.js'
import * as nd from '../../src/wire/icmpv6.js'
import { IPV6_HEADER, NEXT_HEADER_ICMPV6, parseIpv6 } from '../../src/wire/ipv6.js'
import { writeMac } from '../../src/wire/mac.js'

const IP = ETHERNET_HEADER
const ND = IP + IPV6_HEADER
const ALL_NODES = { hi: 0x3333, lo: 1 }

export interface NeighborFrame {
  /** NEIGHBOR_SOLICITATION or NEIGHBOR_ADVERTISEMENT. */
  type: number
  source: string
  target: string
  /** The Ethernet source. */
  from: Mac
  /** The MAC in the link-layer option of the type's kind; none without. */
  option?: Mac
}

export function neighborFrame({ type, source, target, from, option }: NeighborFrame): Uint8Array {
  const frame = new Uint8Array(ND + 24 + (option ? 8 : 0))
  emitEthernet(frame, 0, { destination: ALL_NODES, source: from, type: ETHERTYPE_IPV6 })
  frame[IP] = 0x60
  writeU16(frame, IP + 4, frame.length - ND)
  frame[IP + 6] = NEXT_HEADER_ICMPV6
  frame[IP + 7] = 255
  address(frame, IP + 8, source)
  address(frame, IP + 24, 'ff02::1')
  frame[ND] = type
  address(frame, ND + nd.ND_TARGET, target)
  if (option) {
    const isSolicitation = type === nd.NEIGHBOR_SOLICITATION
    frame[ND + 24] = isSolicitation ? nd.OPTION_SOURCE_LINK_LAYER : nd.OPTION_TARGET_LINK_LAYER
    frame[ND + 25] = 1
    writeMac(frame, ND + 26, option.hi, option.lo)
  }
  refresh(frame)
  return frame
}

/** Makes the ICMPv6 checksum right again. */
export function refresh(frame: Uint8Array): void {
  const length = frame.length - ND
  writeU16(frame, ND + 2, 0)
  const sum = pseudoHeader6(frame, IP, NEXT_HEADER_ICMPV6, length)
  writeU16(frame, ND + 2, checksum(frame, ND, length, sum))
}

function address(frame: Uint8Array, at: number, text: string): void {
  for (const [i, word] of parseIpv6(text)!.entries()) writeU32(frame, at + 4 * i, word)
}
