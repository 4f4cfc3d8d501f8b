/**
 * What the daemon answers on its control socket: HTTP on a Unix socket, JSON, version 1. Times are ISO 8601 in UTC,
 * ages and uptimes whole seconds, MAC addresses lower case with colons, client identifiers hexadecimal digits.
 *
 *   GET    /v1/status                DaemonStatus
 *   GET    /v1/leases                LeaseList
 *   DELETE /v1/leases/WHICH          LeaseRelease; WHICH is an IP or a MAC
 *   GET    /v1/reservations          ReservationList
 *   POST   /v1/reservations          201 and ReservationAdded; takes ReservationRecord as JSON, at most 64 KiB
 *   DELETE /v1/reservations/WHICH    ReservationRemoved; WHICH is an IP, MAC, client identifier or name
 *   GET    /v1/networks              NetworkList
 *   POST   /v1/networks              201 and NetworkEnsured; takes NetworkWanted as JSON
 *   DELETE /v1/networks/NAME         NetworkRemoved; `?force=1` where VMs are plugged in
 *
 * Leases and reservations take `?network=NAME`; without it a daemon's only network is meant. What fails answers
 * ControlErrorBody with 400, 403, 404, 405, 409, 413 or 500. One request a connection: it is closed after the answer.
 */

export interface UplinkStatus {
  kind: 'none' | 'tap' | 'socket' | 'vmnet'
  /** The device or the path behind it; of vmnet the mode, and the interface that is bridged. */
  name?: string
  state: 'up' | 'down'
  /** Why it is down, or what it lacks. */
  detail?: string
}

/** A VM that listens, and that the daemon connects to. */
export interface DialStatus {
  path: string
  state: 'up' | 'down'
  /** Its port, while it is up. */
  port?: string
  /** Why it is down: it is dialled again until it answers. */
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
  /** `dial:` and the path that the VM listens on, or `dgram:` and the address that its datagrams come from. */
  key?: string
  /** When a VM plugged in. */
  since?: string
}

export interface FdbStatus {
  mac: string
  port: string
  age: number
}

/** An address that a station claims. */
export interface NeighborStatus {
  /** IPv4 or IPv6. */
  ip: string
  mac: string
  port: string
  /** By what the claim was heard last. */
  how: 'arp' | 'nd' | 'probe'
  /** Seconds since the first time, and since the last. */
  firstSeen: number
  lastSeen: number
  /** How often the address went to another MAC or another port. */
  moves: number
}

export interface LeaseStatus {
  ip: string
  mac: string
  clientId?: string
  hostname?: string
  /** The port behind which the MAC was heard last, where it is known. */
  port?: string
  state: string
  expires: string
}

/** A leased address that another station claims. */
export interface ConflictStatus {
  ip: string
  lease: { mac: string; port: string; hostname?: string }
  claim: { mac: string; port: string }
  /** When it was noticed first. */
  since: string
  count: number
}

export interface DhcpStatus {
  /** Not there where only what is reserved is answered. */
  range?: string
  exclude: string[]
  free: number
  /** Leases could not be written to disk: known ones are renewed, new ones refused. */
  degraded: boolean
  /** Leased addresses that other stations claim. */
  conflicts: ConflictStatus[]
  /** How many addresses are reserved. */
  reservations: number
  /** Messages since the start, by type; drops by reason. */
  counters: {
    received: Record<string, number>
    sent: Record<string, number>
    dropped: Record<string, number>
  }
}

export interface NetworkStatus {
  name: string
  /** `demand`: goes with its last port. */
  kind: NetworkKind
  sockets: string[]
  /** Paths that VMs send datagrams to, where there are any. */
  dgrams?: string[]
  /** Not there where nothing is dialled. */
  dials?: DialStatus[]
  /** Not there where the network is a LAN with a gateway of its own. */
  gateway?: string
  mtu: number
  uplink: UplinkStatus
  ports: PortStatus[]
  fdb: FdbStatus[]
  /** Who claims which address, as ARP and neighbour discovery told it in passing; IPv4 first. */
  neighbors: NeighborStatus[]
  dhcp?: DhcpStatus
  leases: LeaseStatus[]
}

export interface DaemonStatus {
  version: string
  pid: number
  uptime: number
  networks: NetworkStatus[]
}

