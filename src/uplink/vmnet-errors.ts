/**
 * What vmnet.framework's status codes mean to the person who started the daemon, and what to do about each.
 */

import { networkInterfaces } from 'node:os'
import { BridgeError } from '../errors.js'
import type { VmnetOptions, VmnetParameters } from '../native.js'
import { MAX_FRAME, MIN_FRAME } from '../switch/run.js'
import { formatCidr, formatIpv4, parseCidr, parseIpv4 } from '../wire/ipv4.js'

/** vmnet_return_t, from Apple's header. */
const STATUS_NAMES: Record<number, string> = {
  1000: 'VMNET_SUCCESS',
  1001: 'VMNET_FAILURE',
  1002: 'VMNET_MEM_FAILURE',
  1003: 'VMNET_INVALID_ARGUMENT',
  1004: 'VMNET_SETUP_INCOMPLETE',
  1005: 'VMNET_INVALID_ACCESS',
  1006: 'VMNET_PACKET_TOO_BIG',
  1007: 'VMNET_BUFFER_EXHAUSTED',
  1008: 'VMNET_TOO_MANY_PACKETS',
  1009: 'VMNET_SHARING_SERVICE_BUSY',
  1010: 'VMNET_NOT_AUTHORIZED',
}

const MEM_FAILURE = 1002
const INVALID_ARGUMENT = 1003
const SETUP_INCOMPLETE = 1004
const INVALID_ACCESS = 1005
const SHARING_BUSY = 1009
const NOT_AUTHORIZED = 1010

/** `VMNET_FAILURE`, or the bare number of a status that Apple's headers do not know yet. */
export function vmnetStatusName(status: number): string {
  if (status === 0) return 'no status'
  return STATUS_NAMES[status] ?? `status ${status}`
}

/** What the errors need to know of the user and the host; a parameter for the tests. */
export interface VmnetSurroundings {
  isRoot: boolean
  /** What can be bridged, where macOS said so; else empty. */
  bridgeable: readonly string[]
  /** `192.168.105.1/24` of `bridge100` and so on: what the host's interfaces have. */
  addresses: readonly { name: string; cidr: string }[]
}

const PERMISSION_HINT =
  'start it with sudo; on macOS 26 and later the program that "sudo vmbridge install" signs needs no root'

/** The error for an interface that did not start: `call` gave `status`, or no status (0). */
export function explainVmnet(
  call: string,
  status: number,
  options: VmnetOptions,
  around: VmnetSurroundings,
): BridgeError {
  const said = `${call}: ${vmnetStatusName(status)}`
  const error = (code: string, message: string, hint: string): BridgeError =>
    new BridgeError(code, `${message} (${said})`, { hint })
  if (status === NOT_AUTHORIZED)
    return error('ERR_VMNET_PERMISSION', 'macOS does not let this program use vmnet', PERMISSION_HINT)
  if (!around.isRoot && [0, 1001, MEM_FAILURE, INVALID_ACCESS].includes(status))
    return error('ERR_VMNET_PERMISSION', 'vmnet needs root, or an entitlement', PERMISSION_HINT)
  if (status === SHARING_BUSY) {
    return error(
      'ERR_VMNET_SHARING_BUSY',
      'another sharing service of macOS is in the way',
      'turn Internet Sharing off in System Settings > General > Sharing, and quit other programs that share the network',
    )
  }
  if (status === INVALID_ARGUMENT && options.mode === 'bridged')
    return unknownInterface(options.interface ?? '', around.bridgeable, said)
  if (status === INVALID_ARGUMENT)
    return error(
      'ERR_VMNET_ARGUMENT',
      `vmnet does not take ${describe(options)}`,
      'check --gateway, --dhcp-end and --mtu',
    )
  if (status === SETUP_INCOMPLETE)
    return error(
      'ERR_VMNET_SETUP',
      'vmnet did not finish setting the interface up',
      'try again; it is macOS that did not answer in time',
    )
  return (
    subnetTaken(options, around, said) ??
    error('ERR_VMNET_START', `vmnet did not start ${describe(options)}`, startHint(options))
  )
}

/** The error for a call that never came back. */
export function vmnetTimeout(call: string, seconds: number): BridgeError {
  return new BridgeError('ERR_VMNET_TIMEOUT', `${call} did not answer within ${seconds} s`, {
    hint: 'look at: log show --last 5m --predicate \'process == "vmnetd" OR subsystem == "com.apple.vmnet"\'; restarting the Mac ends a vmnetd that hangs',
  })
}

/** @throws BridgeError ERR_VMNET_PACKET_SIZE when the switch cannot carry what the interface does */
export function checkPacketSize({ maxPacketSize }: VmnetParameters): void {
  if (maxPacketSize >= MIN_FRAME && maxPacketSize <= MAX_FRAME) return
  throw new BridgeError(
    'ERR_VMNET_PACKET_SIZE',
    `vmnet says that its longest packet has ${maxPacketSize} bytes, which is not from ${MIN_FRAME} to ${MAX_FRAME}`,
    { hint: 'bridge another interface, or set --mtu 1500 in the other modes' },
  )
}

function unknownInterface(name: string, bridgeable: readonly string[], said: string): BridgeError {
  return new BridgeError('ERR_VMNET_INTERFACE', `the interface ${name} cannot be bridged (${said})`, {
    hint:
      bridgeable.length === 0 ? 'vmbridge interfaces' : `--interface with one of: ${bridgeable.join(', ')}`,
  })
}

function describe({ mode, interface: name, start, mask, hostAddress }: VmnetOptions): string {
  if (mode === 'bridged') return `a bridge to ${name}`
  const address = start ?? hostAddress
  return address === undefined
    ? `a ${mode} network`
    : `the ${mode} network ${address}, mask ${mask ?? 'unset'}`
}

/** A host and a shared network cannot have the same subnet, and other programs' interfaces keep theirs. */
function subnetTaken(
  options: VmnetOptions,
  around: VmnetSurroundings,
  said: string,
): BridgeError | undefined {
  const address = parseIpv4(options.start ?? options.hostAddress ?? '')
  const mask = parseIpv4(options.mask ?? options.hostMask ?? '')
  if (address === undefined || mask === undefined) return undefined
  const network = (address & mask) >>> 0
  const broadcast = (address | ~mask) >>> 0
  for (const { name, cidr } of around.addresses) {
    const other = parseCidr(cidr)
    if (other === undefined || other.prefix === 32) continue
    if (other.network > broadcast || network > other.broadcast) continue
    return new BridgeError(
      'ERR_SUBNET_IN_USE',
      `${formatIpv4(address)} overlaps ${formatCidr(other)} of ${name} (${said})`,
      { hint: 'choose another subnet with --gateway, such as 192.168.106.1/24, or stop what has this one' },
    )
  }
  return undefined
}

function startHint({ mode }: VmnetOptions): string {
  return mode === 'bridged'
    ? 'vmbridge interfaces shows what can be bridged; a VPN or a second bridge of the interface may be in the way'
    : 'another program may own the subnet (ifconfig | grep -A 5 bridge1): choose another with --gateway'
}

/** This process and this host. */
export function surroundings(bridgeable: readonly string[]): VmnetSurroundings {
  return {
    isRoot: process.geteuid?.() === 0,
    bridgeable,
    addresses: Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
      addresses.flatMap(({ family, cidr }) => (family === 'IPv4' && cidr !== null ? [{ name, cidr }] : [])),
    ),
  }
}
