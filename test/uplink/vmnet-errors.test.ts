// Every status of vmnet becomes an error with a name of its own that says what to do. The addresses and interfaces of
// the host are the test's.

import t from 'tap'
import type { VmnetOptions } from '../../src/native.js'
import {
  explainVmnet,
  vmnetStatusName,
  vmnetTimeout,
  type VmnetSurroundings,
} from '../../src/uplink/vmnet-errors.js'

const SHARED: VmnetOptions = {
  mode: 'shared',
  start: '192.168.105.1',
  end: '192.168.105.254',
  mask: '255.255.255.0',
}
const BRIDGED: VmnetOptions = { mode: 'bridged', interface: 'en7' }
const ROOT: VmnetSurroundings = { isRoot: true, bridgeable: ['en0', 'en1'], addresses: [] }
const USER: VmnetSurroundings = { ...ROOT, isRoot: false }

const CASES: [string, number, VmnetOptions, VmnetSurroundings, string, RegExp, RegExp][] = [
  ['failure as a user', 1001, SHARED, USER, 'ERR_VMNET_PERMISSION', /root/, /sudo/],
  ['memory as a user', 1002, SHARED, USER, 'ERR_VMNET_PERMISSION', /entitlement/, /sudo/],
  ['access as a user', 1005, SHARED, USER, 'ERR_VMNET_PERMISSION', /root/, /macOS 26/],
  ['nothing as a user', 0, SHARED, USER, 'ERR_VMNET_PERMISSION', /no status/, /sudo/],
  [
    'not authorized, even as root',
    1010,
    SHARED,
    ROOT,
    'ERR_VMNET_PERMISSION',
    /VMNET_NOT_AUTHORIZED/,
    /install/,
  ],
  ['failure as root', 1001, SHARED, ROOT, 'ERR_VMNET_START', /shared network 192\.168\.105\.1/, /--gateway/],
  ['failure of a bridge', 1001, BRIDGED, ROOT, 'ERR_VMNET_START', /bridge to en7/, /vmbridge interfaces/],
  ['nothing as root', 0, SHARED, ROOT, 'ERR_VMNET_START', /no status/, /--gateway/],
  ['memory as root', 1002, SHARED, ROOT, 'ERR_VMNET_START', /VMNET_MEM_FAILURE/, /--gateway/],
  ['argument', 1003, SHARED, ROOT, 'ERR_VMNET_ARGUMENT', /does not take/, /--dhcp-end/],
  ['argument of a bridge', 1003, BRIDGED, ROOT, 'ERR_VMNET_INTERFACE', /en7 cannot be bridged/, /en0, en1/],
  ['setup', 1004, SHARED, ROOT, 'ERR_VMNET_SETUP', /VMNET_SETUP_INCOMPLETE/, /again/],
  ['sharing', 1009, SHARED, ROOT, 'ERR_VMNET_SHARING_BUSY', /sharing service/, /Internet Sharing/],
  ['a status of the future', 1042, SHARED, ROOT, 'ERR_VMNET_START', /status 1042/, /--gateway/],
]

for (const [name, status, options, around, code, message, hint] of CASES) {
  t.test(`${name}: ${code}`, async t => {
    const error = explainVmnet('vmnet_start_interface', status, options, around)
    t.equal(error.code, code)
    t.match(error.message, message)
    t.match(
      error.message,
      `(vmnet_start_interface: ${vmnetStatusName(status)})`,
      'what macOS said is there, too',
    )
    t.match(error.hint, hint)
  })
}

t.test('a subnet that an interface of the host has is named with that interface', async t => {
  const around = {
    ...ROOT,
    addresses: [
      { name: 'lo0', cidr: '127.0.0.1/8' },
      { name: 'utun3', cidr: '192.168.105.9/32' },
      { name: 'bridge100', cidr: '192.168.105.1/24' },
    ],
  }
  const error = explainVmnet('vmnet_start_interface', 1001, SHARED, around)
  t.equal(error.code, 'ERR_SUBNET_IN_USE')
  t.match(error.message, /192\.168\.105\.1\/24 of bridge100/)
  const wide = { ...ROOT, addresses: [{ name: 'en0', cidr: '192.168.0.9/16' }] }
  t.match(explainVmnet('vmnet_start_interface', 1001, SHARED, wide).message, /192\.168\.0\.9\/16 of en0/)
  const host: VmnetOptions = { mode: 'host', hostAddress: '192.168.105.1', hostMask: '255.255.255.0' }
  t.equal(explainVmnet('vmnet_start_interface', 1001, host, around).code, 'ERR_SUBNET_IN_USE')
  const other: VmnetOptions = { ...SHARED, start: '192.168.106.1' }
  t.equal(explainVmnet('vmnet_start_interface', 1001, other, around).code, 'ERR_VMNET_START')
})

t.test('where macOS lists nothing, the command that shows what can be bridged is named', async t => {
  const error = explainVmnet('vmnet_start_interface', 1003, BRIDGED, { ...ROOT, bridgeable: [] })
  t.equal(error.code, 'ERR_VMNET_INTERFACE')
  t.match(error.hint, /vmbridge interfaces/)
})

t.test('a call that never comes back is named with its limit', async t => {
  const error = vmnetTimeout('vmnet_start_interface', 10)
  t.equal(error.code, 'ERR_VMNET_TIMEOUT')
  t.match(error.message, /vmnet_start_interface did not answer within 10 s/)
  t.match(error.hint, /vmnetd/)
})