export interface LeaseList {
  network: string
  leases: LeaseStatus[]
}

export interface LeaseRelease {
  network: string
  /** The leases that ended, or the declined address that was taken back; one or more. */
  released: LeaseStatus[]
}

/** An address that is kept for one client; exactly one of mac, clientId and name tells which. */
export interface ReservationRecord {
  ip: string
  mac?: string
  clientId?: string
  /** The client's own name, in whatever case. */
  name?: string
  /** What it is told that its name is. */
  hostname?: string
  /** What it is told in place of the network's own options, each as --dhcp-option takes it: `mtu=1450`. */
  options?: string[]
}

export interface ReservationList {
  network: string
  reservations: ReservationRecord[]
}

export interface ReservationAdded {
  network: string
  reservation: ReservationRecord
  /** What to know about it, for people: that another client has the address for now. */
  note?: string
}

export interface ReservationRemoved {
  network: string
  removed: ReservationRecord
}

/** Who answers DHCP on a network that is made on demand. */
export type DhcpMode =
  /** The built-in server leases a range, and what is reserved. */
  | 'pool'
  /** The built-in server answers for reservations as talosctl's does, and everybody else gets silence. */
  | 'answer'
  /** Another server, behind the uplink or a port: DHCP is like any other frame. */
  | 'passthrough'

export interface NetworkWanted {
  /** The gateway with the length of the prefix, as in `10.5.0.1/24`: by that the network is known. */
  gateway: string
  /** Made up from the gateway where none is given. */
  name?: string
  /** `shared` where nothing is said: the host is the gateway. `none`: VMs among themselves, for which nobody needs rights. */
  mode?: 'shared' | 'host' | 'none'
  /** `pool` where nothing is said. */
  dhcp?: DhcpMode
  /** Bytes of an IP packet; 1500 where nothing is said. */
  mtu?: number
  /** Seconds to wait for the first VM, at most a day; 30 where nothing is said. */
  wait?: number
}

/** `standing`: of the command line or the file. `demand`: goes with its last port. */
export type NetworkKind = 'standing' | 'demand'

/** One of the networks of a daemon, in short. */
export interface NetworkSummary {
  name: string
  kind: NetworkKind
  sockets: string[]
  /** Not there where the network is a LAN with a gateway of its own. */
  gateway?: string
  uplink: UplinkStatus
  dhcp: DhcpMode
  /** VMs that are plugged in. */
  ports: number
  /** Of a network on demand without a VM: when it goes, ISO 8601. */
  until?: string
}

export interface NetworkList {
  networks: NetworkSummary[]
}

export interface NetworkEnsured {
  network: NetworkSummary
  /** False where it was there. */
  isNew: boolean
}

export interface NetworkRemoved {
  removed: NetworkSummary
}

/** The process at the other end, as the kernel knew it when it connected; a number it did not know is -1. */
export interface Peer {
  pid: number
  uid: number
  /** Its primary group. */
  gid: number
}

/** What the daemon can do; a BridgeError that they throw, or reject with, is answered with its code. */
export interface ControlHandlers {
  status(): DaemonStatus
  /** The DHCP side of the network of that name, or of the only one. */
  dhcp(network: string | undefined): DhcpHandlers
  readonly networks: NetworkHandlers
}

/** What comes from outside has been found to have the right form, not to make sense. */
export interface NetworkHandlers {
  list(): NetworkList
  /** The network of that gateway, made if it is not there: with a port or the wait, whichever is longer, it stays. */
  ensure(wanted: NetworkWanted, peer: Peer): Promise<NetworkEnsured>
  /** @param isForced whether VMs that are plugged in are no obstacle */
  remove(name: string, isForced: boolean, peer: Peer): Promise<NetworkRemoved>
}

/** `which` is as it came from outside; a change has been found to be allowed. */
export interface DhcpHandlers {
  leases(): LeaseList
  release(which: string, peer: Peer): Promise<LeaseRelease>
  reservations(): ReservationList
  reserve(wanted: ReservationRecord, peer: Peer): Promise<ReservationAdded>
  unreserve(which: string, peer: Peer): Promise<ReservationRemoved>
}

export interface ControlErrorBody {
  error: { code: string; message: string; hint?: string }
}
