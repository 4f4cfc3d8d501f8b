/**
 * Everything that must be right before `talosctl cluster create qemu` puts its VMs on the switch, in the order in which
 * it is met.
 */

import type { Cidr } from '../../wire/ipv4.js'
import { checkAddresses, checkDaemon, checkHostFilter } from './check-network.js'
import { checkPath, checkQemu, checkStandIns, checkTalosctl } from './check-programs.js'
import type { Finding } from './finding.js'
import type { Machine } from './machine.js'

export interface Wanted {
  /** Where vmbridge is installed. */
  prefix: string
  /** The cluster's subnet, with the gateway's address. */
  subnet: Cidr
}

export async function checkTalos(machine: Machine, wanted: Wanted): Promise<Finding[]> {
  const daemon = await machine.daemon()
  return [
    ...checkStandIns(machine, wanted),
    ...checkTalosctl(machine),
    ...checkPath(machine, wanted),
    ...checkQemu(machine, wanted),
    ...checkDaemon(machine, wanted, daemon),
    ...checkAddresses(machine, wanted, daemon),
    ...checkHostFilter(machine, wanted, daemon),
  ]
}
