// What the segment's hosts are told, encoded once: replies are put together from these octets.

import type { DhcpMessage } from '../wire/dhcp.js'
import type { Cidr } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import { formatIpv4 } from '../wire/ipv4.js'
import { type BootRule, chooseBoot, isHttpClient } from './boot.js'
import type { OptionConfig } from './option-config.js'
import {
  AUTO_CONFIGURE,
  BOOT_FILE,
  BROADCAST,
  DNS,
  DOMAIN,
  getOption,
  HOSTNAME,
  IPV6_ONLY,
  MTU,
  ROUTER,
  setOption,
  STATIC_ROUTES,
  SUBNET_MASK,
  TFTP_SERVER,
  VENDOR_CLASS,
} from './options.js'

/** What every client of the segment is told. Addresses are uint32. */
export interface SegmentOptions {
  serverMac: Mac
  serverIp: number
  subnet: Cidr
  router?: number
  dns: readonly number[]
  domain?: string
  /** Octets of the largest IP packet, 68 or more. */
  mtu?: number
  /** Code to encoded value, in place of what the above would give; an empty value leaves the option out. */
  options?: ReadonlyMap<number, Uint8Array>
  /** The next server (siaddr) for everybody. */
  nextServer?: number
  boot?: readonly BootRule[]
  /** False where what stands in `options` is told to a client that has a name of its own, too. */
  echoesHostname?: boolean
}

/** What a segment tells one client that has options of its own: these, and else what it tells everybody. */
export function segmentFor(segment: SegmentOptions, own: OptionConfig): SegmentOptions {
  const { options = new Map<number, Uint8Array>(), boot = [] } = segment
  const { nextServer } = own
  // One with a boot file of its own has no use for those of the segment; else they are its own server's.
  const rules = own.options.has(BOOT_FILE.code)
    ? []
    : boot.map(({ serverName, ...rule }) => ({
        ...rule,
        ...(serverName !== undefined && !own.options.has(TFTP_SERVER.code) && { serverName }),
        ...(nextServer !== undefined && { nextServer }),
      }))
  return {
    ...segment,
    options: new Map([...options, ...own.options]),
    boot: rules,
    ...(nextServer !== undefined && { nextServer }),
    ...(own.options.has(HOSTNAME.code) && { echoesHostname: false }),
  }
}

/** What a boot client gets beside the rest. */
export interface BootReply {
  /** For the header: a file too long for its field is empty there and goes by option 67 in any case. */
  readonly file: string
  readonly serverName: string
  readonly nextServer: number
  readonly isLong: boolean
  /** Options 66 and 67, when the client asks for them. */
  readonly options: ReadonlyMap<number, Uint8Array>
}

/** `file` with its NUL. */
const MOST_FILE_FIELD = 127

const HTTP_CLIENT = VENDOR_CLASS.encode('HTTPClient')
const DEFAULT_ROUTE: Cidr = { address: 0, prefix: 0, netmask: 0, network: 0, broadcast: 0xffffffff }

export class Configured {
  readonly serverMac: Mac
  readonly serverIp: number
  readonly netmask: Uint8Array
  readonly nextServer: number
  /** What a client gets that asks for it, in the order for one without wishes. */
  readonly options: ReadonlyMap<number, Uint8Array>
  /** The wishes of a client that has none: all but what only asking for makes it safe (RFC 8925 §3.2). */
  readonly defaultWishes: readonly number[]
  /** Whether a client is told its own name. */
  readonly echoesHostname: boolean
  /** Option 116, for those that sent it. */
  readonly autoConfigure: Uint8Array | undefined
  readonly #rules: readonly BootRule[]
  readonly #boots: ReadonlyMap<BootRule, BootReply>

  constructor(segment: SegmentOptions) {
    const { serverMac, serverIp, subnet, nextServer, boot = [] } = segment
    const options = optionsOf(segment)
    this.serverMac = serverMac
    this.serverIp = serverIp
    this.netmask = SUBNET_MASK.encode(subnet.netmask)
    this.nextServer = nextServer ?? 0
    this.autoConfigure = options.get(AUTO_CONFIGURE.code)
    options.delete(AUTO_CONFIGURE.code)
    this.options = options
    this.echoesHostname = segment.echoesHostname ?? segment.options?.get(HOSTNAME.code)?.length !== 0
    this.defaultWishes = [...options.keys(), HOSTNAME.code].filter(code => code !== IPV6_ONLY.code)
    this.#rules = boot
    this.#boots = new Map(
      boot.map(rule => [rule, bootReply(rule, nextServer ?? serverIp, options.get(TFTP_SERVER.code))]),
    )
  }

  /** What the client behind `request` boots from; undefined if it does not, or nothing was configured for it. */
  bootOf(request: DhcpMessage): BootReply | undefined {
    if (this.#rules.length === 0) return undefined
    const rule = chooseBoot(this.#rules, request)
    return rule && this.#boots.get(rule)
  }

  /** Option 60 for a client that boots by HTTP and would take no offer without it. */
  vendorClassOf(request: DhcpMessage): Uint8Array | undefined {
    return isHttpClient(request.options) ? HTTP_CLIENT : undefined
  }
}

/** In the order where a client has no wishes. */
function optionsOf(segment: SegmentOptions): Map<number, Uint8Array> {
  const { subnet, router, dns, domain, mtu, options: given = new Map<number, Uint8Array>() } = segment
  const options = new Map<number, Uint8Array>()
  setOption(options, SUBNET_MASK, subnet.netmask)
  if (router !== undefined) setOption(options, ROUTER, [router])
  if (dns.length > 0) setOption(options, DNS, dns)
  if (domain !== undefined) setOption(options, DOMAIN, domain)
  setOption(options, BROADCAST, subnet.broadcast)
  if (mtu !== undefined) setOption(options, MTU, mtu)
  for (const [code, value] of given) {
    if (value.length > 0) options.set(code, value)
    else options.delete(code)
  }
  // A client that takes option 121 ignores option 3, so that the way out must stand among the routes (RFC 3442).
  const routes = getOption(options, STATIC_ROUTES)
  const [way] = getOption(options, ROUTER) ?? []
  if (routes && way !== undefined && !routes.some(({ network }) => network.prefix === 0))
    setOption(options, STATIC_ROUTES, [...routes, { network: DEFAULT_ROUTE, router: way }])
  return options
}

function bootReply(rule: BootRule, defaultServer: number, tftpServer: Uint8Array | undefined): BootReply {
  const { file, serverName, nextServer = defaultServer } = rule
  const options = new Map<number, Uint8Array>()
  if (serverName === undefined && tftpServer) options.set(TFTP_SERVER.code, tftpServer)
  else setOption(options, TFTP_SERVER, serverName ?? formatIpv4(nextServer))
  setOption(options, BOOT_FILE, file)
  const isLong = file.length > MOST_FILE_FIELD
  return { file: isLong ? '' : file, serverName: serverName ?? '', nextServer, isLong, options }
}
