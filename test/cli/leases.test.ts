// `vmbridge leases`: who has which address, as a table and as JSON; a lease that is ended; and what is said where that
// is not possible.

import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { leaseTable } from '../../src/cli/leases.js'
import { duration, when } from '../../src/cli/words.js'
import { BridgeError } from '../../src/errors.js'
import { DB, GONE, serveDhcp, WEB } from '../control/dhcp-side.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { asNobody, scratch, vmbridge } from './command.js'

t.setTimeout(60_000)

const NOW = Date.parse('2026-01-15T12:00:00Z')
// oxlint-disable-next-line no-control-regex -- that is what is looked for
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/

t.test('leases are a table, also as `leases list`, and JSON for programs', async t => {
  const { path } = await serveDhcp(t)
  const asked = await vmbridge(['leases', '--control', path])
  t.match(asked, { status: 0, stderr: '' })
  for (const line of [
    /^ {2}IP +MAC +HOSTNAME +PORT +STATE +EXPIRES +CLIENT ID$/m,
    /^ {2}192\.168\.105\.7 +52:54:00:00:00:07 +web +vm1 +bound +in \d+d \(2\d{3}-\d\d-\d\d \d\d:\d\d\) +-$/m,
    /^ {2}192\.168\.105\.8 +52:54:00:00:00:08 +- +- +bound +in \d+d \(.*\) +0152540000000a$/m,
  ])
    t.match(asked.stdout, line)
  t.strictSame(await vmbridge(['leases', 'list', '--control', path]), asked)
  const json = await vmbridge(['leases', '--json', '--control', path])
  t.match(json, { status: 0, stderr: '' })
  t.same(JSON.parse(json.stdout), { network: 'default', leases: [{ ...WEB, port: 'vm1' }, DB, GONE] })
})

t.test('a lease is released by IP or by MAC, and it says which', async t => {
  const { path, leases } = await serveDhcp(t)
  t.strictSame(await vmbridge(['leases', 'release', '192.168.105.7', '--control', path]), {
    status: 0,
    stdout: 'released 192.168.105.7, the lease of 52:54:00:00:00:07 (web)\n',
    stderr: '',
  })
  const json = await vmbridge(['leases', 'release', '--json', DB.mac.toUpperCase(), '--control', path])
  t.match(JSON.parse(json.stdout), { released: [{ ip: DB.ip }] })
  t.same(
    leases.leases.map(({ state }) => state),
    ['expired', 'expired', 'expired'],
  )
})

t.test('an address that was declined is taken back', async t => {
  const { path, leases, log } = await serveDhcp(t)
  leases.leases = [{ ...GONE, hostname: 'web', state: 'declined' }]
  const asked = await vmbridge(['leases', 'release', GONE.ip, '--control', path])
  t.match(asked, { status: 0, stdout: `took back ${GONE.ip}, which ${GONE.mac} (web) declined\n` })
  t.same(leases.leases, [])
  t.match(log.lines, [{ message: /released 192\.168\.105\.9, which \S+ had declined$/ }])
  t.equal((await vmbridge(['leases', 'release', GONE.ip, '--control', path])).status, 1)
})

t.test('what is not leased: status 1, what it is, and what to try', async t => {
  const { path } = await serveDhcp(t)
  for (const [which, says] of [
    ['192.168.105.77', '192.168.105.77 is leased to nobody'],
    [GONE.ip, '192.168.105.9 is leased to nobody; it is expired'],
    ['52:54:00:00:00:77', '52:54:00:00:00:77 has no lease'],
  ] as const) {
    t.strictSame(await vmbridge(['leases', 'release', which, '--control', path]), {
      status: 1,
      stdout: '',
      stderr: `vmbridge: ${says}\n  try: vmbridge leases\n`,
    })
  }
})

t.test('a wrong command line: status 2, before any daemon is asked', async t => {
  for (const [args, says] of [
    [['nonsense'], /"nonsense"/],
    [['list', 'more'], /"more"/],
    [['release'], /an IP or a MAC/],
    [['release', 'web'], /"web"/],
    [['release', '192.168.105'], /"192\.168\.105"/],
    [['release', '192.168.105.7', 'more'], /"more"/],
    [['--nonsense'], /--nonsense/],
  ] as const) {
    const { status, stdout, stderr } = await vmbridge(['leases', ...args, '--control', '/nonexistent'])
    t.equal(status, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^vmbridge: [^\n]+\n {2}try: vmbridge leases --help\n$/)
    t.match(stderr.split('\n')[0], says)
  }
})

t.test('without a daemon: status 3 and the command that starts one', async t => {
  const folder = scratch(t)
  const path = join(folder, 'c')
  for (const args of [[], ['release', '192.168.105.7']]) {
    t.strictSame(await vmbridge(['leases', ...args, '--control', path]), {
      status: 3,
      stdout: '',
      stderr: `vmbridge: no daemon answers at ${path}\n  start one with: vmbridge daemon --control ${path}\n`,
    })
  }
  const socket = await vmbridge(['leases', '--socket', join(folder, 's'), '--control', path])
  t.match(socket, { status: 3, stderr: `daemon --socket ${folder}/s\n` })
})

t.test('--socket asks for the network of that socket, and for no other', async t => {
  const { path, folder } = await serveDhcp(t, {}, ['one', 'two'])
  const ask = (name: string) =>
    vmbridge(['leases', '--json', '--socket', join(folder, name), '--control', path])
  t.match(JSON.parse((await ask('two')).stdout), { network: 'two' })
  t.match(await ask('three'), { status: 3, stdout: '', stderr: /no daemon answers for \S+three\n/ })
})

