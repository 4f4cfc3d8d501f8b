// The words for the TAP's modes: the same as vmnet's, with what each takes and refuses.

import t from 'tap'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { command } from '../../src/cli/daemon.js'
import { parseCommand } from '../../src/cli/options.js'
import { servesItself } from '../../src/daemon/settings.js'
import { UsageError } from '../../src/errors.js'

const read = (args: string[], platform: NodeJS.Platform = 'linux') =>
  readDaemonSettings(parseCommand(command, args, {})!, platform).networks[0]

t.test('host is the default, shared and bridged are asked for', async t => {
  const uplink = (...args: string[]) => read(args).uplink
  t.strictSame(uplink('--uplink', 'tap'), { kind: 'tap' })
  t.strictSame(uplink('--uplink', 'tap:x', '--mode', 'host'), { kind: 'tap', name: 'x', mode: 'host' })
  t.strictSame(uplink('--uplink', 'tap', '--mode', 'shared'), { kind: 'tap', mode: 'shared' })
  const bridged = ['--mode', 'bridged', '--interface', 'br0']
  const choice = { kind: 'tap', mode: 'bridged', interface: 'br0' }
  t.strictSame(uplink('--uplink', 'tap', ...bridged), choice)
  t.strictSame(uplink('--mode', 'shared'), { kind: 'auto', vmnet: undefined, mode: 'shared' })
  t.strictSame(uplink(...bridged), choice, 'a LAN that is named must be there')
  t.strictSame(uplink(), { kind: 'auto', vmnet: undefined })
})

t.test('without --uplink, a Mac takes the same words for vmnet', async t => {
  t.match(read(['--mode', 'host'], 'darwin').uplink, { kind: 'auto', vmnet: { kind: 'vmnet', mode: 'host' } })
  t.match(read(['--mode', 'bridged', '--interface', 'en0'], 'darwin').uplink, {
    kind: 'vmnet',
    mode: 'bridged',
    interface: 'en0',
  })
})

t.test('a bridged network serves itself, unless the LAN is named', async t => {
  const bridged = ['--uplink', 'tap', '--mode', 'bridged', '--interface', 'br0']
  t.equal(read(bridged).dhcp, undefined)
  t.ok(servesItself(read(bridged)))
  const lan = ['--dhcp-on-lan', '--gateway', '192.168.1.1/24', '--dhcp-range', '192.168.1.200-192.168.1.220']
  t.ok(read([...bridged, ...lan]).dhcp)
  t.notOk(servesItself(read([...bridged, ...lan])))
  t.ok(read(['--uplink', 'tap', '--mode', 'shared']).dhcp)
  t.notOk(servesItself(read(['--uplink', 'tap', '--mode', 'shared', '--no-dhcp'])))
})

const BRIDGED = ['--uplink', 'tap', '--mode', 'bridged', '--interface', 'br0']
const SHARED = ['--uplink', 'tap', '--mode', 'shared']

const REFUSALS: [string[], RegExp][] = [
  [['--uplink', 'tap', '--mode', 'nat'], /nat is not one of shared, host, bridged/],
  [['--uplink', 'tap', '--mode', 'bridged'], /needs --interface, a bridge/],
  [['--mode', 'bridged'], /needs --interface, a bridge/],
  [[...SHARED, '--interface', 'br0'], /--interface with --mode shared: only --mode bridged/],
  [['--uplink', 'tap', '--interface', 'br0'], /--interface with --mode host: only --mode bridged/],
  [[...SHARED, '--dhcp-on-lan'], /only --mode bridged has a LAN/],
  [[...SHARED, '--user', 'daemon'], /could not be taken down without root/],
  [['--mode', 'shared', '--user', 'daemon'], /could not be taken down without root/],
  [[...BRIDGED, '--mtu', '9000'], /that of the bridge/],
  [[...BRIDGED, '--gateway', '192.168.1.1/24'], /--gateway with --mode bridged/],
  [[...BRIDGED, '--dns', '1.1.1.1'], /--dns with --mode bridged/],
  [[...BRIDGED, '--dhcp-on-lan'], /needs --gateway and --dhcp-range/],
  [[...BRIDGED, '--isolate'], /--isolate is of no use with --uplink tap/],
  [[...SHARED, '--dhcp-end', '192.168.105.9'], /--dhcp-end is of no use with --uplink tap/],
  [['--uplink', 'none', '--interface', 'br0'], /--interface is of no use with --uplink none/],
  [['--uplink', 'tap:'], /tap: is not none, tap, tap:NAME/],
]

for (const [args, reason] of REFUSALS) {
  t.test(`refused: ${args.join(' ')}`, async t => {
    try {
      read(args)
      t.fail('was taken')
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      t.match(error.message, reason)
      t.ok(error.hint, 'with what to do')
    }
  })
}
