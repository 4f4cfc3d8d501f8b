// A network that answers DHCP from reservations, in this process: what it has reserved, and when.

import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { Network } from '../../src/daemon/network.js'
import { answersDhcp, type NetworkSettings, servesItself } from '../../src/daemon/settings.js'
import { toRecord, toReservation } from '../../src/dhcp/reservation-file.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { scratch } from '../cli/command.js'
import { NODE as RECORD } from '../dhcp/answer-bench.js'
import type { Scope } from '../helpers/daemon.js'

const settings = (t: Scope): NetworkSettings => ({
  name: '10.5.0.1-24',
  sockets: [join(scratch(t), 's')],
  rights: { mode: 0o600 },
  uplink: { kind: 'none' },
  gateway: parseCidr('10.5.0.1/24')!,
  answers: true,
  mtu: 1500,
  stateDir: scratch(t),
})

async function start(t: Scope, of = settings(t)): Promise<Network> {
  const network = new Network(of, {
    log: pino({ level: 'silent' }),
    clock: performance,
    wallClock: Date,
    random32: () => 7,
  })
  t.teardown(() => network.stop())
  await network.start()
  return network
}

const reservedIn = (network: Network) => network.reservations!.list().map(toRecord)

t.test('what was reserved is there again when the network is started again', async t => {
  const of = settings(t)
  const first = await start(t, of)
  await first.reservations!.add(toReservation(RECORD)!)
  await first.reservations!.add(toReservation({ ip: '10.5.0.3', mac: '52:54:00:00:00:03' })!)
  await first.reservations!.remove({ ip: parseCidr('10.5.0.3/24')!.address })
  await first.stop()
  t.strictSame(reservedIn(await start(t, of)), [RECORD])
})

for (const isPool of [false, true]) {
  t.test(
    `a network that ${isPool ? 'leases' : 'answers'} stops once what is being reserved is written`,
    async t => {
      const of = settings(t)
      if (isPool) {
        delete of.answers
        of.dhcp = { exclude: [], dns: [], options: new Map(), boot: [] }
      }
      const network = await start(t, of)
      let written = 0
      for (let i = 10; i < 30; i++)
        void network
          .reservations!.add(toReservation({ ip: `10.5.0.${i}`, mac: `52:54:00:00:00:${i}` })!)
          .then(() => written++)
      await network.stop()
      t.equal(written, 20)
    },
  )
}

t.test(
  'a cluster that is made anew takes the place of what was reserved, but not of what the file says',
  async t => {
    const standing = { reservation: toReservation(RECORD)!, origin: 'vmbridge.yaml, line 7' }
    const network = await start(t, { ...settings(t), reservations: [standing] })
    t.strictSame(reservedIn(network), [RECORD])
    const other = toReservation({ ip: RECORD.ip, mac: '52:54:00:00:00:03' })!
    await t.rejects(network.reservations!.add(other), { code: 'ERR_RESERVATION_EXISTS' })
    t.strictSame(reservedIn(network), [RECORD])
  },
)

t.test('without reservations it answers nobody, and goes as it came', async t => {
  const network = await start(t)
  t.match(network.dhcp?.status(), { leases: [], free: 0, degraded: false })
  await network.stop()
  t.equal(network.dhcp, undefined)
  t.equal(network.reservations, undefined)
})

t.test('such a network has its DHCP in here, on vmnet too', async t => {
  const vmnet: NetworkSettings = {
    ...settings(t),
    uplink: { kind: 'vmnet', mode: 'bridged', isolate: false, appleDhcp: 'off' },
  }
  t.equal(answersDhcp(vmnet), true)
  t.equal(servesItself(vmnet), false)
  const { answers: _, ...without } = vmnet
  t.equal(answersDhcp(without), false)
  t.equal(servesItself(without), true)
})
