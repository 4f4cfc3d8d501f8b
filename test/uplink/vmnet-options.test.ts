// What vmnet is told for each wish: the modes, and the ways to be without Apple's DHCP server that macOS has had.

import t from 'tap'
import { BridgeError } from '../../src/errors.js'
import type { VmnetChoice } from '../../src/uplink/uplink.js'
import { vmnetAttempts } from '../../src/uplink/vmnet-options.js'
import { formatUuid } from '../../src/uuid.js'
import { parseCidr, parseIpv4 } from '../../src/wire/ipv4.js'

const IDENTITY = {
  interfaceId: '11111111-1111-4111-8111-111111111111',
  networkId: '22222222-2222-4222-8222-222222222222',
}
const OWN = '33333333-3333-4333-8333-333333333333'

/** With UUIDs as text again, to be read. */
function attempts(
  choice: Partial<VmnetChoice>,
  { gateway = '192.168.105.1/24', mtu = 1500, hasNetworkObjects = false } = {},
) {
  const all = vmnetAttempts({
    choice: { kind: 'vmnet', mode: 'shared', isolate: false, appleDhcp: 'unheard', ...choice },
    gateway: parseCidr(gateway)!,
    mtu,
    identity: IDENTITY,
    hasNetworkObjects,
  })
  return all.map(({ interfaceId, networkId, ...rest }) => ({
    ...rest,
    ...(interfaceId && { interfaceId: formatUuid(interfaceId) }),
    ...(networkId && { networkId: formatUuid(networkId) }),
  }))
}

const SHARED = {
  mode: 'shared',
  isolate: false,
  interfaceId: IDENTITY.interfaceId,
  start: '192.168.105.1',
  end: '192.168.105.254',
  mask: '255.255.255.0',
}

t.test('shared: the gateway is the start, and the pool ends where it is told to', async t => {
  t.strictSame(attempts({}), [SHARED])
  t.strictSame(attempts({ dhcpEnd: parseIpv4('192.168.105.199')! }), [{ ...SHARED, end: '192.168.105.199' }])
  t.strictSame(attempts({ nat66Prefix: 'fd00:1::', isolate: true, interfaceId: OWN }), [
    { ...SHARED, isolate: true, interfaceId: OWN, nat66Prefix: 'fd00:1::' },
  ])
  t.strictSame(attempts({}, { gateway: '10.7.4.1/22' }), [
    { ...SHARED, start: '10.7.4.1', end: '10.7.7.254', mask: '255.255.252.0' },
  ])
})

t.test('a subnet that macOS picks: no addresses are told', async t => {
  const { start: _, end: __, mask: ___, ...bare } = SHARED
  t.strictSame(attempts({ subnet: 'macos', appleDhcp: 'on' }), [bare])
  t.strictSame(attempts({ mode: 'host', subnet: 'macos', appleDhcp: 'off', networkId: OWN }), [
    { ...bare, mode: 'host', networkId: OWN },
  ])
})

t.test('an MTU other than 1500 is told to vmnet, except in bridged mode', async t => {
  t.match(attempts({}, { mtu: 9000 }), [{ mtu: 9000 }])
  t.notOk('mtu' in attempts({})[0])
  t.notOk('mtu' in attempts({ mode: 'bridged', interface: 'en0' }, { mtu: 9000 })[0])
})

t.test('bridged: the interface, and nothing of addresses', async t => {
  t.strictSame(attempts({ mode: 'bridged', interface: 'en0', appleDhcp: 'off' }), [
    { mode: 'bridged', isolate: false, interfaceId: IDENTITY.interfaceId, interface: 'en0' },
  ])
})

t.test('host without Apple’s DHCP: a network identifier and an address of this host', async t => {
  const host = {
    mode: 'host',
    isolate: false,
    interfaceId: IDENTITY.interfaceId,
    networkId: IDENTITY.networkId,
    hostAddress: '192.168.105.1',
    hostMask: '255.255.255.0',
  }
  t.strictSame(attempts({ mode: 'host' }), [host])
  t.strictSame(attempts({ mode: 'host', appleDhcp: 'off', networkId: OWN }), [{ ...host, networkId: OWN }])
  t.strictSame(attempts({ mode: 'host' }, { hasNetworkObjects: true }), [host])
})

t.test('host with Apple’s DHCP: as shared', async t => {
  t.strictSame(attempts({ mode: 'host', appleDhcp: 'on' }), [{ ...SHARED, mode: 'host' }])
})

t.test('macOS 26: a network object first, an interface under the guard where that is refused', async t => {
  const object = {
    mode: 'shared',
    isolate: false,
    networkObject: true,
    start: '192.168.105.1',
    mask: '255.255.255.0',
  }
  t.strictSame(attempts({}, { hasNetworkObjects: true }), [object, SHARED])
  t.strictSame(attempts({ appleDhcp: 'off' }, { hasNetworkObjects: true }), [object])
  t.strictSame(attempts({ appleDhcp: 'on' }, { hasNetworkObjects: true }), [SHARED])
  t.strictSame(attempts({ appleDhcp: 'off', nat66Prefix: 'fd00:1::' }, { hasNetworkObjects: true }), [
    { ...object, nat66Prefix: 'fd00:1::' },
  ])
  const { start: _, mask: __, ...bare } = object
  t.strictSame(attempts({ appleDhcp: 'off', subnet: 'macos' }, { hasNetworkObjects: true }), [bare])
})

t.test('what a network object cannot do is done by an interface', async t => {
  const all = attempts({ interfaceId: OWN }, { hasNetworkObjects: true })
  t.equal(all.length, 1)
  t.notOk('networkObject' in all[0])
  const [only, ...others] = attempts({}, { hasNetworkObjects: true, gateway: '192.168.105.254/24' })
  t.notOk('networkObject' in only, 'the gateway of a network object is its second address')
  t.equal(others.length, 0)
})

t.test('Apple’s DHCP off: refused where this macOS cannot, with the reason and a way out', async t => {
  const refusals: [Partial<VmnetChoice>, Parameters<typeof attempts>[1], RegExp][] = [
    [{}, {}, /macOS 26/],
    [
      {},
      { hasNetworkObjects: true, gateway: '192.168.105.254/24' },
      /192\.168\.105\.1, not 192\.168\.105\.254/,
    ],
    [{ interfaceId: OWN }, { hasNetworkObjects: true }, /--interface-id/],
  ]
  for (const [choice, plan, reason] of refusals) {
    try {
      attempts({ ...choice, appleDhcp: 'off' }, plan)
      t.fail(`${reason} was not refused`)
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error
      t.equal(error.code, 'ERR_VMNET_TOO_OLD')
      t.match(error.message, reason)
      t.match(error.hint, /--mode host/)
    }
  }
})
