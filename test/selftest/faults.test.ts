// Each check fails when what it is for is broken, and says so; the others go on.

import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { CheckResult, SelftestReport } from '../../src/selftest/result.js'
import { scratch } from '../cli/command.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'

t.setTimeout(1_200_000)
t.jobs = 2

const skip = requires(['linux', 'root', 'tap', 'ip', 'ping'])
const LIMIT = 200_000
const FAULTY = join(ROOT, 'dist/test/selftest/faulty.js')

interface Run {
  host: NetNs
  report: SelftestReport
  check: (name: string) => CheckResult
  failed: string[]
}

/** Runs a program that reports in a namespace that `prepare` changed; it must leave nothing there. */
async function selftest(t: Test, argv: string[], prepare?: (host: NetNs) => Promise<void>): Promise<Run> {
  const host = await NetNs.create()
  t.teardown(() => host.delete())
  const folder = join(scratch(t), 'tmp')
  mkdirSync(folder)
  await prepare?.(host)
  const { status, stdout, stderr } = await host.exec(argv, { env: { TMPDIR: folder }, timeoutMs: LIMIT })
  t.match(stdout, /^\{/, stderr)
  const report = JSON.parse(stdout) as SelftestReport
  t.same(readdirSync(folder), [], 'its folder is gone')
  t.notMatch(await host.sh('ip', '-br', 'link'), /vmbridge|vbst/, 'and so is its device')
  const failed = report.checks.filter(({ status }) => status === 'failed').map(({ name }) => name)
  if (argv[0] === VMBRIDGE) t.equal(status, 1)
  return { host, report, check: name => report.checks.find(each => each.name === name)!, failed }
}

const broken = (t: Test, ...args: string[]): Promise<Run> => selftest(t, [process.execPath, FAULTY, ...args])

t.test('what the host drops, refuses or does not heed is told apart', { skip }, async t => {
  const { check, failed } = await selftest(t, [VMBRIDGE, 'selftest', '--json'], async host => {
    const set = (key: string) => host.sh('sh', '-c', `echo 1 >/proc/sys/net/ipv4/${key}`)
    await set('icmp_echo_ignore_all')
    await set('conf/all/drop_gratuitous_arp')
    await host.sh('ip', 'route', 'add', 'unreachable', '192.168.237.253/32')
    // The rules of the local table come first otherwise, and nothing could stand before them.
    await host.sh('ip', 'rule', 'add', 'pref', '10', 'lookup', 'local')
    await host.sh('ip', 'rule', 'del', 'pref', '0')
    await host.sh('ip', 'rule', 'add', 'pref', '5', 'iif', 'vmbridge0', 'ipproto', 'udp', 'blackhole')
    await host.sh('ip', 'rule', 'add', 'pref', '6', 'ipproto', 'udp', 'dport', '9', 'blackhole')
  })
  t.same(failed, ['ping-gateway', 'static', 'vip-move', 'host-to-vm', 'vm-to-host'])
  t.match(check('ping-gateway'), { detail: /answered 0 of 5/, likely: /drops ICMP echo/ })
  t.match(check('static'), { detail: /192\.168\.237\.253/, seen: /No route to host/, likely: /ip route get/ })
  t.match(check('vip-move'), {
    detail: /does not follow 192\.168\.237\.252 from station a to b/,
    seen: /^0 pings at b and [1-9]\d* still at a; .*without an end/,
    likely: /announcement/,
  })
  t.match(check('host-to-vm'), { seen: /^0 of \d+, .*send/, measured: { received: 0 } })
  t.match(check('vm-to-host'), { seen: /^0 of \d+$/, likely: /firewall/ })
  t.match(check('vm-to-vm'), { status: 'ok' })
  t.match(check('stop'), { status: 'ok' })
})

t.test('a static entry of the neighbour table defeats the move, and is named', { skip }, async t => {
  const entry = ['ip', 'neigh', 'change', '192.168.237.252', 'dev', 'vbst0', 'nud', 'permanent']
  const { check, failed } = await broken(t, 'vip', 'run', ...entry)
  t.same(failed, ['vip-move'])
  const { seen, likely } = check('vip-move')
  const [, a] = /station a, .*has it at (\S+)$/.exec(check('vip').detail) ?? []
  t.ok(seen!.includes(`the host has it at ${a}`), `${seen}`)
  t.match(likely, /a static entry/)
})

t.test('a TAP that goes in the midst is why all else fails', { skip }, async t => {
  const { check, failed, report } = await broken(t, 'lease', 'run', 'ip', 'link', 'del', 'vbst0')
  t.same(failed.join(' '), 'arp-gateway ping-gateway host-ping static vip vip-move host-to-vm vm-to-host')
  for (const name of failed) t.match(check(name).likely, /the uplink tap vbst0 is down: gone/, name)
  for (const name of ['stations', 'dhcp-guard', 'vm-to-vm', 'stop']) t.match(check(name), { status: 'ok' })
  t.ok(report.log.some(line => line.includes('"event":"uplink.down"')))
})

t.test('a second station with an address is noticed', { skip }, async t => {
  const gateway = await broken(t, 'uplink', 'impostor', '192.168.237.1')
  t.match(gateway.check('arp-gateway'), {
    status: 'failed',
    detail: '2 stations say that they have 192.168.237.1',
    seen: /52:54:00:00:00:99/,
  })
  const vm = await broken(t, 'arp-gateway', 'impostor', '192.168.237.3')
  t.match(vm.check('arp-gateway'), { status: 'ok' })
  t.match(vm.check('stations'), { status: 'failed', detail: /2 stations say .*237\.3/ })
})

t.test('a station without a lease goes on with a static address', { skip }, async t => {
  const { check, failed, report } = await broken(t, 'environment', 'small-pool', '192.168.237.7')
  t.same(failed, ['lease'])
  t.match(check('lease'), { detail: 'station b has no lease: no offer', likely: /the log/ })
  t.match(check('host-ping'), { status: 'ok', detail: /192\.168\.237\.7 answered 5 of 5/ })
  t.match(check('stations'), { status: 'ok', detail: /a reaches 192\.168\.237\.253/ })
  t.ok(report.log.some(line => line.includes('no address') || line.includes('"level":40')))
})

const FOREIGN = `
const socket = require('node:dgram').createSocket('udp4')
socket.bind(67, () => {
  socket.setBroadcast(true)
  const offer = Buffer.alloc(300)
  offer[0] = 2
  socket.send(offer, 68, '192.168.237.255', () => socket.close())
})`

t.test('what a DHCP server of the host says is kept out, and counted', { skip }, async t => {
  const { check, failed } = await broken(t, 'lease', 'run', process.execPath, '-e', FOREIGN)
  t.same(failed, [])
  t.match(check('dhcp-guard'), { detail: /1 frame of DHCP from outside kept out/, measured: { keptOut: 1 } })
})
