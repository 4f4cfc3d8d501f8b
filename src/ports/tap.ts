/**
 * Makes a Linux TAP, and says in words what the system's refusal means.
 */

import { existsSync } from 'node:fs'
import { BridgeError, hasCode } from '../errors.js'
import { native, type FormerTap, type TapOptions } from '../native.js'

export interface Tap {
  /** Non-blocking; the device lives as long as it is open. */
  fd: number
  /** The name that the kernel gave it. */
  name: string
  /** The address of the station behind it: the host, or the namespace it stands in. */
  mac: Uint8Array
  /** Bytes of an IP packet: as asked for, or of the bridge that it has joined. */
  mtu: number
  /** Of a device that is there without us: how it was. */
  former?: FormerTap
}

/** IFNAMSIZ less its closing NUL. */
const MAX_NAME = 15

/**
 * @throws BridgeError ERR_TAP_NAME, ERR_TAP_UNSUPPORTED, ERR_TAP_PERMISSION, ERR_TAP_IN_USE, ERR_NETNS, ERR_BRIDGE
 *   or ERR_TAP, with a hint
 */
export function openTap(options: TapOptions): Tap {
  if (!/^(?!\.{1,2}$)[^\s/:]+$/.test(options.name) || Buffer.byteLength(options.name) > MAX_NAME) {
    throw new BridgeError('ERR_TAP_NAME', `"${options.name}" cannot name a network device`, {
      hint: `use 1 to ${MAX_NAME} characters without spaces, slashes or colons`,
    })
  }
  if (process.platform !== 'linux') {
    throw new BridgeError('ERR_TAP_UNSUPPORTED', 'a TAP exists on Linux only', { hint: 'use --uplink none' })
  }
  try {
    return native.openTap(options)
  } catch (error) {
    throw explain(options, error)
  }
}

function explain({ name, netns, bridge }: TapOptions, error: unknown): BridgeError {
  const reason = error instanceof Error ? error.message : String(error)
  if (reason.startsWith('enter the network namespace')) {
    return hasCode(error, 'ENOENT')
      ? new BridgeError('ERR_NETNS', `there is no network namespace ${netns}`, {
          hint: 'ip netns list',
          cause: error,
        })
      : new BridgeError('ERR_NETNS', `cannot enter ${netns}: ${reason}`, {
          hint: 'start it as root',
          cause: error,
        })
  }
  if (
    reason.startsWith('find the bridge') ||
    (bridge !== undefined && Buffer.byteLength(bridge) > MAX_NAME)
  ) {
    return new BridgeError('ERR_BRIDGE', `there is no bridge ${bridge}`, {
      hint: `see what there is: vmbridge interfaces; or make it: ip link add ${bridge} type bridge && ip link set ${bridge} up, and give it a way to the LAN (what eth0 has of addresses moves to ${bridge}): ip link set eth0 master ${bridge}`,
      cause: error,
    })
  }
  const isNoBridge =
    (hasCode(error, 'ENOTSUP') && reason.startsWith('join the bridge')) ||
    (bridge !== undefined &&
      reason.startsWith('set the MTU') &&
      !existsSync(`/sys/class/net/${bridge}/bridge`))
  if (isNoBridge) {
    return new BridgeError('ERR_BRIDGE', `${bridge} is no bridge`, {
      hint: `make one, and put ${bridge} into it (its addresses move to the bridge): ip link add br0 type bridge && ip link set br0 up && ip link set ${bridge} master br0; then --interface br0`,
      cause: error,
    })
  }
  if (hasCode(error, 'EPERM') || hasCode(error, 'EACCES')) {
    return new BridgeError('ERR_TAP_PERMISSION', 'making a TAP needs root (CAP_NET_ADMIN)', {
      hint: 'start it with sudo, or serve the VMs among themselves with --uplink none',
      cause: error,
    })
  }
  if (hasCode(error, 'ENOENT') || hasCode(error, 'ENODEV')) {
    return new BridgeError('ERR_TAP_UNSUPPORTED', 'this system has no /dev/net/tun', {
      hint: 'modprobe tun, or in a container add --device /dev/net/tun and --cap-add NET_ADMIN',
      cause: error,
    })
  }
  if (
    hasCode(error, 'EBUSY') ||
    hasCode(error, 'EEXIST') ||
    (hasCode(error, 'EINVAL') && reason.startsWith('make the TAP'))
  ) {
    return new BridgeError('ERR_TAP_IN_USE', `a network device ${name} exists already`, {
      hint: `choose another name, or see who has it with: ip -d link show ${name}`,
      cause: error,
    })
  }
  return new BridgeError('ERR_TAP', `cannot set up ${name.replace('%d', '')}: ${reason}`, { cause: error })
}
