/**
 * `vmbridge network add|remove`: networks on demand, made and removed by hand. A network that was added goes with its last VM.
 */

import type { NetworkSummary, NetworkWanted } from '../control/api.js'
import { readGateway } from '../config/gateway.js'
import { UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { askDaemon, DAEMON_OPTIONS, print, printJson } from './ask.js'
import { environmentName, type Command, type Parsed } from './options.js'
import { parseChoice, parseMtu, parseSeconds } from './values.js'

export const command: Command = {
  name: 'network',
  operands: 'add GATEWAY/PREFIX | remove NAME',
  summary: 'Adds a network on demand, which goes with its last VM, or removes one.',
  options: {
    name: { value: 'NAME', help: 'add: what it is called', fallback: 'made of the gateway: 10.5.0.1-24' },
    mode: {
      value: 'MODE',
      isFlagOnly: true, // VMBRIDGE_MODE and VMBRIDGE_MTU are the daemon's
      help: 'add: shared (the host is the gateway), host (the host alone), none (VMs among themselves)',
      fallback: 'shared',
    },
    dhcp: {
      value: 'WHO',
      help: 'add: pool (leases a range), answer (only what is reserved), passthrough (another server)',
      fallback: 'pool',
    },
    mtu: { value: 'N', isFlagOnly: true, help: 'add: bytes of an IP packet', fallback: '1500' },
    wait: { value: 'TIME', help: 'add: how long to wait for the first VM', fallback: '10m' },
    force: { isFlagOnly: true, help: 'remove: cut off the VMs that are plugged in' },
    ...DAEMON_OPTIONS,
    json: { help: 'print everything as JSON' },
  },
  examples: [
    ['sudo vmbridge network add 10.7.0.1/24', 'a network whose gateway is this host; its socket is printed'],
    ['sudo vmbridge network add 10.8.0.1/24 --mode host --name lab', 'without a way out'],
    ['sudo vmbridge network remove lab', 'at once, where no VM is plugged in'],
  ],
}

const HINT = 'vmbridge network --help'
const ADD_OPTIONS = ['name', 'mode', 'dhcp', 'mtu', 'wait'] as const
/** A person starts the VM by hand. */
const WAIT = '10m'
/** In seconds: what the daemon takes. */
const MOST_WAIT = 86_400

export function run(parsed: Parsed): Promise<number> {
  const { has, get } = parsed
  const [verb, operand, extra] = parsed.operands
  if (extra !== undefined)
    throw new UsageError(`network ${verb} takes one operand, but got "${extra}" too`, HINT)
  if (verb === 'add') {
    if (has('force')) throw new UsageError('network add takes no --force', HINT)
    const wanted = wantedOf(operand, parsed)
    return askDaemon(parsed, async daemon => {
      const answer = await daemon.ensureNetwork(wanted)
      const { network, isNew } = answer
      const text = `${network.name} ${isNew ? 'is up' : 'was there already'}; VMs plug in at ${network.sockets.join(' ')}\n${noteOf(wanted, network)}`
      await (has('json') ? printJson(answer) : print(printable(text)))
      return 0
    })
  }
  if (verb === 'remove') {
    const given = ADD_OPTIONS.find(name => get(name) !== undefined && !process.env[environmentName(name)])
    if (given !== undefined) throw new UsageError(`network remove takes no --${given}`, HINT)
    if (operand === undefined || operand === '') throw new UsageError('network remove takes a name', HINT)
    return askDaemon(parsed, async daemon => {
      const answer = await daemon.removeNetwork(operand, has('force'))
      await (has('json') ? printJson(answer) : print(printable(`${answer.removed.name} is removed\n`)))
      return 0
    })
  }
  throw new UsageError(verb === undefined ? 'network takes add or remove' : `network has no "${verb}"`, HINT)
}

/** Where a network that was there is not what was asked for: one that stands is as its owner has it. */
function noteOf(wanted: NetworkWanted, network: NetworkSummary): string {
  const is = [
    wanted.name === undefined || wanted.name === network.name ? [] : `its name, not ${wanted.name}`,
    wanted.dhcp === undefined || wanted.dhcp === network.dhcp
      ? []
      : `DHCP by ${network.dhcp}, not ${wanted.dhcp}`,
  ].flat()
  return is.length === 0 ? '' : `  note: it keeps ${is.join(', and ')}\n`
}

function wantedOf(operand: string | undefined, { get }: Parsed): NetworkWanted {
  if (operand === undefined)
    throw new UsageError('network add takes the gateway with its prefix: 10.7.0.1/24', HINT)
  const gateway = readGateway(operand)
  if ('wrong' in gateway)
    throw new UsageError(
      `network add ${operand}${gateway.wrong}`,
      `vmbridge network add ${gateway.example ?? '10.7.0.1/24'}`,
    )
  const [name, mode, dhcp, mtu] = ADD_OPTIONS.map(option => get(option))
  return {
    gateway: operand,
    wait: parseSeconds('wait', get('wait') ?? WAIT, 1, MOST_WAIT),
    ...(name !== undefined && { name }),
    ...(mode !== undefined && { mode: parseChoice('mode', mode, ['shared', 'host', 'none'] as const) }),
    ...(dhcp !== undefined && {
      dhcp: parseChoice('dhcp', dhcp, ['pool', 'answer', 'passthrough'] as const),
    }),
    ...(mtu !== undefined && { mtu: parseMtu(mtu) }),
  }
}
