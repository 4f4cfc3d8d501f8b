/**
 * QEMU's command line as talosctl writes it: which netdevs ask for Apple's vmnet, and what stands in their place.
 *
 * Arguments may hold any bytes, so here an argument is a string in which each character is one byte (latin1). What
 * is not understood in full is left to QEMU: a netdev without addresses, one that wants more of vmnet than a
 * network of ours has (`isolated=on`, `nat66-prefix`), JSON.
 */

import { cidr, formatCidr, parseIpv4 } from '../wire/ipv4.js'
import { formatMac, isStationMac, parseMac } from '../wire/mac.js'

/** A `-netdev vmnet-shared,…` with a start address and a mask. */
export interface VmnetNetdev {
  /** Where in argv its value stands. */
  at: number
  /** As it was written, escapes and all. */
  id: string
  /** The start address, by which vmnet calls the host, with the length of the mask: `10.5.0.1/24`. */
  gateway: string
  /** Of the device on it, lower case. */
  mac?: string
  /** Bytes of an IP packet that the device on it tells its guest, if it does. */
  mtu?: number
}

/** By what QEMU tries again when nobody answers at the socket: since 9.2 in ms, since 8.0 in s, before that not at all. */
export type Reconnect = 'reconnect-ms' | 'reconnect' | 'none'

const NETDEV = ['-netdev', '--netdev']
const DEVICE = ['-device', '--device']
const MONITOR = ['-monitor', '--monitor']

/** Ways to say what is so anyway. */
const NOT_ISOLATED = ['off', 'no', 'false', 'n']

/** The netdevs of `args` (argv without its first) that a network of ours can stand for. */
export function findVmnetNetdevs(args: readonly string[]): VmnetNetdev[] {
  const devices = valuesOf(args, DEVICE).map(([, value]) => propertiesOf(value))
  const found: VmnetNetdev[] = []
  for (const [at, value] of valuesOf(args, NETDEV)) {
    const netdev = readNetdev(value)
    if (netdev === undefined) continue
    const device = devices.find(each => each.get('netdev') === unescape(netdev.id))
    const mac = readMac(device?.get('mac'))
    const mtu = readMtu(device?.get('host_mtu'))
    found.push({ at, ...netdev, ...(mac !== undefined && { mac }), ...(mtu !== undefined && { mtu }) })
  }
  return found
}

/** The folder of the monitor's socket, where talosctl keeps the cluster's state; undefined without such a monitor. */
export function stateFolderOf(args: readonly string[]): string | undefined {
  for (const [, value] of valuesOf(args, MONITOR)) {
    const path = partsOf(value)[0]!
    if (!path.startsWith('unix:')) continue
    const socket = unescape(path.slice('unix:'.length))
    const slash = socket.lastIndexOf('/')
    return slash < 0 ? '.' : socket.slice(0, slash + 1)
  }
  return undefined
}

/** The value of a netdev by that id which is the socket at `path`. */
export function streamNetdev(id: string, path: string, reconnect: Reconnect): string {
  const again = { 'reconnect-ms': ',reconnect-ms=1000', reconnect: ',reconnect=1', none: '' }[reconnect]
  return `stream,id=${id},server=off,addr.type=unix,addr.path=${path.replaceAll(',', ',,')}${again}`
}

/** What stands behind options of these names, and where. As QEMU has it, that is an option's value whatever it is. */
function valuesOf(args: readonly string[], names: readonly string[]): [at: number, value: string][] {
  const values: [number, string][] = []
  for (let at = 1; at < args.length; at++) {
    if (names.includes(args[at - 1])) values.push([at, args[at++]])
  }
  return values
}

function readNetdev(value: string): { id: string; gateway: string } | undefined {
  const properties = propertiesOf(value, 'type')
  for (const [name, text] of properties) if (!isKnown(name, text)) return undefined
  const start = parseIpv4(properties.get('start-address') ?? '')
  const prefix = prefixOf(properties.get('subnet-mask') ?? '')
  const id = partsOf(value).findLast(part => part.startsWith('id='))
  if (!properties.has('type') || id === undefined || start === undefined || prefix === undefined)
    return undefined
  return { id: id.slice('id='.length), gateway: formatCidr(cidr(start, prefix)) }
}

function isKnown(name: string, value: string): boolean {
  if (name === 'type') return value === 'vmnet-shared'
  if (name === 'isolated') return NOT_ISOLATED.includes(value)
  return ['id', 'start-address', 'end-address', 'subnet-mask'].includes(name)
}

/**
 * NAME=VALUE,NAME=VALUE as QEMU reads it: `,,` is a comma, the last of a name counts.
 * @param implied the name of a first part that has none
 */
function propertiesOf(value: string, implied = ''): Map<string, string> {
  const properties = new Map<string, string>()
  const parts = partsOf(value)
  // QEMU takes a comma at the end for none.
  if (parts.length > 1 && parts.at(-1) === '') parts.pop()
  for (const [i, part] of parts.entries()) {
    const equals = part.indexOf('=')
    const name = equals >= 0 ? part.slice(0, equals) : i === 0 ? implied : part
    properties.set(name, unescape(part.slice(equals >= 0 ? equals + 1 : i === 0 ? 0 : part.length)))
  }
  return properties
}

/** What single commas separate; escapes stay. */
function partsOf(value: string): string[] {
  const parts: string[] = []
  let begin = 0
  for (let at = value.indexOf(','); at >= 0; at = value.indexOf(',', at)) {
    if (value[at + 1] === ',') {
      at += 2
      continue
    }
    parts.push(value.slice(begin, at))
    begin = ++at
  }
  return [...parts, value.slice(begin)]
}

const unescape = (text: string): string => text.replaceAll(',,', ',')

/** The length of a netmask; undefined for a text that is none. */
function prefixOf(mask: string): number | undefined {
  const bits = parseIpv4(mask)
  if (bits === undefined) return undefined
  const prefix = Math.clz32(~bits)
  return cidr(0, prefix).netmask === bits ? prefix : undefined
}

function readMac(text: string | undefined): string | undefined {
  const mac = text === undefined ? undefined : parseMac(text)
  return mac !== undefined && isStationMac(mac.hi, mac.lo) ? formatMac(mac.hi, mac.lo) : undefined
}

function readMtu(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : undefined
}
