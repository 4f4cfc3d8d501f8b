// The TAP uplink: the host is a station on the segment, by a device that the daemon makes, sets up and takes away.
// Every host here is a network namespace of the test's own.

import t from 'tap'
import { scratch } from '../cli/command.js'
import { BROADCAST, Station, textFrame } from '../daemon/station.js'
import { startDaemon, type Scope } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'root', 'tap', 'ip'])
const A = '52:54:00:00:00:0a'

async function namespace(t: Scope): Promise<NetNs> {
  const ns = await NetNs.create()
  t.teardown(() => ns.delete())
  return ns
}

/** A daemon that must not start: what it says, and its status. */
function refused(t: Scope, netns: NetNs, ...args: string[]) {
  const folder = scratch(t)
  const places = ['--socket', `${folder}/s`, '--control', `${folder}/c`, '--state-dir', `${folder}/d`]
  return netns.exec([VMBRIDGE, 'daemon', ...places, ...args], { timeoutMs: 5000 })
}

t.test(
  'the device has the MTU and the address it was given, is up, and goes with the daemon',
  { skip },
  async t => {
    const host = await namespace(t)
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const args = ['--uplink', 'tap:vbt0', '--gateway', '10.6.0.1/20', '--mtu', '9000']
      const daemon = await startDaemon(t, { netns: host, args })
      const [link] = JSON.parse(await host.sh('ip', '-j', 'addr', 'show', 'vbt0')) as {
        mtu: number
        flags: string[]
        address: string
        addr_info: { family: string; local: string; prefixlen: number; broadcast: string }[]
      }[]
      t.equal(link.mtu, 9000)
      t.ok(link.flags.includes('UP') && link.flags.includes('LOWER_UP'), link.flags.join())
      t.match(
        link.addr_info.find(({ family }) => family === 'inet'),
        { local: '10.6.0.1', prefixlen: 20, broadcast: '10.6.15.255' },
      )
      t.match(await host.sh('ip', 'route'), /^10\.6\.0\.0\/20 dev vbt0 /m)
      const { uplink, ports } = ((await daemon.status()) as unknown as { networks: Network[] }).networks[0]
      t.strictSame(uplink, { kind: 'tap', name: 'vbt0', state: 'up' })
      t.match(
        ports.find(({ role }) => role === 'uplink'),
        { name: 'vbt0' },
      )
      await daemon.stop(signal)
      t.notMatch(await host.sh('ip', '-br', 'link'), /vbt0/, `gone after ${signal}`)
    }
  },
)

type Network = { uplink: object; ports: { name: string; role: string }[] }

t.test('as root without a wish for an uplink, there is a TAP with the first free name', { skip }, async t => {
  const host = await namespace(t)
  const first = await startDaemon(t, { netns: host })
  t.match(first.log.find(({ event }) => event === 'daemon.ready')?.msg, /uplink tap vmbridge0/)
  await startDaemon(t, { netns: host, args: ['--gateway', '192.168.106.1/24'] })
  const links = await host.sh('ip', '-br', 'addr')
  t.match(links, /^vmbridge0 +\S+ +192\.168\.105\.1\/24/m)
  t.match(links, /^vmbridge1 +\S+ +192\.168\.106\.1\/24/m)
})

t.test(
  'frames of the full MTU pass both ways',
  { skip: requires(['linux', 'root', 'tap', 'ip', 'ping']) },
  async t => {
    for (const mtu of [1500, 9000, 65_500]) {
      const host = await namespace(t)
      const vm = await namespace(t)
      const args = ['--uplink', 'tap:vbt0', '--no-dhcp', '--mtu', String(mtu)]
      const daemon = await startDaemon(t, { netns: host, args })
      const plug = vm.spawn([VMBRIDGE, 'plug', 'eth0', '--socket', daemon.socket, '--mtu', String(mtu)])
      t.teardown(() => plug.close('SIGTERM'))
      await plug.waitForLine(/on the segment/)
      await vm.sh('ip', 'addr', 'add', '192.168.105.9/24', 'dev', 'eth0')
      const size = String(mtu - 28)
      const said = await vm.exec(['ping', '-M', 'do', '-s', size, '-c', '1', '-W', '3', '192.168.105.1'])
      t.match(said.stdout, / 0% packet loss/, `MTU ${mtu}`)
    }
  },
)

