// The segment's DHCP server (RFC 2131): one more host on the switch. Frames come in by handleFrame(), whole
// and borrowed; replies leave by send(). What is in between:
//
//   receive.ts         frame -> message, or the reason why not
//   address-search.ts  which address a DISCOVER gets: pool.ts picks, prober.ts asks whether anybody has it
//   exchange.ts        what each message deserves; request.ts: a DHCPREQUEST
//   commit.ts          an ACK waits until its lease is on disk
//   reply.ts           options and addressing of what we send
//   conflicts.ts       leased to one station, claimed by another
//
// Nothing a station sends throws, and no table outgrows the pool.

import type { Ipv4Range } from '../wire/ipv4.js'
import type { Mac } from '../wire/mac.js'
import type { DhcpClock } from './clock.js'
import type { DhcpLog, LeaseStore } from './lease-store.js'
import type { Lease } from './leases.js'
import type { ReservationLookup } from './pool.js'
import type { DhcpAddresses } from './receive.js'
import type { SegmentOptions } from './reply.js'
import type { DhcpStatus, LeaseStatus } from './status.js'
import { BridgeError } from '../errors.js'
import { arpFrame, ARP_REQUEST } from '../wire/arp.js'
import { ETHERNET_HEADER, ETHERTYPE_ARP, etherType } from '../wire/ethernet.js'
import { formatIpv4, formatIpv4Range } from '../wire/ipv4.js'
import { formatMac, MAC_BROADCAST } from '../wire/mac.js'
import { AddressSearch } from './address-search.js'
import { arpAnswer } from './arp-answer.js'
import { clientKey, clientOf, type DhcpClient } from './client.js'
import { LeaseCommitter } from './commit.js'
import { Conflicts } from './conflicts.js'
import { DhcpCounters } from './counters.js'
import { Exchange } from './exchange.js'
import { ROUTER } from './options.js'
import { AddressPool } from './pool.js'
import { Prober } from './prober.js'
import { receiveDhcp, segmentAddresses } from './receive.js'
import { addressStatus, leaseStatus, ofLease } from './status.js'

export interface DhcpServerOptions extends SegmentOptions {
  range: Ipv4Range
  exclude?: readonly Ipv4Range[]
  /** The longest lease, in seconds; clients may ask for less, down to LEAST_LEASE_SECONDS. */
  leaseSeconds?: number
  clock: DhcpClock
  store: LeaseStore
  log: DhcpLog
  /** For conflicts, which a flood of other lines must not hide; the same unless given. */
  conflictLog?: DhcpLog
  /** Takes a whole Ethernet frame, to keep; must not throw. */
  send(frame: Uint8Array): void
  /** True where no host has `serverIp`: the server answers ARP for it. */
  answersArp: boolean
  /** True if a station other than the one with `mac` claims `ip`: it is not leased then. */
  isClaimed?: (ip: number, mac: Mac) => boolean
  /** Whether a port of that name is there now. */
  isPlugged?: (port: string) => boolean
  /** Addresses kept for certain clients; they may change while the server runs. */
  reservations?: ReservationLookup
}

export class DhcpServer {
  readonly #options: DhcpServerOptions
  readonly #pool: AddressPool
  readonly #isClaimed: (ip: number, mac: Mac) => boolean
  readonly #prober: Prober
  readonly #conflicts = new Conflicts()
  readonly #committer: LeaseCommitter
  readonly #exchange: Exchange
  readonly #counters = new DhcpCounters()
  readonly #addresses: DhcpAddresses
  #isOpen = false

