/**
 * The commands that Lima 2 runs by sudo for its networks, to the letter, and the sudoers fragment that allows exactly
 * these (pkg/networks of Lima; `limactl sudoers --check` compares the bytes). Nothing in them is quoted: sudo splits
 * them at spaces.
 */

import { join } from 'node:path'
import { vmnetNetworks, type LimaConfig, type LimaNetwork } from './config.js'

export const mkdirCommand = ({ varRun }: LimaConfig): string => `/bin/mkdir -m 775 -p ${varRun}`

export const socketPath = ({ varRun }: LimaConfig, name: string): string =>
  join(varRun, `socket_vmnet.${name}`)

export const pidfilePath = ({ varRun }: LimaConfig, name: string): string =>
  join(varRun, `${name}_socket_vmnet.pid`)

export function startCommand(config: LimaConfig, name: string, network: LimaNetwork): string {
  return [config.socketVmnet, ...startArguments(config, name, network)].join(' ')
}

/** The words behind the program's name. */
export function startArguments(config: LimaConfig, name: string, network: LimaNetwork): string[] {
  return [
    `--pidfile=${pidfilePath(config, name)}`,
    `--socket-group=${config.group}`,
    `--vmnet-mode=${network.mode}`,
    ...modeArguments(network),
    socketPath(config, name),
  ]
}

function modeArguments({ mode, interface: name, gateway, dhcpEnd, netmask }: LimaNetwork): string[] {
  if (mode === 'bridged') return [`--vmnet-interface=${name}`]
  if (mode !== 'host' && mode !== 'shared') return []
  return [
    `--vmnet-gateway=${orNil(gateway)}`,
    `--vmnet-dhcp-end=${orNil(dhcpEnd)}`,
    `--vmnet-mask=${orNil(netmask)}`,
  ]
}

/** As Go writes an address that is not there. */
const orNil = (address: string): string => address || '<nil>'

export const stopCommand = (config: LimaConfig, name: string): string =>
  `/usr/bin/pkill -F ${pidfilePath(config, name)}`

/**
 * What `limactl sudoers` prints.
 * @param rootGroup the name of root's group: wheel on macOS
 */
export function sudoersFragment(config: LimaConfig, rootGroup: string): string {
  const group = `%${config.group}`
  const networks = vmnetNetworks(config).map(
    ([name, network]) => `
# Manage "${name}" network daemons

${group} ALL=(root:${rootGroup}) NOPASSWD:NOSETENV: \\
    ${startCommand(config, name, network)}, \\
    ${stopCommand(config, name)}
`,
  )
  return `${group} ALL=(root:wheel) NOPASSWD:NOSETENV: ${mkdirCommand(config)}\n${networks.join('')}`
}
