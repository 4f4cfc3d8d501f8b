/**
 * `vmbridge leases`: who has which address until when, and an end to that for one of them.
 */

import type { LeaseList, LeaseStatus } from '../control/api.js'
import { UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { parseIpv4 } from '../wire/ipv4.js'
import { parseMac } from '../wire/mac.js'
import { ASK_OPTIONS, askDaemon, ofNetworks, print, printJson } from './ask.js'
import type { Command, Parsed } from './options.js'
import { table } from './table.js'
import { when } from './words.js'

export const command: Command = {
  name: 'leases',
  operands: '[list | release IP|MAC]',
  summary: 'Shows the leases of the DHCP server, or releases one: its address may go to another client then.',
  options: { ...ASK_OPTIONS, json: { help: 'print everything as JSON' } },
  examples: [
    ['vmbridge leases', 'who has which address, behind which port, and until when'],
    ['vmbridge leases --json | jq -r \'.leases[] | select(.hostname == "web").ip\'', "a host's address"],
    [
      'vmbridge leases release 192.168.105.7',
      'the address is free; the client that had it gets it back if nobody was faster',
    ],
    ['vmbridge leases release 52:54:00:12:34:56', 'every lease of that MAC'],
  ],
}

const HINT = 'vmbridge leases --help'

export function run(parsed: Parsed): Promise<number> {
  const [verb = 'list', which, extra] = parsed.operands
  const isJson = parsed.has('json')
  if (verb === 'list') {
    if (which !== undefined) throw new UsageError(`leases list takes no operand, but got "${which}"`, HINT)
    return askDaemon(parsed, async (daemon, network) => {
      const { isOne, lists } = await ofNetworks(daemon, network, name => daemon.leases(name))
      if (isJson) await printJson(isOne ? lists[0] : { networks: lists })
      else await print(isOne ? leaseTable(lists[0]!.leases, Date.now()) : leasesByNetwork(lists, Date.now()))
      return 0
    })
  }
  if (verb !== 'release') throw new UsageError(`leases has no "${verb}"`, HINT)
  if (which === undefined) throw new UsageError('leases release takes an IP or a MAC', HINT)
  if (extra !== undefined)
    throw new UsageError(`leases release takes one operand, but got "${extra}" too`, HINT)
  if (parseIpv4(which) === undefined && parseMac(which) === undefined) {
    throw new UsageError(`leases release "${which}": that is neither an IPv4 address nor a MAC`, HINT)
  }
  return askDaemon(parsed, async (daemon, network) => {
    const answer = await daemon.release(which, network)
    await (isJson ? printJson(answer) : print(printable(answer.released.map(releasedLine).join(''))))
    return 0
  })
}

/** As of `now`, in ms since the epoch. */
export function leaseTable(leases: readonly LeaseStatus[], now: number): string {
  return printable(
    table(
      HEAD,
      leases.map(lease => rowOf(lease, now)),
    ),
  )
}

function leasesByNetwork(lists: readonly LeaseList[], now: number): string {
  const rows = lists.flatMap(({ network, leases }) => leases.map(lease => [network, ...rowOf(lease, now)]))
  return printable(table(['NETWORK', ...HEAD], rows))
}

/** The client ID is last, for it may be long; a client that sends none is known by its MAC. */
const HEAD = ['IP', 'MAC', 'HOSTNAME', 'PORT', 'STATE', 'EXPIRES', 'CLIENT ID']

function rowOf({ ip, mac, clientId, hostname, port, state, expires }: LeaseStatus, now: number): string[] {
  return [ip, mac, hostname ?? '-', port ?? '-', state, when(expires, now), clientId ?? '-']
}

function releasedLine({ ip, mac, hostname, state }: LeaseStatus): string {
  const client = `${mac}${hostname === undefined ? '' : ` (${hostname})`}`
  return state === 'declined'
    ? `took back ${ip}, which ${client} declined\n`
    : `released ${ip}, the lease of ${client}\n`
}
