/**
 * What the daemon answers on its control socket: HTTP on a Unix socket, JSON, version 1. GET /v1/status.
 * Times are ISO 8601 in UTC, ages and uptimes whole seconds, MAC addresses lower case with colons.
 */

export interface UplinkStatus {
  kind: 'none' | 'tap' | 'socket'
  /** The device or the path behind it. */
  name?: string
  state: 'up' | 'down'
  /** Why it is down, or what it lacks. */
  detail?: string
}

export interface TrafficStatus {
  frames: number
  bytes: number
}

export interface PortStatus {
  name: string
  role: 'vm' | 'uplink' | 'service'
  /** Addresses heard behind the port. */
  macs: string[]
  /** Addresses that stations behind the port claimed by ARP or neighbour discovery, or hold a lease of. */
  ips: string[]
  /** From the station to the switch, as `ip -s link` on the station's side would count transmissions. */
  rx: TrafficStatus
  /** From the switch to the station. */
  tx: TrafficStatus
  /** Frames dropped, by reason; reasons that never happened are left out. */
  drops: Record<string, number>
  /** Addresses that moved here from another port. */
  moves: number
  /** Addresses that did not fit the port's share of the FDB. */
  unlearnt: number
  /** Bytes that wait for a VM that does not read. */
  queued: number
  /** The process at the other end of the socket. */
  peer?: { pid: number; uid: number; command?: string }
  /** When a VM plugged in. */
  since?: string
}

export interface FdbStatus {
  mac: string
  port: string
  age: number
}

export interface LeaseStatus {
  ip: string
  mac: string
  clientId?: string
  hostname?: string
  state: string
  expires: string
}

export interface DhcpStatus {
  range: string
  exclude: string[]
  free: number
  /** Leases could not be written to disk: known ones are renewed, new ones refused. */
  degraded: boolean
  /** Messages since the start, by type; drops by reason. */
  counters: {
    received: Record<string, number>
    sent: Record<string, number>
    dropped: Record<string, number>
  }
}

export interface NetworkStatus {
  name: string
  sockets: string[]
  gateway: string
  mtu: number
  uplink: UplinkStatus
  ports: PortStatus[]
  fdb: FdbStatus[]
  dhcp?: DhcpStatus
  leases: LeaseStatus[]
}

export interface DaemonStatus {
  version: string
  pid: number
  uptime: number
  networks: NetworkStatus[]
}

export interface ControlHandlers {
  status(): DaemonStatus
}

export interface ControlErrorBody {
  error: { code: string; message: string; hint?: string }
}
