/**
 * socket_vmnet's command line, as its users and the programs that start it write it (Lima, Colima, minikube, Homebrew):
 * getopt_long's rules, socket_vmnet's defaults and what it refuses. What the words mean is for others.
 */

import { parseUuid } from '../uuid.js'
import { cidr, formatIpv4, parseIpv4, type Cidr } from '../wire/ipv4.js'

export interface SocketVmnetOptions {
  socket: string
  group: string
  mode: 'shared' | 'host' | 'bridged'
  interface?: string
  /** Undefined: macOS decides. */
  gateway?: Cidr
  /** A uint32; with a gateway. */
  dhcpEnd?: number
  interfaceId?: string
  networkId?: string
  nat66Prefix?: string
  disableDhcp: boolean
  pidfile?: string
}

/** What is to be done: run, or print something and exit. */
export type SocketVmnetCommand =
  | { do: 'run'; options: SocketVmnetOptions; warnings: string[] }
  | { do: 'print'; what: 'usage' | 'version'; status: 0 | 1 }

/** A word that cannot be meant: goes to stderr, with the usage on stdout, and the exit status is 1. */
export class SocketVmnetError extends Error {}

/** Long options, and whether each takes a value. */
const OPTIONS = {
  'socket-group': true,
  'vmnet-mode': true,
  'vmnet-interface': true,
  'vmnet-gateway': true,
  'vmnet-dhcp-end': true,
  'vmnet-mask': true,
  'vmnet-interface-id': true,
  'vmnet-network-identifier': true,
  'vmnet-nat66-prefix': true,
  'vmnet-disable-dhcp': false,
  pidfile: true,
  help: false,
  version: false,
} as const
type Name = keyof typeof OPTIONS
const SHORT: Record<string, Name> = { p: 'pidfile', h: 'help', v: 'version' }

export const USAGE = `Usage: socket_vmnet [OPTION]... SOCKET
A switch for virtual machines at SOCKET, with vmnet.framework as its uplink: vmbridge, by socket_vmnet's command line.

--socket-group=GROUP              group of the socket (default: staff)
--vmnet-mode=(host|shared|bridged)
                                  mode of vmnet (default: shared)
--vmnet-interface=INTERFACE       interface to bridge, such as en0; with --vmnet-mode=bridged
--vmnet-gateway=IP                address of this host on the network (default: macOS decides)
--vmnet-dhcp-end=IP               end of the DHCP range (default: .254 of the gateway's /24)
--vmnet-mask=MASK                 subnet mask (default: 255.255.255.0)
--vmnet-interface-id=UUID         identifier of the interface (default: random)
--vmnet-network-identifier=UUID   host mode: a network of that name, without Apple's DHCP server
--vmnet-nat66-prefix=PREFIX       IPv6 prefix of the NAT, such as fd00:1234:: (default: macOS decides)
--vmnet-disable-dhcp              without Apple's DHCP server (macOS 26)
-p, --pidfile=PIDFILE             write the PID there
-h, --help                        show this and exit
-v, --version                     show the version and exit
`

/**
 * Reads the words behind the program's name.
 * @throws SocketVmnetError
 */
export function readSocketVmnet(args: readonly string[]): SocketVmnetCommand {
  const values = new Map<Name, string>()
  const operands: string[] = []
  for (let i = 0; i < args.length; i++) {
    const word = args[i]
    if (word === '--') {
      operands.push(...args.slice(i + 1))
      break
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word)
      continue
    }
    const { name, value } = word.startsWith('--') ? longOption(word) : shortOption(word)
    if (!OPTIONS[name]) {
      if (value !== undefined) throw new SocketVmnetError(`option '--${name}' doesn't allow an argument`)
      if (name === 'help') return { do: 'print', what: 'usage', status: 0 }
      if (name === 'version') return { do: 'print', what: 'version', status: 0 }
      values.set(name, '')
      continue
    }
    const given = value ?? args[++i]
    if (given === undefined) throw new SocketVmnetError(`option '--${name}' requires an argument`)
    values.set(name, given)
  }
  if (operands.length !== 1) return { do: 'print', what: 'usage', status: 1 }
  return resolve(operands[0], values)
}

/** `--name`, `--name=value`, or the beginning of one name only. */
function longOption(word: string): { name: Name; value?: string } {
  const equals = word.indexOf('=')
  const given = word.slice(2, equals < 0 ? undefined : equals)
  const names = Object.keys(OPTIONS) as Name[]
  const found = names.includes(given as Name) ? [given as Name] : names.filter(name => name.startsWith(given))
  if (found.length > 1) {
    const candidates = found.map(name => `'--${name}'`).join(' ')
    throw new SocketVmnetError(`option '--${given}' is ambiguous; possibilities: ${candidates}`)
  }
  if (found.length === 0) throw new SocketVmnetError(`unrecognized option '--${given}'`)
  return equals < 0 ? { name: found[0] } : { name: found[0], value: word.slice(equals + 1) }
}

/** `-p FILE`, `-pFILE`, `-h`, `-v`. */
function shortOption(word: string): { name: Name; value?: string } {
  const name = SHORT[word[1]]
  if (name === undefined) throw new SocketVmnetError(`invalid option -- '${word[1]}'`)
  return OPTIONS[name] && word.length > 2 ? { name, value: word.slice(2) } : { name }
}

