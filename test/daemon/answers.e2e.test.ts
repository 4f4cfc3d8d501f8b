// Whose DHCP a guest hears: in `answer` ours alone, whatever arrives at the uplink, and nobody behind that hears the
// guest; in `passthrough` the server behind the uplink, as if there were none in here.

import { join } from 'node:path'
import t from 'tap'
import { scratch, vmbridge } from '../cli/command.js'
import { namespace, plug, recorder } from '../clients/host.js'
import {
  frameOf,
  GATEWAY,
  NODE_IP,
  NODE_MAC,
  BROADCAST_IP,
  BROADCAST_MAC,
  RELAY_IP,
} from '../dhcp/answer-bench.js'
import { ip, station, udpFrame } from '../dhcp/segment.js'
import { startDaemon, type Scope } from '../helpers/daemon.js'
import type { Host } from '../helpers/host.js'
import { requires } from '../helpers/requires.js'
import { NODE, startAnswering } from './answering.js'
import { Station } from './station.js'

t.setTimeout(180_000)

const NEEDS = ['linux', 'root', 'tap', 'ip', 'python3', 'tcpdump', 'busybox']
const TAP = 'vbt0'
const UPLINK = ['--uplink', `tap:${TAP}`]
const MARKER = 4711
/** A broadcast that says: what came before me has passed. */
const marker = udpFrame(station(2), Buffer.from('marker'), {
  sourceIp: ip('10.5.0.9'),
  destinationPort: MARKER,
})
const isUdp = (frame: Buffer): boolean => frame.readUInt16BE(12) === 0x0800 && frame[23] === 17
const isMarker = (frame: Buffer): boolean => isUdp(frame) && frame.readUInt16BE(36) === MARKER
const fromServer = (frame: Buffer): boolean => isUdp(frame) && frame.readUInt16BE(34) === 67

const SEND = `
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(('${TAP}', 0))
for line in sys.stdin: wire.send(bytes.fromhex(line))
`
/** Puts frames on the host's side of the uplink. */
async function sendFromHost(host: Host, frames: readonly Uint8Array[]): Promise<void> {
  const input = frames.map(frame => Buffer.from(frame).toString('hex')).join('\n')
  const { status, stderr } = await host.exec(['python3', '-c', SEND], { input })
  if (status !== 0) throw new Error(stderr)
}

/** What Apple's bootpd and talosctl's server say: in our server's name, to the station, to all, to a relay. */
function foreign(hostMac: string): Uint8Array[] {
  const places = [
    { to: NODE_MAC, destination: NODE_IP },
    { to: BROADCAST_MAC, destination: BROADCAST_IP, flags: '80 00' },
    { to: BROADCAST_MAC, destination: RELAY_IP, destinationPort: 67, giaddr: RELAY_IP },
  ]
  return ['02', '05', '06'].flatMap(type =>
    places.map(place =>
      frameOf({
        from: hostMac,
        source: GATEWAY,
        sourcePort: 67,
        destinationPort: 68,
        op: '02',
        yiaddr: type === '06' ? '00 00 00 00' : '0a 05 00 63',
        ...place,
        options: `35 01 ${type} 36 04 ${GATEWAY} 33 04 00 00 0e 10 01 04 ff ff ff 00 03 04 ${GATEWAY}`,
      }),
    ),
  )
}

/** A network with the host on it, and a VM. */
async function scene(t: Scope, isKept: boolean) {
  const host = await namespace(t)
  const daemon = isKept
    ? await startAnswering(t, { netns: host, args: UPLINK })
    : await startDaemon(t, { netns: host, args: ['--gateway', '10.5.0.1/24', ...UPLINK, '--no-dhcp'] })
  return { host, daemon, vm: await Station.plug(t, daemon) }
}

