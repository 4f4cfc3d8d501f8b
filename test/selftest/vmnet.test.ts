// `vmbridge selftest` over vmnet, on the double of its framework: our side of every mode. What Apple's own side does
// (its filtering, its speed, its privileges) a Mac alone can show, by this very command.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { SelftestReport } from '../../src/selftest/result.js'
import { asNobody, scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'

t.setTimeout(1_200_000)

const skip = requires([...VARIANT_NEEDS, 'ping', 'dnsmasq', 'setpriv'])
const LIMIT = 150_000

interface Run {
  report: SelftestReport
  check: (name: string) => SelftestReport['checks'][number]
  /** Names by status. */
  names: (status: string) => string[]
}

async function place(t: Test): Promise<{ host: NetNs; env: Record<string, string>; folder: string }> {
  const host = await NetNs.create()
  const outer = scratch(t)
  const folder = join(outer, 'tmp')
  mkdirSync(folder)
  t.teardown(() => host.delete())
  return { host, env: { ...variantEnv('double'), TMPDIR: folder }, folder: outer }
}

async function selftest(
  t: Test,
  { host, env }: { host: NetNs; env: Record<string, string> },
  ...args: string[]
): Promise<Run> {
  const argv = [VMBRIDGE, 'selftest', '--uplink', 'vmnet', '--json', ...args]
  const { status, stdout, stderr } = await host.exec(argv, { env, timeoutMs: LIMIT })
  t.match(stdout, /^\{/, stderr)
  const report = JSON.parse(stdout) as SelftestReport
  t.equal(status, report.ok ? 0 : 1)
  t.same(readdirSync(env['TMPDIR']), [], 'its folder is gone')
  t.notMatch(await host.sh('ip', '-br', 'link'), /vmnet/, 'and so is its interface')
  return {
    report,
    check: name => report.checks.find(each => each.name === name)!,
    names: wanted => report.checks.filter(({ status }) => status === wanted).map(({ name }) => name),
  }
}

t.test("shared and host, with vmbridge's DHCP and with Apple's: all is ok", { skip }, async t => {
  for (const [macos, ...args] of [
    ['26', '--mode', 'shared'],
    // Before macOS 26 there is no shared network without Apple's server: the guard alone keeps it from the stations.
    ['15', '--mode', 'shared'],
    ['15', '--mode', 'host'],
    ['26', '--mode', 'shared', '--no-dhcp', '--vmnet-dhcp', 'on'],
  ]) {
    const where = await place(t)
    where.env['VMNET_DOUBLE_MACOS'] = macos
    const { report, names, check } = await selftest(t, where, ...args)
    t.ok(report.ok, `${args.join(' ')} on macOS ${macos}: ${names('failed').join()} failed`)
    t.same(names('skipped'), args.includes('--no-dhcp') ? ['dhcp-guard'] : [])
    t.match(check('uplink').measured, { kind: 'vmnet', name: args[1], mtu: 1500 })
    t.match(check('static'), { status: 'ok', measured: { ip: '192.168.237.253' } })
  }
})

/** A bridge as the LAN's interface of this host. */
async function lan({ host }: { host: NetNs }): Promise<void> {
  await host.sh('ip', 'link', 'add', 'br0', 'type', 'bridge')
  await host.sh('ip', 'addr', 'add', '192.168.5.1/24', 'dev', 'br0')
  await host.sh('ip', 'link', 'set', 'br0', 'up')
}

const BRIDGED = ['--mode', 'bridged', '--interface', 'br0']

t.test('bridged: it asks for no address, and claims none', { skip }, async t => {
  const where = await place(t)
  await lan(where)
  const { report, check, names } = await selftest(t, where, ...BRIDGED)
  t.ok(report.ok)
  t.same(names('ok'), ['environment', 'uplink', 'lan-arp', 'stop'])
  t.match(check('lan-arp').detail, /192\.168\.5\.1 on br0 answers a probe/)
  t.match(check('lease').detail, /--lan-dhcp/)
  t.notMatch(await where.host.sh('ip', 'neigh'), /02:76:73/, 'the host has learnt of no station')
})

t.test('bridged with --lan-dhcp: two leases, which are given back', { skip }, async t => {
  const where = await place(t)
  await lan(where)
  const leases = join(where.folder, 'leases')
  const options =
    '--keep-in-foreground --log-facility=- --log-dhcp --port=0 --user=root --conf-file=/dev/null --pid-file= --no-ping'
  const served = '--interface=br0 --bind-interfaces --dhcp-range=192.168.5.10,192.168.5.20,1h'
  const argv = ['dnsmasq', ...options.split(' '), ...served.split(' '), `--dhcp-leasefile=${leases}`]
  const server = where.host.spawn(argv)
  t.teardown(() => server.close())
  await server.waitForLine(/DHCP, sockets bound|DHCP, IP range/)
  const { report, check, names } = await selftest(t, where, ...BRIDGED, '--lan-dhcp')
  t.ok(report.ok, `${names('failed').join()} failed`)
  t.same(names('skipped'), ['static', 'dhcp-guard'])
  t.match(check('lease').measured, { a: { server: '192.168.5.1', routers: ['192.168.5.1'] } })
  t.match(check('vip-move'), { status: 'ok', detail: /moved from station b to a/ })
  await server.waitForLine(/DHCPRELEASE\(br0\)/, { count: 2 })
  t.equal(readFileSync(leases, 'utf8'), '', 'no lease is left')
})

t.test(
  'without the right to use vmnet, and with an uplink that does not come, it says what to do',
  { skip },
  async t => {
    const env = variantEnv('double')
    const { status, stdout } = await execute(asNobody([VMBRIDGE, 'selftest', '--uplink', 'vmnet']), {
      env,
      timeoutMs: LIMIT,
    })
    t.equal(status, 1)
    t.match(stdout, /^FAILED +uplink: [\s\S]*likely: .*sudo vmbridge selftest/m)
    const where = await place(t)
    where.env['VMNET_DOUBLE'] = 'start=1009'
    const { check, names } = await selftest(t, where)
    t.same(names('failed'), ['uplink'])
    t.match(check('uplink'), { seen: 'ERR_VMNET_SHARING_BUSY', likely: /Internet Sharing/ })
    t.match(check('stop'), { status: 'skipped' })
  },
)

t.test('an interface that does not stop is not passed over', { skip }, async t => {
  const where = await place(t)
  where.env['VMNET_DOUBLE'] = 'stop=1001'
  const { check, names } = await selftest(t, where)
  t.same(names('failed'), ['stop'])
  t.match(check('stop'), { detail: /did not stop/ })
})
