/**
 * `vmbridge reservations`: addresses that the DHCP server keeps for one client each.
 */

import type { ReservationList, ReservationRecord } from '../control/api.js'
import { UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { parseIpv4 } from '../wire/ipv4.js'
import { ASK_OPTIONS, askDaemon, ofNetworks, print, printJson } from './ask.js'
import { environmentName, type Command, type Parsed } from './options.js'
import { table } from './table.js'
import { parseClientId, parseClientMac, parseLabel } from './values.js'

export const command: Command = {
  name: 'reservations',
  operands: '[list | add IP (--mac MAC | --client-id HEX | --name NAME) | remove IP|MAC|CLIENT-ID|NAME]',
  summary: 'Shows, adds and removes addresses that the DHCP server keeps for one client each.',
  options: {
    mac: { value: 'MAC', help: 'add: for the client with this hardware address' },
    'client-id': { value: 'HEX', help: 'add: for the client with this identifier (option 61)' },
    name: { value: 'NAME', help: 'add: for the client that calls itself so (option 12)' },
    hostname: { value: 'NAME', help: 'add: the name that the client is told to have' },
    'dhcp-option': {
      value: 'NAME=VALUE',
      multiple: true,
      isFlagOnly: true, // VMBRIDGE_DHCP_OPTION is what the daemon tells everybody
      help: "add: an option that the client is told in place of the network's, as `vmbridge daemon` takes it",
    },
    ...ASK_OPTIONS,
    json: { help: 'print everything as JSON' },
  },
  examples: [
    [
      'vmbridge reservations add 192.168.105.7 --mac 52:54:00:12:34:56',
      'that VM gets .7, and nobody else does',
    ],
    [
      'vmbridge reservations add 192.168.105.8 --name talos-1 --hostname cp-1',
      'by its name; it is told another',
    ],
    [
      'vmbridge reservations add 192.168.105.9 --mac 52:54:00:12:34:57 --dhcp-option mtu=1400',
      'that VM alone has another MTU',
    ],
    ['vmbridge reservations', 'what is reserved'],
    ['vmbridge reservations remove 192.168.105.7', 'or by the MAC, the client ID or the name'],
  ],
}

const HINT = 'vmbridge reservations --help'
/** Of `add` alone. */
const MATCHES = ['mac', 'client-id', 'name'] as const
const ADD_OPTIONS = [...MATCHES, 'hostname', 'dhcp-option'] as const

export function run(parsed: Parsed): Promise<number> {
  const [verb = 'list', ...operands] = parsed.operands
  const isJson = parsed.has('json')
  switch (verb) {
    case 'list':
      if (operands.length > 0)
        throw new UsageError(`reservations list takes no operand, but got "${operands[0]}"`, HINT)
      refuseAddOptions(verb, parsed)
      return askDaemon(parsed, async (daemon, network) => {
        const { isOne, lists } = await ofNetworks(daemon, network, name => daemon.reservations(name))
        if (isJson) await printJson(isOne ? lists[0] : { networks: lists })
        else await print(reservationTable(lists, isOne))
        return 0
      })
    case 'add': {
      const wanted = recordOf(oneOperand(verb, 'an IP', operands), parsed)
      return askDaemon(parsed, async (daemon, network) => {
        const answer = await daemon.reserve(wanted, network)
        const { reservation, note } = answer
        const more = note === undefined ? '' : `  note: ${note}\n`
        const text = `reserved ${reservation.ip} for ${clientOf(reservation)}\n${more}`
        await (isJson ? printJson(answer) : print(printable(text)))
        return 0
      })
    }
    case 'remove': {
      refuseAddOptions(verb, parsed)
      const which = oneOperand(verb, 'an IP, a MAC, a client ID or a name', operands)
      return askDaemon(parsed, async (daemon, network) => {
        const answer = await daemon.unreserve(which, network)
        const { removed } = answer
        const text = `${removed.ip} is reserved no more for ${clientOf(removed)}\n`
        await (isJson ? printJson(answer) : print(printable(text)))
        return 0
      })
    }
    default:
      throw new UsageError(`reservations has no "${verb}"`, HINT)
  }
}

function oneOperand(verb: string, what: string, [operand, extra]: readonly string[]): string {
  if (operand === undefined || operand === '')
    throw new UsageError(`reservations ${verb} takes ${what}`, HINT)
  if (extra === undefined) return operand
  throw new UsageError(`reservations ${verb} takes one operand, but got "${extra}" too`, HINT)
}

/** Where they would change nothing. What the environment holds may be meant for other commands. */
function refuseAddOptions(verb: string, { all }: Parsed): void {
  const given = ADD_OPTIONS.find(name => all(name).length > 0 && !process.env[environmentName(name)])
  if (given !== undefined) throw new UsageError(`reservations ${verb} takes no --${given}`, HINT)
}

export function recordOf(ip: string, { get, all }: Parsed): ReservationRecord {
  if (parseIpv4(ip) === undefined) {
    throw new UsageError(`reservations add "${ip}": that is no IPv4 address`, HINT)
  }
  const given = MATCHES.filter(name => get(name) !== undefined)
  if (given.length !== 1) {
    const what = given.length === 0 ? 'one' : `not ${given.map(name => `--${name}`).join(' and ')}, but one`
    throw new UsageError(`reservations add takes ${what} of --mac, --client-id and --name`, HINT)
  }
  const [mac, clientId, name] = MATCHES.map(option => get(option))
  const hostname = get('hostname')
  const options = all('dhcp-option')
  return {
    ip,
    ...(mac !== undefined && { mac: parseClientMac('mac', mac) }),
    ...(clientId !== undefined && { clientId: parseClientId('client-id', clientId) }),
    ...(name !== undefined && { name: parseLabel('name', name) }),
    ...(hostname !== undefined && { hostname: parseLabel('hostname', hostname) }),
    ...(options.length > 0 && { options }),
  }
}

function clientOf({ mac, clientId, name }: ReservationRecord): string {
  return mac ?? (clientId === undefined ? `the client called ${name}` : `client ID ${clientId}`)
}

/** With a column for the network, unless one alone is meant. */
function reservationTable(lists: readonly ReservationList[], isOne: boolean): string {
  const rows = lists.flatMap(({ network, reservations }) =>
    reservations.map(({ ip, mac, clientId, name, hostname, options }) => [
      ...(isOne ? [] : [network]),
      ip,
      mac ?? '-',
      name ?? '-',
      hostname ?? '-',
      clientId ?? '-',
      options?.join(' ') ?? '-',
    ]),
  )
  const head = ['IP', 'MAC', 'NAME', 'HOSTNAME', 'CLIENT ID', 'OPTIONS']
  return printable(table(isOne ? head : ['NETWORK', ...head], rows))
}
