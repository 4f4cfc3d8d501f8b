// The vmnet uplink when macOS takes it away: it is started anew with growing pauses, says so, and never leaves an
// interface behind. macOS and time are the test's; the real start and stop are in vmnet.test.ts, on the double.

import { existsSync } from 'node:fs'
import t, { type Test } from 'tap'
import { BridgeError } from '../../src/errors.js'
import type { Logger } from '../../src/log.js'
import type { VmnetInterface, VmnetOptions } from '../../src/native.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import type { LinkWatchOptions } from '../../src/uplink/link-watch.js'
import type { VmnetChoice } from '../../src/uplink/uplink.js'
import { VmnetUplink, type VmnetSystem } from '../../src/uplink/vmnet.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { scratch } from '../cli/command.js'
import { turn } from '../helpers/frames.js'

const SHARED: VmnetChoice = { kind: 'vmnet', mode: 'shared', isolate: false, appleDhcp: 'unheard' }
const BRIDGED: VmnetChoice = {
  kind: 'vmnet',
  mode: 'bridged',
  interface: 'en0',
  isolate: false,
  appleDhcp: 'off',
}

function gate(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>(open => (resolve = open))
  return { promise, resolve }
}

const busy = () => new BridgeError('ERR_VMNET_SHARING_BUSY', 'busy', { hint: 'wait' })

class FakeMac implements VmnetSystem {
  /** What comes of the next starts; when they are used up, every start works. */
  outcomes: (BridgeError | 'ok' | 'hang')[] = []
  started: VmnetOptions[] = []
  /** Interfaces that run now. */
  running = 0
  ports = 0
  checks = 0
  stopProblem: string | undefined
  /** What a start, and a stop, waits for. */
  starts: Promise<void> | undefined
  stopped: Promise<void> | undefined
  watched: LinkWatchOptions | undefined
  wireless = false
  objects = false
  parameters = { mtu: 1500, maxPacketSize: 1514, mac: '66:00:00:00:00:01' }
  time = 0
  /** What was logged. */
  said: string[] = []
  pauses: number[] = []
  #due: (() => void) | undefined
  #end: ((reason: string) => void) | undefined

  start: VmnetSystem['start'] = async (options, signal) => {
    this.started.push(options)
    const outcome = this.outcomes.shift() ?? 'ok'
    if (outcome === 'hang')
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(new BridgeError('ERR_VMNET_ABORTED', 'given up'))),
      )
    if (outcome instanceof BridgeError) throw outcome
    await this.starts
    this.running++
    return {
      native: {} as VmnetInterface,
      parameters: this.parameters,
      stop: async () => {
        await turn()
        await this.stopped
        this.running--
        return this.stopProblem
      },
    }
  }

  port: VmnetSystem['port'] = (_, { onEnd }) => {
    this.ports++
    this.#end = onEnd
    return { io: { check: () => this.checks++ }, close: () => void this.ports-- }
  }

  watch: VmnetSystem['watch'] = options => {
    this.watched = options
    return { close: () => (this.watched = undefined) }
  }

  hasNetworkObjects = () => this.objects
  isWireless = () => this.wireless
  now = () => this.time

  later: VmnetSystem['later'] = (ms, call) => {
    this.pauses.push(ms)
    this.#due = call
    return setTimeout(() => {}, 0).unref()
  }

  /** The pause is over. */
  async elapse(): Promise<void> {
    const due = this.#due
    this.#due = undefined
    due?.()
    for (let i = 0; i < 5; i++) await turn()
  }

  /** What native code says when a call fails. */
  fail(status: number): void {
    this.#end!(String(status))
  }
}

