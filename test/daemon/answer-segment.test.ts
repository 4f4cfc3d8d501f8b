// A network that answers DHCP from reservations, in this process: what it is made with, and what its maker hears of.

import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import type { ReservationRecord } from '../../src/control/api.js'
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

async function start(t: Scope, reserved?: readonly ReservationRecord[]): Promise<Network> {
  const network = new Network(settings(t), {
    log: pino({ level: 'silent' }),
    clock: performance,
    wallClock: Date,
    random32: () => 7,
    ...(reserved && { reserved }),
  })
  t.teardown(() => network.stop())
  await network.start()
  return network
}

t.test('it starts with the reservations that were kept, and tells of every change', async t => {
  const other = { ip: '10.5.0.3', mac: '52:54:00:00:00:03' }
  const unfit = [{ ip: '10.9.0.3', mac: other.mac }, { ip: 'nonsense' }, { ip: '10.5.0.9', name: 'x' }]
  const network = await start(t, [RECORD, ...unfit])
  const { reservations } = network
  t.strictSame(reservations?.list().map(toRecord), [RECORD])
  const seen: string[][] = []
  reservations!.onChange = () => seen.push(reservations!.list().map(({ ip }) => String(ip & 255)))
  await reservations!.add(toReservation(RECORD)!)
  await reservations!.add(toReservation(other)!)
  await reservations!.remove({ ip: parseCidr('10.5.0.2/24')!.address })
  await t.rejects(reservations!.remove({ ip: 7 }), { code: 'ERR_NO_RESERVATION' })
  t.strictSame(seen, [['2', '3'], ['3']], 'the very same again is no change, nor is a failure')
})

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
