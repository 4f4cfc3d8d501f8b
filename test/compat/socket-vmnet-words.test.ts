// Errors of the daemon as who typed socket_vmnet's options can use them.

import t from 'tap'
import { inSocketVmnetWords } from '../../src/compat/socket-vmnet-words.js'
import { BridgeError } from '../../src/errors.js'

const words = (code: string, message: string, hint?: string) =>
  inSocketVmnetWords(new BridgeError(code, message, hint === undefined ? {} : { hint }))

t.test('bind: Address already in use, for a path that is held or is no socket', async t => {
  t.strictSame(words('ERR_NOT_A_SOCKET', '/dev/null exists', 'choose another path'), {
    text: 'bind: Address already in use: /dev/null exists',
    hint: 'choose another path',
  })
  t.match(words('ERR_SOCKET_IN_USE', '/s is held by PID 7'), {
    text: 'bind: Address already in use: /s is held by PID 7',
  })
  t.strictSame(words('ERR_TAP', 'cannot set up x'), { text: 'cannot set up x' })
})

for (const [ours, theirs] of [
  [
    'choose another subnet with --gateway, such as 192.168.106.1/24',
    'choose another subnet with --vmnet-gateway, such as 192.168.106.1',
  ],
  ['--interface with one of: en0, en1', '--vmnet-interface with one of: en0, en1'],
  ['such a network has no --interface-id', 'such a network has no --vmnet-interface-id'],
  ['leave --network-id out', 'leave --vmnet-network-identifier out'],
  [
    'stop that one first, or choose another path with --socket and --control',
    'stop that one first, or choose another path as SOCKET',
  ],
  ['choose a group of yours with --socket-group', 'choose a group of yours with --socket-group'],
  ['choose a path in a folder of yours with --pidfile', 'choose a path in a folder of yours with --pidfile'],
  ['start it with sudo, or serve the VMs among themselves with --uplink none', 'start it with sudo'],
  ['vmbridge interfaces', 'vmbridge interfaces'],
  [
    'modprobe tun, or in a container add --device /dev/net/tun and --cap-add NET_ADMIN',
    'modprobe tun, or in a container add --device /dev/net/tun and --cap-add NET_ADMIN',
  ],
])
  t.test(`its options have their names: ${ours}`, async t => t.equal(words('ERR_X', 'm', ours).hint, theirs))

t.test('a hint that needs an option of vmbridge alone is left out', async t => {
  for (const hint of ['choose another folder with --state-dir', 'check --gateway, --dhcp-end and --mtu'])
    t.strictSame(words('ERR_X', 'm', hint), { text: 'm' })
})

t.test('DHCP that cannot be turned off: what socket_vmnet can do instead', async t => {
  t.match(words('ERR_VMNET_TOO_OLD', 'm', 'leave --vmnet-dhcp off out'), { hint: /--vmnet-mode=host/ })
})
