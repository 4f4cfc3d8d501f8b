// A shared network on Linux: VMs have a way out behind the host's address, and DNS at the gateway; nobody outside reaches
// them; and what the host was before, it is again afterwards.

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import type { Scope } from '../helpers/daemon.js'
import { askDns, call, HOST, Surroundings, TABLE, WORLD } from './world.js'

t.setTimeout(300_000)

const skip = requires(['linux', 'root', 'tap', 'ip', 'nft', 'unshare', 'sysctl', 'ping'])
const GATEWAY = '192.168.105.1'
const VM = '192.168.105.9'
/** Milliseconds after which what must not come does not come. */
const SILENCE = 1500

/** A daemon that must not start: what it says, and its status. */
function refused(t: Scope, around: Surroundings, prefix: string[], ...args: string[]) {
  const folder = scratch(t)
  const places = ['--socket', `${folder}/s`, '--control', `${folder}/c`, '--state-dir', `${folder}/d`]
  const argv = [...prefix, VMBRIDGE, 'daemon', ...places, '--uplink', 'tap', '--mode', 'shared', ...args]
  return around.inside.exec(argv)
}

t.test('a VM reaches the world, which sees the host; stopped, nothing is left', { skip }, async t => {
  const around = await Surroundings.lay(t)
  await around.mirror(t, around.world)
  const daemon = await around.start(t)
  const vm = await around.plug(t, daemon)
  t.equal(await call(vm, WORLD), HOST)
  t.equal(await call(vm, GATEWAY), 'ECONNREFUSED', 'and the host itself')
  const { uplink } = ((await daemon.status()) as unknown as { networks: { uplink: object }[] }).networks[0]
  t.strictSame(uplink, { kind: 'tap', name: 'vmbridge0 (shared)', state: 'up' })
  t.ok(daemon.log.some(({ event, forwarding }) => event === 'nat.forwarding' && forwarding === true))
  t.ok((await around.left()).length >= 5, 'table, forwarding, two sockets, device')
  t.equal((await daemon.stop()).status, 0)
  t.strictSame(await around.left(), [])
})

t.test(
  'the world reaches neither a VM nor the DNS, but whom the owner of the host lets in',
  { skip },
  async t => {
    const around = await Surroundings.lay(t)
    const { host, world } = around
    const daemon = await around.start(t)
    const vm = await around.plug(t, daemon)
    await around.mirror(t, vm)
    await around.resolver(t)
    await world.sh('ip', 'route', 'add', '192.168.105.0/24', 'via', HOST)
    t.equal(await call(world, VM, SILENCE), 'silence')
    t.equal(await askDns(world, 'udp', GATEWAY, 'x'), 'silence')
    t.equal(await call(host, VM), GATEWAY, 'the host does')
    t.equal(await askDns(host, 'udp', GATEWAY, 'x'), `from ${WORLD}`)
    const publish =
      'table ip own { chain pre { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 192.168.105.9; }; }'
    await host.sh('nft', publish)
    t.equal(await call(world, HOST), WORLD, 'published')
    // The control: without our chains there is an answer.
    await host.sh('nft', 'delete table ip own')
    await host.sh('nft', `flush chain ip ${TABLE} forward; flush chain ip ${TABLE} input`)
    t.equal(await call(world, VM), WORLD)
  },
)

t.test('a VM speaks to the outside by its own subnet alone', { skip }, async t => {
  const around = await Surroundings.lay(t)
  const daemon = await around.start(t)
  const vm = await around.plug(t, daemon)
  await vm.sh('ip', 'addr', 'add', '198.51.100.7/32', 'dev', 'eth0')
  await around.host.sh('ip', 'route', 'add', '198.51.100.7', 'via', VM)
  await around.world.sh('ip', 'route', 'add', '198.51.100.7', 'via', HOST)
  const ping = ['ping', '-c', '1', '-W', '1', '-I', '198.51.100.7', WORLD]
  t.equal((await vm.exec(ping)).status, 1)
  await around.host.sh('nft', `flush chain ip ${TABLE} forward`)
  t.equal((await vm.exec([...ping.slice(0, 4), '10', ...ping.slice(5)])).status, 0, 'the control')
})

