// The service on Linux, for real: systemd as PID 1 of a container of ours, the unit started, killed and stopped in it,
// and what its process may do read from the kernel.

import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { requires } from '../helpers/requires.js'
import { Container, CONTAINER_NEEDS } from './container.js'

t.setTimeout(1_200_000)

const UNIT = '/etc/systemd/system/vmbridge.service'
const MAC = '52:54:00:00:00:0a'
const skip = requires([...CONTAINER_NEEDS, 'busybox', 'ping', 'setpriv', 'systemd-analyze', 'nft'])

const UDHCPC = `#!/bin/sh
[ "$1" = bound ] && ip addr replace "$ip/$mask" dev "$interface" && echo "leased $ip"
exit 0
`

const property = async (lab: Container, name: string) =>
  (await lab.sh('systemctl', 'show', '--property', name, '--value', 'vmbridge')).trim()

/** A namespace in the container becomes a station; what it leases. */
async function lease(t: Test, lab: Container, name: string): Promise<string> {
  await lab.sh('ip', 'netns', 'add', name)
  const plug = lab.spawn(['vmbridge', 'plug', 'eth0', '--netns', name, '--mac', MAC])
  t.teardown(() => plug.close())
  await plug.waitForLine(/is on the segment/)
  await lab.exec(['sh', '-c', 'cat >/run/udhcpc && chmod +x /run/udhcpc'], { input: UDHCPC })
  const ask = ['busybox', 'udhcpc', '-i', 'eth0', '-n', '-q', '-t', '10', '-T', '1', '-s', '/run/udhcpc']
  const said = await lab.sh('ip', 'netns', 'exec', name, ...ask)
  return /^leased (.*)$/m.exec(said)?.[1] ?? said
}

/** In the container: where its files are this machine's, `dist` is that of the checkout. */
const DNS = ['/srv/node', '/srv/vmbridge/dist/test/dns/program.js']

/** Waits until a field of the unit is as wanted; systemd has no event for it that a shell could wait for. */
async function until(lab: Container, name: string, wanted: (value: string) => boolean): Promise<string> {
  for (const end = performance.now() + 30_000; ; await sleep(100)) {
    const value = await property(lab, name)
    if (wanted(value)) return value
    if (performance.now() > end) throw new Error(`${name} is ${value}\n${await lab.log()}`)
  }
}

