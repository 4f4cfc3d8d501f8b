/**
 * The DHCP side of a network whose reservations alone are answered: a host on a port of the switch. Nothing of it is on
 * disk: whoever makes such a network keeps its reservations, if they are to outlive it.
 */

import type { ReservationRecord } from '../control/api.js'
import { checkAnswerable } from '../dhcp/answer-reply.js'
import { Answers } from '../dhcp/answers.js'
import { SYSTEM_CLOCK } from '../dhcp/clock.js'
import { limitLog } from '../dhcp/limited-log.js'
import { toReservation } from '../dhcp/reservation-file.js'
import { Reservations } from '../dhcp/reservations.js'
import type { Logger } from '../log.js'
import { ServicePort } from '../ports/service-port.js'
import type { Switch } from '../switch/switch.js'
import { formatCidr, type Cidr } from '../wire/ipv4.js'
import { formatMac } from '../wire/mac.js'
import { serverMacOf } from './dhcp-segment.js'
import { DhcpService } from './dhcp-service.js'

export interface AnswerSegmentOptions {
  gateway: Cidr
  mtu: number
  /** What is reserved from the beginning on. */
  reserved: readonly ReservationRecord[]
  /** True where no host has the gateway's address: ARP for it is answered. */
  answersArp: boolean
  switch: Switch
  log: Logger
}

export class AnswerSegment {
  readonly server: Answers
  /** A new one takes the place of what is reserved for its address or its client: clusters are made anew. */
  readonly reservations: Reservations
  readonly #options: AnswerSegmentOptions
  readonly #service: ServicePort

  constructor(options: AnswerSegmentOptions) {
    const { gateway, mtu, reserved, answersArp, switch: sw, log } = options
    this.#options = options
    const limited = limitLog(log, SYSTEM_CLOCK)
    this.reservations = new Reservations({
      kept: reserved.map(toReservation).filter(each => each !== undefined),
      replaces: true,
      check: checkAnswerable,
      subnet: gateway,
      taken: [gateway.address],
      log,
      clock: SYSTEM_CLOCK,
    })
    this.#service = new ServicePort(sw, 'dhcp')
    this.server = new Answers({
      serverMac: serverMacOf(gateway.address),
      serverIp: gateway.address,
      subnet: gateway,
      mtu,
      reservations: this.reservations,
      clock: SYSTEM_CLOCK,
      log: limited,
      send: frame => this.#service.send(frame),
      answersArp,
    })
  }

  /** Takes what was reserved before, and begins to answer. */
  async start(): Promise<void> {
    const { gateway, answersArp, log } = this.#options
    await this.reservations.load()
    this.#service.serve(new DhcpService(this.server, { serverIp: gateway.address, answersArp }))
    const { hi, lo } = serverMacOf(gateway.address)
    log.info(
      { event: 'dhcp.ready', mac: formatMac(hi, lo), reservations: this.reservations.list().length },
      `DHCP in ${formatCidr(gateway)} answers for what is reserved, and for nobody else`,
    )
  }

  async close(): Promise<void> {
    this.#service.close()
  }
}
