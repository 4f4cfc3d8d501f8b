/**
 * What a daemon is told, once its words are checked: src/cli/daemon-settings.ts reads them from the command line.
 */

import type { BootRule } from '../dhcp/boot.js'
import { ROUTER } from '../dhcp/options.js'
import type { StandingReservation } from '../dhcp/reservations.js'
import type { LogFormat, LogLevel } from '../log.js'
import type { SocketRights } from '../ports/claim.js'
import { isBridged, type UplinkChoice } from '../uplink/uplink.js'
import type { Cidr, Ipv4Range } from '../wire/ipv4.js'
import type { User } from './privileges.js'

export interface DhcpSettings {
  /** The default is the subnet without its top fifth, which stays free for VIPs. */
  range?: Ipv4Range
  exclude: Ipv4Range[]
  /** The default is the gateway. */
  dns: number[]
  domain?: string
  /** Code to encoded value, in place of the defaults; an empty value leaves a default out. */
  options: ReadonlyMap<number, Uint8Array>
  /** The next server for everybody, a uint32. */
  nextServer?: number
  boot: readonly BootRule[]
  /** Seconds. */
  leaseSeconds?: number
  /** Where leases are also written as macOS does it, for minikube. */
  leasesFile?: string
}

export interface NetworkSettings {
  name: string
  /** Paths that VMs plug into. */
  sockets: string[]
  /** Paths that VMs send datagrams to. */
  dgrams?: string[]
  /** Paths that VMs listen on, for the daemon to connect to. */
  dials?: string[]
  rights: SocketRights
  uplink: UplinkChoice
  /** The gateway's address with the subnet's prefix: of no meaning where the network is a LAN that serves itself. */
  gateway: Cidr
  /** Undefined: no built-in DHCP server, and no guard. */
  dhcp?: DhcpSettings
  /** In place of `dhcp`: the guard, and answers for what is reserved, as talosctl's own DHCP server has them. */
  answers?: true
  /** Those of the configuration, beside what the state folder has. */
  reservations?: readonly StandingReservation[]
  /** Bytes of an IP packet. */
  mtu: number
  stateDir: string
}

/** Whether DHCP is answered in here, and so kept from the uplink. */
export function answersDhcp({ dhcp, answers }: NetworkSettings): boolean {
  return dhcp !== undefined || answers === true
}

/** Addresses that are hosts' already, and no client's: the gateway's, and those of routers that DHCP names. */
export function takenAddresses({ gateway, dhcp }: Pick<NetworkSettings, 'gateway' | 'dhcp'>): number[] {
  return [gateway.address, ...(ROUTER.decode(dhcp?.options.get(ROUTER.code) ?? new Uint8Array()) ?? [])]
}

/** Whether the network has a gateway and a DHCP server of its own: a LAN, or one whose subnet macOS picks. */
export function servesItself(settings: NetworkSettings): boolean {
  const { uplink } = settings
  if (answersDhcp(settings)) return false
  return isBridged(uplink) || (uplink.kind === 'vmnet' && uplink.subnet === 'macos')
}

export interface DemandSettings {
  /** Each has a folder of its own in there. */
  folder: string
  /** What joins the host to them. */
  uplink: 'tap' | 'vmnet'
}

export interface DaemonSettings {
  /** Those that stand as long as the daemon runs. */
  networks: NetworkSettings[]
  /** What joins the host to networks on demand; undefined where there are none. */
  demandUplink?: DemandSettings['uplink']
  /** Of the control socket, and of the sockets of networks on demand. */
  rights: SocketRights
  /** What the standing networks are by now, for SIGHUP. Throws what is wrong with the file. */
  reload?: () => NetworkSettings[]
  control: string
  /** Where the control socket goes when `control` is only the default and another daemon has it. */
  controlFallback?: string
  pidfile?: string
  /** Whom the daemon becomes when everything that needs root is open. */
  user?: User
  /** stderr unless there is one. */
  logFile?: string
  logLevel: LogLevel
  logFormat: LogFormat
}