t.test('a machine with systemd', { skip }, async t => {
  const lab = await Container.start(t)
  const service = (...args: string[]) => lab.exec(['vmbridge', 'service', ...args])
  const status = async () => JSON.parse((await service('status', '--json')).stdout) as Record<string, any>

  await t.test('before, it says what is missing', async t => {
    const checkout = ['/srv/node', '/srv/vmbridge/dist/src/cli/bin.js']
    t.match(await lab.exec([...checkout, 'service', 'install']), {
      status: 1,
      stderr:
        /there is no \/opt\/vmbridge\/bin\/vmbridge .*\n {2}try: sudo vmbridge install --prefix \/opt\/vmbridge\n/,
    })
    await lab.sh(...checkout, 'install')
    t.match(await service('status'), { status: 3, stdout: /installed {2}no/ })
    t.match(await service('start'), {
      status: 1,
      stderr: /not installed.*\n {2}try: sudo vmbridge service install\n/,
    })
    const nobody = ['setpriv', '--reuid=65534', '--clear-groups', 'vmbridge', 'service', 'install']
    t.match(await lab.exec(nobody), {
      status: 1,
      stderr: /only root.*\n {2}try: sudo vmbridge service install\n/,
    })
    t.match(await service('install', '--', '--gatewya', '10.0.0.1/24'), { status: 2, stderr: /--gatewya/ })
    t.match(await service('install', '--', '--socket-group', 'nogroup-of-that-name'), { status: 2 })
    await lab.sh('chmod', 'o+w', '/opt/vmbridge/bin')
    t.match(await service('install'), {
      status: 1,
      stderr: /from \/opt\/vmbridge\/bin: others than root can write/,
    })
    await lab.sh('chmod', 'o-w', '/opt/vmbridge/bin')
    t.equal((await lab.exec(['test', '-e', UNIT])).status, 1, 'none of that wrote anything')
  })

  await t.test('installed, the host is on the segment and a station gets a lease', async t => {
    const installed = await service('install')
    t.match(installed, { status: 0, stderr: '' })
    t.match(
      installed.stdout,
      /^wrote .*\nenabled vmbridge\.service\nstarted vmbridge\.service\nvmbridge.service runs/,
    )
    t.match(await status(), {
      service: {
        manager: 'systemd',
        definition: UNIT,
        installed: true,
        loaded: true,
        enabled: true,
        running: true,
        pid: Number(await property(lab, 'MainPID')),
        state: 'active',
      },
      daemon: { networks: [{ uplink: { kind: 'tap', name: 'vmbridge0', state: 'up' } }] },
    })
    t.match(await lab.sh('ip', '-br', 'addr', 'show', 'vmbridge0'), '192.168.105.1/24')
    t.match(await lease(t, lab, 'one'), /^192\.168\.105\.\d+$/)
    await lab.sh('ip', 'netns', 'exec', 'one', 'ping', '-c', '1', '-W', '10', '192.168.105.1')
  })

  await t.test('again, nothing is done', async t => {
    const pid = await property(lab, 'MainPID')
    t.match(await service('install'), { status: 0, stdout: /^nothing to do/ })
    t.match(await service('start'), { status: 0, stdout: /^nothing to do/ })
    t.equal(await property(lab, 'MainPID'), pid)
  })

  await t.test('the daemon is a user of its own with CAP_NET_ADMIN and nothing else', async t => {
    const pid = await property(lab, 'MainPID')
    const text = await lab.sh('cat', `/proc/${pid}/status`)
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1]
    const netAdmin = (1 << 12).toString(16).padStart(16, '0')
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) t.equal(field(set), netAdmin, set)
    t.notMatch(field('Uid'), /\b0\b/)
    t.notMatch(field('Gid'), /\b0\b/)
    t.equal(field('NoNewPrivs'), '1')
    t.equal(field('Seccomp'), '2')
    const sockets = await lab.sh('sh', '-c', 'stat -c "%a %G %n" /run/vmbridge /run/vmbridge/*')
    t.strictSame(sockets.trim().split('\n'), [
      '755 vmbridge /run/vmbridge',
      '660 kvm /run/vmbridge/control.sock',
      '660 kvm /run/vmbridge/vmbridge.sock',
    ])
    // It sees the machine's files read-only, no device but the TAP's, and nobody's home.
    const inside = (script: string) => lab.exec(['nsenter', '--target', pid, '--mount', 'sh', '-c', script])
    t.match(await inside('touch /usr/x /etc/x /opt/x'), { status: 1, stderr: /Read-only/ })
    t.match(await inside('ls -A /home /root'), { stdout: /^\/home:\n\n\/root:\n$/ })
  })

  await t.test('who is in the group may plug in, others may not', async t => {
    const as = (...ids: string[]) => lab.exec(['setpriv', '--reuid=65534', ...ids, 'vmbridge', 'status'])
    t.match(await as('--regid=65534', '--groups=kvm'), { status: 0, stdout: /uplink tap vmbridge0: up/ })
    t.match(await as('--regid=65534', '--clear-groups'), { status: 1, stderr: /no right to connect/ })
  })

  await t.test('killed, it is started again, and knows its leases', async t => {
    const before = await property(lab, 'MainPID')
    await lab.sh('systemctl', 'kill', '--signal=KILL', 'vmbridge')
    await until(lab, 'NRestarts', value => value === '1')
    t.match(await service('start'), { status: 0 }, 'waits until it answers')
    t.not(await property(lab, 'MainPID'), before)
    const { daemon } = await status()
    t.equal(daemon.networks[0].leases[0].mac, MAC)
    t.equal(await lease(t, lab, 'two'), daemon.networks[0].leases[0].ip)
  })

  await t.test('stopped, it has cleaned up and ended well', async t => {
    t.match(await service('stop'), { status: 0, stdout: 'stopped vmbridge.service\n' })
    t.match(await service('stop'), { status: 0, stdout: 'nothing to do: vmbridge.service is inactive\n' })
    t.equal(await property(lab, 'Result'), 'success')
    t.equal(await property(lab, 'ExecMainStatus'), '0')
    t.match(await status(), {
      service: { running: false, state: 'inactive', lastExit: 'status 0' },
      daemon: null,
    })
    t.equal((await lab.exec(['ip', 'link', 'show', 'vmbridge0'])).status, 1, 'the TAP is gone')
    t.equal((await lab.exec(['test', '-e', '/run/vmbridge'])).status, 1, 'and the sockets')
    t.match(await lab.log(), /stopping on SIGTERM/)
  })

  await t.test('with other options it is written and started anew', async t => {
    const options = ['--gateway', '10.5.0.1/24', '--domain', 'lab.internal', '--socket-group=users']
    t.match(await service('install', '--', ...options), { status: 0, stdout: /^wrote .*\nstarted / })
    t.match(await lab.sh('ip', '-br', 'addr', 'show', 'vmbridge0'), '10.5.0.1/24')
    t.equal((await lab.sh('stat', '-c', '%G', '/run/vmbridge/vmbridge.sock')).trim(), 'users')
    t.match(await service('install'), { status: 0, stdout: /^wrote .*\nrestarted / })
    t.match(await lab.sh('ip', '-br', 'addr', 'show', 'vmbridge0'), '192.168.105.1/24')
  })

  await t.test('in shared mode it routes and answers DNS, and may do no more than that takes', async t => {
    // A resolver beyond a link of the container, whose files are nobody else's.
    await lab.sh('ip', 'netns', 'add', 'world')
    await lab.sh('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'eth0', 'netns', 'world')
    await lab.sh('ip', 'addr', 'add', '203.0.113.2/24', 'dev', 'eth0')
    await lab.sh('ip', 'link', 'set', 'eth0', 'up')
    await lab.sh('ip', '-n', 'world', 'addr', 'add', '203.0.113.1/24', 'dev', 'eth0')
    await lab.sh('ip', '-n', 'world', 'link', 'set', 'eth0', 'up')
    // The unit alone sees another resolv.conf. Written only where the checkout is in /srv, which is a container of ours.
    const resolv = 'printf "nameserver 203.0.113.1\\n" >/run/lab-resolv.conf'
    const folder = '/run/systemd/system/vmbridge.service.d'
    const bind = 'printf "[Service]\\nBindReadOnlyPaths=/run/lab-resolv.conf:/etc/resolv.conf\\n"'
    const script = `test -e /srv/vmbridge/bin/vmbridge && mkdir -p ${folder} && ${resolv} && ${bind} >${folder}/lab.conf`
    await lab.sh('sh', '-c', script)
    const resolver = lab.spawn(['ip', 'netns', 'exec', 'world', ...DNS, 'serve', '203.0.113.1'])
    t.teardown(() => resolver.close())
    await resolver.waitForLine(/^serving$/)

    t.match(await service('install', '--', '--mode', 'shared'), { status: 0, stderr: '' })
    const pid = await property(lab, 'MainPID')
    const capabilities = (await lab.sh('grep', '-E', '^Cap(Prm|Eff|Bnd|Amb)', `/proc/${pid}/status`)).split(
      /\s+/,
    )
    const both = ((1 << 12) | (1 << 10)).toString(16).padStart(16, '0')
    t.strictSame(
      capabilities.filter(word => /^[0-9a-f]+$/.test(word)),
      [both, both, both, both],
    )
    t.match(await lab.sh('nft', 'list', 'tables'), 'table ip vmbridge_192_168_105_0_24')
    t.equal((await lab.sh('cat', '/proc/sys/net/ipv4/ip_forward')).trim(), '1')
    await lease(t, lab, 'three')
    const ask = ['ip', 'netns', 'exec', 'three', ...DNS, 'ask']
    for (const how of ['udp', 'tcp'])
      t.equal((await lab.sh(...ask, how, '192.168.105.1', 'x')).trim(), 'from 203.0.113.1', how)
    await lab.sh('ip', '-n', 'three', 'route', 'add', 'default', 'via', '192.168.105.1')
    await lab.sh('ip', 'netns', 'exec', 'three', 'ping', '-c', '1', '-W', '10', '203.0.113.1')
    // Of the kernel's other switches it has none.
    const inside = ['nsenter', '--target', pid, '--mount', 'setpriv', '--reuid', pid, '--clear-groups']
    t.not((await lab.exec([...inside, 'sh', '-c', 'echo 1 >/proc/sys/vm/drop_caches'])).status, 0)

    await lab.sh('systemctl', 'kill', '--signal=KILL', 'vmbridge')
    t.match(await service('start'), { status: 0 })
    await lab.sh('rm', '-r', folder)
    t.match(await service('install'), { status: 0, stdout: /restarted/ })
    t.equal((await lab.sh('nft', 'list', 'tables')).trim(), '', 'and as it was without')
    t.equal((await lab.sh('cat', '/proc/sys/net/ipv4/ip_forward')).trim(), '0')
  })

  await t.test("a daemon that cannot start is told of, with systemd's words", async t => {
    await service('stop')
    const tap = ['ip', 'addr', 'add', '192.168.105.9/24', 'dev', 'lo']
    await lab.sh(...tap)
    t.match(await service('start'), {
      status: 1,
      stderr:
        /vmbridge\.service does not stay up .*its last exit: status 1\n {2}try: see journalctl -u vmbridge\n/,
    })
    t.match(await lab.log(), /192\.168\.105\.1\/24 overlaps 192\.168\.105\.9\/24 of lo/)
    await lab.sh('ip', 'addr', 'flush', 'dev', 'lo', 'scope', 'global')
    t.match(await service('start'), { status: 0 }, 'and once the reason is gone, it starts')
  })

  await t.test('the unit is valid, and its exposure small', async t => {
    t.match(await lab.exec(['systemd-analyze', 'verify', UNIT]), { status: 0, stdout: '', stderr: '' })
    const text = await lab.sh('systemd-analyze', '--no-pager', 'security', 'vmbridge')
    const exposure = Number(/Overall exposure level for vmbridge.service: ([\d.]+)/.exec(text)?.[1])
    t.ok(exposure > 0 && exposure <= 2, `${exposure} of 10`)
  })

  await t.test('uninstalled, it is gone but for its leases', async t => {
    const gone = await service('uninstall')
    t.match(gone, { status: 0, stderr: '' })
    t.strictSame(gone.stdout.split('\n'), [
      'stopped vmbridge.service',
      `removed ${UNIT}`,
      'left: /var/lib/vmbridge (leases), the log (journalctl -u vmbridge)',
      '',
    ])
    t.equal((await lab.sh('find', '/etc/systemd', '-name', '*vmbridge*')).trim(), '')
    t.equal(await property(lab, 'LoadState'), 'not-found')
    t.equal((await lab.exec(['test', '-e', '/var/lib/vmbridge/default'])).status, 0)
    t.match(await service('uninstall'), { status: 0, stdout: /^nothing to do/ })
    t.match(await service('status'), { status: 3 })
  })
})
