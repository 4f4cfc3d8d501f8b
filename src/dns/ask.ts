/**
 * One DNS query to one resolver, by UDP or TCP: its answer, or nothing. Over UDP each query goes out from a socket of its
 * own with an ID of its own, so that who cannot see it has 2^32 to guess; the kernel passes on only what comes
 * from the resolver that the socket is connected to (RFC 5452 §9).
 */

import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { dnsId, isDnsResponse, setDnsId } from '../wire/dns.js'
import { framed, MessageReader } from './stream.js'

export interface AskOptions {
  /** An address. */
  resolver: string
  port: number
  /** Milliseconds to wait for the answer. */
  patience: number
  /** Asks no more; there is no answer then. */
  signal: AbortSignal
  random32: () => number
}

/** @returns the answer, with the query's ID; undefined when there is none in time. `query` stays as it is. */
export type Ask = (query: Buffer, options: AskOptions) => Promise<Buffer | undefined>

export const askUdp: Ask = (query, { resolver, port, patience, signal, random32 }) =>
  new Promise(resolve => {
    const socket = createSocket(isIPv6(resolver) ? 'udp6' : 'udp4')
    const id = random32() & 0xffff
    let ended = false
    const end = (answer?: Buffer): void => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      signal.removeEventListener('abort', give)
      socket.close()
      resolve(answer)
    }
    const give = (): void => end()
    const timer = setTimeout(give, patience)
    signal.addEventListener('abort', give)
    socket.on('error', give)
    socket.on('message', message => {
      if (!isDnsResponse(message, id)) return
      setDnsId(message, dnsId(query))
      end(message)
    })
    socket.on('connect', () => {
      if (ended) return
      const asked = Buffer.from(query)
      setDnsId(asked, id)
      socket.send(asked, error => {
        if (error) end()
      })
    })
    socket.connect(port, resolver)
  })

export const askTcp: Ask = (query, { resolver, port, patience, signal }) =>
  new Promise(resolve => {
    const socket = connect({ host: resolver, port })
    const end = (answer?: Buffer): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', give)
      socket.destroy()
      resolve(answer)
    }
    const give = (): void => end()
    const timer = setTimeout(give, patience)
    signal.addEventListener('abort', give)
    const reader = new MessageReader()
    socket.on('error', give)
    socket.on('close', give)
    socket.on('data', chunk => {
      const answer = reader.push(chunk)
      if (answer !== undefined) end(isDnsResponse(answer, dnsId(query)) ? answer : undefined)
    })
    socket.on('connect', () => socket.write(framed(query)))
  })
