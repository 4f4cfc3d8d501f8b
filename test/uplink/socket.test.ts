// The socket uplink: another server of the same framing is the way out. VMs do not notice when it goes, comes back
// or misbehaves.

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { scratch } from '../cli/command.js'
import type { NetworkStatus } from '../../src/control/api.js'
import { announcement, BROADCAST, framed, Station, textFrame } from '../daemon/station.js'
import { startDaemon, type Daemon, type Scope } from '../helpers/daemon.js'

t.setTimeout(120_000)

const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'
const C = '52:54:00:00:00:0c'

const statusOf = async (daemon: Daemon) => (await daemon.status()).networks[0] as unknown as NetworkStatus

/** Waits for the next up or down of the uplink, counted from the log's line `from` on. */
const uplinkIs = (daemon: Daemon, state: 'up' | 'down', from = 0) =>
  daemon.child.waitForLine(new RegExp(`"event":"uplink\\.${state}"`), { from })

const startOn = (t: Scope, path: string, ...args: string[]) =>
  startDaemon(t, { args: ['--uplink', `socket:${path}`, ...args] })

/** Frames go from one station to the other and back. */
async function talk(t: Test, one: Station, other: Station, text: string): Promise<void> {
  one.send(textFrame(BROADCAST, A, `${text}, question`))
  await other.receive(`${text}, question`)
  other.send(textFrame(A, B, `${text}, answer`))
  await one.receive(`${text}, answer`)
  t.pass(text)
}

t.test('two daemons are one segment; one of them restarts and VMs of the other stay', async t => {
  const path = join(scratch(t), 'up')
  const args = ['--uplink', 'none', '--no-dhcp', '--socket', path]
  const upper = await startDaemon(t, { args })
  const lower = await startOn(t, path)
  await uplinkIs(lower, 'up')
  await upper.waitForLog(entry => entry.event === 'port.up')
  const [a, c] = [await Station.plug(t, lower), await Station.plug(t, lower)]
  const b = await Station.plug(t, upper)
  await talk(t, a, b, 'across the uplink')
  t.match((await statusOf(lower)).uplink, { kind: 'socket', name: path, state: 'up' })

  let from = lower.child.lines.length
  await upper.stop('SIGKILL')
  await uplinkIs(lower, 'down', from)
  t.match((await statusOf(lower)).uplink, { kind: 'socket', name: path, state: 'down' })
  await talk(t, a, c, 'while the other daemon is away')

  from = lower.child.lines.length
  const again = await startDaemon(t, { args })
  await uplinkIs(lower, 'up', from)
  await again.waitForLog(entry => entry.event === 'port.up')
  const b2 = await Station.plug(t, again)
  await talk(t, a, b2, 'after its return')
  await talk(t, a, c, 'and at home')
  t.match((await statusOf(lower)).uplink, { state: 'up' })
  t.equal((await lower.stop()).status, 0)
})

t.test('a server that is not there at the start is found when it comes', async t => {
  const path = join(scratch(t), 'up')
  const lower = await startOn(t, path)
  const said = await uplinkIs(lower, 'down')
  t.match(said, /ENOENT|No such file/)
  const [a, c] = [await Station.plug(t, lower), await Station.plug(t, lower)]
  await talk(t, a, c, 'before')
  const upper = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp', '--socket', path] })
  await uplinkIs(lower, 'up')
  await upper.waitForLog(entry => entry.event === 'port.up')
  await talk(t, a, await Station.plug(t, upper), 'after')
  t.equal(lower.log.filter(({ event }) => event === 'uplink.down').length, 1, 'said once, not every time')
})

/** A server that this test plays, with every connection that came. */
async function play(t: Scope, path: string, each: (socket: Socket) => void): Promise<Server> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    each(socket)
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.teardown(() => server.close())
  return server
}

t.test('a server that closes at once is dialled again with growing pauses', async t => {
  const path = join(scratch(t), 'up')
  const times: number[] = []
  const enough = new Promise<void>((resolve, reject) => {
    void play(t, path, socket => {
      times.push(performance.now())
      socket.destroy()
      if (times.length === 6) resolve()
    }).catch(reject)
  })
  const daemon = await startOn(t, path)
  await enough
  const pauses = times.slice(1).map((time, i) => time - times[i])
  for (let i = 1; i < pauses.length; i++)
    t.ok(pauses[i] > pauses[i - 1] * 1.3, pauses.map(Math.round).join(', '))
  t.ok(pauses[0] >= 50)
  const { ms } = await daemon.stop()
  t.ok(ms < 1000, 'and the pause does not hold up the end')
})

const length = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

const HOSTILE: [name: string, bytes: Buffer, close: boolean, reason: string][] = [
  ['an empty frame', length(0), false, 'empty-frame'],
  ['a frame over the limit', length(65_537), false, 'frame-too-long'],
  ['a length of 0xFFFFFFFF', length(0xffffffff), false, 'frame-too-long'],
  ['an end inside a frame', Buffer.concat([length(100), Buffer.alloc(50)]), true, 'truncated'],
]

