// A VM that stops reading (its QEMU is stopped) while others flood it loses its own frames and nothing else:
// the host and the other VM go on as if nothing were, the daemon's memory stays where it was, the lost
// frames are counted on the stalled VM's port, and the VM is back when its QEMU is.

import t from 'tap'
import { datagramsSent, generate, startFlood } from '../helpers/flood.js'
import type { Guest } from '../helpers/guest.js'
import {
  fetchToGuest,
  fetchToHost,
  HOST_IP,
  lease,
  publishFromGuest,
  publishFromHost,
  startLab,
  TAP,
} from '../helpers/lab.js'
import { GUEST_LAB, requires } from '../helpers/requires.js'

t.setTimeout(240_000)

const BROADCAST_IP = '192.168.105.255'
const PAYLOAD = 1400
// About 110 Mbit/s: a hundred times what the stalled port can queue within its bound, and little enough for
// the TAP's own queue, where the host's other traffic stands in the same line.
const FRAMES_PER_BURST = 50
const BURST_EVERY_MS = 5
const FLOOD_AT_MOST = 600_000
// What the flood must have sent before the verdict: over 80 MB, so that a daemon which keeps it is found out.
const FLOOD_AT_LEAST = 60_000
const MEMORY_MAY_GROW = 32 * 2 ** 20

/** At A, and once in a while at everybody. */
const floodOf = (ip: string) => ({
  burst: [[ip, FRAMES_PER_BURST] as const, [BROADCAST_IP, 1] as const],
  everyMs: BURST_EVERY_MS,
  payload: PAYLOAD,
  atMost: FLOOD_AT_MOST,
  sayEvery: 10_000,
})

/** Floods from a VM: UDP frames of 1414 bytes, as fast as its NIC takes them. */
const floodFromGuest = (guest: Guest, mac: string, ip: string, count: number) =>
  guest.sh(generate({ count, size: PAYLOAD + 14, delay: 0, mac, ip }), { timeoutMs: 60_000 })

t.test('a stalled VM harms nobody', { skip: requires(GUEST_LAB) }, async t => {
  const lab = await startLab(t)
  const { host, daemon, a, b } = lab
  const [{ ip: ipA }, { ip: ipB }] = await Promise.all([lease(a), lease(b)])
  const [sumA, sumB, { sum: sumHost }] = await Promise.all([
    publishFromGuest(a),
    publishFromGuest(b),
    publishFromHost(lab),
  ])
  const dropsOfA = async () => {
    const port = (await daemon.status()).networks[0].ports.find(({ macs }) => macs.includes(a.mac))
    if (port === undefined) throw new Error('status has no port with the MAC of A')
    return Object.values(port.drops).reduce((sum, count) => sum + count, 0)
  }
  const pingsLost = async (ip: string) => {
    const { stdout } = await host.exec(['ping', '-n', '-c', '50', '-i', '0.05', '-W', '2', ip])
    return Number(/ ([\d.]+)% packet loss/.exec(stdout)?.[1])
  }

  // One round of all traffic first: what follows is measured against a daemon that is warm.
  t.equal(await fetchToHost(lab, ipA), sumA, 'before all this: 10 MB from A to the host')
  t.equal(await fetchToGuest(b, ipA), sumA, 'from A to B')
  t.equal(await fetchToGuest(b, HOST_IP), sumHost, 'and from the host to B')
  const dropsBefore = await dropsOfA()
  const memoryBefore = daemon.residentBytes()

  // Without this the flood would end with the neighbour entry that A no longer confirms.
  await host.sh('ip', 'neigh', 'replace', ipA, 'lladdr', a.mac, 'nud', 'permanent', 'dev', TAP)

  a.stop()
  const flood = startFlood(host, floodOf(ipA))
  await flood.waitForLine(line => datagramsSent(line) > 0)

  await t.test('while A is stopped and flooded, the others go on unharmed', async t => {
    t.equal(await pingsLost(ipB), 0, 'the host pings B without a loss')
    t.equal(await fetchToHost(lab, ipB), sumB, '10 MB from B to the host')
    t.equal(await fetchToGuest(b, HOST_IP), sumHost, '10 MB from the host to B')
  })

  await t.test('while B floods A and everybody too, the host and B go on unharmed', async t => {
    await floodFromGuest(b, a.mac, ipA, 20_000)
    await floodFromGuest(b, 'ff:ff:ff:ff:ff:ff', BROADCAST_IP, 2_000)
    t.equal(await pingsLost(ipB), 0, 'the host pings B without a loss')
    t.match(await b.sh(`ping -c 3 -W 2 ${HOST_IP}`), / 0% packet loss/, 'B pings the host without a loss')
    t.equal(await fetchToHost(lab, ipB), sumB, '10 MB from B to the host')
  })

  await t.test("the daemon's memory stays bounded and the drops of A are counted", async t => {
    await flood.waitForLine(line => datagramsSent(line) >= FLOOD_AT_LEAST, { timeoutMs: 60_000 })
    const grown = daemon.residentBytes() - memoryBefore
    t.ok(grown < MEMORY_MAY_GROW, `grown by ${(grown / 2 ** 20).toFixed(1)} MiB`)
    const drops = (await dropsOfA()) - dropsBefore
    // Everything but what the port's queue and QEMU's socket hold.
    t.ok(drops > FLOOD_AT_LEAST / 2, `${drops} frames for A were dropped and counted`)
  })

  await t.test('A works again when its QEMU goes on', async t => {
    await flood.close()
    a.cont()
    const { status } = await host.exec(['ping', '-n', '-c', '1', '-w', '10', ipA])
    t.equal(status, 0, 'A answers')
    t.equal(await pingsLost(ipA), 0, 'and goes on answering')
    t.equal(await fetchToHost(lab, ipA), sumA, '10 MB from A to the host')
    t.equal(await fetchToGuest(a, ipB), sumB, '10 MB from B to A')
  })
})
