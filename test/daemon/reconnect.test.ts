// A VM that comes back, after the daemon's restart or its own, is the port that it was: the same name with the same MAC
// and the same leased address, to people and to the DHCP server.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { NetworkStatus } from '../../src/control/api.js'
import * as option from '../../src/dhcp/options.js'
import { scratch } from '../cli/command.js'
import { Client, ip } from '../dhcp/segment.js'
import { startDaemon, type Daemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(120_000)

const SKIP = { skip: requires(['linux']) }
const mac = (n: number) => `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`

const networkOf = async (daemon: Daemon) => (await daemon.status()).networks[0] as unknown as NetworkStatus

/** Ports of VMs: name, MAC addresses and IPs. */
const portsOf = async (daemon: Daemon) =>
  (await networkOf(daemon)).ports
    .filter(({ role }) => role === 'vm')
    .map(({ name, macs, ips }) => [name, macs.join(), ips.join()])
    .sort()

/** Has the station say something, and waits until another one heard it. */
async function say(from: Station, n: number, to: Station): Promise<void> {
  const text = `${n} says ${Math.random()}`
  from.send(textFrame(BROADCAST, mac(n), text))
  await to.receive(text, 15_000)
}

/** Takes an address by a REQUEST that names it, which is the first frame of the station. */
async function lease(station: Station, n: number, address: string, isRenewal = false): Promise<void> {
  const client = new Client(n)
  const acked = (frame: Buffer) =>
    frame.readUInt16BE(34) === 67 && frame[frame.indexOf('63825363', 0, 'hex') + 6] === 5
  if (!isRenewal) {
    station.send(client.frame({ options: [[option.REQUESTED_IP, ip(address)]] }))
    await station.receive(frame => frame.readUInt16BE(34) === 67, 15_000)
  }
  const server: [typeof option.SERVER_ID, number][] = isRenewal
    ? []
    : [[option.SERVER_ID, ip('192.168.105.1')]]
  station.send(
    client.frame({ type: option.REQUEST, options: [[option.REQUESTED_IP, ip(address)], ...server] }),
  )
  await station.receive(acked, 15_000)
}

/** Waits until the names are on disk as they are wanted; they are written within a second. */
async function kept(daemon: Daemon, names: RegExp[]): Promise<void> {
  const path = join(daemon.stateDir, 'ports.json')
  const deadline = performance.now() + 20_000
  for (;;) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    if (names.every(name => name.test(text))) return
    if (performance.now() > deadline) throw new Error(`not kept: ${text}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

t.test(
  'two ports of one process reconnect in another order after kill -9: each has its name, MAC and leased IP',
  SKIP,
  async t => {
    const args = ['--uplink', 'none']
    const stateDir = join(scratch(t), 'state')
    const first = await startDaemon(t, { args, stateDir })
    const [a, b] = [await Station.plug(t, first), await Station.plug(t, first)]
    await lease(a, 1, '192.168.105.101')
    await lease(b, 2, '192.168.105.102')
    const before = await portsOf(first)
    t.strictSame(before, [
      ['vm1', mac(1), '192.168.105.101'],
      ['vm2', mac(2), '192.168.105.102'],
    ])
    await kept(first, [/"vm1".*:01"/, /"vm2".*:02"/])
    await first.child.close('SIGKILL')
    await Promise.all([a.closed, b.closed])

    const second = await startDaemon(t, { args, stateDir })
    const [b2, a2] = [await Station.plug(t, second), await Station.plug(t, second)]
    t.same(
      (await portsOf(second)).map(([name]) => name).sort(),
      ['vm3', 'vm4'],
      'nobody knows which is which',
    )
    await lease(b2, 2, '192.168.105.102', true)
    await lease(a2, 1, '192.168.105.101', true)
    t.strictSame(await portsOf(second), before)
    const named = second.log.filter(({ event }) => event === 'port.named')
    t.match(named, [
      { port: 'vm2', was: 'vm3' },
      { port: 'vm1', was: 'vm4' },
    ])
    const ports = second.log.filter(({ event }) => event?.startsWith('dhcp.') && event !== 'dhcp.ready')
    t.same([...new Set(ports.map(({ port }) => port))].sort(), ['vm1', 'vm2'], 'DHCP knew no other name')
    // A message that takes an address away is heeded from the port that has it alone.
    b2.send(new Client(2).frame({ type: option.RELEASE, ciaddr: ip('192.168.105.102') }))
    t.match(await second.waitForLog(({ event }) => event === 'dhcp.release', 20_000), { port: 'vm2' })
  },
)

t.test('a process with one port has its name before it says anything', SKIP, async t => {
  const args = ['--uplink', 'none', '--no-dhcp']
  const first = await startDaemon(t, { args })
  const a = await Station.plug(t, first)
  const b = await Station.plug(t, first)
  await say(a, 1, b)
  // Within the second in which the first name was written.
  await say(b, 2, a)
  await b.close()
  const { stateDir } = first
  const stopped = await first.child.close('SIGTERM')
  t.equal(stopped.code, 0)
  const kept = readFileSync(join(stateDir, 'ports.json'), 'utf8')
  t.ok(kept.includes(mac(1)) && kept.includes(mac(2)), 'what was to be written is, at the end')
  // As if the other one had been another process.
  writeFileSync(join(stateDir, 'ports.json'), kept.replace(/("vm2".*"pid":)\d+/, '$11'))
  const second = await startDaemon(t, { args, stateDir })
  await Station.plug(t, second)
  t.match(
    second.log.find(({ event }) => event === 'port.up'),
    { port: 'vm1' },
  )
})

t.test('a VM that starts again under a running daemon is the port that it was', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const plug = () => Station.plug(t, daemon)
  let [a, b] = [await plug(), await plug()]
  const watcher = await plug()
  await say(a, 1, watcher)
  await say(b, 2, watcher)
  for (let round = 0; round < 5; round++) {
    const from = daemon.child.lines.length
    await Promise.all([a.close(), b.close()])
    await daemon.child.waitForLine(/"event":"port\.down"/, { from, count: 2 })
    ;[b, a] = [await plug(), await plug()]
    await say(b, 2, watcher)
    await say(a, 1, watcher)
    t.same(
      (await portsOf(daemon)).map(([name, macs]) => `${name} ${macs}`),
      [`vm1 ${mac(1)}`, `vm2 ${mac(2)}`, 'vm3 '],
      `round ${round}`,
    )
  }
})

t.test('connect-and-close 1000 times: no record is made, and the next VM is the first', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  for (let i = 0; i < 1000; i++) {
    // At once, but for the backlog's sake not more than the daemon has taken.
    const station = await Station.connect(t, daemon.socket)
    await station.close()
    if (i % 50 === 49) await Station.isTheirTurn(t, daemon.socket)
  }
  while ((await portsOf(daemon)).length > 0);
  // Of so many the log does not tell.
  const [a, b] = [await Station.connect(t, daemon.socket), await Station.connect(t, daemon.socket)]
  while ((await portsOf(daemon)).length < 2);
  await say(a, 1, b)
  t.same(
    (await portsOf(daemon)).map(([name]) => name),
    ['vm1', 'vm2'],
  )
  await daemon.stop()
  const { ports } = JSON.parse(readFileSync(join(daemon.stateDir, 'ports.json'), 'utf8')) as {
    ports: unknown[]
  }
  t.match(ports, [{ name: 'vm1', mac: mac(1) }])
  t.equal(ports.length, 1)
})

t.test('names that cannot be read or kept are a warning, and frames pass', SKIP, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  rmSync(daemon.stateDir, { recursive: true })
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  await say(a, 1, b)
  t.match(await daemon.waitForLog(({ event }) => event === 'port.names', 20_000), {
    msg: /cannot keep the names of ports/,
  })
  await say(b, 2, a)
  t.equal((await daemon.stop()).status, 0)
})
