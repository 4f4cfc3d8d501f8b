/**
 * The way out for the VMs of a shared network: a table of the packet filter (nat-table.ts), and forwarding, which the
 * whole machine has or has not.
 *
 * Several shared networks, of this daemon or of others, come and go as they like and know each other by their tables
 * alone. Forwarding that was off is turned on by the first; a mark in a table says so, and goes on to another table with
 * the one that goes. One change at a time, by a lock that the kernel takes from who is killed.
 */

import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
import { native } from '../native.js'
import { formatIpv4, type Cidr } from '../wire/ipv4.js'
import {
  creation,
  natTables,
  remember,
  removal,
  strictForwarders,
  tableName,
  type NatTable,
} from './nat-table.js'
import { applyNft, listChains, type Chain } from './nft.js'

const FORWARDING = '/proc/sys/net/ipv4/ip_forward'
/** Of all processes in one network namespace, since they share its packet filter: what each of them can open, and lock. */
const NAMESPACE = '/proc/self/ns/net'
/**
 * Milliseconds to wait for the lock, and between two tries. A change takes some 50 ms; who has it longer means no good (any
 * local user can lock it), and is not waited for.
 */
const LOCK_PATIENCE = 3000
const LOCK_PAUSE = 20

/** What NAT asks of the system; a parameter for the tests. */
export interface NatSystem {
  /** Does it while no other process of this machine does. */
  alone<T>(work: () => Promise<T>): Promise<T>
  apply(script: string): Promise<void>
  chains(): Promise<Chain[]>
  isForwarding(): boolean
  setForwarding(on: boolean): void
  /** Whether a device of this machine has a route to that subnet, which none of a dead daemon has. */
  hasSubnet(subnet: Cidr): boolean
}

export const NAT_SYSTEM: NatSystem = {
  alone: lockMachine,
  apply: applyNft,
  chains: listChains,
  isForwarding: () => readFileSync(FORWARDING, 'utf8').trim() === '1',
  setForwarding: on => writeFileSync(FORWARDING, on ? '1' : '0'),
  hasSubnet: ({ network, netmask }) =>
    readFileSync('/proc/net/route', 'utf8')
      .split('\n')
      .map(line => line.split('\t'))
      .some(
        ([, destination, , , , , , mask]) => ofKernel(destination) === network && ofKernel(mask) === netmask,
      ),
}

async function lockMachine<T>(work: () => Promise<T>): Promise<T> {
  const fd = openSync(NAMESPACE, 'r')
  try {
    const end = performance.now() + LOCK_PATIENCE
    while (!native.lock(fd) && performance.now() < end) await sleep(LOCK_PAUSE)
    return await work()
  } finally {
    closeSync(fd)
  }
}

/** An address as /proc/net/route has it: hexadecimal, its octets in this machine's order. */
function ofKernel(hex = ''): number | undefined {
  const octets = Buffer.from(hex, 'hex')
  if (octets.length !== 4) return undefined
  return endianness() === 'LE' ? octets.readUInt32LE() : octets.readUInt32BE()
}

export class Nat {
  readonly #name: string
  readonly #log: Logger
  readonly #system: NatSystem

  /**
   * @param device the TAP, which has the gateway's address already
   * @throws BridgeError ERR_NAT_UNSUPPORTED, ERR_NAT, ERR_FORWARDING; nothing is left then
   */
  static open(gateway: Cidr, device: string, log: Logger, system = NAT_SYSTEM): Promise<Nat> {
    return system.alone(async () => {
      const name = tableName(gateway)
      const chains = await system.chains()
      const tables = natTables(chains)
      const dead = tables.filter(table => table.name !== name && !system.hasSubnet(table.subnet))
      const replaced = [...dead, ...tables.filter(table => table.name === name)]
      const wasOff = !system.isForwarding() || replaced.some(table => table.forwardingWasOff)
      const script = [...dead.map(table => removal(table.name)), creation(gateway, device)]
      if (wasOff) script.push(remember(name))
      await system.apply(script.join(''))
      for (const { subnet } of dead) sayRemoved(log, subnet)
      try {
        turnForwardingOn(log, system)
      } catch (error) {
        await remove(name, log, system)
        throw error
      }
      for (const chain of strictForwarders(chains)) sayStrict(log, chain, device)
      return new Nat(name, log, system)
    })
  }

