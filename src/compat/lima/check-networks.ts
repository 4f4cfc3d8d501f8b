/**
 * Each network of Lima's that socket_vmnet is to serve: whether it takes the words that Lima gives it, and what an
 * earlier run left.
 */

import { hasCode } from '../../errors.js'
import { shellQuote } from '../../shell.js'
import { MAC_SOCKET_PATH } from '../../socket-path.js'
import { formatIpv4, type Cidr } from '../../wire/ipv4.js'
import { readSocketVmnet, SocketVmnetError, type SocketVmnetOptions } from '../socket-vmnet-options.js'
import { pidfilePath, socketPath, startArguments } from './commands.js'
import { vmnetNetworks, type LimaNetwork } from './config.js'
import { failed, ok, skipped, type Finding } from './finding.js'
import type { Machine } from './machine.js'
import type { Setup } from './setup.js'

export function checkNetworks(machine: Machine, setup: Setup): Finding[] {
  const networks = vmnetNetworks(setup.config)
  if (networks.length === 0) return [skipped('networks', `${setup.file} has none that is socket_vmnet's`)]
  const subnets = new Map<string, Cidr>()
  return networks.map(([name, network]) => checkNetwork(machine, setup, name, network, subnets))
}

function checkNetwork(
  machine: Machine,
  { config, file }: Setup,
  name: string,
  network: LimaNetwork,
  subnets: Map<string, Cidr>,
): Finding {
  const title = `network ${name}`
  const refuse = (detail: string, rule: string, fix = `in ${file}: networks.${name}`): Finding =>
    failed(title, detail, rule, fix)
  if (network.mode === '') return refuse('it has no mode', 'host, shared, bridged or user-v2')
  const missing = missingField(network)
  // Lima has no default for these, whatever its comments say.
  if (missing !== undefined) return refuse(`${missing} is missing`, `Lima would hand on "<nil>", or nothing`)
  const socket = socketPath(config, name)
  // Lima starts socket_vmnet nowhere else than on macOS.
  if (Buffer.byteLength(socket) > MAC_SOCKET_PATH)
    return refuse(`${socket} is too long`, `a socket's path has ${MAC_SOCKET_PATH} bytes at most on macOS`)
  let options: SocketVmnetOptions
  try {
    const command = readSocketVmnet(startArguments(config, name, network))
    if (command.do === 'print') return refuse('socket_vmnet would take its words for others', 'no spaces')
    options = command.options
  } catch (error) {
    if (!(error instanceof SocketVmnetError)) throw error
    return refuse(error.message, 'socket_vmnet exits 1 with that')
  }
  const { mode, gateway, interface: bridged } = options
  if (gateway === undefined) return checkBridge(machine, title, refuse, bridged ?? '')
  const [other] = [...subnets].find(([, each]) => overlap(each, gateway)) ?? []
  if (other !== undefined)
    return refuse(`its subnet is one with that of ${other}`, 'vmnet gives a subnet to one network')
  subnets.set(name, gateway)
  const range = `${formatIpv4(gateway.address)}/${gateway.prefix}, DHCP to ${formatIpv4(options.dhcpEnd!)}`
  return ok(title, `${mode}, ${range}`)
}

function missingField({ mode, interface: name, gateway, dhcpEnd, netmask }: LimaNetwork): string | undefined {
  const needed = mode === 'bridged' ? { interface: name } : { gateway, dhcpEnd, netmask }
  const known = ['host', 'shared', 'bridged'].includes(mode)
  return known ? Object.entries(needed).find(([, value]) => value === '')?.[0] : undefined
}

const overlap = (a: Cidr, b: Cidr): boolean => a.network <= b.broadcast && b.network <= a.broadcast

function checkBridge(
  machine: Machine,
  title: string,
  refuse: (detail: string, rule: string) => Finding,
  name: string,
): Finding {
  const names = machine.bridgeable()
  if (names === undefined) return skipped(title, `bridged to ${name}: what can be bridged only macOS says`)
  if (!names.includes(name))
    return refuse(`${name} cannot be bridged`, `vmnet can bridge to ${names.join(', ') || 'nothing here'}`)
  return ok(title, `bridged to ${name}`)
}

/** What is in varRun of each network: nothing, one that runs, or the rest of one that does not. */
export async function checkRests(machine: Machine, { config }: Setup): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [name] of vmnetNetworks(config))
    findings.push(
      await checkRest(machine, `run ${name}`, pidfilePath(config, name), socketPath(config, name)),
    )
  return findings
}

async function checkRest(machine: Machine, title: string, pidfile: string, socket: string): Promise<Finding> {
  const remove = `sudo rm ${shellQuote(pidfile)}`
  let text: string | undefined
  try {
    text = machine.read(pidfile)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) {
      const rule = 'Lima reads the pidfile, as you'
      return failed(title, `${pidfile}: ${(error as Error).message}`, rule, remove)
    }
  }
  const knock = await machine.knock(socket)
  if (text === undefined) {
    if (knock !== 'answered')
      return ok(title, `not running${knock === 'missing' ? '' : '; an old socket, replaced at its start'}`)
    const rule = 'without a pidfile Lima starts another, and the socket is taken'
    return failed(title, `something else serves ${socket}`, rule, `lsof ${shellQuote(socket)}, and end it`)
  }
  const pid = /^\s*\d+\s*$/.test(text) ? Number(text) : 0
  if (pid === 0) {
    const rule = 'with a pidfile that is empty or no number Lima gives up at once'
    return failed(title, `${pidfile} holds ${JSON.stringify(text.slice(0, 20))}`, rule, remove)
  }
  if (!machine.isAlive(pid))
    return ok(title, `not running; a pidfile of the dead process ${pid}, replaced at its start`)
  if (knock === 'answered') return ok(title, `running, process ${pid}`)
  if (knock === 'denied') {
    const rule = 'VMs are started by you, and connect to it'
    return failed(
      title,
      `you may not connect to ${socket}`,
      rule,
      'see group; or restart the VMs of that network',
    )
  }
  const rule = `Lima takes process ${pid}, which is alive, for the network`
  return failed(title, `${pidfile} names process ${pid}, but nobody listens on ${socket}`, rule, remove)
}
