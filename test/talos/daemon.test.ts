// The daemon that a stand-in asks: late, absent, on its way out, of another mind.

import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ControlClient } from '../../src/control/client.js'
import { attach, type Attachment } from '../../src/talos/attach.js'
import { scratch } from '../cli/command.js'
import { requires } from '../helpers/requires.js'
import { MAC, NETDEV, nodeLine, record } from './lines.js'
import { place, QEMU_ENDED, seenBy, startStandIn } from './place.js'
import { FakeDaemon } from './stand-in-daemon.js'

t.setTimeout(600_000)

const skip = requires(['linux', 'cc', 'perl', 'unshare'])

const NETWORK = { gateway: '10.5.0.1/24', mode: 'shared', dhcp: 'answer', wait: 30 } as const
const NAME = '10.5.0.1-24'
const SOCKET = `/run/vmbridge/networks/${NAME}/vm.sock`
const RESERVATION = { ip: '10.5.0.2', mac: MAC, options: ['mtu=1500'] }

/** A clock that goes by sleeping alone. */
function clock(onSleep: (now: number) => Promise<void> | void = () => {}) {
  let now = 0
  const sleep = async (ms: number) => {
    now += ms
    await onSleep(now)
  }
  return { total: 15_000, pause: 200, now: () => now, sleep }
}

function lab(t: Test) {
  const control = join(scratch(t), 'c')
  const daemon = new FakeDaemon(t, control)
  const client = new ControlClient(control)
  const ask = (attachment: Attachment, patience = clock()) => attach(client, attachment, patience)
  return { daemon, ask }
}

t.test('a daemon that is 5 s late is waited for', async t => {
  const { daemon, ask } = lab(t)
  const patience = clock(async now => {
    if (now === 5000) await daemon.start()
  })
  t.strictSame(await ask({ network: NETWORK, reservation: RESERVATION }, patience), {
    socket: SOCKET,
    hasMtu: true,
  })
  t.equal(patience.now(), 5000)
  t.strictSame(daemon.reservations.get(NAME), [RESERVATION])
})

t.test('the network of a keepalive is the nodes’ as well, whatever MTU they have', async t => {
  const { daemon, ask } = lab(t)
  const refused: unknown[] = []
  daemon.instead = ({ path, body }) => {
    if (path !== '/v1/networks' || (body as { mtu?: number }).mtu === undefined) return undefined
    refused.push(body)
    return { status: 409, body: { error: { code: 'ERR_NETWORK_DIFFERS', message: 'another MTU' } } }
  }
  await daemon.start()
  t.strictSame(await ask({ network: { ...NETWORK, mtu: 9000 }, reservation: RESERVATION }), {
    socket: SOCKET,
    hasMtu: false,
  })
  t.strictSame(refused, [{ ...NETWORK, mtu: 9000 }])
  t.strictSame(daemon.reservations.get(NAME), [RESERVATION])
  t.strictSame(await ask({ network: NETWORK }), { socket: SOCKET, hasMtu: true })
})

t.test('an absent daemon is given up after 15 s', async t => {
  const { ask } = lab(t)
  const patience = clock()
  await t.rejects(ask({ network: NETWORK }, patience), { code: 'ERR_NO_DAEMON' })
  t.equal(patience.now(), 15_000)
})

t.test('a network that goes between two questions is asked for again', async t => {
  const { daemon, ask } = lab(t)
  await daemon.start()
  let gone = 0
  daemon.instead = ({ path }) => {
    if (!path.startsWith('/v1/reservations') || gone++ > 0) return undefined
    daemon.networks.clear()
    return undefined
  }
  t.equal((await ask({ network: NETWORK, reservation: RESERVATION })).socket, SOCKET)
  t.strictSame(daemon.reservations.get(NAME), [RESERVATION])
})

t.test('what the daemon refuses is not asked again', async t => {
  const { daemon, ask } = lab(t)
  await daemon.start()
  daemon.instead = () =>
    daemon.refuse(409, 'ERR_NETWORK_OVERLAP', '10.5.0.1/24 overlaps 10.5.0.0/16', 'another')
  await t.rejects(ask({ network: NETWORK }), { code: 'ERR_NETWORK_OVERLAP', hint: 'another' })
  t.equal(daemon.asked.length, 1)
})

t.test('a socket that is none is no answer', async t => {
  const { daemon, ask } = lab(t)
  await daemon.start()
  for (const socket of [undefined, 7, 'relative', '/a\0b', `/${'x'.repeat(103)}`]) {
    daemon.networks.clear()
    daemon.socketOf = () => socket
    await t.rejects(ask({ network: NETWORK }), { code: 'ERR_NO_SOCKET' }, String(socket))
  }
})

