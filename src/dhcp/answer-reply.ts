// What talosctl's own DHCP server says to a client that it knows (siderolabs/talos, pkg/provision/providers/vm/dhcpd.go,
// v1.13.9 and v1.14.0-rc.1, and the library that makes its replies), field by field, from a reservation:
//
//   header   hops, secs and ciaddr are 0, also in the ACK of a renewal; xid, flags, giaddr and chaddr as they came;
//            yiaddr is the reserved address, also in the ACK of an INFORM; siaddr is the gateway; sname and file empty
//   always   mask, router, 300 s, type, server; what the client sent of 61 (RFC 6842) and 82 (RFC 3046)
//   on wish  DNS, hostname, MTU; with 67 the boot server (66 and siaddr) and the boot file. One without a list of wishes
//            gets them all (RFC 2131 §3.5)
//   order    by number, 82 last
//   never    121, whose taker would not look at the router (RFC 3442); NTP; T1 and T2, which follow from the lease time
//
// Other than there: an option that has nothing in it is not sent, what is more than the client takes is left out, and
// a boot server without a file makes the file `ipxe/ARCH/snp.efi`, which talosctl itself writes into such records.

import type { ReceivedDhcp } from './receive.js'
import type { Reservation } from './reservations.js'
import type { ReservedOptions } from './reserved-options.js'
import { BridgeError } from '../errors.js'
import { BOOT_REPLY, HTYPE_ETHERNET } from '../wire/dhcp.js'
import { type Cidr, parseIpv4 } from '../wire/ipv4.js'
import { type Mac, MAC_LENGTH } from '../wire/mac.js'
import * as option from './options.js'
import { type ACK, getOption, type OFFER, setOption } from './options.js'
import { frameReply } from './reply-frame.js'

/** How long an address is told to be good for; nobody else gets it when that is over. */
export const ANSWER_LEASE_SECONDS = 300

export interface Answerer {
  readonly serverMac: Mac
  /** The gateway's address, a uint32. */
  readonly serverIp: number
  readonly subnet: Cidr
  /** Octets of an IP packet, for a reservation that says no other. */
  readonly mtu: number
}

const { SUBNET_MASK, ROUTER, DNS, HOSTNAME, MTU, LEASE_TIME, MESSAGE_TYPE, SERVER_ID } = option
const { CLIENT_ID, TFTP_SERVER, BOOT_FILE, RELAY_AGENT } = option

/** Options of a reservation that are told; a client identifier and what a relay says come from the client. */
const TOLD = [ROUTER, DNS, HOSTNAME, MTU, TFTP_SERVER, BOOT_FILE].map(({ code }) => code)
/** What is sent though there is little room. */
const MUST = [SUBNET_MASK, LEASE_TIME, MESSAGE_TYPE, SERVER_ID, CLIENT_ID].map(({ code }) => code)

/** talosctl's names of the architectures, by the numbers that clients boot by (RFC 4578 §2.1; x64 has two). */
const BOOT_ARCHITECTURES: readonly (readonly [name: string, numbers: readonly number[]])[] = [
  ['amd64', [7, 9]],
  ['arm64', [11]],
]

const NO_OPTIONS: ReservedOptions = { options: new Map(), texts: [] }

/** @throws BridgeError unless a reservation is for a MAC, and has only options that are told here */
export function checkAnswerable({ match, options = NO_OPTIONS }: Reservation): void {
  if (!('mac' in match)) {
    throw new BridgeError('ERR_RESERVATION_MATCH', 'this network answers by hardware address alone', {
      hint: '--mac 52:54:00:12:34:56',
    })
  }
  const other = [...options.options.keys()].find(code => !TOLD.includes(code))
  if (other === undefined) return
  throw new BridgeError('ERR_RESERVATION_OPTIONS', `this network's DHCP never tells option ${other}`, {
    hint: 'router, dns, hostname, mtu, tftp-server, boot-file and next-server are told',
  })
}

