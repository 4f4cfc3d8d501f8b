/**
 * The table of the packet filter that a shared network has of its own: `vmbridge_10_5_0_0_24` in the family ip. One that
 * is named after its subnet is known again after a crash, and replaced.
 *
 * A verdict of `accept` is of one chain only: what other tables drop stays dropped, and what we drop is of this
 * network alone.
 */

import { formatIpv4, parseCidr, type Cidr } from '../wire/ipv4.js'
import type { Chain } from './nft.js'

/** An empty chain of that name remembers that a vmbridge turned forwarding on, also across its death. */
export const FORWARDING_WAS_OFF = 'forwarding_was_off'

/** One of our tables, as it is there. */
export interface NatTable {
  name: string
  subnet: Cidr
  /** A vmbridge has turned forwarding on, and the last one turns it off. */
  forwardingWasOff: boolean
}

const formatSubnet = ({ network, prefix }: Cidr): string => `${formatIpv4(network)}/${prefix}`

export function tableName(subnet: Cidr): string {
  return `vmbridge_${formatSubnet(subnet).replace(/\W/g, '_')}`
}

function subnetOf(table: string): Cidr | undefined {
  const [, a, b, c, d, prefix] = /^vmbridge_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)$/.exec(table) ?? []
  return parseCidr(`${a}.${b}.${c}.${d}/${prefix}`)
}

/** Our tables among all chains of the machine. */
export function natTables(chains: readonly Chain[]): NatTable[] {
  const found = new Map<string, NatTable>()
  for (const { family, table, name } of chains) {
    const subnet = family === 'ip' ? subnetOf(table) : undefined
    if (subnet === undefined) continue
    const known = found.get(table) ?? { name: table, subnet, forwardingWasOff: false }
    if (name === FORWARDING_WAS_OFF) known.forwardingWasOff = true
    found.set(table, known)
  }
  return [...found.values()]
}

/** The chains of others through which what is forwarded must come, and that drop what no rule of theirs lets pass. */
export function strictForwarders(chains: readonly Chain[]): Chain[] {
  return chains.filter(
    ({ hook, policy, table, name }) =>
      hook === 'forward' && (policy === 'drop' || (table === 'firewalld' && name === 'filter_FORWARD')),
  )
}

/** The lines that remove a table, also one that is gone meanwhile. */
export const removal = (name: string): string => `table ip ${name}\ndelete table ip ${name}\n`

export const remember = (name: string): string => `add chain ip ${name} ${FORWARDING_WAS_OFF}\n`

/**
 * The lines that make the table, in place of one of its name.
 * @param device the TAP; letters, digits, `_`, `.` and `-` only
 */
export function creation(gateway: Cidr, device: string): string {
  const name = tableName(gateway)
  const subnet = formatSubnet(gateway)
  const into = `oifname "${device}" iifname != "${device}"`
  return `${removal(name)}table ip ${name} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} ip daddr != ${subnet} oifname != "${device}" masquerade
  }
  # VMs are behind a NAT: nobody begins to speak to them but this host, and who is let in by a rule of its owner (dnat).
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${device}" ip saddr != ${subnet} drop
    ${into} ct state established,related accept
    ${into} ct status dnat accept
    ${into} drop
  }
  # The DNS of the gateway is for VMs and this host: a host answers at each of its addresses to whoever routes there.
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != { "lo", "${device}" } ip daddr ${formatIpv4(gateway.address)} meta l4proto { tcp, udp } th dport 53 drop
  }
}
`
}