t.test('a cluster made anew: other MACs for the same addresses, and what is planned now holds', async t => {
  const { daemon, ask } = lab(t)
  await daemon.start()
  const other = '52:54:00:00:00:99'
  await ask({ network: NETWORK, reservation: { ...RESERVATION, mac: other } })
  await ask({ network: NETWORK, reservation: { ip: '10.5.0.3', mac: MAC, options: [] } })
  await ask({ network: NETWORK, reservation: RESERVATION })
  t.strictSame(daemon.reservations.get(NAME), [RESERVATION])
  const changed = { ...RESERVATION, options: ['mtu=1400'] }
  await ask({ network: NETWORK, reservation: changed })
  t.strictSame(daemon.reservations.get(NAME), [changed])
})

t.test('two nodes that replace the same reservation: the slower one does not fail', async t => {
  const { daemon, ask } = lab(t)
  await daemon.start()
  await ask({ network: NETWORK, reservation: { ...RESERVATION, mac: '52:54:00:00:00:99' } })
  daemon.instead = ({ method }) => {
    if (method === 'DELETE') daemon.reservations.clear()
    return undefined
  }
  await ask({ network: NETWORK, reservation: RESERVATION })
  t.strictSame(daemon.reservations.get(NAME), [RESERVATION])
})

t.test('no daemon at all: status 1, one line, after 15 s; QEMU does not run', { skip }, async t => {
  const where = await place(t)
  const begin = performance.now()
  const child = startStandIn(where, ['-netdev', NETDEV])
  t.equal((await child.exited).code, 1)
  t.ok(performance.now() - begin >= 14_500)
  t.equal(child.text(1), '')
  t.equal(
    child.text(2),
    `qemu-system-aarch64: no daemon answers at ${where.control} (try: sudo vmbridge service start)\n`,
  )
  t.equal(seenBy(where), undefined)
})

t.test('a daemon that takes the question and hangs: the same, after 15 s', { skip }, async t => {
  const where = await place(t)
  const hung = createServer(socket => socket.on('error', () => {}).resume()).listen(where.control)
  t.teardown(() => hung.close())
  const begin = performance.now()
  const child = startStandIn(where, ['-netdev', NETDEV, '-netdev', NETDEV.replace('net0', 'net1')])
  t.equal((await child.exited).code, 1)
  const took = performance.now() - begin
  t.ok(took >= 14_500 && took < 29_000, `${took} ms, and not 15 s for each netdev or question`)
  t.match(child.text(2), /^qemu-system-aarch64: \S+: no answer within 15 s\n$/)
  t.equal(seenBy(where), undefined)
})

t.test('a daemon on its way out, then the next one: the node starts', { skip }, async t => {
  const where = await place(t)
  writeFileSync(join(where.state, 'ipam.db'), record())
  // It takes a question and dies of it.
  const dying = createServer()
  await new Promise<void>(resolve => dying.listen(where.control, resolve))
  const asked = new Promise<void>(resolve => {
    dying.on('connection', socket => {
      socket.destroy()
      resolve()
    })
  })
  const child = startStandIn(where, nodeLine({ talosctl: '1.14', state: where.state }))
  await asked
  await new Promise(resolve => dying.close(resolve))
  const daemon = await new FakeDaemon(t, where.control).start()
  t.equal((await child.exited).code, QEMU_ENDED, child.text())
  t.equal(child.text(), '')
  t.equal(daemon.reservations.get(NAME)?.length, 1)
})

t.test('a refusal is one line with what to do, and status 1 at once', { skip }, async t => {
  const where = await place(t)
  const daemon = await new FakeDaemon(t, where.control).start()
  const refusals: [Parameters<FakeDaemon['refuse']>, string][] = [
    [
      [409, 'ERR_NETWORK_OVERLAP', 'overlaps "lab"\nline \x1b[2J', 'remove it'],
      'overlaps "lab" line ?[2J (try: remove it)',
    ],
    [[500, 'ERR_UPLINK', 'no right to make it'], 'no right to make it'],
    [
      [404, 'ERR_NOT_FOUND', 'there is no /v1/networks'],
      'there is no /v1/networks (try: restart the daemon, which is',
    ],
  ]
  for (const [refusal, says] of refusals) {
    daemon.asked.length = 0
    daemon.instead = () => daemon.refuse(...refusal)
    const child = startStandIn(where, ['-netdev', NETDEV])
    t.equal((await child.exited).code, 1)
    t.ok(child.text(2).startsWith(`qemu-system-aarch64: ${says}`), child.text(2))
    t.strictSame([child.lines.length, daemon.asked.length], [1, 1])
  }
})

t.test('a node that nobody planned starts, and the log says that it gets no address', { skip }, async t => {
  const where = await place(t)
  await new FakeDaemon(t, where.control).start()
  const child = startStandIn(where, nodeLine({ talosctl: '1.14', state: where.state }))
  t.equal((await child.exited).code, QEMU_ENDED)
  t.equal(child.text(2), `qemu-system-aarch64: ${MAC} is not in ipam.db: its DHCP gets no answer\n`)
})
