// How often does it wake when nobody speaks? Every sleep that a task of the daemon enters by itself is a
// wake-up before it. V8 collects garbage once, some 8 s after a program has become idle (about 60 wake-ups);
// that still belongs to what went before, so it is let pass.

import { connect } from 'node:net'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { runLoad } from '../lib/load.js'
import { wakeups } from '../lib/proc.js'

export const title = 'Wake-ups of an idle daemon'

const SETTLE_MS = 12_000
const WATCH_SECONDS = 10
const goal = { atMost: 1 }

export async function* ask(bench) {
  const racer = await bench.startVmbridge()
  yield { what: 'just started, no ports', value: await wakeupsPerSecond(racer), unit: '/s', goal }
  await runLoad(racer, 'throughput', { ports: 10, flows: 3, seconds: bench.seconds })
  const ports = [await plug(racer), await plug(racer)]
  yield { what: 'after load, 2 silent ports', value: await wakeupsPerSecond(racer), unit: '/s', goal }
  for (const port of ports) port.destroy()
}

async function plug(racer) {
  const port = connect(racer.address)
  await once(port, 'connect')
  port.resume()
  return port
}

async function wakeupsPerSecond(racer) {
  await sleep(SETTLE_MS)
  const before = wakeups(racer.pid)
  await sleep(WATCH_SECONDS * 1000)
  return (wakeups(racer.pid) - before) / WATCH_SECONDS
}