function resolve(socket: string, values: ReadonlyMap<Name, string>): SocketVmnetCommand {
  const mode = values.get('vmnet-mode') ?? 'shared'
  if (mode !== 'shared' && mode !== 'host' && mode !== 'bridged')
    throw new SocketVmnetError(`unknown vmnet mode "${mode}": it is host, shared or bridged`)
  const name = values.get('vmnet-interface')
  if (mode === 'bridged' && name === undefined)
    throw new SocketVmnetError('vmnet mode "bridged" requires --vmnet-interface to be specified')
  const gatewayText = values.get('vmnet-gateway')
  if (mode === 'bridged' && gatewayText !== undefined)
    throw new SocketVmnetError('vmnet mode "bridged" conflicts with --vmnet-gateway')
  const warnings: string[] = []
  if (mode === 'shared' && gatewayText === undefined)
    warnings.push(
      '--vmnet-gateway is unset in shared mode: macOS decides, and may decide otherwise next time',
    )
  if (gatewayText === undefined) {
    for (const dependent of ['vmnet-dhcp-end', 'vmnet-mask'] as const) {
      if (values.has(dependent))
        throw new SocketVmnetError(`--${dependent} requires --vmnet-gateway to be specified`)
    }
  }
  const networkId = identifier(values, 'vmnet-network-identifier')
  const interfaceId = identifier(values, 'vmnet-interface-id')
  const prefix = values.get('vmnet-nat66-prefix')
  const pidfile = values.get('pidfile')
  const ignored = ignoredOptions(values, mode)
  warnings.push(...[...ignored].map(([option, why]) => `--${option} is ignored ${why}`))
  const options: SocketVmnetOptions = {
    socket,
    group: values.get('socket-group') ?? 'staff',
    mode,
    disableDhcp: values.has('vmnet-disable-dhcp'),
    ...(name === undefined || ignored.has('vmnet-interface') ? {} : { interface: name }),
    ...(gatewayText === undefined ? {} : addresses(gatewayText, values)),
    ...(interfaceId === undefined || ignored.has('vmnet-interface-id') ? {} : { interfaceId }),
    ...(networkId === undefined || ignored.has('vmnet-network-identifier') ? {} : { networkId }),
    ...(prefix === undefined || ignored.has('vmnet-nat66-prefix') ? {} : { nat66Prefix: prefix }),
    ...(pidfile === undefined ? {} : { pidfile }),
  }
  return { do: 'run', options, warnings }
}

/** What was said to no end, each with the reason: socket_vmnet starts all the same. */
function ignoredOptions(
  values: ReadonlyMap<Name, string>,
  mode: SocketVmnetOptions['mode'],
): Map<Name, string> {
  const rules: [Name, isIgnored: boolean, why: string][] = [
    ['vmnet-interface', mode !== 'bridged', 'unless the mode is bridged'],
    ['vmnet-network-identifier', mode !== 'host', 'unless the mode is host'],
    ['vmnet-nat66-prefix', mode !== 'shared', 'unless the mode is shared'],
    ...(values.has('vmnet-disable-dhcp')
      ? ([
          ['vmnet-dhcp-end', true, 'with --vmnet-disable-dhcp: there is no DHCP server'],
          [
            'vmnet-interface-id',
            mode === 'shared',
            'with --vmnet-disable-dhcp: such a network gives its own',
          ],
        ] as [Name, boolean, string][])
      : []),
  ]
  return new Map(
    rules.filter(([name, isIgnored]) => isIgnored && values.has(name)).map(([name, , why]) => [name, why]),
  )
}

function addresses(
  gatewayText: string,
  values: ReadonlyMap<Name, string>,
): Required<Pick<SocketVmnetOptions, 'gateway' | 'dhcpEnd'>> {
  const address = parseIpv4(gatewayText)
  if (address === undefined)
    throw new SocketVmnetError(`--vmnet-gateway: "${gatewayText}" is not an IPv4 address`)
  const maskText = values.get('vmnet-mask') ?? '255.255.255.0'
  const mask = parseIpv4(maskText)
  const prefix = mask === undefined ? undefined : prefixOf(mask)
  if (prefix === undefined) throw new SocketVmnetError(`--vmnet-mask: "${maskText}" is not a subnet mask`)
  const endText = values.get('vmnet-dhcp-end')
  // As socket_vmnet has it: of the gateway's /24, whatever the mask is.
  const end = endText === undefined ? ((address & 0xffffff00) | 254) >>> 0 : parseIpv4(endText)
  if (end === undefined) throw new SocketVmnetError(`--vmnet-dhcp-end: "${endText}" is not an IPv4 address`)
  const gateway = cidr(address, prefix)
  if (address === gateway.network || address === gateway.broadcast)
    throw new SocketVmnetError(`--vmnet-gateway: ${gatewayText} is no host's address, mask ${maskText}`)
  if (end <= address || end >= gateway.broadcast)
    throw new SocketVmnetError(
      `--vmnet-dhcp-end: ${endText ?? `${formatIpv4(end)} (the default)`} is not behind the gateway ${gatewayText} in its subnet, mask ${maskText}`,
    )
  return { gateway, dhcpEnd: end }
}

/** 24 for 255.255.255.0; undefined when the ones are not all in front. */
function prefixOf(mask: number): number | undefined {
  const prefix = Math.clz32(~mask)
  return mask === (prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0) ? prefix : undefined
}

function identifier(values: ReadonlyMap<Name, string>, name: Name): string | undefined {
  const text = values.get(name)
  if (text === undefined || parseUuid(text) !== undefined) return text?.toLowerCase()
  throw new SocketVmnetError(`--${name}: "${text}" is not a UUID`)
}
