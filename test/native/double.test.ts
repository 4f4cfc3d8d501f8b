// The stand-in for vmnet.framework itself: what it refuses, what it calls misuse, when it says that packets are
// there. Everything else about it is seen through the uplink that runs on it (test/contract).

import t from 'tap'
import { execute } from '../helpers/child.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'
import {
  SANITIZER_EXIT,
  VARIANT_NEEDS,
  type Variant,
  variantEnv,
  variantProgram,
} from '../helpers/variant.js'

const skip = requires(VARIANT_NEEDS)

// A variant that is stale is built by the first test that needs it.
t.setTimeout(1_200_000)

/** What native/double/driver.cc says in each of its cases that end well. */
const SAYS: Record<string, string[]> = {
  refusals: [
    'mode 999 1003',
    'bridged, no interface 1003',
    'bridged, unknown 1003',
    'bridged, MTU 1003',
    'bridged 1000',
    'shared, identifier 1003',
    'shared, no mask 1003',
    'shared, public 1003',
    'shared, two nets 1003',
    'shared, ULA 1000',
    'shared, no ULA 1003',
    'host, no identifier 1003',
    'host, identifier 1000',
    'shared 1000',
    'host, same subnet 1001',
  ],
  'reads-without-rearming': [
    'fresh 1000',
    'packets 0',
    'as it was 1003',
    'sizes 1003',
    'lengths 1003',
    'both 1000',
  ],
  'read-limits': ['none 1003', 'short buffer 1003', '173 of 1514 1000', '174 of 1514 1008', '201 1008'],
  'write-limits': [
    'none 1003',
    'runt 1003',
    'header 1000',
    'longest 1000',
    'longer 1006',
    '200 1000',
    '201 1008',
    '174 of 1514 1008',
    'uneven 1003',
    'runt among others 1003',
    'pieces 1003',
  ],
  edges: ['two packets, events 1', 'read 1', 'before a read found nothing, events 2', 'after it, events 3'],
  'late-event': ['after the callback was taken, events 1', 'after the stop, events 1'],
  dhcp: ['answers 1', 'type 2', 'address 2', 'answers 1', 'type 5', 'address 3', 'answers 0'],
}

/** What it says as it aborts in the others. */
const DIES: Record<string, RegExp> = {
  'stop-on-its-queue': /vmnet_stop_interface: called on the interface's own queue/,
  'stop-while-listening': /vmnet_stop_interface: the event callback is still set/,
  'stop-twice': /vmnet_stop_interface: 0x\w+ is not, or no longer, an interface/,
  'read-after-stop': /vmnet_read: 0x\w+ is not, or no longer, an interface/,
  'write-after-stop': /vmnet_write: 0x\w+ is not, or no longer, an interface/,
  'release-queue-twice': /dispatch_release: 0x\w+ is not, or no longer, a dispatch queue/,
  'release-xpc-twice': /xpc_release: 0x\w+ is not, or no longer, an xpc object/,
  'no-handle': /vmnet_write: 0x8 is not, or no longer, an interface/,
}

/** Runs JavaScript in a process of its own that has the variant's addon as `native`. */
const withAddon = (variant: Variant, script: string, env: Record<string, string> = {}) => {
  const preamble = `const native = require('node-gyp-build')(${JSON.stringify(ROOT)});`
  return execute([process.execPath, '-e', preamble + script], {
    cwd: ROOT,
    env: { ...variantEnv(variant), ...env },
  })
}

t.test("the double's driver", { skip }, async t => {
  variantEnv('double')
  const driver = variantProgram('double', 'vmnet_double_driver')
  const host = async () => {
    const netns = await NetNs.create()
    t.teardown(() => netns.delete())
    // The kernel's own packets on a fresh TAP would be events, too.
    await netns.sh('sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1')
    await netns.sh('ip', 'link', 'add', 'en0', 'type', 'bridge')
    return netns
  }

  t.test('has no case that is not looked at here', async t => {
    const { stdout } = await execute([driver])
    const cases = [...Object.keys(SAYS), ...Object.keys(DIES)]
    t.same(stdout.split('\n').filter(Boolean).sort(), cases.sort())
  })

  for (const [name, says] of Object.entries(SAYS)) {
    t.test(`says what it has to: ${name}`, async t => {
      const { status, stdout, stderr } = await (await host()).exec([driver, name])
      t.same(stdout.split('\n').filter(Boolean), [...says, 'done'], stderr)
      t.equal(status, 0)
    })
  }

  for (const [name, last] of Object.entries(DIES)) {
    t.test(`ends a caller that has a defect: ${name}`, async t => {
      const { status, stdout, stderr } = await (await host()).exec([driver, name])
      t.match(stderr, last)
      t.notMatch(stdout, /done/)
      t.equal(status, -1, 'by a signal')
    })
  }
})

t.test('a system before macOS 26 has no network objects to look up', { skip }, async t => {
  for (const [version, has] of [
    ['11', false],
    ['15', false],
    ['26', true],
  ] as const) {
    const script = 'console.log(native.vmnetHasNetworkObjects())'
    const { stdout } = await withAddon('double', script, { VMNET_DOUBLE_MACOS: version })
    t.equal(stdout.trim(), String(has), `macOS ${version}`)
  }
})

t.test('a fault that the grammar does not have is an error', { skip }, async t => {
  const script = `for (const text of ['start', 'start=later:3', 'stop=null', 'short=-1', 'exhausted=', 'x', 'gone,'])
    try { native.vmnetDouble(text); console.log('taken:', text) } catch (error) { console.log(error.message) }`
  const { stdout } = await withAddon('double', script)
  t.same(
    stdout.split('\n').filter(Boolean),
    ['start', 'start=later:3', 'stop=null', 'short=-1', 'exhausted=', 'x', ''].map(
      word => `'${word}' is no fault (native/double/faults.h has the grammar)`,
    ),
  )
  const bad = await withAddon('double', 'native.vmnetSharedInterfaces()', { VMNET_DOUBLE: 'strat=1001' })
  t.match(bad.stderr, /vmnet double: VMNET_DOUBLE: 'strat=1001' is no fault/)
  t.equal(bad.status, -1)
})

// That a run under a sanitizer passed says something only where the sanitizer would have spoken.
for (const [variant, defect, report] of [
  ['double-asan', 'use-after-free', /AddressSanitizer: heap-use-after-free/],
  ['double-asan', 'overflow', /runtime error: signed integer overflow/],
  ['double-tsan', 'race', /ThreadSanitizer: data race/],
] as const) {
  t.test(`${variant} ends a process for its ${defect}, and no other`, { skip }, async t => {
    const clean = await withAddon(variant, 'native.vmnetDouble("clear"); console.log("clean")')
    t.same([clean.status, clean.stdout], [0, 'clean\n'], clean.stderr)
    const caught = await withAddon(variant, `native.vmnetDouble('bug=${defect}'); console.log('unseen')`)
    t.match(caught.stderr, report)
    t.match(caught.stderr, /control\.cc/, 'the report names the place')
    t.equal(caught.status, SANITIZER_EXIT)
  })
}
