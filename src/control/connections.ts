/**
 * The control socket's connections, each with who is at its other end, and their bounds: in number, a user and in
 * all, and in time. A local user can use up nobody's share but his own, and no connection outlives a slow peer.
 */

import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Peer } from './api.js'

/** How long a peer may take to ask, and again to take the answer, in ms: one of ours takes a few. */
const PATIENCE = 2000
/** How long it may take to read an answer, however many megabytes it has, in ms. */
const MOST = 60_000
const MAX_CONNECTIONS = 256
const MAX_OF_A_USER = 32
/** Of a user, that wait for one of those to end. */
const MAX_QUEUED = 96

interface Connection {
  peer: Peer
  limit: NodeJS.Timeout | undefined
  hasAsked: boolean
}

export class Connections {
  readonly #serve: (socket: Socket) => void
  readonly #open = new Map<Socket, Connection>()
  /** Accepted, and no socket yet. */
  readonly #waiting: [fd: number, peer: Peer][] = []
  readonly #ofUser = new Map<number, number>()
  readonly #queued = new Map<number, [fd: number, peer: Peer][]>()
  #isClosed = false

  /** `serve` takes a socket over, its errors too. */
  constructor(serve: (socket: Socket) => void) {
    this.#serve = serve
  }

  /**
   * Takes a descriptor over; closes it where there is no room, and throws. May be called outside of any callback
   * scope, where promises and ticks would wait: the rest happens in an event of its own.
   */
  add(fd: number, peer: Peer): void {
    const user = this.#ofUser.get(peer.uid) ?? 0
    const queued = this.#queued.get(peer.uid) ?? []
    if (!this.#isClosed && user >= MAX_OF_A_USER && queued.length < MAX_QUEUED) {
      queued.push([fd, peer])
      this.#queued.set(peer.uid, queued)
      return
    }
    if (
      this.#isClosed ||
      user >= MAX_OF_A_USER ||
      this.#open.size + this.#waiting.length >= MAX_CONNECTIONS
    ) {
      closeSync(fd)
      throw new Error(`the control socket has its connections, ${user} of them of user ${peer.uid}`)
    }
    this.#ofUser.set(peer.uid, user + 1)
    this.#waiting.push([fd, peer])
    if (this.#waiting.length === 1) setImmediate(() => this.#openWaiting())
  }

  /** Who is at the other end; undefined for a connection that is over. */
  peerOf(socket: Socket): Peer | undefined {
    return this.#open.get(socket)?.peer
  }

  /** True for the first request of a connection, which is its only one. */
  take(socket: Socket): boolean {
    const connection = this.#open.get(socket)
    if (!connection || connection.hasAsked) return false
    return (connection.hasAsked = true)
  }

  /** The request is there: from here on it is the peer who waits. */
  hold(socket: Socket): void {
    clearTimeout(this.#open.get(socket)?.limit)
  }

  /** Gives the peer PATIENCE from now on. */
  limit(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (!connection) return
    clearTimeout(connection.limit)
    connection.limit = setTimeout(() => socket.destroy(), PATIENCE)
  }

  /** The answer is on its way: the peer may take PATIENCE between two reads of it, and MOST for all. */
  answered(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (!connection) return
    clearTimeout(connection.limit)
    connection.limit = setTimeout(() => socket.destroy(), MOST)
    socket.setTimeout(PATIENCE, () => socket.destroy())
  }

  close(): void {
    this.#isClosed = true
    for (const [fd] of this.#waiting.splice(0)) closeSync(fd)
    for (const queue of this.#queued.values()) for (const [fd] of queue) closeSync(fd)
    this.#queued.clear()
    for (const socket of this.#open.keys()) socket.destroy()
  }

  #openWaiting(): void {
    for (const [fd, peer] of this.#waiting.splice(0)) {
      let socket
      try {
        socket = new Socket({ fd, readable: true, writable: true })
      } catch {
        closeSync(fd)
        this.#leave(peer)
        continue
      }
      this.#open.set(socket, { peer, limit: undefined, hasAsked: false })
      this.limit(socket)
      socket.on('close', () => {
        this.hold(socket)
        this.#open.delete(socket)
        this.#leave(peer)
      })
      this.#serve(socket)
    }
  }

  #leave({ uid }: Peer): void {
    const left = this.#ofUser.get(uid)! - 1
    if (left > 0) this.#ofUser.set(uid, left)
    else this.#ofUser.delete(uid)
    const queue = this.#queued.get(uid)
    const next = queue?.shift()
    if (queue?.length === 0) this.#queued.delete(uid)
    try {
      if (next) this.add(...next)
    } catch {
      // There is no room for it in all: it is closed.
    }
  }
}
