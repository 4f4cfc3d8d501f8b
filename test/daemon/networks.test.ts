// Networks on demand, over the control socket of a real daemon: there for whoever wants the gateway, as long as a VM is
// plugged in, and gone with all that it had.

import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { NetworkSummary, NetworkWanted } from '../../src/control/api.js'
import { ControlClient } from '../../src/control/client.js'
import { asNobody, NOBODY, scratch, vmbridge } from '../cli/command.js'
import { eventually } from '../contract/patience.js'
import { execute } from '../helpers/child.js'
import { startDaemon, type Daemon, type DaemonOptions } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(180_000)

const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'
const LAB: NetworkWanted = { gateway: '10.9.0.1/24', mode: 'none' }

interface Scene {
  daemon: Daemon
  control: ControlClient
  /** Of all networks on demand. */
  folder: string
}

async function scene(t: Test, options: DaemonOptions = {}): Promise<Scene> {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'], ...options })
  return { daemon, control: new ControlClient(daemon.control), folder: `${daemon.control}.networks` }
}

const socketOf = ({ sockets }: NetworkSummary): string => sockets[0]!
const isDown = (name: string) => (entry: { event?: string; network?: unknown }) =>
  entry.event === 'network.down' && entry.network === name
const nameOf = ({ name }: NetworkSummary): string => name

t.test('a network on demand is there while a VM is plugged in, and leaves nothing', async t => {
  const { daemon, control, folder } = await scene(t)
  const before = openFiles(daemon)
  const { network, isNew } = await control.ensureNetwork(LAB)
  t.ok(isNew)
  t.match(network, { name: '10.9.0.1-24', kind: 'demand', gateway: '10.9.0.1/24', dhcp: 'pool', ports: 0 })
  t.equal(socketOf(network), join(folder, '10.9.0.1-24', 'vm.sock'))
  const first = await Station.plug(t, daemon, socketOf(network))
  const second = await Station.plug(t, daemon, socketOf(network))
  first.send(textFrame(BROADCAST, A, 'hello'))
  await second.receive('hello')
  await first.close()
  t.match((await control.networks()).networks, [
    { name: 'default' },
    { name: '10.9.0.1-24', until: undefined },
  ])
  await second.close()
  await daemon.waitForLog(isDown('10.9.0.1-24'))
  t.notOk(existsSync(folder), 'nothing of it, and no folder where none is')
  t.strictSame((await control.networks()).networks.map(nameOf), ['default'])
  await eventually(
    () => `${openFiles(daemon)} descriptors, not ${before}`,
    () => openFiles(daemon) <= before,
  )
})

t.test('who wants the same gateway and mask gets the same network, also all at once', async t => {
  const { control } = await scene(t)
  const wanted = [LAB, { ...LAB, name: 'other' }, LAB].map(each => control.ensureNetwork(each))
  const answers = await Promise.all(wanted)
  t.strictSame(answers.map(({ isNew }) => isNew).sort(), [false, false, true])
  t.equal(new Set(answers.map(({ network }) => socketOf(network))).size, 1)
  t.equal((await control.networks()).networks.length, 2)
})

t.test('a network that nobody plugs into goes when its wait is over', async t => {
  const { daemon, control } = await scene(t)
  const { network } = await control.ensureNetwork({ ...LAB, wait: 1 })
  t.ok(Date.parse(network.until ?? '') <= Date.now() + 1000)
  await daemon.waitForLog(isDown(network.name))
})

t.test('a VM that comes takes its own wait with it, and not those of the others', async t => {
  const { daemon, control } = await scene(t)
  const { network } = await control.ensureNetwork({ ...LAB, wait: 600 })
  await control.ensureNetwork({ ...LAB, wait: 600 })
  await (await Station.plug(t, daemon, socketOf(network))).close()
  await daemon.waitForLog(entry => entry.event === 'port.down')
  const [, left] = (await control.networks()).networks
  t.ok(Date.parse(left!.until ?? '') > Date.now() + 500_000, 'one VM more is expected')
  await (await Station.plug(t, daemon, socketOf(network))).close()
  await daemon.waitForLog(isDown(network.name))
})

