// `vmbridge talos doctor` on a Mac where all is well, and then with one fault at a time: each is found by its own check,
// with what to do, and nothing else is blamed.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { heldMembers } from '../../../src/talos/doctor/check-network.js'
import { checkTalos } from '../../../src/talos/doctor/check.js'
import type { Finding } from '../../../src/talos/doctor/finding.js'
import { parseCidr } from '../../../src/wire/ipv4.js'
import { scratch } from '../../cli/command.js'
import { FakeMac, QEMU, summary, TALOSCTL } from './machine.js'

const subnet = parseCidr('10.5.0.1/24')!
const check = (mac: FakeMac): Promise<Finding[]> => checkTalos(mac, { prefix: mac.prefix, subnet })
const bad = (findings: Finding[]) =>
  findings.filter(({ status }) => status === 'failed' || status === 'warning')

const BRIDGE = 'bridge100'
const member = (name: string, filter: string) =>
  `\tmember: ${name} flags=3<LEARNING,DISCOVER>\n\t        ifmaxaddr 0 port 20 priority 0 path cost 0\n\t        hostfilter ${filter}\n`
const OPEN = '0 hw: 0:0:0:0:0:0 ip: 0.0.0.0'
const HELD = '1 hw: 52:54:0:12:34:56 ip: 10.5.0.2'

/** A cluster runs: the bridge is there, and the daemon's. */
function running(mac: FakeMac, members = member('vmenet0', OPEN)): void {
  mac.networks = [summary('10.5.0.1/24')]
  mac.interfaces.push({ name: BRIDGE, cidr: '10.5.0.1/24' })
  mac.answer(`/sbin/ifconfig -v ${BRIDGE}`, `${BRIDGE}: flags=8a63<UP>\n${members}\tstatus: active\n`)
}

t.test('where all is well, all is ok', async t => {
  const findings = await check(new FakeMac(scratch(t)))
  t.strictSame(bad(findings), [])
  t.strictSame(
    findings.map(({ name, status }) => `${name} ${status}`),
    ['stand-ins ok', 'talosctl ok', 'path ok', 'qemu ok', 'daemon ok', 'addresses ok', 'hostfilter skipped'],
  )
})

