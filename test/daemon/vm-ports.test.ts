// The VMs of a network without a daemon around them: what cannot be seen from outside.

import { closeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { VmPorts } from '../../src/daemon/vm-ports.js'
import { openLog } from '../../src/log.js'
import { native } from '../../src/native.js'
import { Listener } from '../../src/ports/listener.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { FakeClock } from '../dhcp/segment.js'
import { DatagramProcess } from '../helpers/datagrams.js'
import { frame, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { scratch } from '../ports/bench.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'python3'])

interface Line {
  event: string
  [field: string]: unknown
}

function start(t: Test, logClock?: FakeClock) {
  const folder = scratch(t)
  const sw = new Switch({ clock: performance, random32: () => 1 })
  const lines: Line[] = []
  const { logger } = openLog('info', line => {
    lines.push(JSON.parse(line) as Line)
    return ''
  })
  const vms = new VmPorts({
    switch: sw,
    run: Run.allocate(),
    log: logger,
    wallClock: Date,
    stateDir: folder,
    mtu: () => 1500,
    dials: [],
    ...(logClock && { logClock }),
  })
  t.teardown(() => vms.close())
  const path = join(folder, 's')
  const listener = new Listener({
    path,
    mode: 0o600,
    onConnection: (fd, peer) => vms.plugStream(fd, peer),
    onRefused: reason => t.fail(reason),
  })
  listener.start()
  t.teardown(() => listener.close())
  const have = (event: string) => lines.filter(line => line.event === event)
  return { sw, vms, path, lines, have }
}

t.test('a VM whose datagrams find no port is refused, and the daemon goes on', { skip }, async t => {
  const { sw, vms, path, have } = start(t)
  const attach = sw.attach.bind(sw)
  let attached = 0
  // The place of the stream is another's before its datagrams can have it.
  sw.attach = port => attached++ === 0 && attach(port)

  const vm = await new DatagramProcess(t).give(path, [], [Buffer.from('DGRM')])
  await vm.hear(100)
  await until(() => have('port.refused').length > 0)
  t.match(have('port.refused'), [{ refused: 1, reason: /the switch has its .* ports/ }])
  await t.rejects(vm.send([frame()]), { code: 'ECONNREFUSED' }, 'the other end of its pair is closed')
  t.equal(vms.ports.size, 0)
})

t.test('who comes and goes a thousand times does not fill the log', async t => {
  const clock = new FakeClock()
  const { vms, path, lines, have } = start(t, clock)
  const come = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      const fd = native.dial(path, true)
      await until(() => vms.ports.size === 1)
      closeSync(fd)
      await until(() => vms.ports.size === 0)
    }
  }
  await come(150)
  t.equal(lines.length, 300, 'as many as may boot at once are all there')
  t.same([have('port.up').length, have('port.down').length], [150, 150])
  await come(850)
  t.equal(lines.length, 300)
  clock.advance(1)
  t.match(lines.splice(300), [{ event: 'port.log', suppressed: 1700, msg: '1700 port log lines left out' }])
  await come(100)
  t.equal(lines.length, 310, 'ten for the second that went by')
  clock.advance(60)
  await come(1)
  t.match(lines.slice(-2), [{ event: 'port.up' }, { event: 'port.down' }], 'and again when it is quiet')
})