t.test('who never came is not waited for in the place of who came', async t => {
  const { daemon, control } = await scene(t)
  const { network } = await control.ensureNetwork({ ...LAB, wait: 600 })
  const first = await Station.plug(t, daemon, socketOf(network))
  await control.ensureNetwork({ ...LAB, wait: 1 })
  // When this one goes, that wait is over as well.
  const clock = await control.ensureNetwork({ ...LAB, gateway: '10.8.0.1/24', wait: 1 })
  await daemon.waitForLog(isDown(clock.network.name))
  await control.ensureNetwork({ ...LAB, wait: 600 })
  await (await Station.plug(t, daemon, socketOf(network))).close()
  await first.close()
  await daemon.waitForLog(isDown(network.name))
})

t.test('who wants a network again and again without coming costs no memory', async t => {
  const { daemon, control } = await scene(t)
  const { network } = await control.ensureNetwork({ ...LAB, wait: 600 })
  for (let i = 0; i < 300; i++) await control.ensureNetwork({ ...LAB, wait: 600 })
  const vms = []
  for (let i = 0; i < 256; i++) vms.push(await Station.plug(t, daemon, socketOf(network)))
  for (const vm of vms) await vm.close()
  await daemon.waitForLog(isDown(network.name))
})

t.test('a VM whose QEMU comes back within a second finds its network', async t => {
  const { daemon, control } = await scene(t)
  const { network } = await control.ensureNetwork(LAB)
  for (let boot = 0; boot < 5; boot++) {
    const again = await control.ensureNetwork(LAB)
    t.equal(again.isNew, false)
    await (await Station.plug(t, daemon, socketOf(network))).close()
  }
})

t.test('overlapping subnets are refused, and whose they are is said', async t => {
  const { control } = await scene(t)
  await control.ensureNetwork({ ...LAB, name: 'lab' })
  for (const gateway of ['10.9.0.2/24', '10.9.0.1/25', '10.0.0.1/8', '10.9.0.129/25']) {
    await t.rejects(control.ensureNetwork({ ...LAB, gateway }), {
      code: 'ERR_NETWORK_OVERLAP',
      message: `${gateway} overlaps 10.9.0.1/24 of the network lab`,
    })
  }
  await t.rejects(control.ensureNetwork({ ...LAB, gateway: '192.168.105.9/28' }), {
    code: 'ERR_NETWORK_OVERLAP',
    message: '192.168.105.9/28 overlaps 192.168.105.1/24 of the network default',
  })
  for (const name of ['lab', 'LAB'])
    await t.rejects(control.ensureNetwork({ ...LAB, gateway: '10.8.0.1/24', name }), {
      code: 'ERR_NETWORK_EXISTS',
      message: 'there is a network lab already',
    })
  t.ok((await control.ensureNetwork({ ...LAB, gateway: '10.9.1.1/24' })).isNew, 'beside it there is room')
})

t.test('what is asked for in so many words must hold', async t => {
  const { control } = await scene(t)
  await control.ensureNetwork({ ...LAB, dhcp: 'passthrough', mtu: 9000 })
  t.notOk((await control.ensureNetwork({ gateway: LAB.gateway })).isNew)
  for (const other of [{ dhcp: 'pool' }, { mode: 'host' }, { mtu: 1500 }] as Partial<NetworkWanted>[])
    await t.rejects(control.ensureNetwork({ ...LAB, ...other }), { code: 'ERR_NETWORK_DIFFERS' })
})

