/**
 * The addon's face: its types, and the one place that loads it. Errors of native calls are system errors with
 * `code`, `errno` and `syscall`, as Node's own have.
 */

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The native half of a port: reads framed runs from a descriptor and writes a port's list to it. */
export interface RunIo {
  /** Sends the first `stretches` pairs of the port's list, `frames` frames, out of `run`, and counts them. */
  transmit(run: Uint8Array, stretches: number, frames: number): void
  /** Closes the descriptor; neither callback is called again. */
  close(): void
  /** The number by which `departures` names this port. */
  slot(): number
  /** Bytes that wait to be taken, where there is a queue. */
  queuedBytes?(): number
  /** Nothing more is taken from the peer: its writes fail at once, and what it has sent is dropped. */
  refuse?(): void
}

export interface StreamIo extends RunIo {
  queuedBytes(): number
  refuse(): void
  /** Before the peer sends anything: who asks for datagrams (askForDatagrams) gets them. Else that is broken framing. */
  offerDatagrams(): void
  /** Our end of the datagram pair to go on by, once, after the port ended with `datagrams`; owned by the caller. */
  passed(): number | undefined
}

/** One end of a socketpair, or a peer of a bound socket by its address; `longest`: bytes of a full frame. */
export type DgramSource = DgramPair | DgramPeer

export interface DgramPair {
  longest: number
  fd: number
}

export interface DgramPeer {
  longest: number
  socket: DgramSocket
  /** As onPeer got it. */
  address: Uint8Array
}

export interface DgramIo extends RunIo {
  queuedBytes(): number
  /** Bytes from one frame to the next in the runs of this port (Port.slotBytes). */
  slotBytes(): number
  /** Whether the peer has connected itself to the bound socket, and can be answered from that alone. */
  isTied(): boolean
  /** Keeps a socket that the peer came by for that peer alone, if no other has come by it. */
  settle(): void
  /** Looks whether a peer with an address is still there; the port ends if it is not. */
  check(): void
}

/** A bound datagram socket that VMs send to. */
export interface DgramSocket {
  /** Takes what comes later by another descriptor, which is owned from here on; those who know the old one keep it. */
  replace(fd: number): void
  /** Within onPeer: whether the stranger came by the present descriptor. */
  isByPresent(): boolean
  /** Reads again, after onUnread. */
  resume(): void
  /** Datagrams of strangers that onPeer was not asked about: without an address, or too many. */
  ignored(): number
  close(): void
}

export interface VmnetIo extends RunIo {
  /** Looks whether the interface is still there; the port ends if it is not. */
  check(): void
  /** Bytes from one frame to the next in the runs of this port (Port.slotBytes). */
  slotBytes(): number
}

/** What vmnet_start_interface is told; what is left out macOS decides. Addresses and masks are dotted. */
export interface VmnetOptions {
  mode: 'bridged' | 'shared' | 'host'
  /** The interface to bridge. */
  interface?: string
  /** The gateway, the end of Apple's DHCP pool and the netmask: all or none. */
  start?: string
  end?: string
  mask?: string
  /** Host mode with `networkId`: the address of this host. */
  hostAddress?: string
  hostMask?: string
  nat66Prefix?: string
  /** 16 bytes; the same one gives the same MAC address. */
  interfaceId?: Uint8Array
  /** 16 bytes; host mode: a network of that name, without Apple's DHCP server. */
  networkId?: Uint8Array
  mtu?: number
  isolate?: boolean
  /** By a network object of macOS 26, without Apple's DHCP server. */
  networkObject?: boolean
}

/** What the framework says of an interface that runs. */
export interface VmnetParameters {
  mac?: string
  start?: string
  end?: string
  mask?: string
  /** Bytes of an IP packet. */
  mtu: number
  /** Bytes of the longest Ethernet frame. */
  maxPacketSize: number
  interfaceId?: Uint8Array
}

/** One interface of vmnet.framework: starts when it is made. */
export interface VmnetInterface {
  /** Once it runs; undefined when it does no more. */
  parameters(): VmnetParameters | undefined
  /** Begins to stop it; its VmnetIo must be closed before. */
  stop(): void
  /** No more reports. What runs, or comes up later, is stopped. */
  abandon(): void
}

/**
 * A change: `running`, `failed` or `stopped`, after the last two of which there are no more. `status` is vmnet's, or 0
 * when it gave none; `call` is the function that it is of. `bridgeable` is what macOS lists where the interface to bridge is
 * not among it, and else empty.
 */
export type VmnetReport = (
  state: 'running' | 'failed' | 'stopped',
  status: number,
  call: string,
  bridgeable: string[],
) => void

type RunIoConstructor<Io extends RunIo, Source = number> = new (
  /** A descriptor: owned from here on, unless the constructor throws. For VmnetIo an interface that runs. */
  source: Source,
  /** The run buffer that this network's ports share; filled before each onRun. */
  run: Uint8Array,
  /** Where onRun leaves what is to be sent: how many ports, then (slot, stretches, frames) for each. */
  departures: Int32Array,
  stretches: Int32Array,
  counters: Float64Array,
  /**
   * Walks the run buffer from `start` to `end` and returns the end of what it used, or a negative number when the
   * framing is broken; `now` is the loop's time, in ms as `now()` gives it. Called outside of any callback scope:
   * promises and ticks made here wait.
   */
  onRun: (end: number, now: number, start: number) => number,
  /** The port ended by itself, for example `eof`, `truncated`, `framing`, `reset`, `gone`, or an errno's name. */
  onEnd: (reason: string) => void,
) => Io

