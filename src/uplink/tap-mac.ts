/**
 * The MAC address of the TAP: the same at every start. Were it the kernel's random one, the VMs that outlive a restart
 * would go on sending to the one before, until they doubt their entry for the gateway (seconds to a minute).
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/** @param stateDir tells the networks of a machine apart */
export function tapMac(stateDir: string, machine: string = thisMachine()): Uint8Array {
  const mac = createHash('sha256').update(`${machine}\0${stateDir}`).digest().subarray(0, 6)
  // Locally administered, and of one station (IEEE 802-2014 §8.2).
  mac[0] = (mac[0] & 0xfc) | 0x02
  return mac
}

function thisMachine(): string {
  try {
    return `${readFileSync('/etc/machine-id', 'utf8')}\0${hostname()}`
  } catch {
    return hostname()
  }
}
