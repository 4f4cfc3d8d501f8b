// `vmbridge reservations`: addresses kept for one client each, added and removed from the command line.

import { join } from 'node:path'
import t from 'tap'
import { serveDhcp, WEB } from '../control/dhcp-side.js'
import { scratch, vmbridge } from './command.js'

t.setTimeout(60_000)

const OPTIONS = ['mtu=1400', 'dns=8.8.8.8,1.1.1.1']

t.test('reservations are added by MAC, client ID or name, listed, and removed', async t => {
  const { path } = await serveDhcp(t)
  const run = (...args: string[]) => vmbridge(['reservations', ...args, '--control', path])
  const done = (stdout: string) => ({ status: 0, stdout, stderr: '' })
  t.strictSame(
    await run('add', '192.168.105.20', '--mac', '52-54-0-0-0-20', '--hostname', 'web'),
    done('reserved 192.168.105.20 for 52:54:00:00:00:20\n'),
  )
  t.strictSame(
    await run('add', '192.168.105.21', '--client-id', '01:52:54:00:00:00:AB'),
    done('reserved 192.168.105.21 for client ID 015254000000ab\n'),
  )
  t.strictSame(
    await run('add', '192.168.105.22', '--name', 'Db', ...OPTIONS.map(text => `--dhcp-option=${text}`)),
    done('reserved 192.168.105.22 for the client called Db\n'),
  )
  const listed = await run()
  t.strictSame(
    listed,
    done(
      [
        '  IP              MAC                NAME  HOSTNAME  CLIENT ID       OPTIONS',
        '  192.168.105.20  52:54:00:00:00:20  -     web       -               -',
        '  192.168.105.21  -                  -     -         015254000000ab  -',
        '  192.168.105.22  -                  Db    -         -               mtu=1400 dns=8.8.8.8,1.1.1.1',
        '',
      ].join('\n'),
    ),
  )
  t.strictSame(await run('list'), listed)
  t.same(JSON.parse((await run('list', '--json')).stdout), {
    network: 'default',
    reservations: [
      { ip: '192.168.105.20', mac: '52:54:00:00:00:20', hostname: 'web' },
      { ip: '192.168.105.21', clientId: '015254000000ab' },
      { ip: '192.168.105.22', name: 'Db', options: OPTIONS },
    ],
  })
  t.strictSame(
    await run('remove', '192.168.105.20'),
    done('192.168.105.20 is reserved no more for 52:54:00:00:00:20\n'),
  )
  t.match(await run('remove', '015254000000ab'), { status: 0, stdout: /^192\.168\.105\.21 / })
  t.same(JSON.parse((await run('remove', 'db', '--json')).stdout), {
    network: 'default',
    removed: { ip: '192.168.105.22', name: 'Db', options: OPTIONS },
  })
  t.equal((await run()).stdout.split('\n').length, 2, 'the head alone is left')
})

t.test('an address that somebody has is reserved with a note', async t => {
  const { path } = await serveDhcp(t)
  const argv = ['reservations', 'add', WEB.ip, '--mac', '52:54:00:00:00:20', '--control', path]
  const { status, stdout } = await vmbridge(argv)
  t.equal(status, 0)
  t.match(
    stdout,
    /^reserved 192\.168\.105\.7 for 52:54:00:00:00:20\n {2}note: 192\.168\.105\.7 is leased to 52:/,
  )
  t.match(JSON.parse((await vmbridge([...argv, '--json'])).stdout), { note: /until 2099-/ })
})

t.test('what the daemon refuses: status 1, why, and what to try', async t => {
  const { path } = await serveDhcp(t)
  const run = (...args: string[]) => vmbridge(['reservations', ...args, '--control', path])
  await run('add', '192.168.105.20', '--name', 'a')
  for (const [args, message, hint] of [
    [['add', '192.168.105.20', '--name', 'b'], /105\.20 is reserved already, for the name a/, /remove 192/],
    [['add', '192.168.105.21', '--name', 'A'], /has 192\.168\.105\.20 reserved already/, /remove 192/],
    [['add', '10.0.0.7', '--name', 'b'], /10\.0\.0\.7 is not in 192\.168\.105\.1\/24/, /from 192/],
    [
      ['add', '192.168.105.21', '--name', 'b', '--dhcp-option', 'mtu=1'],
      /: option mtu=1: "1" is not a number of octets/,
      /mtu=1400/,
    ],
    [['remove', '192.168.105.77'], /no reservation for 192\.168\.105\.77/, /vmbridge reservations list/],
    [['remove', 'nobody'], /no reservation for "nobody"/, /vmbridge reservations list/],
    [['remove', '../status'], /no reservation for "\.\.\/status"/, /vmbridge reservations list/],
    [['remove', '%00?\u00e4'], /no reservation for "%00\?\u00e4"/, /vmbridge reservations list/],
  ] as const) {
    const { status, stdout, stderr } = await run(...args)
    t.same([status, stdout], [1, ''], args.join(' '))
    const [first, second] = stderr.split('\n')
    t.match(first, message)
    t.match(second, hint)
  }
})