async function up(t: Test, choice = SHARED, prepare: (mac: FakeMac) => void = () => {}) {
  const mac = new FakeMac()
  prepare(mac)
  const { said } = mac
  const note =
    (level: string) =>
    ({ event }: { event: string }, line: string) =>
      said.push(`${level} ${event}: ${line}`)
  const log = { info: note('info'), warn: note('warn'), error: note('error') } as unknown as Logger
  const context = {
    switch: new Switch({ clock: { now: () => 0 }, random32: () => 1 }),
    run: Run.allocate(),
    log,
    mtu: 1500,
    stateDir: scratch(t),
  }
  const gateway = parseCidr('192.168.105.1/24')!
  const uplink = await VmnetUplink.start(context, { choice, gateway }, mac)
  return { mac, uplink, said, events: () => said.map(line => line.split(':')[0]), context }
}

t.test('up: the port has the largest packet of the interface, and the network its MTU', async t => {
  const { uplink, events } = await up(t)
  t.equal(uplink.port.maxFrame, 1514)
  t.equal(uplink.mtu, 1500)
  t.strictSame(uplink.status(), { kind: 'vmnet', name: 'shared', state: 'up' })
  t.strictSame(events(), ['info uplink.up'])
  await uplink.close()
})

t.test('the MTU is what macOS says, also where the longest packet has room for more', async t => {
  const { mac, uplink } = await up(
    t,
    SHARED,
    mac => (mac.parameters = { ...mac.parameters, maxPacketSize: 1518 }),
  )
  t.equal(uplink.mtu, 1500)
  t.equal(uplink.port.maxFrame, 1518)
  mac.parameters = { ...mac.parameters, mtu: 0, maxPacketSize: 9014 }
  mac.fail(1001)
  await mac.elapse()
  t.equal(uplink.mtu, 9000, 'where it does not say: what there is room for')
  await uplink.close()
})

t.test('a longest packet that the switch cannot carry is an error, and stops the interface', async t => {
  for (const maxPacketSize of [0, 13, 65_537, 70_000, 1e9]) {
    let fake: FakeMac | undefined
    await t.rejects(
      up(t, SHARED, mac => {
        fake = mac
        mac.parameters = { ...mac.parameters, maxPacketSize }
      }),
      { code: 'ERR_VMNET_PACKET_SIZE', message: new RegExp(String(maxPacketSize)), hint: /./ },
    )
    t.equal(fake!.running, 0)
  }
  const { uplink } = await up(
    t,
    SHARED,
    mac => (mac.parameters = { ...mac.parameters, maxPacketSize: 65_536 }),
  )
  t.equal(uplink.port.maxFrame, 65_536)
  await uplink.close()
})

t.test('a call that fails: stopped, and started anew', async t => {
  const { mac, uplink, events, said } = await up(t)
  mac.fail(1001)
  t.match(uplink.status(), { state: 'down', detail: 'VMNET_FAILURE' })
  t.equal(mac.ports, 0, 'no port meanwhile')
  await mac.elapse()
  t.match(uplink.status(), { state: 'up' })
  t.equal(mac.running, 1, 'the first interface was stopped')
  t.equal(mac.ports, 1)
  t.strictSame(events(), ['info uplink.up', 'warn uplink.down', 'info uplink.up'])
  t.match(said[1], /VMNET_FAILURE/)
  await uplink.close()
  t.equal(mac.running, 0)
})

t.test('every look asks the interface that runs whether it is there', async t => {
  const { mac, uplink } = await up(t)
  mac.watched!.onLook()
  t.equal(mac.checks, 1)
  mac.fail(1001)
  mac.watched!.onLook()
  t.equal(mac.checks, 1, 'one that is down is asked nothing')
  await uplink.close()
})

t.test('a sleep restarts it, and says how long it was', async t => {
  const { mac, uplink, said } = await up(t)
  mac.watched!.onWake(90_400)
  t.match(said[1], /slept for 90 s/)
  await mac.elapse()
  t.match(uplink.status(), { state: 'up' })
  t.equal(mac.started.length, 2)
  await uplink.close()
})

t.test('a sleep while it starts anew: the start that works is left alone', async t => {
  const { mac, uplink } = await up(t)
  const starting = gate()
  mac.starts = starting.promise
  mac.fail(1001)
  await mac.elapse()
  t.equal(mac.started.length, 2, 'under way')
  mac.watched!.onWake(60_000)
  starting.resolve()
  await mac.elapse()
  await mac.elapse()
  t.equal(mac.started.length, 2)
  t.equal(mac.running, 1)
  t.match(uplink.status(), { state: 'up' })
  await uplink.close()
})