t.test(
  'without --network all networks are listed; which is meant is said where something changes',
  async t => {
    const { path, networks } = await serveDhcp(t, {}, ['one', 'two', 'three'])
    Object.assign(networks[1]!, { dhcp: undefined })
    const listed = await vmbridge(['leases', '--control', path])
    t.match(listed, { status: 0, stderr: '' })
    t.match(
      listed.stdout,
      /^ {2}NETWORK +IP +MAC +HOSTNAME +PORT +STATE +EXPIRES +CLIENT ID\n {2}one +192\.168\.105\.7 /,
    )
    t.match(listed.stdout, /\n {2}three +192\.168\.105\.8 /)
    t.notMatch(listed.stdout, / two /, 'it has no DHCP server')
    const json = await vmbridge(['leases', '--json', '--control', path])
    const leases = [{ ...WEB, port: 'vm1' }, DB, GONE]
    t.same(JSON.parse(json.stdout), {
      networks: [
        { network: 'one', leases },
        { network: 'three', leases },
      ],
    })
    t.match(await vmbridge(['leases', '--network', 'two', '--control', path]), {
      status: 1,
      stdout: '',
      stderr: /two has no DHCP server/,
    })
    t.match(await vmbridge(['leases', '--network', 'four', '--control', path]), { status: 1, stdout: '' })
    t.match(await vmbridge(['leases', 'release', WEB.ip, '--control', path]), {
      status: 1,
      stdout: '',
      stderr: /there are several networks: one, two, three\n {2}try: --network one\n/,
    })
  },
)

t.test(
  'a daemon without a network has no lease to show, and says so where one is to be released',
  async t => {
    const { path } = await serveDhcp(t, {}, [])
    const listed = await vmbridge(['leases', '--control', path])
    t.match(listed, { status: 0, stderr: '', stdout: /^ {2}NETWORK +IP .*\n$/ })
    const json = await vmbridge(['leases', '--json', '--control', path])
    t.same(JSON.parse(json.stdout), { networks: [] })
    t.match(await vmbridge(['leases', 'release', WEB.ip, '--control', path]), {
      status: 1,
      stderr: 'vmbridge: the daemon has no network\n  try: vmbridge network add 10.7.0.1/24\n',
    })
  },
)

t.test('a user without the right to release is told so', { skip: requires(['root', 'linux']) }, async t => {
  const { path, leases } = await serveDhcp(t, { mode: 0o666 })
  const argv = [VMBRIDGE, 'leases', 'release', '192.168.105.7', '--control', path]
  const { status, stdout, stderr } = await execute(asNobody(argv))
  t.same([status, stdout], [1, ''])
  t.match(stderr, /user 65534 may look, but not change anything\n {2}try: use sudo\n/)
  t.same(leases.leases[0], WEB)
  chmodSync(path, 0o660)
  const closed = await execute(asNobody([VMBRIDGE, 'leases', '--control', path]))
  t.match(closed, { status: 1, stderr: /no right to connect to .*\n {2}try: use sudo\n/ })
})

t.test('what strangers named never reaches the terminal as control', async t => {
  const hostile = '\u001b]0;owned\u0007\u009b31m\u007f'
  const { path, leases } = await serveDhcp(t)
  leases.leases = [{ ...WEB, hostname: hostile, clientId: hostile }]
  leases.fails = new BridgeError('ERR_LEASE_STORE', `disk ${hostile}`, { hint: hostile })
  for (const args of [[], ['--json'], ['release', WEB.ip]]) {
    const { stdout, stderr } = await vmbridge(['leases', ...args, '--control', path])
    t.match(stdout + stderr, /owned/)
    t.notMatch(stdout + stderr, CONTROL, args.join(' '))
  }
  t.notMatch(leaseTable([{ ...WEB, state: hostile, expires: hostile, port: hostile }], NOW), CONTROL)
})

t.test('times are said from where the reader is', async t => {
  const at = (seconds: number): string => new Date(NOW + seconds * 1000).toISOString()
  for (const [seconds, words] of [
    [0, /^in 0s \(\d\d:\d\d\)$/],
    [59, /^in 59s /],
    [60, /^in 1m /],
    [-61, /^1m ago /],
    [3599, /^in 59m /],
    [3600, /^in 1h /],
    [-86_399, /^23h ago \(/],
    [86_400, /^in 1d \(2026-01-16 \d\d:\d\d\)$/],
    [-30 * 86_400, /^30d ago \(2025-12-16 \d\d:\d\d\)$/],
  ] as const)
    t.match(when(at(seconds), NOW), words)
  t.equal(when('nonsense', NOW), 'nonsense')
  t.same([0, 59, 60, 3600, 90_061].map(duration), ['0s', '59s', '1m0s', '1h0m0s', '25h1m1s'])
})

t.test('a reader that has enough is no failure', async t => {
  const { path } = await serveDhcp(t)
  const line = `"$0" leases --control "$1" | true; echo "\${PIPESTATUS[0]}"`
  t.match(await execute(['bash', '-c', line, VMBRIDGE, path]), { stdout: '0\n', stderr: '' })
})

t.test('an empty path is no place for a socket', async t => {
  const { path } = await serveDhcp(t)
  t.match(await vmbridge(['leases', '--control', '']), { status: 2, stderr: /--control takes a path/ })
  t.match(await vmbridge(['leases', '--control', `${path}/below`]), { status: 3 }, 'nor is a socket a folder')
})
