// The TAP's MAC address stays over restarts, and is of this network of this machine alone.

import t from 'tap'
import { tapMac } from '../../src/uplink/tap-mac.js'
import { startDaemon } from '../helpers/daemon.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'

const mac = (stateDir: string, machine: string) => Buffer.from(tapMac(stateDir, machine)).toString('hex')

t.test('one address for a network of a machine, of one station and locally administered', async t => {
  const made = new Set<string>()
  for (let n = 0; n < 200; n++) {
    made.add(mac(`/var/lib/${n}`, 'one')).add(mac(`/var/lib/${n}`, 'other'))
    t.equal(tapMac(`/var/lib/${n}`)[0] & 0x03, 0x02)
  }
  t.equal(made.size, 400, 'all differ')
  t.equal(mac('/var/lib/1', 'one'), mac('/var/lib/1', 'one'))
})

t.test(
  'the daemon that starts again has the MAC of the one before',
  {
    skip: requires(['linux', 'root', 'tap', 'ip']),
  },
  async t => {
    const host = await NetNs.create()
    t.teardown(() => host.delete())
    const start = async (again?: Awaited<ReturnType<typeof startDaemon>>) => {
      const options = { netns: host, args: ['--uplink', 'tap:vbt0', '--no-dhcp'] }
      const daemon = await startDaemon(t, again ? { ...options, again } : options)
      return { daemon, mac: await host.sh('cat', '/sys/class/net/vbt0/address') }
    }
    const first = await start()
    await first.daemon.stop('SIGKILL')
    const second = await start(first.daemon)
    t.equal(second.mac, first.mac)
    await second.daemon.stop()
    const other = await start()
    t.not(other.mac, first.mac, 'another network has another')
  },
)