t.test('a stop that takes longer than the pause is waited for: two cannot have one subnet', async t => {
  const { mac, uplink } = await up(t)
  const stopping = gate()
  mac.stopped = stopping.promise
  mac.fail(1001)
  await mac.elapse()
  t.equal(mac.started.length, 1)
  stopping.resolve()
  for (let i = 0; i < 5; i++) await turn()
  t.equal(mac.started.length, 2)
  t.equal(mac.running, 1)
  await uplink.close()
})

t.test('the bridged interface goes: tried until it is back, and said once for each reason', async t => {
  const { mac, uplink, events } = await up(t, BRIDGED)
  t.equal(mac.watched!.interface, 'en0')
  const missing = new BridgeError('ERR_VMNET_INTERFACE', 'the interface en0 cannot be bridged', {
    hint: 'en1',
  })
  mac.outcomes = [missing, missing, missing]
  mac.watched!.onLink('missing', 'up')
  t.match(uplink.status(), { state: 'down', detail: 'en0 is gone' })
  for (let i = 0; i < 3; i++) await mac.elapse()
  t.match(uplink.status(), { state: 'down', detail: 'the interface en0 cannot be bridged' })
  await mac.elapse()
  t.match(uplink.status(), { state: 'up' })
  t.strictSame(events(), ['info uplink.up', 'warn uplink.down', 'warn uplink.retry', 'info uplink.up'])
  await uplink.close()
})

t.test('a carrier that is lost is said; one that is back restarts it', async t => {
  const { mac, uplink, events, said } = await up(t, BRIDGED)
  mac.watched!.onLink('down', 'up')
  t.match(uplink.status(), { state: 'down', detail: 'en0 has no carrier' })
  t.equal(mac.running, 1, 'it runs on')
  mac.watched!.onLink('up', 'down')
  await mac.elapse()
  t.match(uplink.status(), { state: 'up' })
  t.equal(mac.started.length, 2)
  t.strictSame(events(), ['info uplink.up', 'warn uplink.link', 'warn uplink.down', 'info uplink.up'])
  t.match(said[2], /en0 has a carrier again/)
  mac.watched!.onLink('up', 'missing')
  t.match(said.at(-1), /en0 is back/)
  await uplink.close()
})

