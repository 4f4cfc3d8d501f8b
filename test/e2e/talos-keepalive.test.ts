// The keepalive of talosctl 1.14 is a QEMU that never runs and never reads. Broadcast storms fill what its port may
// hold, and then its frames are dropped and counted there; nobody else loses one, and the daemon does not grow.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { datagramsSent, generate, startFlood } from '../helpers/flood.js'
import { requires } from '../helpers/requires.js'
import { TALOS_LAB, TalosHost, whoIs } from '../helpers/talos.js'
import type { TalosNode } from '../helpers/talos-node.js'

t.setTimeout(300_000)

const BROADCAST = '10.5.0.255'
const PAYLOAD = 1400
// A thousand broadcasts a second: the other nodes take them all, on a slow machine too, and do their work beside.
const FRAMES_PER_BURST = 10
const BURST_EVERY_MS = 10
const STORM_AT_LEAST = 15_000
const STORM_AT_MOST = 300_000
const FROM_NODE = 3_000
const FROM_NODE_EVERY_NS = 1_000_000
// The storms are 25 MB: a daemon that kept them would be found out.
const MEMORY_MAY_GROW = 12 * 2 ** 20
const QUEUE_MAY_HOLD = 512 * 1024

const STORM = {
  burst: [[BROADCAST, FRAMES_PER_BURST]],
  everyMs: BURST_EVERY_MS,
  payload: PAYLOAD,
  atMost: STORM_AT_MOST,
  sayEvery: 1000,
} as const

const STORM_OF_NODE = {
  count: FROM_NODE,
  size: PAYLOAD,
  delay: FROM_NODE_EVERY_NS,
  mac: 'ff:ff:ff:ff:ff:ff',
  ip: BROADCAST,
}

async function portOf(host: TalosHost, pid: number | undefined) {
  const port = (await host.network())!.ports.find(({ peer }) => peer?.pid === pid)
  if (port === undefined) throw new Error(`no port is that of ${pid}`)
  return port
}

/** 10 MB from a node's web server to the host, and their checksum there. */
async function fetchFrom(host: TalosHost, node: TalosNode): Promise<string> {
  const path = join(host.directory, 'received')
  const url = `http://${node.ip}:50000/noise`
  await host.netns.sh('curl', '--silent', '--show-error', '--fail', '--max-time', '60', '-o', path, url)
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

const lossOf = async (host: TalosHost, ip: string) => {
  const { stdout } = await host.netns.exec(['ping', '-n', '-c', '50', '-i', '0.05', '-W', '5', ip])
  return Number(/ ([\d.]+)% packet loss/.exec(stdout)?.[1])
}

t.test('storms past a keepalive harm nobody', { skip: requires(TALOS_LAB) }, async t => {
  const host = await TalosHost.start(t)
  const { cluster } = await host.create({ version: 'v1.14', controlplanes: 1, workers: 1 })
  const [a, b] = cluster.nodes
  await a.sh('head -c 10000000 /dev/urandom >/tmp/www/noise')
  const sum = (await a.sh('sha256sum </tmp/www/noise')).slice(0, 64)
  const keepalive = () => portOf(host, cluster.keepalive)

  // One round of all traffic first: what follows is measured against a daemon that is warm.
  t.equal(await fetchFrom(host, a), sum, 'before all this: 10 MB from a node to the host')
  t.equal((await keepalive()).rx.frames, 0, 'the keepalive has said nothing')
  const memory = host.daemon.residentBytes()

  const storm = startFlood(host.netns, STORM)
  await storm.waitForLine(line => datagramsSent(line) > 0)
  await t.test('while the host storms', async t => {
    t.equal(await lossOf(host, a.ip), 0, 'it pings a node without a loss')
    t.equal(await fetchFrom(host, a), sum, '10 MB from a node to the host')
    t.match(await b.sh(`ping -q -c 5 -W 5 ${a.ip}`), / 0% packet loss/, 'a node pings another without a loss')
    const other = `wget -q -O - http://${a.ip}:50000/noise | sha256sum`
    t.equal((await b.sh(other)).slice(0, 64), sum, '10 MB from a node to another')
    await storm.waitForLine(line => datagramsSent(line) >= STORM_AT_LEAST, { timeoutMs: 60_000 })
  })

  await t.test('while a node storms too', async t => {
    const [, loss] = await Promise.all([b.sh(generate(STORM_OF_NODE)), lossOf(host, a.ip)])
    t.equal(loss, 0, 'the host pings another node without a loss')
    t.equal(await whoIs(host, b.ip), b.name, 'and reaches that one by TCP')
  })
  await storm.close()

  await t.test('what the keepalive did not read is dropped at its port, and counted', async t => {
    const { drops, queued, tx } = await keepalive()
    const grown = host.daemon.residentBytes() - memory
    t.ok(grown < MEMORY_MAY_GROW, `the daemon's memory grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
    t.ok(queued <= QUEUE_MAY_HOLD, `${queued} bytes wait for it`)
    t.ok(tx.bytes < 2 ** 20, `${tx.bytes} bytes are in its socket`)
    const lost = drops['tx-queue-full'] ?? 0
    // Everything but what its queue and its socket hold.
    t.ok(lost > STORM_AT_LEAST + FROM_NODE - 2000, `${lost} frames for it were dropped`)
  })
})
