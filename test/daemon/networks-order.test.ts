// The networks of a daemon in this process: in which order a network leaves, and what holds if its stop goes wrong.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import type { Network } from '../../src/daemon/network.js'
import { Networks } from '../../src/daemon/networks.js'
import type { NetworkSettings } from '../../src/daemon/settings.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { scratch } from '../cli/command.js'
import type { Scope } from '../helpers/daemon.js'

const LAB = { gateway: '10.9.0.1/24', mode: 'none' } as const

interface Scene {
  networks: Networks
  folder: string
  events: string[]
}

function scene(t: Scope): Scene {
  const events: string[] = []
  const log = pino(
    { level: 'info' },
    {
      write(line: string) {
        const { event, network } = JSON.parse(line)
        events.push(`${event} ${network}`)
      },
    },
  )
  const networks = new Networks({
    context: { log, clock: performance, wallClock: Date, random32: () => 7 },
    log,
    rights: { mode: 0o600 },
  })
  const folder = join(scratch(t), 'networks')
  t.teardown(() => networks.stop())
  void networks.openDemand({ folder, uplink: 'tap' })
  return { networks, folder, events }
}

const namesOf = (networks: Networks) => networks.list().map(({ network }) => network.settings.name)

/** Calls `look` when the network is down, before anybody else hears of it. */
function whenDown(network: Network, look: () => void): void {
  const stop = network.stop.bind(network)
  network.stop = async () => {
    await stop()
    look()
  }
}

const standing = (t: Scope, name: string): NetworkSettings => ({
  name,
  sockets: [join(scratch(t), 's')],
  rights: { mode: 0o600 },
  uplink: { kind: 'none' },
  gateway: parseCidr('10.5.0.1/24')!,
  mtu: 1500,
  stateDir: scratch(t),
})

t.test('a network is in the list until nothing is left of it', async t => {
  const { networks, folder } = scene(t)
  const { network } = await networks.ensure(LAB, true)
  let seen: unknown
  whenDown(network, () => (seen = [namesOf(networks), network.isUp]))
  t.ok(network.isUp)
  await networks.remove(network.settings.name, false)
  t.same(seen, [['10.9.0.1-24'], false], 'listed, but up no more')
  t.same([namesOf(networks), existsSync(folder)], [[], false])

  await networks.reload([standing(t, 'stands')])
  const stands = networks.list()[0]!.network
  whenDown(stands, () => (seen = namesOf(networks)))
  await networks.reload([])
  t.same([seen, namesOf(networks)], [['stands'], []])
})

t.test('a daemon that stops while a network goes waits for that, and says it once', async t => {
  const { networks, events, folder } = scene(t)
  const { network } = await networks.ensure(LAB, true)
  let isDown = false
  whenDown(network, () => (isDown = true))
  const removed = networks.remove(network.settings.name, false)
  await Promise.resolve()
  await networks.stop()
  t.ok(isDown)
  await removed
  t.same(
    events.filter(event => event.startsWith('network.down')),
    ['network.down 10.9.0.1-24'],
  )
  t.notOk(existsSync(folder))
})

t.test(
  'a stop that goes wrong is said, and ends neither the reload nor the network’s place in the list',
  async t => {
    const { networks, events } = scene(t)
    await networks.reload([standing(t, 'breaks')])
    const { network } = networks.list()[0]!
    const stop = network.stop.bind(network)
    network.stop = async () => {
      await stop()
      throw new Error('the disk is gone')
    }
    await networks.reload([standing(t, 'comes')])
    t.same(namesOf(networks), ['comes'])
    t.match(events, ['network.up breaks', 'network.down breaks', 'network.up comes'])
  },
)
