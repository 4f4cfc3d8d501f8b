// The other end of a station's cable, in place of a switch: a socket that a station dials, what it says, and what it
// is told.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Station } from '../../src/selftest/station.js'
import { scratch } from '../cli/command.js'
import { Deframer, framed } from '../daemon/station.js'
import type { Scope } from '../helpers/daemon.js'

export const MAC = { hi: 0x5254, lo: 10 }
export const PEER_MAC = { hi: 0x5254, lo: 11 }

export interface Peer {
  station: Station
  /** Every frame that the station sent. */
  frames: Buffer[]
  socket: Socket
  interrupt: () => void
  say(...frames: readonly Uint8Array[]): void
  /** The next frame that the station sends, after those that were taken. */
  next(): Promise<Buffer>
}

/** A station whose random numbers are 1, 2, 3 and so on. */
export async function startPeer(t: Scope): Promise<Peer> {
  const path = join(scratch(t), 's')
  const server = createServer()
  server.listen(path)
  await once(server, 'listening')
  const abort = new AbortController()
  let random = 0
  const station = new Station({
    name: 'a',
    mac: MAC,
    path,
    clock: performance,
    random32: () => ++random,
    signal: abort.signal,
  })
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    station.close()
    socket.destroy()
    server.close()
  })
  const frames: Buffer[] = []
  const deframer = new Deframer()
  let wake = (): void => {}
  socket.on('data', chunk => {
    frames.push(...deframer.push(chunk))
    wake()
  })
  socket.on('error', () => {})
  let taken = 0
  return {
    station,
    frames,
    socket,
    interrupt: () => abort.abort(),
    say: (...said) => void socket.write(framed(...said)),
    async next() {
      while (frames.length <= taken) await new Promise<void>(resolve => (wake = resolve))
      return frames[taken++]
    },
  }
}
