// A DHCP client on the socket of a real daemon: what a guest would send, one question at a time.

import type { Fields } from './segment.js'
import type { Station } from '../daemon/station.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { parseDhcp, type DhcpMessage } from '../../src/wire/dhcp.js'
import * as option from '../../src/dhcp/options.js'
import { Client, ip } from './segment.js'

const SERVER = ip('192.168.105.1')

export class Guest {
  readonly #client: Client
  readonly #station: Station

  constructor(station: Station, n: number) {
    this.#station = station
    this.#client = new Client(n)
  }

  /** DISCOVER: the address that is offered. */
  async discover(): Promise<string> {
    const { yiaddr } = await this.#ask({ type: option.DISCOVER })
    return formatIpv4(yiaddr)
  }

  /** The REQUEST after an OFFER: the type of the answer. */
  async select(address: string): Promise<number | undefined> {
    return typeOf(
      await this.#ask({
        type: option.REQUEST,
        options: [
          [option.SERVER_ID, SERVER],
          [option.REQUESTED_IP, ip(address)],
        ],
      }),
    )
  }

  /** DISCOVER to ACK: the address. */
  async lease(): Promise<string> {
    const address = await this.discover()
    if ((await this.select(address)) !== option.ACK) throw new Error(`no ACK for ${address}`)
    return address
  }

  /** As a guest that was started again does: the type of the answer. */
  async reboot(address: string): Promise<number | undefined> {
    return typeOf(await this.#ask({ type: option.REQUEST, options: [[option.REQUESTED_IP, ip(address)]] }))
  }

  /** The type of the answer. */
  async renew(address: string): Promise<number | undefined> {
    return typeOf(await this.#ask({ type: option.REQUEST, ciaddr: ip(address), sourceIp: ip(address) }))
  }

  /** Sends a DISCOVER that nobody may answer. */
  tell(): void {
    this.#station.send(this.#client.frame())
  }

  async #ask(fields: Fields): Promise<DhcpMessage> {
    this.#station.send(this.#client.frame(fields))
    const { xid } = this.#client
    let answer: DhcpMessage | undefined
    await this.#station.receive(frame => {
      if (frame.readUInt16BE(12) !== 0x0800 || frame.readUInt16BE(34) !== 67) return false
      const message = parseDhcp(frame, 42, frame.length - 42)
      if (typeof message === 'string' || message.xid !== xid) return false
      const { hi, lo } = this.#client.mac
      const { chaddr } = message
      if (Buffer.from(chaddr).readUInt16BE(0) !== hi || Buffer.from(chaddr).readUInt32BE(2) !== lo)
        return false
      answer = message
      return true
    })
    return answer!
  }
}

const typeOf = ({ options }: DhcpMessage): number | undefined =>
  option.getOption(options, option.MESSAGE_TYPE)
