// `vmbridge selftest` as a person runs it: in a namespace of the test's own, over a TAP, to its end.

import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { SelftestReport } from '../../src/selftest/result.js'
import { asNobody, scratch, vmbridge } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'

t.setTimeout(1_200_000)

const skip = requires(['linux', 'root', 'tap', 'ip', 'ping'])
const LIMIT = 150_000
const CHECKS =
  'environment uplink lease arp-gateway ping-gateway host-ping static vip vip-move stations dhcp-guard host-to-vm vm-to-host vm-to-vm stop'.split(
    ' ',
  )

/** A namespace, and a folder in place of /tmp, that must be empty at the end. */
async function place(t: Test): Promise<{ host: NetNs; env: { TMPDIR: string } }> {
  const host = await NetNs.create()
  const folder = join(scratch(t), 'tmp')
  mkdirSync(folder)
  t.teardown(() => host.delete())
  return { host, env: { TMPDIR: folder } }
}

async function nothingLeft(t: Test, host: NetNs, { TMPDIR }: { TMPDIR: string }): Promise<void> {
  t.same(readdirSync(TMPDIR), [], 'its folder is gone')
  t.notMatch(await host.sh('ip', '-br', 'link'), /vmbridge/, 'and so is its device')
}

t.test('a line for each check, and at the end all is gone', { skip }, async t => {
  const { host, env } = await place(t)
  const { status, stdout, stderr } = await host.exec([VMBRIDGE, 'selftest', '--uplink', 'tap'], {
    env,
    timeoutMs: LIMIT,
  })
  t.equal(status, 0, stdout + stderr)
  t.equal(stderr, '')
  const lines = stdout.trimEnd().split('\n')
  t.same(
    lines.slice(0, -2).map(line => /^ok +([\w-]+): +\S/.exec(line)?.[1]),
    CHECKS,
  )
  t.same(lines.slice(-2), ['', '15 ok, 0 failed, 0 skipped'])
  await nothingLeft(t, host, env)
})

t.test('--json is one document with what was measured', { skip }, async t => {
  const { host, env } = await place(t)
  const args = ['selftest', '--uplink', 'tap:vbst1', '--gateway', '10.213.0.1/28', '--mtu', '9000', '--json']
  const { status, stdout, stderr } = await host.exec([VMBRIDGE, ...args], { env, timeoutMs: LIMIT })
  t.equal(status, 0, stdout + stderr)
  const report = JSON.parse(stdout) as SelftestReport
  t.match(report, { ok: true, interrupted: false, version: /^\d/ })
  t.same(
    report.checks.map(({ name }) => name),
    CHECKS,
  )
  const measured = (name: string) => report.checks.find(each => each.name === name)!.measured!
  t.match(measured('environment'), { platform: 'linux', node: process.version, uid: 0 })
  t.match(measured('uplink'), { kind: 'tap', name: 'vbst1', mtu: 9000, host: 'vbst1' })
  t.match(measured('lease'), {
    a: { ip: '10.213.0.2', server: '10.213.0.1', mask: '255.255.255.240', mtu: 9000, seconds: 3600 },
    b: { ip: '10.213.0.3', routers: ['10.213.0.1'] },
  })
  t.match(measured('arp-gateway'), { ip: '10.213.0.1', mac: measured('uplink').hostMac })
  t.match(measured('static'), { ip: '10.213.0.13', replies: 5, station: 'b' })
  t.match(measured('vip'), { ip: '10.213.0.12', replies: 5, station: 'a' })
  const stations = measured('uplink').stations as string[]
  t.equal(`a ${measured('vip').neighbor}`, stations[0])
  t.equal(`b ${measured('vip-move').neighbor}`, stations[1])
  t.match(measured('dhcp-guard'), { offers: 1, listenedOnHost: true })
  for (const name of ['host-to-vm', 'vm-to-host', 'vm-to-vm']) {
    const { received, frameBytes, framesPerSecond } = measured(name) as Record<string, number>
    t.equal(frameBytes, 9014)
    t.ok(received > 0 && framesPerSecond > 0, name)
  }
  t.ok(report.log.some(line => line.includes('DHCPACK')))
  await nothingLeft(t, host, env)
})

t.test('a signal ends it, and everything is taken away', { skip }, async t => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { host, env } = await place(t)
    const child = host.spawn([VMBRIDGE, 'selftest'], { env })
    t.teardown(() => child.close())
    // Then `ping` runs, which must not outlive it.
    await child.waitForLine(/^ok +vip:/, { timeoutMs: LIMIT })
    child.kill(signal)
    const { code } = await child.exited
    t.equal(code, 1)
    t.match(child.text(1), /^skipped +vip-move: +interrupted$[\s\S]*^ok +stop:[\s\S]*, interrupted$/m)
    await nothingLeft(t, host, env)
    t.equal((await execute(['ip', 'netns', 'pids', host.name])).stdout, '', 'no process is left')
  }
})

