// A resolver of the test's own, by UDP and TCP at one address of the loopback: what it was asked, and what it says.

import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { MessageReader, framed } from '../../src/dns/stream.js'
import type { Scope } from '../helpers/daemon.js'

/** A query of type A (RFC 1035 §4.1) for a name of one label. */
export function query(id: number, name = 'x'): Buffer {
  const header = Buffer.from([id >> 8, id & 255, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([header, Buffer.from([name.length]), Buffer.from(name), Buffer.from([0, 0, 1, 0, 1])])
}

/** An answer to it: its own bytes and `more` behind them, as no one who relays it reads. */
export function answerTo(asked: Buffer, more = 'answer'): Buffer {
  const answer = Buffer.concat([asked, Buffer.from(more)])
  answer[2] |= 0x80
  return answer
}

export const rcode = (message: Buffer): number => message[3]! & 15
export const SERVFAIL = 2

export interface Asked {
  message: Buffer
  from: RemoteInfo
}

export class Resolver {
  readonly address: string
  port = 0
  readonly asked: Asked[] = []
  readonly connections: Socket[] = []
  /** What it says; undefined is silence. */
  say: (message: Buffer) => Buffer | undefined = answerTo
  sayByTcp: (message: Buffer) => Buffer | undefined = answerTo
  readonly udp = createSocket('udp4')
  readonly #tcp = createServer()
  #wake = (): void => {}

  private constructor(address: string) {
    this.address = address
  }

  /** @param port of another resolver: all have the same one */
  static async start(t: Scope, address: string, port = 0): Promise<Resolver> {
    const resolver = new Resolver(address)
    const { udp } = resolver
    const tcp = resolver.#tcp
    udp.on('message', (message, from) => {
      resolver.asked.push({ message, from })
      resolver.#wake()
      const answer = resolver.say(message)
      if (answer !== undefined) udp.send(answer, from.port, from.address)
    })
    tcp.on('connection', socket => {
      resolver.connections.push(socket)
      resolver.#wake()
      const reader = new MessageReader()
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => {
        const message = reader.push(chunk)
        const answer = message && resolver.sayByTcp(message)
        if (answer !== undefined) socket.write(framed(answer))
      })
    })
    tcp.listen(port, address)
    await once(tcp, 'listening')
    resolver.port = (tcp.address() as { port: number }).port
    udp.bind(resolver.port, address)
    await once(udp, 'listening')
    t.teardown(() => resolver.stop())
    return resolver
  }

  /** Resolves when it was asked, by UDP or TCP, so many times in all. */
  async wasAsked(times: number): Promise<void> {
    while (this.asked.length + this.connections.length < times)
      await new Promise<void>(resolve => (this.#wake = resolve))
  }

  stop(): void {
    for (const socket of this.connections) socket.destroy()
    this.#tcp.close()
    try {
      this.udp.close()
    } catch {
      // it is closed
    }
  }
}