t.test('a network that stands serves whoever wants its gateway, and stays', async t => {
  const { daemon, control } = await scene(t)
  const { network, isNew } = await control.ensureNetwork({ gateway: '192.168.105.1/24', dhcp: 'answer' })
  t.match({ network, isNew }, { network: { name: 'default', kind: 'standing' }, isNew: false })
  await (await Station.plug(t, daemon, socketOf(network))).close()
  await t.rejects(control.removeNetwork('default', true), { code: 'ERR_NETWORK_STANDING' })
})

t.test('a network is removed when no VM is plugged in, or by force', async t => {
  const { daemon, control, folder } = await scene(t)
  const { network } = await control.ensureNetwork(LAB)
  const vm = await Station.plug(t, daemon, socketOf(network))
  await t.rejects(control.removeNetwork(network.name), {
    code: 'ERR_NETWORK_BUSY',
    message: /^a VM is plugged/,
  })
  t.match(await control.removeNetwork(network.name, true), { removed: { name: network.name } })
  await vm.closed
  t.notOk(existsSync(folder))
  await t.rejects(control.removeNetwork(network.name), { code: 'ERR_NO_NETWORK', hint: 'one of: default' })
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`a daemon that starts after ${signal} has the networks again whose VMs are still there`, async t => {
    const { daemon, control, folder } = await scene(t)
    const { network } = await control.ensureNetwork({ ...LAB, name: 'lab' })
    await control.reserve({ ip: '10.9.0.77', mac: A }, 'lab')
    const vm = await Station.plug(t, daemon, socketOf(network))
    await daemon.stop(signal)
    await vm.closed
    t.strictSame(readdirSync(folder), ['lab'])
    const next = await scene(t, { again: daemon })
    await Station.plug(t, next.daemon, socketOf(network))
    t.match((await next.control.networks()).networks, [{}, { name: 'lab', gateway: '10.9.0.1/24', ports: 1 }])
    t.match((await next.control.reservations('lab')).reservations, [{ ip: '10.9.0.77', mac: A }])
  })
}

t.test('a daemon that stops without VMs leaves nothing of its networks on demand', async t => {
  const { daemon, control, folder } = await scene(t)
  await control.ensureNetwork(LAB)
  await daemon.stop()
  t.notOk(existsSync(folder))
})

t.test('records that are none are said and removed, and links in their place lead nowhere', async t => {
  const { daemon, control, folder } = await scene(t)
  const victim = scratch(t)
  writeFileSync(join(victim, 'kept'), '')
  await control.ensureNetwork(LAB)
  await daemon.stop('SIGKILL')
  mkdirSync(join(folder, 'bad'))
  writeFileSync(join(folder, 'bad', 'network.json'), '{"gateway":"10.7.0.1/24","name":"good"}')
  mkdirSync(join(folder, 'worse'))
  writeFileSync(join(folder, 'worse', 'network.json'), Buffer.alloc(1000, 0xff))
  mkdirSync(join(folder, 'double'))
  writeFileSync(join(folder, 'double', 'network.json'), '{"gateway":"10.9.0.1/24","name":"double"}')
  mkdirSync(join(folder, 'standing'))
  writeFileSync(join(folder, 'standing', 'network.json'), '{"gateway":"192.168.105.1/24","name":"standing"}')
  mkdirSync(join(folder, 'empty'))
  symlinkSync(victim, join(folder, 'link'))
  const next = await scene(t, { again: daemon })
  t.strictSame((await next.control.networks()).networks.map(nameOf), ['default', '10.9.0.1-24'])
  t.strictSame(readdirSync(folder), ['10.9.0.1-24', 'link'])
  t.strictSame(readdirSync(victim), ['kept'])
})

