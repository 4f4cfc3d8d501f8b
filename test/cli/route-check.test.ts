// `vmbridge route-check`: by the plan alone, and with whom a daemon knows. Status 1 is for a route that swallows somebody.

import { join } from 'node:path'
import t from 'tap'
import { FakeDaemon } from '../talos/stand-in-daemon.js'
import { scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

t.test('10.5.0.10/28 swallows the gateway, the nodes and the API servers: status 1', async t => {
  const args = ['route-check', '10.5.0.10/28', '--controlplanes', '1', '--workers', '2']
  const { status, stdout, stderr } = await vmbridge(args)
  t.strictSame([status, stderr], [1, ''])
  t.match(stdout, /^10\.5\.0\.10\/28 is the route 10\.5\.0\.0\/28: 10\.5\.0\.0 to 10\.5\.0\.15$/m)
  t.match(stdout, /^ {2}10\.5\.0\.1 +gateway, API server$/m)
  t.match(stdout, /^ {2}10\.5\.0\.2 +controlplane-1, API server$/m)
  t.match(stdout, /^ {2}10\.5\.0\.4 +worker-2$/m)
  t.match(stdout, /swallows nobody: 10\.5\.0\.8\/29$/m)
  t.match(stdout, /^ {2}sudo route -n add 10\.5\.0\.200\/32 10\.5\.0\.2$/m)
})

t.test('10.5.0.8/29 does not: status 0', async t => {
  const { status, stdout } = await vmbridge(['route-check', '10.5.0.8/29', '--workers', '2'])
  t.equal(status, 0)
  t.match(stdout, /it swallows nobody\./)
})

t.test('--json', async t => {
  const { status, stdout } = await vmbridge(['route-check', '10.5.0.2/31', '--json'])
  t.equal(status, 1)
  t.match(JSON.parse(stdout), {
    ok: false,
    route: '10.5.0.2/31',
    swallows: [
      { ip: '10.5.0.2', who: 'controlplane-1', isApi: true },
      { ip: '10.5.0.3', who: 'worker-1', isApi: false },
    ],
    better: '10.5.0.208/28',
  })
})

t.test('with a daemon: its leases, reservations and claims; VIPs are what a route is for', async t => {
  const daemon = await new FakeDaemon(t, join(scratch(t), 'c')).start()
  const mac = (last: number) => `52:54:00:00:00:0${last}`
  const network = {
    name: 'lab',
    sockets: [],
    gateway: '10.7.0.1/24',
    leases: [{ ip: '10.5.0.9', mac: mac(1), hostname: 'leased' }],
    neighbors: [
      { ip: '10.5.0.9', mac: mac(1) },
      { ip: '10.5.0.10', mac: mac(1) },
      { ip: '10.5.0.12', mac: mac(2) },
      { ip: '10.5.0.13', mac: mac(3) },
      { ip: '10.5.0.14', mac: mac(3) },
      { ip: 'fd00::9', mac: mac(2) },
    ],
  }
  daemon.reservations.set('lab', [{ ip: '10.5.0.14', mac: mac(3), hostname: 'kept' }])
  daemon.instead = ({ path }) =>
    path === '/v1/status'
      ? { status: 200, body: { version: '0', pid: 1, uptime: 1, networks: [network] } }
      : undefined
  const args = ['route-check', '10.5.0.8/29', '--control', daemon.path, '--json']
  const { status, stdout } = await vmbridge(args)
  t.equal(status, 1)
  const report = JSON.parse(stdout) as Record<string, unknown>
  t.strictSame(report['swallows'], [
    { ip: '10.5.0.9', who: 'leased, network lab', isApi: false },
    { ip: '10.5.0.12', who: `${mac(2)}, network lab`, isApi: false },
    { ip: '10.5.0.14', who: 'kept, network lab', isApi: false },
  ])
  t.strictSame(report['vips'], ['10.5.0.10', '10.5.0.13'])
  t.equal(report['live'], true)
  const gateway = await vmbridge(['route-check', '10.7.0.0/30', '--control', daemon.path])
  t.match(gateway.stdout, /^ {2}10\.7\.0\.1 +gateway, network lab$/m)
  daemon.instead = ({ path }) =>
    path.startsWith('/v1/reservations')
      ? daemon.refuse(404, 'ERR_NO_DHCP', 'there is no DHCP server')
      : path === '/v1/status'
        ? { status: 200, body: { version: '0', pid: 1, uptime: 1, networks: [network] } }
        : undefined
  const without = await vmbridge(args)
  t.match(without.stdout, /"ip": "10\.5\.0\.13"/, 'without a DHCP server, whoever has no lease is a station')
})

t.test('a daemon that was named and does not answer: status 3', async t => {
  const args = ['route-check', '10.5.0.8/29', '--control', join(scratch(t), 'none')]
  const { status, stdout, stderr } = await vmbridge(args)
  t.strictSame([status, stdout], [3, ''])
  t.match(stderr, /no daemon answers/)
})

t.test('what is wrong is said, with status 2', async t => {
  const wrong: [string[], RegExp][] = [
    [[], /takes a route/],
    [['10.5.0.1/28', 'x'], /"x"/],
    [['nonsense'], /"nonsense" is not a route/],
    [['10.5.0.10/28', '--cidr', 'x'], /--cidr x/],
    [['10.5.0.10/28', '--workers', 'x'], /--workers x/],
  ]
  for (const [args, says] of wrong) {
    const { status, stdout, stderr } = await vmbridge(['route-check', ...args])
    t.strictSame([status, stdout], [2, ''], args.join(' '))
    t.match(stderr, says)
  }
})
