// `vmbridge status`: all that the daemon knows, as JSON for programs and as tables for people, and what it says
// where no daemon answers. What strangers named (a host, a program) never reaches the terminal as control.

import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { render } from '../../src/cli/status.js'
import type { DaemonStatus, DhcpStatus, NetworkStatus, PortStatus } from '../../src/control/api.js'
import { Client, type Fields, ip } from '../dhcp/segment.js'
import * as option from '../../src/dhcp/options.js'
import { announcement, BROADCAST, Station, textFrame } from '../daemon/station.js'
import { Child, execute } from '../helpers/child.js'
import { startDaemon, type Daemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { asNobody, NOBODY, scratch, vmbridge } from './command.js'

t.setTimeout(90_000)

const A = '52:54:00:00:00:0a'
const NOW = Date.parse('2026-01-15T12:00:00Z')
// What a terminal obeys: an escape sequence, a bell, a C1 control sequence, DEL.
const HOSTILE = '\u001b]0;owned\u0007\u009b31m\u007f'
// oxlint-disable-next-line no-control-regex -- that is what is looked for
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/

const statusOf = async ({ control }: Daemon): Promise<DaemonStatus> => {
  const { status, stdout, stderr } = await vmbridge(['status', '--json', '--control', control])
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as DaemonStatus
}

t.test('status --json shows ports, addresses, traffic, drops, the FDB and leases', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--dhcp-exclude', '192.168.105.2'] })
  const a = await Station.plug(t, daemon)
  const b = await Station.plug(t, daemon)
  const client = new Client(0x0a)
  a.send(client.frame({ options: [[option.HOSTNAME, 'alpha']] }))
  await a.receive(frame => frame.readUInt16BE(34) === 67)
  const request: Fields = {
    type: option.REQUEST,
    options: [
      [option.REQUESTED_IP, ip('192.168.105.3')],
      [option.SERVER_ID, ip('192.168.105.1')],
      [option.HOSTNAME, 'alpha'],
    ],
  }
  a.send(client.frame(request))
  await daemon.waitForLog(entry => entry.event === 'dhcp.ack')
  a.send(announcement(A, '192.168.105.201'), Buffer.alloc(13), textFrame(BROADCAST, A, 'the last'))
  await b.receive('the last')

  const { version, pid, uptime, networks } = await statusOf(daemon)
  t.match(version, /^\d+\.\d+\.\d+/)
  t.equal(pid, daemon.pid)
  t.ok(Number.isInteger(uptime) && uptime >= 0)
  t.equal(networks.length, 1)
  const { ports, fdb, leases, dhcp, neighbors, ...network } = networks[0]
  t.strictSame(network, {
    name: 'default',
    kind: 'standing',
    sockets: [daemon.socket],
    gateway: '192.168.105.1/24',
    mtu: 1500,
    uplink: { kind: 'none', state: 'up' },
  })
  t.strictSame(
    ports.map(({ role }) => role),
    ['service', 'vm', 'vm'],
  )
  const [, first, second] = ports
  const { since, rx, ...rest } = first
  t.ok(Math.abs(Date.parse(since ?? '') - Date.now()) < 60_000, 'since')
  t.equal(rx.frames, 5)
  t.match(rest, {
    name: 'vm1',
    role: 'vm',
    macs: [A],
    drops: { 'rx-runt': 1 },
    moves: 0,
    unlearnt: 0,
    queued: 0,
    peer: { pid: process.pid, uid: process.getuid?.() },
  })
  t.strictSame([...rest.ips].sort(), ['192.168.105.201', '192.168.105.3'])
  t.strictSame(second.macs, [])
  t.strictSame(second.drops, {}, 'reasons that never happened are left out')
  t.equal(second.rx.frames, 0)
  t.ok(second.tx.frames >= 3 && second.tx.bytes > second.tx.frames * 14)
  t.match(
    fdb.find(({ mac }) => mac === A),
    { port: 'vm1', age: 0 },
  )
  t.match(
    neighbors.find(({ ip }) => ip === '192.168.105.201'),
    { mac: A, port: 'vm1', how: 'arp', moves: 0 },
  )
  t.match(leases, [{ ip: '192.168.105.3', mac: A, hostname: 'alpha', state: 'bound' }])
  t.match(leases[0].expires, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.match(dhcp, {
    range: '192.168.105.2-192.168.105.199',
    exclude: ['192.168.105.2'],
    free: 196,
    degraded: false,
  })

  const tables = await vmbridge(['status', '--control', daemon.control])
  t.equal(tables.status, 0)
  t.equal(tables.stderr, '')
  for (const line of [
    /^vmbridge \S+, PID \d+, up \d+s$/m,
    /^network default: gateway 192\.168\.105\.1\/24, MTU 1500, sockets \S+$/m,
    /^uplink none: up$/m,
    /^DHCP 192\.168\.105\.2-192\.168\.105\.199, 196 free$/m,
    /^ {2}PORT +ROLE +MAC +IP +RX +RX BYTES +TX +TX BYTES +DROPS +PEER$/m,
    /^ {2}vm1 +vm +52:54:00:00:00:0a +192\.168\.105\.\S+ +5 .* rx-runt:1 +\S+ .*\(\d+\)$/m,
    /^ {2}52:54:00:00:00:0a +vm1 +\d+s$/m,
    /^ {2}192\.168\.105\.3 +52:54:00:00:00:0a +alpha +\S+ +bound +in \d+[mh] \(.*\d\d:\d\d\) +-$/m,
    /^NEIGHBORS\n {2}IP +MAC +PORT +HOW +FIRST SEEN +LAST SEEN +MOVES$/m,
    /^ {2}192\.168\.105\.201 +52:54:00:00:00:0a +vm1 +arp +\d+s ago +\d+s ago +0$/m,
  ])
    t.match(tables.stdout, line)
})

t.test('without a daemon: status 3 and the command that starts one', async t => {
  const folder = scratch(t)
  const path = join(folder, 'c')
  const isTold = async (what: string) => {
    const { status, stdout, stderr } = await vmbridge(['status', '--control', path])
    t.equal(status, 3, what)
    t.equal(stdout, '')
    t.equal(
      stderr,
      `vmbridge: no daemon answers at ${path}\n  start one with: vmbridge daemon --control ${path}\n`,
    )
  }
  await isTold('no file')
  writeFileSync(path, '')
  await isTold('a file that is no socket')
  t.ok(existsSync(path), 'which was not touched')
})

t.test(
  'status --socket finds that daemon, and does not answer for another one',
  { skip: requires(['root']) },
  async t => {
    // As a user with folders of its own: root's default places are the machine's.
    const folder = scratch(t)
    chownSync(folder, NOBODY, NOBODY)
    const env = { XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder, VMBRIDGE_CONTROL: '' }
    const socket = join(folder, 'mine')
    const argv = [VMBRIDGE, 'daemon', '--uplink', 'none', '--socket', socket, '--log-format', 'json']
    mkdirSync(join(folder, 'vmbridge'))
    chownSync(join(folder, 'vmbridge'), NOBODY, NOBODY)
    const child = Child.launch(asNobody(argv), { env })
    t.teardown(() => child.close())
    await child.waitForLine(/daemon\.ready/)
    const ask = (path: string) => execute(asNobody([VMBRIDGE, 'status', '--json', '--socket', path]), { env })
    const found = await ask(socket)
    t.equal(found.status, 0, found.stderr)
    t.equal((JSON.parse(found.stdout) as DaemonStatus).pid, child.pid)
    const other = await ask(join(folder, 'nobody'))
    t.equal(other.status, 3)
    t.equal(other.stdout, '')
    t.match(other.stderr, /\n {2}start one with: vmbridge daemon --socket /)
  },
)

t.test('something else at the control socket is said to be no daemon, with status 1', async t => {
  const path = join(scratch(t), 'c')
  const answers = ['', 'not json', 'null', '[]', '{"error":1}', '{}', '{"networks":{}}']
  for (const answer of answers) {
    const server = createServer((_, response) => response.end(answer))
    await new Promise<void>(resolve => server.listen(path, resolve))
    const { status, stdout, stderr } = await vmbridge(['status', '--control', path])
    server.close()
    t.equal(status, 1, JSON.stringify(answer))
    t.equal(stdout, '')
    t.match(stderr, /^vmbridge: [^\n]*did not answer as a vmbridge daemon does\n/)
    t.notMatch(stderr, /\n +at /, 'no stack')
  }
})

t.test('the tables hold no control characters, whatever a host or a program is called', async t => {
  const status: DaemonStatus = {
    version: '0.0.0',
    pid: 1,
    uptime: 3671,
    networks: [
      {
        name: 'default',
        kind: 'standing',
        sockets: [`/tmp/${HOSTILE}`],
        gateway: '192.168.105.1/24',
        mtu: 1500,
        uplink: { kind: 'socket', name: `/tmp/${HOSTILE}`, state: 'down', detail: HOSTILE },
        ports: [
          {
            name: 'vm1',
            role: 'vm',
            macs: [],
            ips: [],
            rx: { frames: 0, bytes: 0 },
            tx: { frames: 0, bytes: 0 },
            drops: {},
            moves: 0,
            unlearnt: 0,
            queued: 0,
            peer: { pid: 2, uid: 0, command: HOSTILE },
          },
        ],
        fdb: [],
        neighbors: [
          { ip: HOSTILE, mac: HOSTILE, port: HOSTILE, how: 'arp', firstSeen: 3671, lastSeen: 0, moves: 2 },
        ],
        leases: [{ ip: '192.168.105.2', mac: A, hostname: HOSTILE, state: 'bound', expires: '' }],
        dhcp: {
          range: HOSTILE,
          exclude: [],
          free: 1,
          reservations: 3,
          degraded: true,
          conflicts: [
            {
              ip: HOSTILE,
              lease: { mac: A, port: 'vm1', hostname: HOSTILE },
              claim: { mac: HOSTILE, port: HOSTILE },
              since: HOSTILE,
              count: 2,
            },
          ],
          counters: { received: {}, sent: {}, dropped: {} },
        },
      },
    ],
  }
  const text = render(status, NOW)
  t.notMatch(text, CONTROL)
  t.match(text, /up 1h1m11s/)
})

t.test('datagram sockets and dials are in the tables, and of who has no process the address', async t => {
  const none = { frames: 0, bytes: 0 }
  const port: Omit<PortStatus, 'name'> = {
    role: 'vm',
    macs: [],
    ips: [],
    rx: none,
    tx: none,
    drops: {},
    moves: 0,
    unlearnt: 0,
    queued: 0,
  }
  const network: NetworkStatus = {
    name: 'default',
    kind: 'standing',
    sockets: ['/run/s'],
    dgrams: ['/run/g', '/run/h'],
    dials: [
      { path: '/run/a', state: 'up', port: 'vm2' },
      { path: '/run/b', state: 'down', detail: 'ENOENT' },
    ],
    mtu: 1500,
    uplink: { kind: 'none', state: 'up' },
    ports: [
      { ...port, name: 'vm1', key: 'dgram:/tmp/vm.sock' },
      { ...port, name: 'vm2', key: 'dial:/run/a', peer: { pid: 7, uid: 0, command: 'qemu' } },
      { ...port, name: 'vm3' },
    ],
    fdb: [],
    neighbors: [],
    leases: [],
  }
  const text = render({ version: '0.0.0', pid: 1, uptime: 1, networks: [network] }, NOW)
  t.match(text, /, sockets \/run\/s, datagrams \/run\/g \/run\/h$/m)
  t.match(text, /^dial \/run\/a: up \(vm2\)\ndial \/run\/b: down \(ENOENT\)$/m)
  t.match(text, /^ {2}vm1 .* dgram:\/tmp\/vm\.sock$/m)
  t.match(text, /^ {2}vm2 .* qemu \(7\)$/m)
  t.match(text, /^ {2}vm3 .* -$/m)
})

t.test('conflicts, reservations and a disk that fails are in the tables', async t => {
  const network: NetworkStatus = {
    name: 'default',
    kind: 'standing',
    sockets: [],
    gateway: '192.168.105.1/24',
    mtu: 1500,
    uplink: { kind: 'none', state: 'up' },
    ports: [],
    fdb: [],
    neighbors: [],
    leases: [],
    dhcp: {
      range: '192.168.105.2-192.168.105.199',
      exclude: [],
      free: 190,
      degraded: false,
      conflicts: [],
      reservations: 0,
      counters: { received: {}, sent: {}, dropped: {} },
    },
  }
  const tables = (dhcp: Partial<DhcpStatus>): string => {
    const networks = [{ ...network, dhcp: { ...network.dhcp!, ...dhcp } }]
    return render({ version: '0.0.0', pid: 1, uptime: 1, networks }, NOW)
  }
  t.match(tables({}), /^DHCP 192\.168\.105\.2-192\.168\.105\.199, 190 free$/m)
  t.match(tables({ reservations: 3 }), /, 190 free, 3 reserved$/m)
  t.match(tables({ reservations: 3, degraded: true }), /, 3 reserved, DEGRADED: leases cannot be written$/m)
  for (const none of [tables({}), tables({ conflicts: [] })]) t.notMatch(none, /CONFLICTS/)
  const conflict = {
    ip: '192.168.105.7',
    lease: { mac: A, port: 'vm1', hostname: 'web' },
    claim: { mac: '52:54:00:00:00:0b', port: 'vm2' },
    since: new Date(NOW - 90_000).toISOString(),
    count: 3,
  }
  const text = tables({ conflicts: [conflict, { ...conflict, lease: { mac: A, port: '-' } }] })
  t.match(text, /^CONFLICTS\n {2}IP +LEASED TO +PORT +HOSTNAME +CLAIMED BY +PORT +SINCE +CLAIMS$/m)
  t.match(text, /^ {2}192\.168\.105\.7 +52:\S+0a +vm1 +web +52:\S+0b +vm2 +1m ago \(\d\d:\d\d\) +3$/m)
  t.match(text, /^ {2}192\.168\.105\.7 +52:\S+0a +- +- +52:/m)
})

t.test('a hostile host and a hostile program show as plain text', { skip: requires(['linux']) }, async t => {
  const folder = scratch(t)
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const program = join(folder, '\u001b[31m\u009b5m')
  copyFileSync('/bin/sleep', program)
  chmodSync(program, 0o755)
  const child = Child.launch([VMBRIDGE, 'run', '--socket', daemon.socket, '--', program, '60'])
  t.teardown(() => child.close())
  await daemon.waitForLog(entry => entry.event === 'port.up' && entry['pid'] === child.pid)
  const a = await Station.plug(t, daemon)
  const client = new Client(0x0b)
  const hostname = [12, [...Buffer.from(HOSTILE, 'latin1')]] as [number, number[]]
  a.send(client.frame({ raw: [hostname] }))
  await a.receive(frame => frame.readUInt16BE(34) === 67)
  for (const json of [[], ['--json']]) {
    const { status, stdout } = await vmbridge(['status', '--control', daemon.control, ...json])
    t.equal(status, 0)
    t.ok(stdout.includes(String(child.pid)))
    t.notMatch(stdout, CONTROL, json.length > 0 ? 'as JSON' : 'as tables')
  }
  t.notMatch(daemon.child.text(), CONTROL, 'nor in the log')
})