t.test('what others have in a folder of that name stays as it is', async t => {
  const { daemon, folder } = await scene(t)
  await daemon.stop()
  mkdirSync(join(folder, 'lab'), { recursive: true })
  writeFileSync(join(folder, 'lab', 'office.xml'), 'precious')
  writeFileSync(join(folder, 'notes'), 'precious')
  const { control, daemon: next } = await scene(t, { again: daemon })
  t.ok(next.log.some(({ event, path }) => event === 'network.foreign' && path === join(folder, 'lab')))
  for (const name of ['lab', 'notes'])
    await t.rejects(control.ensureNetwork({ ...LAB, name }), { code: 'ERR_NETWORKS_FOLDER' })
  await control.ensureNetwork(LAB)
  await control.removeNetwork('10.9.0.1-24')
  t.strictSame(readdirSync(folder), ['lab', 'notes'])
  t.strictSame(readdirSync(join(folder, 'lab')), ['office.xml'])
})

t.test('a folder that others can write to is not used', async t => {
  const { daemon, control, folder } = await scene(t)
  mkdirSync(folder, { mode: 0o777 })
  await import('node:fs').then(fs => fs.chmodSync(folder, 0o777))
  await t.rejects(control.ensureNetwork(LAB), { code: 'ERR_NETWORKS_FOLDER' })
  t.strictSame(readdirSync(folder), [])
  t.ok(daemon.pid)
})

t.test('wishes that make no sense are refused in words', async t => {
  const { control, folder } = await scene(t)
  const refused: [Partial<NetworkWanted>, string, RegExp][] = [
    [{ gateway: '10.9.0.0/24' }, 'ERR_NETWORK_WANTED', /is the network address/],
    [{ gateway: '10.9.0.255/24' }, 'ERR_NETWORK_WANTED', /is the broadcast address/],
    [{ gateway: '127.0.0.1/8' }, 'ERR_NETWORK_WANTED', /is no address that a host can have/],
    [{ gateway: '10.9.0.1' }, 'ERR_NETWORK_WANTED', /no?t an address with a prefix/],
    [{ gateway: '10.9.0.1/31' }, 'ERR_NETWORK_WANTED', /the prefix is not from \/8 to \/30/],
    [{ name: '../x' }, 'ERR_NETWORK_WANTED', /is no name of a network/],
    [{ name: '' }, 'ERR_NETWORK_WANTED', /is no name of a network/],
    [{ name: '.' }, 'ERR_NETWORK_WANTED', /is no name of a network/],
    [{ mtu: 100 }, 'ERR_NETWORK_WANTED', /MTU of 100/],
    [{ mtu: 1500.5 }, 'ERR_NETWORK_WANTED', /MTU of 1500.5/],
    [{ wait: 0 }, 'ERR_NETWORK_WANTED', /wait of 0 s/],
    [{ wait: 1e9 }, 'ERR_NETWORK_WANTED', /wait of 1000000000 s/],
    [{ mode: 'bridged' as 'host' }, 'ERR_BODY', /mode is not one of/],
    [{ dhcp: 'on' as 'pool' }, 'ERR_BODY', /dhcp is not one of/],
    [{ gateway: 7 as unknown as string }, 'ERR_BODY', /gateway is not a short text/],
    [{ colour: 'red' } as Partial<NetworkWanted>, 'ERR_BODY', /has no field "colour"/],
  ]
  for (const [part, code, message] of refused)
    await t.rejects(control.ensureNetwork({ ...LAB, ...part }), { code, message }, JSON.stringify(part))
  await t.rejects(control.ensureNetwork({} as NetworkWanted), {
    code: 'ERR_BODY',
    message: 'a network has a gateway',
  })
  t.notOk(existsSync(folder))
})

t.test('there are 64 networks on demand at most', async t => {
  const { control } = await scene(t)
  for (let i = 0; i < 64; i++)
    await control.ensureNetwork({ ...LAB, gateway: `10.${i}.0.1/24`, dhcp: 'passthrough' })
  await t.rejects(control.ensureNetwork({ ...LAB, gateway: '10.99.0.1/24' }), { code: 'ERR_NETWORKS_FULL' })
})