for (const mode of ['answer', 'passthrough'] as const) {
  const isKept = mode === 'answer'
  t.test(
    `${mode}: what bootpd and talosctl say at the uplink ${isKept ? 'never reaches' : 'reaches'} a guest`,
    { skip: requires(NEEDS) },
    async t => {
      const { host, daemon, vm } = await scene(t, isKept)
      const hostMac = (await host.sh('cat', `/sys/class/net/${TAP}/address`)).trim()
      // The switch knows where the station is: what is for it alone would go nowhere else.
      vm.send(marker)
      const frames = foreign(hostMac.replaceAll(':', ' '))
      await sendFromHost(host, [...frames, marker])
      await vm.receive(isMarker, 10_000)
      t.equal(vm.frames.filter(fromServer).length, isKept ? 0 : frames.length)
      const uplink = (await daemon.status()).networks[0].ports.find(({ role }) => role === 'uplink')
      t.equal(uplink?.drops['rx-dhcp-guard'] ?? 0, isKept ? frames.length : 0, 'counted at the uplink')
    },
  )

  t.test(
    `${mode}: what a guest asks ${isKept ? 'never leaves' : 'leaves'} by the uplink, by broadcast or to the gateway itself`,
    { skip: requires(NEEDS) },
    async t => {
      const { host, vm } = await scene(t, isKept)
      const dump = host.spawn(['tcpdump', '--immediate-mode', '-l', '-n', '-i', TAP, 'udp'])
      t.teardown(() => dump.close())
      await dump.waitForLine(/listening on/)
      const hostMac = (await host.sh('cat', `/sys/class/net/${TAP}/address`)).trim().replaceAll(':', ' ')
      const renewal = { to: hostMac, ciaddr: NODE_IP, source: NODE_IP, destination: GATEWAY }
      const asked = [
        frameOf({ options: '35 01 01' }),
        frameOf({ options: `35 01 03 32 04 ${NODE_IP}` }),
        frameOf({ ...renewal, options: '35 01 03' }),
        frameOf({ ...renewal, options: '35 01 08' }),
      ]
      vm.send(...asked, marker)
      await dump.waitForLine(new RegExp(`\\.${MARKER}:`))
      const crossed = dump
        .text(1)
        .split('\n')
        .filter(line => / > \S+\.67:/.test(line))
      t.equal(crossed.length, isKept ? 0 : asked.length)
      if (!isKept) return
      let answered = 0
      await vm.receive(frame => fromServer(frame) && ++answered === asked.length, 10_000)
      t.strictSame(
        vm.frames.filter(fromServer).map(frame => frame.subarray(58, 62).toString('hex')),
        asked.map(() => NODE_IP.replaceAll(' ', '')),
        'all four are answered, with the address that is reserved',
      )
    },
  )
}

t.test(
  'passthrough: the server behind the uplink leases to the VM',
  { skip: requires([...NEEDS, 'dnsmasq']) },
  async t => {
    const host = await namespace(t)
    const daemon = await startDaemon(t, {
      netns: host,
      args: ['--gateway', '10.5.0.1/24', ...UPLINK, '--no-dhcp'],
    })
    const options =
      '--no-daemon --port=0 --conf-file=/dev/null --user=root --bind-interfaces --log-dhcp --no-ping'
    const served = [`--interface=${TAP}`, '--dhcp-range=10.5.0.50,10.5.0.60']
    const file = `--dhcp-leasefile=${join(scratch(t), 'leases')}`
    const server = host.spawn(['dnsmasq', ...options.split(' '), ...served, file])
    t.teardown(() => server.close())
    await server.waitForLine(/IP range/)
    const ns = await plug(t, daemon, NODE.mac)
    const { script, told } = recorder(t)
    const timing = ['-n', '-q', '-f', '-t', '10', '-T', '1']
    await ns.sh('busybox', 'udhcpc', '-i', 'eth0', '-s', script, ...timing)
    t.match(told(), { ip: /^10\.5\.0\.(5\d|60)$/, serverid: '10.5.0.1' })
    const refused = await vmbridge(['reservations', '--control', daemon.control])
    t.match(refused, { status: 1, stderr: /has no DHCP server/ }, 'and there is nothing to reserve here')
  },
)

t.test(
  'leases, reservations and status of a network that answers',
  { skip: requires(['linux']) },
  async t => {
    const daemon = await startAnswering(t)
    const vm = await Station.plug(t, daemon)
    vm.send(frameOf({ options: '35 01 03' }))
    await vm.receive(fromServer, 10_000)
    const ask = async (...words: string[]) => {
      const { status, stdout, stderr } = await vmbridge([...words, '--control', daemon.control])
      if (status !== 0) throw new Error(stderr)
      return stdout
    }
    t.match(await ask('leases'), /10\.5\.0\.2 +52:54:00:00:00:02 +.*node-1/)
    t.match(JSON.parse(await ask('leases', '--json')), {
      leases: [{ ...NODE, hostname: 'node-1', state: 'bound', port: 'vm1' }],
    })
    t.match(await ask('reservations'), /router=10\.5\.0\.1 dns=8\.8\.8\.8,1\.1\.1\.1 mtu=1450/)
    t.match(await ask('status'), /^DHCP answers for reservations alone, 1 reserved$/m)
    t.match(
      (await daemon.status()).networks[0].ports.find(({ role }) => role === 'vm'),
      { ips: [NODE.ip] },
    )
    t.match(await ask('leases', 'release', NODE.ip), /^released 10\.5\.0\.2/)
    t.match(JSON.parse(await ask('leases', '--json')), { leases: [] })

    await ask('reservations', 'add', '10.5.0.3', '--mac', NODE.mac)
    t.match(
      JSON.parse(await ask('reservations', '--json')).reservations,
      [{ ip: '10.5.0.3' }],
      'it has moved',
    )
    const unknown = ['reservations', 'add', '10.5.0.4', '--name', 'x', '--control', daemon.control]
    t.match(await vmbridge(unknown), { status: 1, stderr: /answers by hardware address alone/ })
  },
)