t.test('a name that is taken is refused, and so is one that cannot be', { skip }, async t => {
  const host = await namespace(t)
  await startDaemon(t, { netns: host, args: ['--uplink', 'tap:vbt0', '--no-dhcp'] })
  const other = ['--no-dhcp', '--gateway', '10.8.0.1/24', '--uplink']
  for (const name of ['vbt0', 'lo']) {
    const { status, stderr } = await refused(t, host, ...other, `tap:${name}`)
    t.equal(status, 1)
    t.match(
      stderr,
      new RegExp(
        `^vmbridge: a network device ${name} exists already\\n {2}try: .*ip -d link show ${name}\\n`,
        'm',
      ),
    )
  }
  for (const name of ['sixteen-letters-', 'a b', 'a/b', '..']) {
    const { status, stderr } = await refused(t, host, ...other, `tap:${name}`)
    t.equal(status, 1)
    t.match(stderr, / cannot name a network device\n {2}try: /)
  }
})

t.test('a subnet that another device has is refused, naming the device', { skip }, async t => {
  const host = await namespace(t)
  await startDaemon(t, { netns: host, args: ['--uplink', 'tap:vbt0', '--no-dhcp'] })
  for (const gateway of ['192.168.105.1/24', '192.168.105.129/25', '192.168.0.1/16']) {
    const { status, stderr } = await refused(t, host, '--uplink', 'tap:vbt1', '--gateway', gateway)
    t.equal(status, 1)
    t.match(stderr, new RegExp(`${gateway} overlaps 192\\.168\\.105\\.1/24 of vbt0\\n {2}try: .*--gateway`))
  }
  const links = await host.sh('ip', '-br', 'link')
  t.match(links, /^vbt0 /m)
  t.notMatch(links, /vbt1/)
  await startDaemon(t, { netns: host, args: ['--uplink', 'tap:vbt1', '--gateway', '192.168.106.1/24'] })
})

t.test('a TAP that was there before stays as it was', { skip }, async t => {
  const host = await namespace(t)
  /** Its addresses, and whether it is up: what the state says of it follows later. */
  const tapx = async (): Promise<[string[], boolean]> => {
    const addresses = await host.sh('ip', '-o', '-4', 'address', 'show', 'dev', 'tapx')
    const isUp = (await host.sh('ip', '-br', 'link', 'show', 'up')).includes('tapx')
    return [[...addresses.matchAll(/inet (\S+)/g)].map(([, cidr]) => cidr), isUp]
  }
  const start = (...args: string[]) =>
    startDaemon(t, { netns: host, args: ['--uplink', 'tap:tapx', '--no-dhcp', ...args] })
  const ours = ['--gateway', '10.7.0.1/24']
  for (const isUp of [false, true]) {
    await host.sh('ip', 'tuntap', 'add', 'tapx', 'mode', 'tap')
    await host.sh('ip', 'link', 'set', 'tapx', isUp ? 'up' : 'down')
    const daemon = await start(...ours)
    t.same(await tapx(), [['10.7.0.1/24'], true])
    await daemon.stop()
    t.same(await tapx(), [[], isUp])

    // One that was killed leaves its address, which is no reason not to start.
    await (await start(...ours)).stop('SIGKILL')
    t.same(await tapx(), [['10.7.0.1/24'], true])
    await (await start(...ours)).stop()
    await host.sh('ip', 'link', 'delete', 'tapx')
  }

  await host.sh('ip', 'tuntap', 'add', 'tapx', 'mode', 'tap')
  await host.sh('ip', 'address', 'add', '10.9.0.7/20', 'dev', 'tapx')
  await (await start()).stop()
  t.same(await tapx(), [['10.9.0.7/20'], false], 'with its own address')
})

t.test('a TAP that somebody deletes is said to be gone; the VMs go on', { skip }, async t => {
  const host = await namespace(t)
  const daemon = await startDaemon(t, { netns: host, args: ['--uplink', 'tap:vbt0', '--no-dhcp'] })
  const [a, b] = [await Station.plug(t, daemon), await Station.plug(t, daemon)]
  await host.sh('ip', 'link', 'del', 'vbt0')
  await daemon.waitForLog(entry => entry.event === 'uplink.down')
  a.send(textFrame(BROADCAST, A, 'without the host'))
  await b.receive('without the host')
  const { uplink } = ((await daemon.status()) as unknown as { networks: Network[] }).networks[0]
  t.strictSame(uplink, { kind: 'tap', name: 'vbt0', state: 'down', detail: 'gone' })
  const { status, ms } = await daemon.stop()
  t.equal(status, 0)
  t.ok(ms < 1000)
})