t.test('a wrong command line: status 2, before any daemon is asked', async t => {
  const add = ['add', '192.168.105.7']
  for (const [args, says] of [
    [['nonsense'], /"nonsense"/],
    [['list', 'more'], /"more"/],
    [['list', '--mac', '52:54:00:00:00:20'], /list takes no --mac/],
    [['list', '--dhcp-option', 'mtu=1400'], /list takes no --dhcp-option/],
    [['remove'], /takes an IP, a MAC, a client ID or a name/],
    [['remove', ''], /takes an IP/],
    [['remove', 'a', 'b'], /"b"/],
    [['remove', 'a', '--name', 'b'], /remove takes no --name/],
    [['add', '--mac', '52:54:00:00:00:20'], /takes an IP/],
    [['add', 'nonsense', '--name', 'a'], /"nonsense"/],
    [add, /one of --mac, --client-id and --name/],
    [[...add, 'more', '--name', 'a'], /"more"/],
    [[...add, '--name', 'a', '--mac', '52:54:00:00:00:20'], /not --mac and --name/],
    [[...add, '--mac', 'nonsense'], /--mac nonsense/],
    [[...add, '--mac', 'ff:ff:ff:ff:ff:ff'], /--mac ff:/],
    [[...add, '--client-id', '1'], /--client-id 1/],
    [[...add, '--client-id', '01'], /--client-id 01/],
    [[...add, '--client-id', 'xy'], /--client-id xy/],
    [[...add, '--name', 'two words'], /--name two words/],
    [[...add, '--name', '-a'], /name/],
    [[...add, '--name', 'a', '--hostname', 'a.b'], /--hostname a\.b/],
    [[...add, '--nonsense', 'a'], /--nonsense/],
  ] as const) {
    const { status, stdout, stderr } = await vmbridge(['reservations', ...args, '--control', '/nonexistent'])
    t.equal(status, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^vmbridge: [^\n]+\n {2}try: [^\n]+\n$/)
    t.match(stderr.split('\n')[0], says)
  }
})

t.test('what the environment holds for other commands is in nobody’s way', async t => {
  const { path } = await serveDhcp(t)
  const env = {
    VMBRIDGE_MAC: '52:54:00:00:00:20',
    VMBRIDGE_CONTROL: path,
    VMBRIDGE_DHCP_OPTION: 'mtu=1400;dns=8.8.8.8',
  }
  t.equal((await vmbridge(['reservations'], { env })).status, 0)
  t.match(await vmbridge(['reservations', 'add', '192.168.105.20'], { env }), { status: 0, stdout: /00:20/ })
  const { stdout } = await vmbridge(['reservations', '--json'], { env })
  t.notOk(stdout.includes('options'), 'what the daemon is told to tell everybody is nobody’s own')
  const add = ['reservations', 'add', '192.168.105.21', '--mac', '52:54:00:00:00:21']
  const options = ['--dhcp-option', 'mtu=1400', '--dhcp-option', 'dns=8.8.8.8']
  t.equal((await vmbridge([...add, ...options], { env })).status, 0)
  const table = (await vmbridge(['reservations'], { env })).stdout
  t.match(table, /105\.21 .*mtu=1400 dns=8\.8\.8\.8/, 'typed, it is this one’s, though it is the same')
  t.equal((await vmbridge(['reservations', 'remove', '192.168.105.21'], { env })).status, 0)
  t.equal((await vmbridge(['reservations', 'remove', '192.168.105.20'], { env })).status, 0)
})

t.test('without a daemon: status 3 and the command that starts one', async t => {
  const path = join(scratch(t), 'c')
  for (const args of [[], ['add', '192.168.105.7', '--name', 'a'], ['remove', 'a']]) {
    t.strictSame(await vmbridge(['reservations', ...args, '--control', path]), {
      status: 3,
      stdout: '',
      stderr: `vmbridge: no daemon answers at ${path}\n  start one with: vmbridge daemon --control ${path}\n`,
    })
  }
})

t.test('without --network the reservations of all networks are listed', async t => {
  const { path, networks } = await serveDhcp(t, {}, ['one', 'two', 'three'])
  Object.assign(networks[1]!, { dhcp: undefined })
  const run = (...args: string[]) => vmbridge(['reservations', ...args, '--control', path])
  const add = ['add', '192.168.105.20', '--mac', '52:54:00:00:00:20']
  t.match(await run(...add), {
    status: 1,
    stdout: '',
    stderr: /several networks: .*\n {2}try: --network one\n/,
  })
  t.match(await run('remove', '192.168.105.20'), { status: 1, stderr: /try: --network one\n/ })
  t.equal((await run(...add, '--network', 'three')).status, 0)
  // Here they share one table.
  t.strictSame(await run(), {
    status: 0,
    stdout: [
      '  NETWORK  IP              MAC                NAME  HOSTNAME  CLIENT ID  OPTIONS',
      '  one      192.168.105.20  52:54:00:00:00:20  -     -         -          -',
      '  three    192.168.105.20  52:54:00:00:00:20  -     -         -          -',
      '',
    ].join('\n'),
    stderr: '',
  })
  const reservations = [{ ip: '192.168.105.20', mac: '52:54:00:00:00:20' }]
  t.same(JSON.parse((await run('--json')).stdout), {
    networks: [
      { network: 'one', reservations },
      { network: 'three', reservations },
    ],
  })
  t.same(JSON.parse((await run('--json', '--network', 'one')).stdout), { network: 'one', reservations })
})
