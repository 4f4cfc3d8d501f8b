// The far side of an uplink that has a network device on this host: a bridge joins the device to a TAP of the
// test's own, in a network namespace where nobody else speaks. The bridge learns nothing, so it is a plain cable;
// a frame that is written at one side stands in the queue of the other when the call returns.

import { execFileSync } from 'node:child_process'
import { closeSync, readFileSync, writeFileSync } from 'node:fs'
import { native } from '../../src/native.js'
import { formatCidr, type Cidr } from '../../src/wire/ipv4.js'
import type { Scope } from '../helpers/daemon.js'
import { TapEnd } from './end.js'
import { eventually } from './patience.js'

export const BRIDGE = 'vbtbridge'
const FAR = 'vbtfar'
const OTHER = 'vbtother'
/** Frames that a device holds for its reader: more than the suite ever has on the way. */
const QUEUE = '8192'
/** The most that a TAP takes. */
const FAR_MTU = 65_521
/** BR_STATE_FORWARDING of linux/if_bridge.h */
const FORWARDING = '3'

// A sanitizer's runtime is for this process alone.
const { LD_PRELOAD: _, ...env } = process.env

const run = (program: string, ...args: string[]): void => void execFileSync(program, args, { env })

export const ip = (...args: string[]): void => run('ip', ...args)

/** Network devices of this process's namespace. */
export function devices(): string[] {
  return [...readFileSync('/proc/self/net/dev', 'utf8').matchAll(/^ *([^\s:|]+):/gm)].map(([, name]) => name)
}

/** A start that must fail: another device of this host has the gateway's subnet. */
export const subnetTaken = (gateway: Cidr) => ({
  name: 'its subnet is taken',
  code: 'ERR_SUBNET_IN_USE',
  hint: /--gateway/,
  provoke(): () => void {
    ip('link', 'add', OTHER, 'type', 'bridge')
    ip('addr', 'add', formatCidr(gateway), 'dev', OTHER)
    ip('link', 'set', OTHER, 'up')
    return () => ip('link', 'delete', OTHER)
  },
})

export interface Cable {
  far: TapEnd
  /** Joins a device to the far side; it starts with no frame waiting there. */
  join(device: string): Promise<void>
}

/** Waits until the bridge forwards to and from a device: the kernel takes a moment to see that it is up. */
export const forwards = (device: string): Promise<void> =>
  eventually(
    () => `${device} on the bridge`,
    () => readFileSync(`/sys/class/net/${device}/brport/state`, 'utf8').trim() === FORWARDING,
  )

export function layCable(t: Scope): Cable {
  // Read at the birth of each device: a kernel that speaks IPv6 would say so on the cable.
  writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1')
  ip('link', 'add', BRIDGE, 'type', 'bridge', 'mcast_snooping', '0', 'stp_state', '0')
  const { fd } = native.openTap({ name: FAR, mtu: FAR_MTU })
  t.teardown(() => {
    closeSync(fd)
    ip('link', 'delete', BRIDGE)
  })
  const plug = (device: string) => {
    ip('link', 'set', device, 'txqueuelen', QUEUE, 'master', BRIDGE)
    ip('link', 'set', device, 'type', 'bridge_slave', 'learning', 'off')
    // The usual queue sorts flows, which may change the order between two of them.
    run('tc', 'qdisc', 'replace', 'dev', device, 'root', 'noqueue')
  }
  plug(FAR)
  // Its own, which what it joins has no say in; one that is bridged takes it from here.
  ip('link', 'set', BRIDGE, 'mtu', '1500', 'up')
  const far = new TapEnd(fd)
  return {
    far,
    async join(device) {
      plug(device)
      await forwards(device)
      while (far.take(1024, () => {}) > 0);
    },
  }
}