t.test('a server with broken framing takes the uplink down, and nothing else', async t => {
  for (const [name, bytes, close, reason] of HOSTILE) {
    const path = join(scratch(t), 'up')
    let connections = 0
    const server = await play(t, path, socket => {
      if (connections++ > 0) return
      // A good frame first: what came before the break is forwarded.
      socket.write(Buffer.concat([framed(textFrame(BROADCAST, C, 'before the break')), bytes]))
      if (close) socket.end()
    })
    const arrived = once(server, 'connection')
    const daemon = await startOn(t, path)
    await arrived
    const down = await daemon.waitForLog(entry => entry.event === 'uplink.down')
    t.equal(down['reason'], reason, name)
    const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
    await talk(t, a, b, name)
    await daemon.waitForLog(entry => entry.event === 'uplink.up')
  }
})

t.test('a server that asks for datagrams is given none: its framing is broken', async t => {
  const path = join(scratch(t), 'up')
  const answers: Promise<Buffer[]>[] = []
  await play(t, path, socket => {
    answers.push(socket.toArray() as Promise<Buffer[]>)
    socket.write('DGRM')
  })
  const daemon = await startOn(t, path)
  const { reason } = await daemon.waitForLog(entry => entry.event === 'uplink.down')
  t.equal(reason, 'frame-too-long')
  t.same(await answers[0], [], 'and no answer')
})

t.test('a server that never reads does not hold up the VMs', async t => {
  const path = join(scratch(t), 'up')
  await play(t, path, socket => socket.pause())
  const daemon = await startOn(t, path)
  await uplinkIs(daemon, 'up')
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  const big = Buffer.concat([textFrame(BROADCAST, A, 'much'), Buffer.alloc(1400)])
  // In rounds that fit into B's own queue: what B loses may be lost by the uplink's fault alone.
  for (let round = 0; round < 40; round++) {
    a.send(...Array.from({ length: 125 }, () => big), textFrame(BROADCAST, A, `round ${round} done`))
    await b.receive(`round ${round} done`)
  }
  await talk(t, a, b, 'behind 7 MB')
  const uplink = (await statusOf(daemon)).ports.find(({ role }) => role === 'uplink')
  t.ok((uplink?.drops['tx-queue-full'] ?? 0) > 0, 'what it did not take is counted')
})

t.test("there is no DHCP on another's segment, unless something of it is asked for", async t => {
  const folder = scratch(t)
  const path = join(folder, 'up')
  const cases: [args: string[], on: boolean][] = [
    [[], false],
    [['--mtu', '1400'], false],
    [['--no-dhcp'], false],
    [['--gateway', '10.7.7.1/24'], true],
    [['--dhcp-range', '192.168.105.50-192.168.105.60'], true],
    [['--gateway', '10.7.7.1/24', '--no-dhcp'], false],
  ]
  for (const [args, on] of cases) {
    const daemon = await startOn(t, path, ...args)
    t.equal((await statusOf(daemon)).dhcp !== undefined, on, args.join(' ') || 'nothing asked for')
    t.equal(
      daemon.log.some(({ event }) => event === 'dhcp.ready'),
      on,
    )
    await daemon.stop()
  }
})

t.test('a whole LAN behind the uplink is known, whenever the uplink came', async t => {
  // More stations than a VM's port has room for, fewer than an uplink's has (src/neighbors/neighbors.ts).
  const stations = Array.from({ length: 600 }, (_, i) => {
    const [high, low] = [i >> 8, i & 255]
    const hex = (value: number) => value.toString(16).padStart(2, '0')
    return announcement(
      `52:54:00:01:${hex(high)}:${hex(low)}`,
      `10.77.${high}.${low + 1 === 256 ? 0 : low + 1}`,
    )
  })
  for (const when of ['before the daemon', 'after the daemon', 'and came back']) {
    const path = join(scratch(t), 'up')
    let current: Socket | undefined
    const serve = () => play(t, path, socket => (current = socket))
    let server = when === 'after the daemon' ? undefined : await serve()
    const daemon = await startOn(t, path)
    server ??= await serve()
    await uplinkIs(daemon, 'up')
    if (when === 'and came back') {
      const from = daemon.child.lines.length
      current?.destroy()
      await uplinkIs(daemon, 'up', from)
    }
    const vm = await Station.plug(t, daemon)
    while (current === undefined || current.destroyed) await new Promise(resolve => setImmediate(resolve))
    current.write(framed(...stations, textFrame(BROADCAST, C, 'the last')))
    await vm.receive('the last')
    const uplink = (await statusOf(daemon)).ports.find(({ role }) => role === 'uplink')
    t.equal(uplink?.ips.length, stations.length, `the uplink was there ${when}`)
    await daemon.stop()
    server.close()
    rmSync(path, { force: true })
  }
})
