// Floods: datagrams in bursts from a network namespace, and frames from a guest by its kernel's packet generator.

import type { Child } from './child.js'
import type { Host } from './host.js'

export interface Flood {
  /** Addresses and how many datagrams each gets in a burst. */
  burst: readonly (readonly [ip: string, count: number])[]
  /** Between two bursts. */
  everyMs: number
  /** Bytes of a datagram. */
  payload: number
  /** It ends after so many datagrams. */
  atMost: number
  /** It says how far it is each time that so many are sent. */
  sayEvery: number
}

const SCRIPT = `
const { burst, everyMs, payload, atMost, sayEvery } = JSON.parse(process.argv[1])
const socket = require('node:dgram').createSocket('udp4')
const bytes = Buffer.alloc(payload, 0x5a)
let sent = 0
let said = 0
socket.on('error', () => {})
socket.bind(() => {
  socket.setBroadcast(true)
  const timer = setInterval(() => {
    for (const [ip, count] of burst) {
      for (let i = 0; i < count; i++) socket.send(bytes, 9, ip, () => {})
      sent += count
    }
    if (sent >= said + sayEvery) console.log('sent ' + (said = sent))
    if (sent >= atMost) clearInterval(timer)
  }, everyMs)
})
`

/** To the discard port, until it is closed. */
export const startFlood = (from: Host, flood: Flood): Child =>
  from.spawn([process.execPath, '-e', SCRIPT, JSON.stringify(flood)])

/** How many datagrams a line of a flood says that it has sent. */
export const datagramsSent = (line: string): number => Number(/^sent (\d+)$/.exec(line)?.[1] ?? 0)

export interface Generated {
  /** 0 is without end. */
  count: number
  /** Bytes of a frame. */
  size: number
  /** Between two frames, in ns. */
  delay: number
  mac: string
  ip: string
}

/** For a guest's shell: what its kernel sends from `echo start >/proc/net/pktgen/pgctrl` on, which waits for the end. */
export const prepare = ({ count, size, delay, mac, ip }: Generated): string => `
  set -e
  modprobe pktgen
  [ -e /proc/net/pktgen/eth0 ] || echo add_device eth0 >/proc/net/pktgen/kpktgend_0
  for setting in 'count ${count}' 'pkt_size ${size}' 'delay ${delay}' 'dst ${ip}' 'dst_mac ${mac}'; do
    echo "$setting" >/proc/net/pktgen/eth0
  done
`

/** Sends them; fails unless all of them left. */
export const generate = (frames: Generated): string => `
  ${prepare(frames)}
  echo start >/proc/net/pktgen/pgctrl
  grep 'Result: OK' /proc/net/pktgen/eth0
`