/** The whole Ethernet frame that answers `request`, whose client `reservation` is for. */
export function answerFrame(
  answerer: Answerer,
  request: ReceivedDhcp,
  reservation: Reservation,
  type: typeof OFFER | typeof ACK,
): Uint8Array {
  const { serverIp } = answerer
  const isWished = wishesOf(request)
  const options = optionsOf(answerer, request, reservation, type, isWished)
  const reply = {
    op: BOOT_REPLY,
    htype: HTYPE_ETHERNET,
    hlen: MAC_LENGTH,
    hops: 0,
    xid: request.xid,
    secs: 0,
    flags: request.flags,
    ciaddr: 0,
    yiaddr: reservation.ip,
    siaddr: isWished(BOOT_FILE.code) ? bootServerOf(reservation, serverIp) : serverIp,
    giaddr: request.giaddr,
    // Without what stood behind the address in its field.
    chaddr: request.chaddr.subarray(0, MAC_LENGTH),
    sname: '',
    file: '',
    options: new Map([...options].sort(([one], [other]) => place(one) - place(other))),
  }
  return frameReply(answerer, request, reply, MUST)
}

/** RFC 3046 §2.1: what a relay says comes last. */
const place = (code: number): number => (code === RELAY_AGENT.code ? Infinity : code)

function optionsOf(
  { serverIp, subnet, mtu }: Answerer,
  request: ReceivedDhcp,
  { hostname, options: { options: own } = NO_OPTIONS }: Reservation,
  type: number,
  isWished: (code: number) => boolean,
): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>()
  setOption(options, MESSAGE_TYPE, type)
  setOption(options, SUBNET_MASK, subnet.netmask)
  setOption(options, LEASE_TIME, ANSWER_LEASE_SECONDS)
  setOption(options, SERVER_ID, serverIp)
  options.set(ROUTER.code, own.get(ROUTER.code) ?? ROUTER.encode([serverIp]))
  // A reply has no longer ones.
  for (const { code } of [CLIENT_ID, RELAY_AGENT]) {
    const value = request.options.get(code)
    if (value && value.length <= 255) options.set(code, value)
  }
  const onWish = new Map<number, Uint8Array | undefined>([
    [DNS.code, own.get(DNS.code) ?? DNS.encode([serverIp])],
    [
      HOSTNAME.code,
      own.get(HOSTNAME.code) ?? (hostname === undefined ? hostname : HOSTNAME.encode(hostname)),
    ],
    [MTU.code, own.get(MTU.code) ?? MTU.encode(mtu)],
  ])
  if (isWished(BOOT_FILE.code)) {
    onWish.set(TFTP_SERVER.code, own.get(TFTP_SERVER.code))
    onWish.set(BOOT_FILE.code, own.get(BOOT_FILE.code) ?? bootFileFor(request, own))
  }
  for (const [code, value] of onWish) {
    // With the file goes its server, whether it was wished for or not.
    if (value && (code === TFTP_SERVER.code || isWished(code))) options.set(code, value)
  }
  for (const [code, value] of options) if (value.length === 0) options.delete(code)
  return options
}

/** The next server's address: of the reservation, else of its boot server, 0 where that has but a name. */
function bootServerOf({ options = NO_OPTIONS }: Reservation, serverIp: number): number {
  const name = getOption(options.options, TFTP_SERVER)
  return options.nextServer ?? (name === undefined ? serverIp : (parseIpv4(name) ?? 0))
}

function bootFileFor(request: ReceivedDhcp, own: ReadonlyMap<number, Uint8Array>): Uint8Array | undefined {
  const numbers = getOption(request.options, option.ARCHITECTURE) ?? []
  const found = BOOT_ARCHITECTURES.find(([, known]) => numbers.some(number => known.includes(number)))
  return found && own.has(TFTP_SERVER.code) ? BOOT_FILE.encode(`ipxe/${found[0]}/snp.efi`) : undefined
}

/** Whether the client asks for an option; one without a list of wishes asks for all (RFC 2131 §3.5). */
function wishesOf({ options }: ReceivedDhcp): (code: number) => boolean {
  const wished = getOption(options, option.PARAMETER_LIST)
  return code => wished === undefined || wished.includes(code)
}
