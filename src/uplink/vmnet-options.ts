/**
 * From what was asked for to what vmnet is told: an interface or, for a network without Apple's DHCP server, one of the
 * ways that a version of macOS has for it.
 */

import { BridgeError } from '../errors.js'
import type { VmnetOptions } from '../native.js'
import { parseUuid } from '../uuid.js'
import { cidr, formatIpv4, type Cidr } from '../wire/ipv4.js'
import type { VmnetIdentity } from './vmnet-identity.js'
import type { VmnetChoice } from './uplink.js'

export interface VmnetPlan {
  choice: VmnetChoice
  gateway: Cidr
  /** Bytes of an IP packet; 1500 is left to macOS. */
  mtu: number
  identity: VmnetIdentity
  /** Whether this system has the network objects of macOS 26. */
  hasNetworkObjects: boolean
}

const DEFAULT_MTU = 1500

/**
 * What to try, the best first. The second is what to do where the first is refused: network objects are new.
 * @throws BridgeError ERR_VMNET_TOO_OLD when this system has no way to do what was asked for
 */
export function vmnetAttempts(plan: VmnetPlan): VmnetOptions[] {
  const { choice, gateway, mtu, identity } = plan
  const { mode, isolate } = choice
  const common: VmnetOptions = {
    mode,
    isolate,
    interfaceId: parseUuid(choice.interfaceId ?? identity.interfaceId)!,
  }
  if (mode === 'bridged') return [{ ...common, interface: choice.interface! }]
  if (mtu !== DEFAULT_MTU) common.mtu = mtu
  const address = formatIpv4(gateway.address)
  const mask = formatIpv4(maskOf(gateway.prefix))
  const addresses = { start: address, end: formatIpv4(choice.dhcpEnd ?? lastOf(gateway)), mask }
  const plain: VmnetOptions = {
    ...common,
    ...(choice.subnet === 'macos' ? {} : addresses),
    ...(choice.nat66Prefix === undefined ? {} : { nat66Prefix: choice.nat66Prefix }),
  }
  if (mode === 'host') {
    // A network identifier is what makes a host network without Apple's DHCP (macOS 11).
    if (choice.appleDhcp === 'on' && choice.networkId === undefined) return [plain]
    const networkId = parseUuid(choice.networkId ?? identity.networkId)!
    const own = choice.subnet === 'macos' ? {} : { hostAddress: address, hostMask: mask }
    return [{ ...common, networkId, ...own }]
  }
  if (choice.appleDhcp === 'on') return [plain]
  const lacking = objectLacks(plan)
  if (lacking === undefined) {
    const { interfaceId: _, ...rest } = common
    const object: VmnetOptions = {
      ...rest,
      networkObject: true,
      ...(choice.subnet === 'macos' ? {} : { start: address, mask }),
      ...(choice.nat66Prefix === undefined ? {} : { nat66Prefix: choice.nat66Prefix }),
    }
    return choice.appleDhcp === 'off' ? [object] : [object, plain]
  }
  if (choice.appleDhcp === 'unheard') return [plain]
  throw new BridgeError('ERR_VMNET_TOO_OLD', `Apple's DHCP server cannot be turned off: ${lacking}`, {
    hint: "leave --vmnet-dhcp off out: with vmbridge's own DHCP server the VMs do not hear Apple's; or use --mode host",
  })
}

/** Why a network object of macOS 26 cannot be what was asked for; undefined when it can. */
function objectLacks({ choice, gateway, hasNetworkObjects }: VmnetPlan): string | undefined {
  if (!hasNetworkObjects) return 'that needs macOS 26'
  // The second address of a network object's subnet is the host's.
  if (choice.subnet !== 'macos' && gateway.address !== gateway.network + 1)
    return `the gateway of such a network is ${formatIpv4(gateway.network + 1)}, not ${formatIpv4(gateway.address)}`
  if (choice.interfaceId !== undefined) return 'such a network has no --interface-id'
  return undefined
}

/** As a prefix length of 24 is 255.255.255.0, in host byte order. */
function maskOf(prefix: number): number {
  return (0xffffffff << (32 - prefix)) >>> 0
}

/** The last address that a host can have. */
function lastOf({ address, prefix }: Cidr): number {
  return cidr(address, prefix).broadcast - 1
}
