/**
 * `vmbridge networks`: the networks of a daemon, in short.
 */

import type { NetworkSummary } from '../control/api.js'
import { UsageError } from '../errors.js'
import { printable } from '../printable.js'
import { askDaemon, DAEMON_OPTIONS, print, printJson } from './ask.js'
import type { Command, Parsed } from './options.js'
import { table } from './table.js'
import { when } from './words.js'

export const command: Command = {
  name: 'networks',
  summary: 'Shows the networks of the daemon: those that stand, and those that go with their last VM.',
  options: { ...DAEMON_OPTIONS, json: { help: 'print everything as JSON' } },
  examples: [
    ['vmbridge networks', 'which there are, and where VMs plug in'],
    ["vmbridge networks --json | jq -r '.networks[].sockets[0]'", 'the sockets, for programs'],
  ],
}

export function run(parsed: Parsed): Promise<number> {
  const { has, operands } = parsed
  if (operands.length > 0)
    throw new UsageError(`networks takes no operand, but got "${operands[0]}"`, 'vmbridge networks --help')
  return askDaemon(parsed, async daemon => {
    const list = await daemon.networks()
    await (has('json') ? printJson(list) : print(render(list.networks, Date.now())))
    return 0
  })
}

/** As of `now`, in ms since the epoch. */
export function render(networks: readonly NetworkSummary[], now: number): string {
  const rows = networks.map(({ name, gateway, uplink, dhcp, ports, kind, until, sockets }) => [
    name,
    gateway ?? 'its own',
    [uplink.kind, uplink.name, uplink.state === 'down' ? '(down)' : undefined].filter(Boolean).join(' '),
    dhcp,
    String(ports),
    kind === 'standing' ? 'stands' : until === undefined ? 'while it has VMs' : `goes ${when(until, now)}`,
    sockets.join(' ') || '-',
  ])
  return printable(table(['NETWORK', 'GATEWAY', 'UPLINK', 'DHCP', 'VMS', 'LIFE', 'SOCKETS'], rows))
}
