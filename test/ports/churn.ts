// Peers that connect, send and leave by the thousand, in a process of their own; says what they left behind.
// Run with --expose-gc. Arguments: how many before the first look, and how many after it.

import { readdirSync } from 'node:fs'
import { frame, runOf, turn, until } from '../helpers/frames.js'
import { Bench } from './bench.js'

const undo: (() => unknown)[] = []
const bench = new Bench({ teardown: each => undo.push(each) })
const listening = bench.tester()
const hello = runOf(frame())

async function churn(times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    const peer = await bench.plug()
    peer.writeSome(hello)
    // A frame for it is left unread by every second one, which ends in a reset.
    if (n % 2) bench.inject(listening, hello)
    peer.close()
    await until(() => peer.ended !== undefined)
    bench.forget(peer)
    if (listening.take().length !== 1) throw new Error('its frame was lost')
    // Else how much is left is a matter of when the collector ran last.
    if (n % 200 === 0) globalThis.gc!()
  }
}

async function look() {
  for (let i = 0; i < 5; i++) {
    globalThis.gc!()
    await turn()
  }
  const { rss, external, arrayBuffers, heapUsed } = process.memoryUsage()
  return { descriptors: readdirSync('/dev/fd').length, rss, external, arrayBuffers, heapUsed }
}

const [warmUp, times] = process.argv.slice(2).map(Number)
await churn(warmUp)
const before = await look()
await churn(times)
const after = await look()
const { ports } = bench.switch
process.stdout.write(
  `${JSON.stringify({ before, after, ports: ports.length, fdb: bench.switch.fdbEntries().length })}\n`,
)
for (const each of undo.toReversed()) each()