  private constructor(name: string, log: Logger, system: NatSystem) {
    this.#name = name
    this.#log = log
    this.#system = system
  }

  /** Removes the table, and turns forwarding off where that is due; what goes wrong is said. Again, it does nothing. */
  async close(): Promise<void> {
    const name = this.#name
    const log = this.#log
    const system = this.#system
    try {
      const removed = await system.alone(() => remove(name, log, system))
      for (const table of removed) if (table.name !== name) sayRemoved(log, table.subnet)
    } catch (error) {
      log.error(
        { event: 'nat.close', table: name, err: error },
        `the table ${name} stays: ${error instanceof Error ? error.message : error}. To remove it: nft delete table ip ${name}`,
      )
    }
  }
}

/** @throws BridgeError ERR_FORWARDING */
function turnForwardingOn(log: Logger, system: NatSystem): void {
  if (system.isForwarding()) return
  try {
    system.setForwarding(true)
  } catch (error) {
    throw new BridgeError('ERR_FORWARDING', `cannot turn forwarding on: ${(error as Error).message}`, {
      hint: 'sysctl -w net.ipv4.ip_forward=1; for a container, docker run --sysctl net.ipv4.ip_forward=1; the service of systemd, vmbridge service install -- --mode shared',
      cause: error,
    })
  }
  log.warn(
    { event: 'nat.forwarding', forwarding: true },
    'net.ipv4.ip_forward was off and is on until the last shared network goes: this host routes for whoever sends it packets on any interface, so filter what others may (VMs are not reached from outside)',
  )
}

/**
 * Removes what shared networks of daemons that were killed have left, if forwarding is on; for who makes no table.
 * What goes wrong is the affair of the next who does.
 * @param subnet of one's own device, which therefore is of no shared network
 */
export async function removeDeadNats(
  subnet: Cidr | undefined,
  log: Logger,
  system = NAT_SYSTEM,
): Promise<void> {
  try {
    if (!system.isForwarding()) return
    const removed = await system.alone(() => remove(subnet && tableName(subnet), log, system))
    for (const dead of removed) sayRemoved(log, dead.subnet)
  } catch (error) {
    log.debug({ event: 'nat.left', err: error }, 'what a dead daemon may have left of a shared network stays')
  }
}

/** Removes the table of that name, and those of ours that no device has the subnet of any more. */
async function remove(name: string | undefined, log: Logger, system: NatSystem): Promise<NatTable[]> {
  const tables = natTables(await system.chains())
  const going = tables.filter(table => table.name === name || !system.hasSubnet(table.subnet))
  if (going.length === 0) return []
  const staying = tables.filter(table => !going.includes(table))
  const wasOff = going.some(({ forwardingWasOff }) => forwardingWasOff)
  const heir = wasOff ? staying[0] : undefined
  // First, since who may not do it must leave the table with the mark for one who may.
  if (wasOff && heir === undefined && system.isForwarding()) {
    system.setForwarding(false)
    log.info({ event: 'nat.forwarding', forwarding: false }, 'net.ipv4.ip_forward is off again, as it was')
  }
  await system.apply([...going.map(table => removal(table.name)), heir ? remember(heir.name) : ''].join(''))
  return going
}

function sayRemoved(log: Logger, { network, prefix }: Cidr): void {
  const subnet = `${formatIpv4(network)}/${prefix}`
  log.info(
    { event: 'nat.dead', subnet },
    `removed what a daemon that was killed has left of its shared network ${subnet}`,
  )
}

/** Docker and firewalls forward nothing that they do not know; our own `accept` does not overrule them. */
function sayStrict(log: Logger, { family, table, name }: Chain, device: string): void {
  const chain = `${family} ${table} ${name}`
  const help =
    table === 'firewalld'
      ? `firewall-cmd --zone=trusted --add-interface=${device}`
      : `nft insert rule ${chain} iifname ${device} accept; nft insert rule ${chain} oifname ${device} ct state established,related accept`
  log.warn(
    { event: 'nat.strict', chain, help },
    `the chain ${chain} of a firewall (or Docker) forwards only what it is told to: where the VMs do not get out, ${help}`,
  )
}
