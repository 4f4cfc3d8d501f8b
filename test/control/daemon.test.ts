// The commands against a daemon that runs: a reservation decides what a client gets, a released lease is free, and
// both outlive a restart.

import t, { type Test } from 'tap'
import * as option from '../../src/dhcp/options.js'
import { vmbridge } from '../cli/command.js'
import { Station } from '../daemon/station.js'
import { Client, ip, type Fields } from '../dhcp/segment.js'
import { startDaemon, type Daemon } from '../helpers/daemon.js'

t.setTimeout(60_000)

type Entry = { ip: string; mac: string; port?: string; state: string }

const leasesOf = async ({ control }: Daemon): Promise<Entry[]> => {
  const { stdout } = await vmbridge(['leases', '--json', '--control', control])
  return (JSON.parse(stdout) as { leases: Entry[] }).leases
}

/** Plugs a VM in that asks for an address, and resolves to the one that was acknowledged. */
async function lease(t: Test, daemon: Daemon, n: number): Promise<string> {
  const station = await Station.plug(t, daemon)
  const client = new Client(n)
  const isReply = (type: number) => (frame: Buffer) =>
    frame.readUInt16BE(34) === 67 && frame.includes(Buffer.from([53, 1, type]))
  station.send(client.frame())
  const offer = await station.receive(isReply(option.OFFER))
  const offered = offer.readUInt32BE(14 + 20 + 8 + 16)
  const request: Fields = {
    type: option.REQUEST,
    options: [
      [option.REQUESTED_IP, offered],
      [option.SERVER_ID, ip('192.168.105.1')],
    ],
  }
  station.send(client.frame(request))
  const ack = await station.receive(isReply(option.ACK))
  return [...ack.subarray(14 + 20 + 8 + 16, 14 + 20 + 8 + 20)].join('.')
}

t.test(
  'a reserved address goes to its client alone, in the range or not, and after a restart too',
  async t => {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
    const run = (at: Daemon, ...args: string[]) =>
      vmbridge(['reservations', ...args, '--control', at.control])
    t.equal((await run(daemon, 'add', '192.168.105.2', '--mac', '52:54:00:00:00:0b')).status, 0)
    t.equal((await run(daemon, 'add', '192.168.105.240', '--mac', '52:54:00:00:00:0c')).status, 0)
    t.equal(await lease(t, daemon, 0x0a), '192.168.105.3', 'the first that is nobody’s')
    t.equal(await lease(t, daemon, 0x0b), '192.168.105.2')
    t.equal(await lease(t, daemon, 0x0c), '192.168.105.240')
    t.match(
      daemon.log.find(({ event }) => event === 'control.change'),
      { change: 'reservation.add', ip: '192.168.105.2', uid: process.getuid!() },
    )
    t.match(await leasesOf(daemon), [{ port: 'vm2' }, { port: 'vm1', state: 'bound' }, { port: 'vm3' }])
    t.match(await run(daemon, 'add', '192.168.105.3', '--name', 'other'), {
      stdout: 'note: 192.168.105.3 is leased',
    })
    await daemon.stop()

    const again = await startDaemon(t, { args: ['--uplink', 'none'], stateDir: daemon.stateDir })
    t.equal((await run(again, 'list')).stdout.split('\n').length, 5)
    t.match(
      (await leasesOf(again)).map(each => each.ip),
      ['192.168.105.2', '192.168.105.3', '192.168.105.240'],
    )
    t.equal(await lease(t, again, 0x0c), '192.168.105.240')
  },
)

t.test('a released lease is free, and its client gets it back if nobody was faster', async t => {
  const daemon = await startDaemon(t, {
    args: ['--uplink', 'none', '--dhcp-range', '192.168.105.2-192.168.105.3'],
  })
  t.equal(await lease(t, daemon, 0x0a), '192.168.105.2')
  t.equal(await lease(t, daemon, 0x0b), '192.168.105.3')
  const release = (which: string) => vmbridge(['leases', 'release', which, '--control', daemon.control])
  t.match(await release('192.168.105.2'), {
    status: 0,
    stdout: /^released 192\.168\.105\.2, the lease of 52:/,
  })
  t.match(await leasesOf(daemon), [{ state: 'expired' }, { state: 'bound' }])
  t.equal(await lease(t, daemon, 0x0a), '192.168.105.2', 'its own again')
  t.equal((await release('52:54:00:00:00:0a')).status, 0)
  t.equal(await lease(t, daemon, 0x0c), '192.168.105.2', 'another was faster')
  t.match(await release('52:54:00:00:00:0a'), { status: 1, stderr: /has no lease/ })
})

t.test('without a DHCP server there are no leases to show, and it says so', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  for (const command of ['leases', 'reservations']) {
    const { status, stdout, stderr } = await vmbridge([command, '--control', daemon.control])
    t.same([status, stdout], [1, ''])
    t.match(stderr, /the network default has no DHCP server \(.*--no-dhcp.*\)\n {2}try: vmbridge networks\n/)
  }
})
