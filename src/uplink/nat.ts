/**
 * The way out for the VMs of a shared network: a table of the packet filter (nat-table.ts), and forwarding, which the
 * whole machine has or has not.
 *
 * Several shared networks, of this daemon or of others, come and go as they like and know each other by their tables
 * alone. Forwarding that was off is turned on by the first; a mark in a table says so, and goes on to another table with
 * the one that goes. Each step is a transaction of nft, and who turns forwarding off looks again afterwards: nobody holds
 * a lock, so nobody who was killed does.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { BridgeError } from '../errors.js'
import type { Logger } from '../log.js'
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
/** A table that others removed meanwhile makes a transaction fail: then all is looked at anew, this many times. */
const ATTEMPTS = 5

/** What NAT asks of the system; a parameter for the tests. */
export interface NatSystem {
  apply(script: string): Promise<void>
  chains(): Promise<Chain[]>
  isForwarding(): boolean
  setForwarding(on: boolean): void
  /** Whether a device of this machine has a route to that subnet, which none of a dead daemon has. */
  hasSubnet(subnet: Cidr): boolean
}

export const NAT_SYSTEM: NatSystem = {
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
  static async open(gateway: Cidr, device: string, log: Logger, system = NAT_SYSTEM): Promise<Nat> {
    const name = tableName(gateway)
    const chains = await system.chains()
    const tables = natTables(chains)
    const dead = tables.filter(table => table.name !== name && !system.hasSubnet(table.subnet))
    const wasOff = [...dead, ...tables.filter(table => table.name === name)].some(
      table => table.forwardingWasOff,
    )
    const script = [...dead.map(table => removal(table.name)), creation(gateway, device)]
    if (wasOff) script.push(remember(name))
    await system.apply(script.join(''))
    for (const { subnet } of dead) sayRemoved(log, subnet)
    const nat = new Nat(name, log, system)
    try {
      await nat.#forward()
    } catch (error) {
      await nat.close()
      throw error
    }
    for (const chain of strictForwarders(chains)) sayStrict(log, chain, device)
    return nat
  }

  private constructor(name: string, log: Logger, system: NatSystem) {
    this.#name = name
    this.#log = log
    this.#system = system
  }

  /** Removes the table, and turns forwarding off where that is due; what goes wrong is said. Again, it does nothing. */
  async close(): Promise<void> {
    try {
      await remove(({ name }) => name === this.#name, this.#log, this.#system)
    } catch (error) {
      this.#log.error(
        { event: 'nat.close', table: this.#name, err: error },
        `the table ${this.#name} stays: ${error instanceof Error ? error.message : error}. To remove it: nft delete table ip ${this.#name}`,
      )
    }
  }

  async #forward(): Promise<void> {
    const { setForwarding, isForwarding, apply } = this.#system
    if (isForwarding()) return
    await apply(remember(this.#name))
    try {
      setForwarding(true)
    } catch (error) {
      throw new BridgeError('ERR_FORWARDING', `cannot turn forwarding on: ${(error as Error).message}`, {
        hint: 'sysctl -w net.ipv4.ip_forward=1; for a container, docker run --sysctl net.ipv4.ip_forward=1',
        cause: error,
      })
    }
    this.#log.warn(
      { event: 'nat.forwarding', forwarding: true },
      'net.ipv4.ip_forward was off and is on until the last shared network goes: this host routes for whoever sends it packets on any interface, so filter what others may (VMs are not reached from outside)',
    )
  }
}

/**
 * Removes what shared networks of daemons that were killed have left, if forwarding is on; for who makes no table.
 * What goes wrong is the affair of the next who does.
 */
export async function removeDeadNats(log: Logger, system = NAT_SYSTEM): Promise<void> {
  try {
    if (system.isForwarding()) await remove(() => false, log, system)
  } catch (error) {
    log.debug({ event: 'nat.dead', err: error }, 'whether a dead daemon has left a table was not found out')
  }
}

/** Removes our tables that are `doomed`, and those that no device has the subnet of any more. */
async function remove(doomed: (table: NatTable) => boolean, log: Logger, system: NatSystem): Promise<void> {
  const living = ({ subnet }: NatTable): boolean => system.hasSubnet(subnet)
  for (let attempt = 1; ; attempt++) {
    const tables = natTables(await system.chains())
    const going = tables.filter(table => doomed(table) || !living(table))
    if (going.length === 0) return
    const staying = tables.filter(table => !going.includes(table))
    const wasOff = going.some(({ forwardingWasOff }) => forwardingWasOff)
    const heir = wasOff && !staying.some(({ forwardingWasOff }) => forwardingWasOff) ? staying[0] : undefined
    try {
      await system.apply(
        [...going.map(({ name }) => removal(name)), heir ? remember(heir.name) : ''].join(''),
      )
    } catch (error) {
      if (heir === undefined || attempt === ATTEMPTS) throw error
      continue
    }
    for (const table of going.filter(table => !doomed(table))) sayRemoved(log, table.subnet)
    if (wasOff && staying.length === 0) await stopForwarding(log, system)
    return
  }
}

/** A network that came meanwhile has found forwarding on, and needs it: then it is on again, with its mark. */
async function stopForwarding(log: Logger, system: NatSystem): Promise<void> {
  system.setForwarding(false)
  const [newcomer] = natTables(await system.chains()).filter(({ subnet }) => system.hasSubnet(subnet))
  if (newcomer === undefined) {
    log.info({ event: 'nat.forwarding', forwarding: false }, 'net.ipv4.ip_forward is off again, as it was')
    return
  }
  await system.apply(remember(newcomer.name))
  system.setForwarding(true)
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