t.test('a hundred networks come and go, and nothing of them stays', async t => {
  const { daemon, control, folder } = await scene(t)
  const churn = async (): Promise<void> => {
    const { network } = await control.ensureNetwork(LAB)
    const vm = await Station.plug(t, daemon, socketOf(network))
    await control.removeNetwork(network.name, true)
    await vm.closed
  }
  await churn()
  const before = openFiles(daemon)
  for (let i = 0; i < 100; i++) await churn()
  await eventually(
    () => `${openFiles(daemon)} descriptors, not ${before}`,
    () => openFiles(daemon) <= before,
  )
  t.notOk(existsSync(folder))
})

t.test('no frame goes from one network to another', async t => {
  const { daemon, control } = await scene(t)
  const one = socketOf((await control.ensureNetwork(LAB)).network)
  const other = socketOf((await control.ensureNetwork({ ...LAB, gateway: '10.8.0.1/24' })).network)
  const [a, b, c, d] = [
    await Station.plug(t, daemon, one),
    await Station.plug(t, daemon, one),
    await Station.plug(t, daemon, other),
    await Station.plug(t, daemon, other),
  ]
  // The very same address in both.
  a.send(textFrame(BROADCAST, A, 'in one'))
  c.send(textFrame(BROADCAST, A, 'in the other'))
  await b.receive('in one')
  await d.receive('in the other')
  b.send(textFrame(A, B, 'to A'))
  await a.receive('to A')
  c.send(textFrame(BROADCAST, A, 'last'))
  await d.receive('last')
  t.notOk([c, d].some(station => station.has('in one') || station.has('to A')))
  t.notOk([a, b].some(station => station.has('in the other') || station.has('last')))
})

t.test('the daemon makes none where it gave up root', { skip: requires(['root']) }, async t => {
  const { control } = await scene(t, {
    args: ['--uplink', 'none', '--no-dhcp', '--user', 'daemon'],
    stateDir: join(scratch(t), 'state'),
  })
  await t.rejects(control.ensureNetwork(LAB), { code: 'ERR_NO_DEMAND' })
})

t.test(
  'who may plug VMs in makes no network that this host is in',
  { skip: requires(['root', 'setpriv']) },
  async t => {
    const { daemon, control } = await scene(t, {
      args: ['--uplink', 'none', '--no-dhcp', '--socket-group', String(NOBODY), '--socket-mode', '0660'],
    })
    const add = (...args: string[]) =>
      execute(asNobody([VMBRIDGE, 'network', 'add', ...args, '--control', daemon.control]))
    for (const mode of [[], ['--mode', 'host']])
      t.match(await add('8.8.8.1/24', ...mode), {
        status: 1,
        stdout: '',
        stderr:
          /^vmbridge: only root may make a network that this host is in\n {2}try: use sudo; or --mode none/,
      })
    t.match(await add('10.9.0.1/24', '--mode', 'none'), { status: 0 }, 'among VMs they may')
    t.match(await add('10.9.0.1/24'), { status: 0 }, 'and one that is there is there')
    t.strictSame((await control.networks()).networks.map(nameOf), ['default', '10.9.0.1-24'])
  },
)