export interface Credentials {
  pid: number
  uid: number
  gid: number
}

export interface Listener {
  close(): void
  pause(): void
  resume(): void
}

export interface TapOptions {
  /** At most 15 bytes; may hold %d, for the kernel to fill. */
  name: string
  mtu: number
  /** IPv4 address as a number in host byte order, with the length of its prefix. */
  address?: number
  prefix?: number
  mac?: Uint8Array
  /** Path of a network namespace to make it in. */
  netns?: string
  /** A bridge of the host to become a port of, with that bridge's MTU. */
  bridge?: string
}

/** How a device was before it was opened. */
export interface FormerTap {
  /** Uint32s, 0 for none. */
  address: number
  mask: number
  isUp: boolean
}

export interface ExecOptions {
  /** argv, the program's name first, in bytes: arguments need not be UTF-8. */
  args: readonly Uint8Array[]
  /** Becomes descriptor 3, where there is one. */
  fd?: number
  /** What the launcher noted before Node started (native/inherited.h). */
  inherited?: string
}

interface Native {
  StreamIo: RunIoConstructor<StreamIo>
  /** Linux only. */
  TapIo: RunIoConstructor<RunIo>
  /** On macOS, and where the addon was built with a stand-in for vmnet.framework; so are the vmnet functions. */
  VmnetInterface?: new (options: VmnetOptions, onReport: VmnetReport) => VmnetInterface
  VmnetIo: RunIoConstructor<VmnetIo, VmnetInterface>
  /** The interfaces that can be bridged; undefined when the framework does not say. */
  vmnetSharedInterfaces(): string[] | undefined
  /** Whether this system has the network objects of macOS 26. */
  vmnetHasNetworkObjects(): boolean
  DgramIo: RunIoConstructor<DgramIo, DgramSource>
  DgramSocket: new (
    /** Bound and non-blocking; owned from here on, unless the constructor throws. */
    fd: number,
    run: Uint8Array,
    /** Bytes of a full frame: each datagram has a slot of that size in the run. */
    longest: number,
    /**
     * A sender that has no port: makes a DgramIo of that address, or does not, and then strangers are not told of for
     * 100 ms. `greeted`: it said "VFKT", and no frame yet. `pid` is 0 and the others -1 where the system does not tell.
     */
    onPeer: (address: Uint8Array, greeted: boolean, pid: number, uid: number, gid: number) => void,
    /** Reading failed and has stopped, until resume(). */
    onUnread: (code: string) => void,
  ) => DgramSocket
  Listener: new (
    fd: number,
    onConnection: (fd: number, pid: number, uid: number, gid: number) => void,
    onError: (code: string) => void,
  ) => Listener
  /** Binds, sets mode and group (gid -1: leave it) and listens. The path must be free. */
  listen(path: string, mode: number, gid: number): number
  dial(path: string, nonBlocking: boolean): number
  /** Binds a datagram socket and sets mode and group (gid -1: leave it). The path must be free. */
  bindDatagram(path: string, mode: number, gid: number): number
  /**
   * Asks the daemon behind a blocking stream socket for one end of a datagram pair. Throws EPROTONOSUPPORT when that
   * daemon has none to give, EAGAIN when it does not answer for 10 s.
   */
  askForDatagrams(stream: number): number
  peerCredentials(fd: number): Credentials
  /** Linux only. */
  /** @returns `former` of a device that was there before and stays when it is closed */
  openTap(options: TapOptions): {
    fd: number
    name: string
    mac: Uint8Array
    mtu: number
    former?: FormerTap
  }
  /** Gives a device that stays its former address, and has it down again if it was, as far as it is as `address` left it. */
  leaveTap(name: string, address: number, former: FormerTap): void
  /** The command line of this process in bytes, Node's own options included; empty where the system does not tell. */
  ownArguments(): Uint8Array[]
  /** Returns only by throwing. */
  exec(options: ExecOptions): never
  /** Ends the process without waiting for anything. */
  exitNow(status: number): never
  /** Monotonic ms: the clock of onRun's `now`. */
  now(): number
  /** Milliseconds that this machine has been asleep since it started. */
  sleptFor(): number
  /** `down`: switched off, or without a carrier. Undefined when there is no descriptor left to ask with. */
  linkOf(name: string): { state: 'missing' | 'down' | 'up'; wireless: boolean } | undefined
  /** A user, by name or by number. */
  userOf(name: string): { name: string; uid: number; gid: number } | undefined
  /** The number of a group, or undefined when there is none of that name. */
  groupId(name: string): number | undefined
  /** Takes an exclusive lock on an open file without waiting; false when another process has it. */
  lock(fd: number): boolean
}

const require = createRequire(import.meta.url)
const load = require('node-gyp-build') as (root: string) => Native

/** The package's root, from dist/src/native.js. */
const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

export const native = load(packageRoot)

/** The bytes of `args`, the last of this process's arguments: Node has read them as UTF-8, which they need not be. */
export function bytesOf(args: readonly string[]): Uint8Array[] {
  const own = native.ownArguments()
  const first = own.length - args.length
  return first < 0 ? args.map(arg => Buffer.from(arg)) : own.slice(first)
}