t.test(
  'DNS at the gateway: by UDP, cut off, by TCP, past a dead resolver, and as the host changes',
  { skip },
  async t => {
    const around = await Surroundings.lay(t)
    await around.resolver(t)
    const daemon = await around.start(t)
    const vm = await around.plug(t, daemon)
    t.equal(await askDns(vm, 'udp', GATEWAY, 'short'), `from ${WORLD}`)
    t.equal(await askDns(vm, 'udp', GATEWAY, 'long'), 'truncated')
    t.equal(await askDns(vm, 'tcp', GATEWAY, 'long'), `from ${WORLD}`)
    await around.world.sh('ip', 'addr', 'add', '203.0.113.7/24', 'dev', 'eth0')
    await around.resolver(t, '203.0.113.7')
    // Nobody has the first of these; a change is seen within a second, and each asker takes a part of one to start.
    around.nameservers('203.0.113.99', '203.0.113.7')
    let said = ''
    for (let tries = 0; tries < 40 && said !== 'from 203.0.113.7'; tries++)
      said = await askDns(vm, 'udp', GATEWAY, 'x')
    t.equal(said, 'from 203.0.113.7')
    t.equal(await askDns(vm, 'tcp', GATEWAY, 'x'), 'from 203.0.113.7')
    // The gateway itself is no resolver to ask: that would be asked for ever.
    around.nameservers(GATEWAY)
    for (let tries = 0; tries < 40 && said !== 'rcode 2'; tries++)
      said = await askDns(vm, 'udp', GATEWAY, 'x')
    t.equal(said, 'rcode 2')
    t.notOk(daemon.log.some(({ event }) => event === 'dns.none'))
  },
)

t.test(
  'killed, the next start takes its place, and leaves the host as the first had found it',
  { skip },
  async t => {
    const around = await Surroundings.lay(t)
    await around.mirror(t, around.world)
    let daemon = await around.start(t)
    for (let round = 0; round < 2; round++) {
      await daemon.stop('SIGKILL')
      t.match(await around.tables(), TABLE)
      t.ok(await around.isForwarding())
      daemon = await around.start(t, { again: daemon })
    }
    t.equal(await call(await around.plug(t, daemon), WORLD), HOST)
    t.equal((await around.tables()).split('\n').filter(Boolean).length, 1)
    await daemon.stop()
    t.strictSame(await around.left(), [])
  },
)

for (const [what, args] of [
  ['a shared network of another subnet', ['--mode', 'shared', '--gateway', '10.5.0.1/24']],
  ['a network without a way out', []],
] as const) {
  t.test(`killed, what it left is removed by ${what}`, { skip }, async t => {
    const around = await Surroundings.lay(t)
    await (await around.start(t)).stop('SIGKILL')
    const next = await around.start(t, { args })
    t.notMatch(await around.tables(), TABLE)
    t.equal(await around.isForwarding(), args.length > 0)
    t.match(
      next.log.find(({ event }) => event === 'nat.dead'),
      { subnet: '192.168.105.0/24' },
    )
    await next.stop()
    t.strictSame(await around.left(), [])
  })
}

t.test('two shared networks: the last one turns forwarding off, whichever it is', { skip }, async t => {
  for (const firstGoesFirst of [true, false]) {
    const around = await Surroundings.lay(t)
    await around.mirror(t, around.world)
    const first = await around.start(t)
    const second = await around.start(t, { args: ['--mode', 'shared', '--gateway', '10.5.0.1/24'] })
    const vms = [await around.plug(t, first), await around.plug(t, second, '10.5.0')]
    await around.mirror(t, vms[1])
    t.equal(await call(vms[0], '10.5.0.9', SILENCE), 'silence', 'no way from one to the other')
    const [going, staying] = firstGoesFirst ? [first, second] : [second, first]
    await going.stop()
    t.ok(await around.isForwarding())
    t.equal(await call(vms[firstGoesFirst ? 1 : 0], WORLD), HOST)
    await staying.stop()
    t.strictSame(await around.left(), [])
  }
})

t.test('daemons that start at once, and stop at once: the host is as it was', { skip }, async t => {
  const around = await Surroundings.lay(t)
  for (let round = 0; round < 3; round++) {
    const gateways = ['10.5.0.1/24', '10.6.0.1/24', '10.7.0.1/24']
    const start = (gateway: string) => around.start(t, { args: ['--mode', 'shared', '--gateway', gateway] })
    const daemons = await Promise.all(gateways.map(start))
    t.equal((await around.tables()).split('\n').filter(Boolean).length, 3)
    const [first, ...others] = daemons
    // One comes while the others go.
    const [, late] = await Promise.all([Promise.all(others.map(each => each.stop())), start('10.8.0.1/24')])
    t.ok(await around.isForwarding())
    await Promise.all([first.stop(), late.stop()])
    t.strictSame(await around.left(), [])
  }
})

t.test('forwarding that was on stays on', { skip }, async t => {
  const around = await Surroundings.lay(t)
  await around.host.sh('sysctl', '-qw', 'net.ipv4.ip_forward=1')
  const daemon = await around.start(t)
  await daemon.stop()
  t.strictSame(await around.left(), ['forwarding'])
  t.notOk(daemon.log.some(({ event }) => event === 'nat.forwarding'))
})

t.test('a firewall that forwards nothing: what the log says helps', { skip }, async t => {
  const around = await Surroundings.lay(t)
  const { host } = around
  await around.mirror(t, around.world)
  await host.sh(
    'nft',
    'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }',
  )
  const daemon = await around.start(t)
  const vm = await around.plug(t, daemon)
  t.equal(await call(vm, WORLD, SILENCE), 'silence')
  const { chain, help } = daemon.log.find(({ event }) => event === 'nat.strict')!
  t.equal(chain, 'ip filter FORWARD')
  await host.sh('sh', '-c', help as string)
  t.equal(await call(vm, WORLD), HOST)
})