  /** Throws ERR_DHCP_RANGE if there is nothing to lease; start() opens it. */
  constructor(options: DhcpServerOptions) {
    const { subnet, range, serverIp, router, exclude = [], clock, store, log } = options
    const { isClaimed = () => false, isPlugged, reservations } = options
    const routers = ROUTER.decode(options.options?.get(ROUTER.code) ?? new Uint8Array()) ?? []
    const own = [serverIp, subnet.address, router ?? serverIp, ...routers].map(ip => ({
      first: ip,
      last: ip,
    }))
    this.#options = options
    this.#addresses = segmentAddresses(serverIp, subnet)
    this.#isClaimed = isClaimed
    const pool = new AddressPool({
      subnet,
      range,
      exclude: [...exclude, ...own],
      isClaimed,
      ...(isPlugged && { isPlugged }),
      ...(reservations && { reservations }),
    })
    this.#pool = pool
    this.#prober = new Prober({ clock, send: ip => this.#sendProbe(ip) })
    const search = new AddressSearch({ pool, prober: this.#prober, clock, log })
    this.#committer = new LeaseCommitter({ pool, store, log, clock })
    const { committer, counters } = { committer: this.#committer, counters: this.#counters }
    this.#exchange = new Exchange({ ...options, pool, search, committer, counters })
  }

  /**
   * Loads the leases; frames are ignored before. Leases outside of the range are forgotten. They are saved at once: a disk
   * that takes nothing shows before the first client does.
   */
  async start(): Promise<void> {
    const { store, log } = this.#options
    const outside = this.#pool.restore(await store.load())
    if (outside > 0)
      log.warn({ event: 'dhcp.store', outside }, `forgot ${outside} leases outside of the range`)
    this.#committer.save()
    await this.flush()
    this.#isOpen = true
  }

  /** Takes no more frames, and resolves when every ACK that waits for the disk has left or was refused. */
  async close(): Promise<void> {
    this.#isOpen = false
    await this.flush()
    await this.#committer.close()
  }

  /** Resolves when nothing waits for the disk. */
  flush(): Promise<void> {
    return this.#committer.flush()
  }

  /**
   * Takes the Ethernet frame of `length` octets at `at` of `bytes`, which are borrowed for the call, from
   * the port of that name. Answers, or counts why not; never throws.
   */
  handleFrame(bytes: Uint8Array, at: number, length: number, portName: string): void {
    if (!this.#isOpen) return
    if (length >= ETHERNET_HEADER && etherType(bytes, at) === ETHERTYPE_ARP) {
      if (this.#options.answersArp) this.#answerArp(bytes, at, length)
      return
    }
    const message = receiveDhcp(bytes, at, length, this.#addresses)
    if (typeof message === 'string') this.#counters.drop(message)
    else this.#exchange.handle(message, this.#tellClones(clientOf(message, portName)))
  }

  /**
   * A station claims an address, or is about to and asks whether anybody has it (`isProbe`), as the neighbour table
   * heard it: `port` is the name of the port it is behind. Quick, and sends nothing: it is called while the frame passes
   * the switch.
   */
  claimed(ip: number, mac: Mac, port: string, isProbe = false): void {
    this.#prober.heard(ip)
    if (isProbe) return
    const lease = this.#pool.leaseAt(ip)
    const now = this.#options.clock.now()
    if (!lease || lease.expires <= now || (lease.mac.hi === mac.hi && lease.mac.lo === mac.lo)) return
    const leasePort = this.#pool.portOf(ip) ?? '-'
    if (!this.#conflicts.note(lease, leasePort, mac, port, now)) return
    const [address, holder, claimer] = [
      formatIpv4(ip),
      formatMac(lease.mac.hi, lease.mac.lo),
      formatMac(mac.hi, mac.lo),
    ]
    const { hostname } = lease
    const log = this.#options.conflictLog ?? this.#options.log
    log.warn(
      {
        event: 'dhcp.conflict',
        ip: address,
        mac: holder,
        port: leasePort,
        hostname,
        claimMac: claimer,
        claimPort: port,
      },
      `conflict: ${address} is leased to ${[holder, hostname].filter(Boolean).join(' ')} on ${leasePort} and claimed by ${claimer} on ${port}`,
    )
  }

  /**
   * Ends the leases of an address or of a station, and takes back an address that is put aside. Resolves to what was
   * ended once that is on disk.
   * @throws BridgeError ERR_LEASE_STORE if it cannot be saved; it is over in memory all the same
   */
  async release(what: { ip: number } | { mac: Mac }): Promise<LeaseStatus[]> {
    const now = this.#options.clock.now()
    const isMeant = ({ ip, mac }: Lease): boolean =>
      'ip' in what ? ip === what.ip : mac.hi === what.mac.hi && mac.lo === what.mac.lo
    const ended = [...this.#pool.leases()].filter(lease => lease.expires > now && isMeant(lease))
    for (const lease of ended) this.#pool.end(lease, now)
    if ('ip' in what) this.#pool.takeBack(what.ip, now)
    this.#committer.save()
    await this.flush()
    if (this.#committer.degraded) {
      throw new BridgeError('ERR_LEASE_STORE', 'the release is not on disk: leases cannot be saved', {
        hint: 'vmbridge status; the log has the reason',
      })
    }
    return ended.map(lease => ofLease({ ...lease, expires: now }, now))
  }

  /** The pool, as others may ask it. */
  get pool(): Pick<AddressPool, 'size' | 'heldBy' | 'isOpen' | 'leases'> {
    return this.#pool
  }

  /** What became of one address, without a look at the others. */
  at(ip: number): LeaseStatus | undefined {
    const now = this.#options.clock.now()
    this.#pool.expire(now)
    return addressStatus(this.#pool, ip, now)
  }

  /** For `status`; plain data. */
  status(): DhcpStatus {
    const { range, exclude = [], clock } = this.#options
    const now = clock.now()
    this.#pool.expire(now)
    return {
      range: formatIpv4Range(range),
      exclude: exclude.map(formatIpv4Range),
      free: this.#pool.free(now),
      leases: leaseStatus(this.#pool, now),
      conflicts: this.#conflicts.list(now, ip => this.#pool.leaseAt(ip), this.#isClaimed),
      counters: this.#counters.status(),
      degraded: this.#committer.degraded,
    }
  }

  /**
   * Copies of one disk come with one client identifier. Where the address of its lease is in use by the station that
   * leased it, another station with that identifier is another machine, and told by its hardware address.
   */
  #tellClones(client: DhcpClient): DhcpClient {
    const { key, clientId, mac, ...rest } = client
    const lease = clientId && this.#pool.leaseOf(key)
    if (!lease || (lease.mac.hi === mac.hi && lease.mac.lo === mac.lo)) return client
    const now = this.#options.clock.now()
    const isClone = lease.expires > now && this.#isClaimed(lease.ip, mac)
    return isClone ? { ...rest, mac, key: clientKey(mac, undefined) } : client
  }

  #sendProbe(ip: number): void {
    const { serverMac, send } = this.#options
    const nobody = { hi: 0, lo: 0 }
    const probe = {
      operation: ARP_REQUEST,
      senderMac: serverMac,
      senderIp: 0,
      targetMac: nobody,
      targetIp: ip,
    }
    send(arpFrame(MAC_BROADCAST, probe))
    this.#counters.sent('probe')
  }

  #answerArp(bytes: Uint8Array, at: number, length: number): void {
    const { serverIp, serverMac } = this.#options
    const answer = arpAnswer(bytes, at, length, serverIp, serverMac)
    if (!answer) return
    this.#options.send(answer)
    this.#counters.sent('arp')
  }
}
