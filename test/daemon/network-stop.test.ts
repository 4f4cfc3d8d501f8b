// A network that is stopped in the middle of its start: whenever that is, nothing comes up after it, and nothing is left.

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { Network } from '../../src/daemon/network.js'
import { parseCidr } from '../../src/wire/ipv4.js'
import { scratch } from '../cli/command.js'

/** The first turns of the loop one by one: most of a start happens there, and the rest waits for the disk. */
const ONE_BY_ONE = 40

t.test('whenever a start is stopped, no VM is dialled afterwards, and no socket stays', async t => {
  const folder = scratch(t)
  const vm = join(folder, 'vm')
  const open = new Set<unknown>()
  const server = createServer(socket => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket)).resume()
  }).listen(vm)
  t.teardown(() => server.close())
  await once(server, 'listening')

  let started = 0
  for (let turns = 0; started === 0; turns = turns < ONE_BY_ONE ? turns + 1 : turns * 2) {
    const socket = join(folder, `s${turns}`)
    const network = new Network(
      {
        name: 'lab',
        sockets: [socket],
        dials: [vm],
        rights: { mode: 0o600 },
        uplink: { kind: 'none' },
        gateway: parseCidr('10.5.0.1/24')!,
        dhcp: { exclude: [], dns: [], options: new Map(), boot: [] },
        mtu: 1500,
        stateDir: join(folder, 'state'),
      },
      { log: pino({ level: 'silent' }), clock: performance, wallClock: Date, random32: () => 7 },
    )
    const ended = network.start().then(
      () => started++,
      (error: Error) => t.match(error, { code: 'ERR_STOPPING' }),
    )
    for (let i = 0; i < turns; i++) await turn()
    await network.stop()
    await ended
    t.notOk(network.isUp)
    t.notOk(existsSync(socket), `${turns} turns`)
    t.equal(network.vms.ports.size, 0)
  }
  while (open.size > 0) await turn()
})