t.test('while a cluster runs, too, and the bridge is looked at', async t => {
  const mac = new FakeMac(scratch(t))
  running(mac)
  const findings = await check(mac)
  t.strictSame(bad(findings), [])
  t.match(findings.at(-1), { name: 'hostfilter', status: 'ok', detail: /bridge100 lets any address through/ })
  t.match(findings.at(-2), { name: 'addresses', status: 'ok', detail: /the cluster's network is up/ })
})

t.test('on Linux there is no hostfilter, and nothing asks for ifconfig', async t => {
  const mac = new FakeMac(scratch(t))
  mac.platform = 'linux'
  running(mac)
  const findings = await check(mac)
  t.notOk(findings.some(({ name }) => name === 'hostfilter'))
  t.notOk(mac.ran.some(line => line.includes('ifconfig')))
})

t.test('the generation of talosctl is said', async t => {
  for (const [version, says] of [
    ['v1.11.0', /bridge100 to bridge199/],
    ['v1.13.9', /bridge100 to bridge199/],
    ['v1.14.0-rc.1', /waits for the interface with the gateway's address/],
  ] as const) {
    const mac = new FakeMac(scratch(t))
    mac.answer(`${TALOSCTL} version --client --short`, `Client:\nTalos ${version}\n`)
    const found = (await check(mac)).find(({ name }) => name === 'talosctl')
    t.match(found, { status: 'ok', detail: says }, version)
  }
})

t.test('root has its PATH already, and sudo is not asked', async t => {
  const mac = new FakeMac(scratch(t))
  mac.uid = 0
  mac.env['PATH'] = `/usr/bin:${mac.prefix}/talos:/opt/homebrew/bin`
  t.match(
    (await check(mac)).find(({ name }) => name === 'path'),
    { status: 'ok' },
  )
  t.notOk(mac.ran.some(line => line.includes('sudo')))
})

t.test('where sudo asks for a password nothing is claimed', async t => {
  const mac = new FakeMac(scratch(t))
  mac.answer('/usr/bin/sudo -n /usr/bin/env', 'PATH=/not/to/be/believed\n', 1, 'sudo: a password is required')
  t.match(
    (await check(mac)).find(({ name }) => name === 'path'),
    {
      status: 'skipped',
      detail: /to see: sudo .*\/bin\/vmbridge talos doctor$/,
    },
  )
})

t.test("a QEMU that was configured is the one that is looked at; else root's PATH counts", async t => {
  const configured = new FakeMac(scratch(t), { qemu: { 'qemu-system-aarch64': '/opt/qemu/q' } })
  t.match(
    (await check(configured)).find(({ name }) => name === 'qemu'),
    { detail: /^\/opt\/qemu\/q, 10\.1\.0/ },
  )
  const plain = new FakeMac(scratch(t))
  await check(plain)
  t.match(plain.wanted, {
    name: 'qemu-system-aarch64',
    path: `${plain.prefix}/talos:/opt/homebrew/bin:/usr/bin:/bin`,
  })
  const intel = new FakeMac(scratch(t))
  intel.arch = 'x64'
  await check(intel)
  t.equal(intel.wanted?.name, 'qemu-system-x86_64')
})

type Fault = [
  what: string,
  spoil: (mac: FakeMac) => void,
  status: string,
  name: string,
  says: RegExp,
  fix: RegExp,
]

const standIn = (mac: FakeMac) => join(mac.prefix, 'talos/qemu-system-aarch64')
const spoilt = (mac: FakeMac, path: string, change: object) =>
  mac.files.set(path, { kind: 'file', uid: 0, gid: 0, mode: 0o755, ...change })

const FAULTS: Fault[] = [
  [
    'no stand-in',
    mac => mac.files.delete(join(mac.prefix, 'talos/qemu-system-x86_64')),
    'failed',
    'stand-ins',
    /qemu-system-x86_64: not there/,
    /^sudo vmbridge install --prefix .* && sudo .*\/bin\/vmbridge talos install --prefix /,
  ],
  [
    'no settings of the stand-ins',
    mac => rmSync(join(mac.prefix, 'talos/settings.json')),
    'failed',
    'stand-ins',
    /the settings in .*\/talos: not there/,
    /talos install/,
  ],
  [
    'a stand-in of a user',
    mac => spoilt(mac, standIn(mac), { uid: 501 }),
    'failed',
    'stand-ins',
    /is of the user 501, not of root/,
    /^sudo chown root .*qemu-system-aarch64$/,
  ],
  [
    'a stand-in that others can write',
    mac => spoilt(mac, standIn(mac), { mode: 0o757 }),
    'failed',
    'stand-ins',
    /can be changed by others/,
    /^sudo chmod go-w .*qemu-system-aarch64$/,
  ],
  [
    'a folder on the way that a group can write',
    mac => spoilt(mac, mac.prefix, { kind: 'folder', gid: 80, mode: 0o775 }),
    'failed',
    'stand-ins',
    /can be changed by others/,
    /^sudo chmod go-w /,
  ],
  [
    'a stand-in that is no program',
    mac => spoilt(mac, standIn(mac), { mode: 0o644 }),
    'failed',
    'stand-ins',
    /is no program/,
    /talos install/,
  ],
  [
    'no talosctl',
    mac => mac.files.delete(TALOSCTL),
    'failed',
    'talosctl',
    /none in PATH/,
    /^brew install siderolabs\/tap\/talosctl$/,
  ],
  [
    'a talosctl that does not answer',
    mac => mac.answer(`${TALOSCTL} version --client --short`, '', 1, 'killed'),
    'failed',
    'talosctl',
    /but: killed$/,
    /version --client$/,
  ],
  [
    'an old talosctl',
    mac => mac.answer(`${TALOSCTL} version --client --short`, 'Client:\nTalos v1.10.3\n'),
    'warning',
    'talosctl',
    /v1\.10\.3: before v1\.11/,
    /newer/,
  ],
  [
    'secure_path without the stand-ins',
    mac => mac.answer('/usr/bin/sudo -n /usr/bin/env', 'PATH=/opt/homebrew/bin:/usr/bin\n'),
    'warning',
    'path',
    /root finds \/opt\/homebrew\/bin\/qemu-system-aarch64 first/,
    /^sudo -E .*\/bin\/vmbridge talos run -- talosctl cluster create qemu$/,
  ],
  [
    'the stand-ins behind the real QEMU',
    mac => mac.answer('/usr/bin/sudo -n /usr/bin/env', `PATH=/opt/homebrew/bin:${mac.prefix}/talos\n`),
    'warning',
    'path',
    /root finds \/opt\/homebrew\/bin\/qemu-system-aarch64 first/,
    /talos run --/,
  ],
  [
    'talosctl only in the PATH of the user',
    mac => {
      mac.files.set('/usr/bin/qemu-system-aarch64', mac.files.get(QEMU)!)
      mac.answer('/usr/bin/sudo -n /usr/bin/env', `PATH=${mac.prefix}/talos:/usr/bin:/bin\n`)
    },
    'warning',
    'path',
    /does not lead to talosctl/,
    /talos run -- \/opt\/homebrew\/bin\/talosctl cluster create qemu$/,
  ],
  [
    'no QEMU',
    mac => mac.files.delete(QEMU),
    'failed',
    'qemu',
    /no real qemu-system-aarch64/,
    /^brew install qemu$/,
  ],
  [
    'a QEMU that does not answer',
    mac => (mac.qemu = undefined),
    'failed',
    'qemu',
    /does not answer as a QEMU does/,
    /-version$/,
  ],
  [
    'a QEMU without stream',
    mac => (mac.qemu = { version: '6.2.0' }),
    'failed',
    'qemu',
    /6\.2\.0: has no -netdev stream/,
    /^brew upgrade qemu$/,
  ],
  [
    'a QEMU that does not reconnect',
    mac => (mac.qemu = { version: '7.2.22', reconnect: 'none' }),
    'warning',
    'qemu',
    /stay cut off when the daemon restarts/,
    /^brew upgrade qemu$/,
  ],
  [
    'no daemon',
    mac => (mac.lost = { code: 'ERR_NO_DAEMON', message: 'no daemon answers at /var/run' }),
    'failed',
    'daemon',
    /no daemon answers/,
    /^sudo vmbridge service install$/,
  ],
  [
    'a daemon that is too old',
    mac => (mac.lost = { code: 'ERR_NOT_FOUND', message: 'there is no /v1/networks' }),
    'failed',
    'daemon',
    /no \/v1\/networks/,
    /service stop && sudo vmbridge service start$/,
  ],
  [
    "a daemon that is not root's",
    mac => spoilt(mac, '/var/run/vmbridge/control.sock', { kind: 'other', uid: 501 }),
    'warning',
    'daemon',
    /of the user 501/,
    /service install/,
  ],
  [
    'a network of the daemon overlaps with another mask',
    mac => (mac.networks = [summary('10.5.0.1/16', { name: 'lab', kind: 'standing' })]),
    'failed',
    'daemon',
    /its network lab has 10\.5\.0\.1\/16, which overlaps 10\.5\.0\.0\/24/,
    /--cidr/,
  ],
  [
    'a network on demand overlaps: its own interface is nobody else’s',
    mac => {
      mac.networks = [summary('10.5.0.129/25')]
      mac.interfaces.push({ name: 'bridge100', cidr: '10.5.0.129/25' })
    },
    'failed',
    'daemon',
    /its network 10\.5\.0\.129-25 has 10\.5\.0\.129\/25, which overlaps/,
    /^sudo vmbridge network remove 10\.5\.0\.129-25$/,
  ],
  [
    "a network with the cluster's gateway was made by hand, and leases a range",
    mac => (mac.networks = [summary('10.5.0.1/24', { dhcp: 'pool' })]),
    'failed',
    'daemon',
    /its network 10\.5\.0\.1-24 is 10\.5\.0\.1\/24 already, and leases a range/,
    /^sudo vmbridge network remove 10\.5\.0\.1-24$/,
  ],
  [
    "a standing network with the cluster's gateway answers no DHCP",
    mac => (mac.networks = [summary('10.5.0.1/24', { name: 'lab', kind: 'standing', dhcp: 'passthrough' })]),
    'failed',
    'daemon',
    /its network lab is 10\.5\.0\.1\/24 already, and answers no DHCP, so the stand-ins are refused/,
    /--cidr.*--gateway for lab$/,
  ],
  [
    "a network with the cluster's gateway was made for talosctl's own DHCP server",
    mac => (mac.networks = [summary('10.5.0.1/24', { dhcp: 'passthrough' })]),
    'failed',
    'daemon',
    /answers no DHCP, so the stand-ins are refused/,
    /^sudo vmbridge network remove 10\.5\.0\.1-24$/,
  ],
  [
    "a standing network with the cluster's gateway has no uplink",
    mac =>
      (mac.networks = [
        summary('10.5.0.1/24', { name: 'lab', kind: 'standing', uplink: { kind: 'none', state: 'up' } }),
      ]),
    'failed',
    'daemon',
    /its network lab is 10\.5\.0\.1\/24 already, and has no uplink/,
    /--cidr.*--gateway for lab$/,
  ],
  [
    'an interface of others in the subnet',
    mac => mac.interfaces.push({ name: 'utun4', cidr: '10.5.0.77/32' }),
    'failed',
    'addresses',
    /utun4 with 10\.5\.0\.77\/32 overlaps 10\.5\.0\.0\/24/,
    /end what made utun4, or .*--cidr/,
  ],
  [
    'a bridge with the gateway that is not of this daemon',
    mac => mac.interfaces.push({ name: 'bridge101', cidr: '10.5.0.1/24' }),
    'failed',
    'addresses',
    /bridge101 with 10\.5\.0\.1\/24/,
    /end what made bridge101/,
  ],
  [
    "two bridges with the gateway's address",
    mac => {
      running(mac)
      mac.interfaces.push({ name: 'bridge101', cidr: '10.5.0.1/24' })
    },
    'failed',
    'addresses',
    /bridge101/,
    /--cidr/,
  ],
  [
    'a bridge that holds a member to one address',
    mac => running(mac, member('vmenet0', HELD)),
    'failed',
    'hostfilter',
    /vmenet0 is held to 52:54:0:12:34:56 10\.5\.0\.2; VIPs do not pass/,
    /\/sbin\/ifconfig -v bridge100$/,
  ],
]

for (const [what, spoil, status, name, says, fix] of FAULTS) {
  t.test(`${what}: found, with the fix, and nothing else is blamed`, async (t: Test) => {
    const mac = new FakeMac(scratch(t))
    spoil(mac)
    t.match(bad(await check(mac)), [{ name, status, detail: says, fix }])
    t.equal(bad(await check(mac)).length, 1)
  })
}

t.test('a user whom the control socket does not let in is told to ask as root', async t => {
  const mac = new FakeMac(scratch(t))
  mac.lost = { code: 'ERR_CONTROL', message: 'no right to connect to /var/run/vmbridge/control.sock' }
  t.match(
    (await check(mac)).find(({ name }) => name === 'daemon'),
    { status: 'skipped', detail: /sudo vmbridge/ },
  )
})

t.test('the members of a bridge, as ifconfig -v prints them', async t => {
  const text = `bridge100: flags=8863<UP>\n\tConfiguration:\n\t\tipfilter disabled flags 0x0\n${member('en1', OPEN)}${member('vmenet0', HELD)}${member('vmenet1', OPEN)}`
  t.strictSame(heldMembers(text), {
    members: 3,
    filtered: [{ member: 'vmenet0', to: '52:54:0:12:34:56 10.5.0.2' }],
  })
  t.strictSame(heldMembers(''), { members: 0, filtered: [] })
})