t.test(
  "on somebody else's segment it takes no address unless it may, and gives it back",
  { skip },
  async t => {
    const { host, env } = await place(t)
    const daemon = await startDaemon(t, { netns: host, args: ['--uplink', 'tap:vbt0'] })
    const argv = [VMBRIDGE, 'selftest', '--uplink', `socket:${daemon.socket}`]
    const run = async (...args: string[]) => {
      const { status, stdout, stderr } = await host.exec([...argv, '--json', ...args], {
        env,
        timeoutMs: LIMIT,
      })
      t.equal(status, 0, stdout + stderr)
      const { checks } = JSON.parse(stdout) as SelftestReport
      return (name: string) => checks.find(each => each.name === name)!
    }
    const shy = await run()
    t.match(shy('lease'), { status: 'skipped', detail: /--lan-dhcp/ })
    for (const name of CHECKS.slice(3, -1)) t.match(shy(name), { status: 'skipped' }, name)
    t.match(shy('stop'), { status: 'ok' })
    const [{ leases, ports }] = (await daemon.status()).networks
    t.same(leases, [])
    const heard = ports.flatMap(({ ips }) => ips).filter(ip => ip !== '192.168.105.1' && !ip.includes(':'))
    t.same(heard, [], 'nor claimed one')

    const bold = await run('--lan-dhcp')
    t.match(bold('lease'), { status: 'ok', measured: { a: { server: '192.168.105.1' } } })
    for (const name of [
      'arp-gateway',
      'ping-gateway',
      'host-ping',
      'vip',
      'vip-move',
      'stations',
      'vm-to-host',
    ]) {
      t.match(bold(name), { status: 'ok' }, name)
    }
    t.match(bold('static'), { status: 'skipped', detail: /not ours to take/ })
    t.match(bold('dhcp-guard'), { status: 'skipped' })
    const b = (bold('lease').measured as { b: { ip: string } }).b.ip
    t.match(bold('vip-move'), { measured: { ip: b } }, 'the address that moves is a leased one')
    const after = (await daemon.status()).networks[0].leases as { state?: string }[]
    t.same(
      after.filter(({ state }) => state === 'bound'),
      [],
      'the leases were given back',
    )
    t.same(readdirSync(env.TMPDIR), [])
  },
)

t.test('without an uplink the switch and the DHCP server are checked alone', async t => {
  const { status, stdout, stderr } = await vmbridge(['selftest', '--uplink', 'none'], { timeoutMs: LIMIT })
  t.equal(status, 0, stdout + stderr)
  t.match(stdout, /^ok +lease:[\s\S]*^skipped +host-ping: +with --uplink none/m)
  t.match(stdout, /\n8 ok, 0 failed, 7 skipped\n$/)
})

t.test(
  'without the right to make a TAP it says what to do',
  { skip: skip || requires(['setpriv']) },
  async t => {
    const { status, stdout } = await execute(asNobody([VMBRIDGE, 'selftest']), { timeoutMs: LIMIT })
    t.equal(status, 1)
    t.match(stdout, /^FAILED +uplink: +making a TAP needs root[\s\S]*likely: .*sudo vmbridge selftest/m)
    t.match(stdout, /^skipped +lease: +there is no network: see uplink$/m)
  },
)

t.test('wrong usage is status 2; the environment of a daemon does not count', async t => {
  for (const [args, says] of [
    [['now'], /selftest takes no operand/],
    [['--socket', '/x'], /Unknown option '--socket'/],
    [['--uplink', 'tun'], /--uplink tun is not/],
    [['--mode', 'host', '--uplink', 'none'], /--mode is of no use with --uplink none/],
    [['--uplink', 'vmnet', '--mode', 'bridged'], /needs --interface/],
    [['--mode', 'bridged', '--uplink', 'tap'], /--mode bridged needs --interface/],
    [['--dhcp-on-lan'], /Unknown option/],
    [['--lan-dhcp', '--uplink', 'none'], /--lan-dhcp is of no use with --uplink none/],
  ] as const) {
    const { status, stderr } = await vmbridge(['selftest', ...args])
    t.equal(status, 2, stderr)
    t.match(stderr, says)
  }
  const env = {
    VMBRIDGE_SOCKET: '/nowhere/s',
    VMBRIDGE_DHCP_RANGE: '1.2.3.4',
    VMBRIDGE_STATE_DIR: '/nowhere',
  }
  const { status, stderr } = await vmbridge(['selftest', '--uplink', 'none'], { env, timeoutMs: LIMIT })
  t.equal(status, 0, stderr)
})

t.test('a report that cannot be written is a failure', { skip: requires(['linux']) }, async t => {
  for (const format of [[], ['--json']]) {
    const argv = [VMBRIDGE, 'selftest', '--uplink', 'none', ...format]
    const { status, stderr } = await execute(['sh', '-c', 'exec "$@" >/dev/full', 'sh', ...argv], {
      timeoutMs: LIMIT,
    })
    t.equal(status, 1)
    t.equal(stderr, 'vmbridge: cannot write the output: ENOSPC: no space left on device, write\n')
  }
})