t.test('network and networks on the command line', async t => {
  const { daemon, folder } = await scene(t)
  const ask = (...args: string[]) => vmbridge([...args, '--control', daemon.control])
  const added = await ask('network', 'add', '10.9.0.1/24', '--mode', 'none', '--name', 'lab')
  t.match(added, { status: 0, stdout: `lab is up; VMs plug in at ${folder}/lab/vm.sock\n` })
  t.match(await ask('network', 'add', '10.9.0.1/24'), {
    status: 0,
    stdout: /^lab was there already; VMs plug in at \S+\n$/,
  })
  t.match(await ask('network', 'add', '192.168.105.1/24', '--name', 'x', '--dhcp', 'answer'), {
    status: 0,
    stdout:
      /^default was there .*\n {2}note: it keeps its name, not x, and DHCP by passthrough, not answer\n$/,
  })
  const shown = await ask('networks')
  t.match(shown.stdout, /^ *NETWORK +GATEWAY +UPLINK +DHCP +VMS +LIFE +SOCKETS\n/)
  t.match(shown.stdout, /\n *default +192\.168\.105\.1\/24 +none +passthrough +0 +stands /)
  t.match(shown.stdout, /\n *lab +10\.9\.0\.1\/24 +none +pool +0 +goes in (9|10)m /)
  const json = JSON.parse((await ask('networks', '--json')).stdout) as { networks: NetworkSummary[] }
  t.strictSame(json.networks.map(nameOf), ['default', 'lab'])
  t.match(
    (await ask('status', '--network', 'lab')).stdout,
    /^vmbridge .*\nnetwork lab: gateway 10\.9\.0\.1\/24/,
  )
  t.match(await ask('status', '--network', 'x'), { status: 1, stderr: 'one of: default, lab' })
  t.match(await ask('leases', '--network', 'lab'), { status: 0 })
  t.match(await ask('network', 'remove', 'lab'), { status: 0, stdout: 'lab is removed\n' })
  t.match(await ask('network', 'remove', 'lab'), { status: 1, stderr: 'there is no network "lab"' })
  for (const wrong of [
    ['network'],
    ['network', 'add'],
    ['network', 'add', '10.9.0.0/24'],
    ['network', 'add', '10.9.0.1/24', 'x'],
    ['network', 'add', '10.9.0.1/24', '--mode', 'bridged'],
    ['network', 'add', '10.9.0.1/24', '--wait', '0'],
    ['network', 'add', '10.9.0.1/24', '--force'],
    ['network', 'remove'],
    ['network', 'remove', 'lab', '--mtu', '1500'],
    ['network', 'list'],
    ['networks', 'lab'],
  ])
    t.match(await vmbridge(wrong), { status: 2, stderr: /^vmbridge: .*\n {2}try: / }, wrong.join(' '))
})

t.test(
  'on the host there is a device for each, which goes with it',
  { skip: requires(['tap', 'nft']) },
  async t => {
    const host = await NetNs.create()
    t.teardown(() => host.delete())
    const { daemon, control } = await scene(t, { netns: host })
    const links = async (): Promise<string> => {
      const addresses = await host.sh('ip', '-o', '-4', 'address')
      const tables = await host.sh('nft', 'list', 'tables')
      return `${addresses}nat: ${tables}forwarding: ${await host.sh('cat', '/proc/sys/net/ipv4/ip_forward')}`
    }
    await host.sh('ip', 'address', 'add', '10.44.7.1/24', 'dev', 'lo')
    const before = await links()
    const { network } = await control.ensureNetwork({ gateway: '10.9.0.1/24' })
    t.match(await links(), /10\.9\.0\.1\/24/)
    t.match(await links(), /nat: table ip vmbridge_10_9_0_0_24\nforwarding: 1/)
    await t.rejects(control.ensureNetwork({ gateway: '10.44.0.1/16', mode: 'host' }), {
      code: 'ERR_SUBNET_IN_USE',
      message: '10.44.0.1/16 overlaps 10.44.7.1/24 of lo',
      hint: 'another subnet, or end what has this one',
    })
    await host.sh('ip', 'link', 'add', 'br7', 'type', 'bridge')
    await host.sh('ip', 'address', 'add', '10.7.0.9/16', 'dev', 'br7')
    await host.sh('ip', 'link', 'set', 'br7', 'up')
    await t.rejects(control.ensureNetwork({ gateway: '10.7.1.1/24', mode: 'host' }), {
      code: 'ERR_SUBNET_IN_USE',
      message: '10.7.1.1/24 overlaps 10.7.0.9/16 of br7',
    })
    await host.sh('ip', 'link', 'delete', 'br7')
    await (await Station.plug(t, daemon, socketOf(network))).close()
    await daemon.waitForLog(isDown(network.name))
    t.equal(await links(), before)
  },
)

function openFiles({ pid }: Daemon): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