t.test('port 53 is taken: it is said, and the rest is there', { skip }, async t => {
  const around = await Surroundings.lay(t)
  await around.mirror(t, around.world)
  const taken = `require('node:dgram').createSocket('udp4').bind(53, '0.0.0.0', () => console.log('bound'))`
  const other = around.host.spawn([process.execPath, '-e', taken])
  t.teardown(() => other.close())
  await other.waitForLine(/^bound$/)
  const daemon = await around.start(t)
  t.match(daemon.log.find(({ event }) => event === 'dns.none')?.msg, /another program has port 53 .* ss -lnp/)
  t.equal(await call(await around.plug(t, daemon), WORLD), HOST)
})

t.test('no nft, or one that fails: refused with what helps, and nothing is left', { skip }, async t => {
  const around = await Surroundings.lay(t)
  const fake = join(scratch(t), 'nft')
  const instead = (text: string, mode: number) => {
    writeFileSync(fake, text)
    chmodSync(fake, mode)
    // Where a distribution has both, one is a link to the other.
    const cover = 'for f in /usr/sbin/nft /sbin/nft; do [ ! -e $f ] || mount --bind "$0" $f; done; exec "$@"'
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', cover, fake]
  }
  const missing = await refused(t, around, instead('', 0o644))
  t.equal(missing.status, 1)
  t.match(missing.stderr, /needs the program nft, which is not there\n {2}try: apt-get install nftables/)
  const says = (text: string) => instead(`#!/bin/sh\ncat >/dev/null\necho '${text}' >&2\nexit 1\n`, 0o755)
  const cases: [string, RegExp][] = [
    ['Error: Could not process rule: Operation not permitted', /may not .*\n {2}try: start it as root/],
    ['Error: Could not process rule: No such file or directory', /no NAT by nftables.*\n {2}try: modprobe/],
    ['Error: syntax error', /did not set up .*syntax error\n {2}try: see what is there/],
  ]
  for (const [said, told] of cases) {
    const { status, stderr } = await refused(t, around, says(said))
    t.equal(status, 1)
    t.match(stderr, told)
  }
  const noJson = await refused(t, around, instead('#!/bin/sh\necho table ip x\n', 0o755))
  t.match(noJson.stderr, /no JSON\n {2}try: nftables/)
  t.strictSame(await around.left(), [])
})

t.test('an nft that a signal for the daemon has ended as well is run anew', { skip }, async t => {
  const around = await Surroundings.lay(t)
  const folder = scratch(t)
  const fake = join(folder, 'nft')
  // The first one of each two dies.
  const text = `#!/bin/sh
[ -e ${folder}/died ] && rm ${folder}/died || { >${folder}/died; kill -TERM $$; }
exec ${folder}/real "$@"
`
  writeFileSync(fake, text)
  chmodSync(fake, 0o755)
  const cover = `cp "$(command -v nft)" ${folder}/real; for f in /usr/sbin/nft /sbin/nft; do [ ! -e $f ] || mount --bind ${fake} $f; done; exec "$@"`
  const { inside } = around
  const wrap = (argv: readonly string[]) =>
    inside.wrap(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', cover, 'sh', ...argv])
  const netns = Object.create(inside, { wrap: { value: wrap } }) as typeof inside
  const daemon = await around.start(t, { netns })
  t.match(await around.tables(), TABLE)
  await daemon.stop()
  t.strictSame(await around.left(), [])
})

t.test(
  'forwarding that cannot be turned on, and a start that fails later: nothing is left',
  { skip },
  async t => {
    const around = await Surroundings.lay(t)
    const readOnly = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"'
    const prefix = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', readOnly, 'sh']
    const { status, stderr } = await refused(t, around, prefix)
    t.equal(status, 1)
    t.match(stderr, /cannot turn forwarding on.*\n {2}try: sysctl -w net\.ipv4\.ip_forward=1/)
    t.strictSame(await around.left(), [])
    const daemon = await around.start(t, { args: ['--mode', 'host'] })
    const late = ['--state-dir', daemon.stateDir, '--gateway', '10.5.0.1/24']
    const second = await refused(t, around, [], ...late)
    t.equal(second.status, 1)
    t.match(second.stderr, /keeps its state in/)
    t.strictSame(await around.left(), ['vmbridge0'])
  },
)

t.test('a device whose name a rule cannot hold is refused', { skip }, async t => {
  const around = await Surroundings.lay(t)
  const { status, stderr } = await refused(t, around, [], '--uplink', 'tap:vm*')
  t.equal(status, 1)
  t.match(stderr, /cannot name the TAP of a shared network\n {2}try: use letters/)
})