t.test('pauses grow from a quarter of a second to ten, and begin anew after a good run', async t => {
  const { mac, uplink } = await up(t)
  mac.time = 20_000
  mac.outcomes = Array.from({ length: 8 }, busy)
  mac.fail(1001)
  for (let i = 0; i < 9; i++) await mac.elapse()
  t.strictSame(mac.pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
  t.match(uplink.status(), { state: 'up' })
  mac.pauses = []
  mac.fail(1001)
  t.strictSame(mac.pauses, [10_000], 'an interface that ran for a moment was no good one')
  await mac.elapse()
  mac.time += 10_000
  mac.fail(1001)
  t.equal(mac.pauses.at(-1), 250)
  await uplink.close()
})

t.test('closed while it is down, while it starts, and twice', async t => {
  const { mac, uplink } = await up(t)
  mac.fail(1001)
  await uplink.close()
  await mac.elapse()
  t.equal(mac.running, 0, 'no start after the end')
  t.equal(mac.started.length, 1)
  t.equal(mac.watched, undefined)
  mac.fail(1001)
  t.equal(mac.pauses.length, 1, 'no pause either, which would keep the process')

  const other = await up(t)
  other.mac.outcomes = ['hang']
  other.mac.fail(1001)
  await other.mac.elapse()
  t.equal(other.mac.started.length, 2, 'the second start is under way')
  await other.uplink.close()
  await other.uplink.close()
  t.equal(other.mac.running, 0)
  t.strictSame(other.events(), ['info uplink.up', 'warn uplink.down'], 'giving up is no news')

  const modern = await up(t, SHARED, mac => (mac.objects = true))
  modern.mac.outcomes = ['hang']
  modern.mac.fail(1001)
  await modern.mac.elapse()
  await modern.uplink.close()
  t.equal(modern.mac.started.length, 2, 'the next way is not tried either')
})

t.test('closed while it stops, by two: both wait until it has', async t => {
  const { mac, uplink } = await up(t)
  const left: number[] = []
  await Promise.all([uplink.close(), uplink.close()].map(each => each.then(() => left.push(mac.running))))
  t.strictSame(left, [0, 0])

  const lost = await up(t)
  lost.mac.fail(1001)
  t.equal(lost.mac.running, 1, 'the stop is under way')
  await lost.uplink.close()
  t.equal(lost.mac.running, 0)
})

t.test('an interface that does not stop is said, and does not keep the daemon', async t => {
  const { mac, uplink, said } = await up(t)
  mac.stopProblem = 'vmnet_stop_interface did not answer within 5 s'
  await uplink.close()
  t.match(said.at(-1), /warn uplink.stop: .* did not answer within 5 s/)
})

t.test('the first start must work', async t => {
  const denied = new BridgeError('ERR_VMNET_PERMISSION', 'vmnet needs root', { hint: 'sudo' })
  await t.rejects(
    up(t, SHARED, mac => (mac.outcomes = [denied])),
    { code: 'ERR_VMNET_PERMISSION' },
  )
})

t.test('macOS 26 refuses the network object: an interface in its place, and a word about it', async t => {
  const refused = new BridgeError('ERR_VMNET_START', 'vmnet did not start it', { hint: '' })
  const { mac, uplink, events } = await up(t, SHARED, mac => {
    mac.objects = true
    mac.outcomes = [refused, 'ok']
  })
  t.match(mac.started, [{ networkObject: true }, { start: '192.168.105.1', end: '192.168.105.254' }])
  t.strictSame(events(), ['warn uplink.fallback', 'info uplink.up'])

  // Said once for each reason, and not where nothing takes its place.
  mac.outcomes = [refused, busy(), refused, 'ok', busy(), 'ok']
  mac.fail(1001)
  await mac.elapse()
  await mac.elapse()
  t.strictSame(events().slice(2), ['warn uplink.down', 'warn uplink.retry', 'info uplink.up'])
  mac.fail(1001)
  await mac.elapse()
  t.strictSame(events().slice(5), ['warn uplink.down', 'warn uplink.fallback', 'info uplink.up'])
  await uplink.close()
})

t.test('what may not use vmnet is told just that', async t => {
  const denied = new BridgeError('ERR_VMNET_PERMISSION', 'vmnet needs root', { hint: 'sudo' })
  let said: string[] = []
  await t.rejects(
    up(t, SHARED, mac => {
      mac.objects = true
      mac.outcomes = [denied, denied]
      said = mac.said
    }),
    { code: 'ERR_VMNET_PERMISSION' },
  )
  t.strictSame(said, [])
})

t.test('Wi-Fi is warned of', async t => {
  const { uplink, said } = await up(t, BRIDGED, mac => (mac.wireless = true))
  t.match(said[1], /warn uplink.wireless: en0 is Wi-Fi/)
  await uplink.close()
})

t.test('the same identifier at every start, also of the next daemon', async t => {
  const { mac, uplink, context } = await up(t)
  mac.fail(1001)
  await mac.elapse()
  await uplink.close()
  t.ok(existsSync(`${context.stateDir}/vmnet.json`))
  const next = new FakeMac()
  const again = await VmnetUplink.start(
    context,
    { choice: SHARED, gateway: parseCidr('192.168.105.1/24')! },
    next,
  )
  await again.close()
  const ids = [...mac.started, ...next.started].map(({ interfaceId }) =>
    Buffer.from(interfaceId!).toString('hex'),
  )
  t.equal(ids.length, 3)
  t.equal(new Set(ids).size, 1)
})
