// The VMs of a network without a daemon around them: what cannot be seen from outside.

import { join } from 'node:path'
import t from 'tap'
import { VmPorts } from '../../src/daemon/vm-ports.js'
import { openLog } from '../../src/log.js'
import { Listener } from '../../src/ports/listener.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { DatagramProcess } from '../helpers/datagrams.js'
import { frame, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { scratch } from '../ports/bench.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'python3'])

t.test('a VM whose datagrams find no port is refused, and the daemon goes on', { skip }, async t => {
  const folder = scratch(t)
  const sw = new Switch({ clock: performance, random32: () => 1 })
  const said: Record<string, unknown>[] = []
  const { logger } = openLog('info', line => {
    said.push(JSON.parse(line) as Record<string, unknown>)
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
  const attach = sw.attach.bind(sw)
  let attached = 0
  // The place of the stream is another's before its datagrams can have it.
  sw.attach = port => attached++ === 0 && attach(port)

  const vm = await new DatagramProcess(t).give(path, [], [Buffer.from('DGRM')])
  await vm.hear(100)
  await until(() => said.some(({ event }) => event === 'port.refused'))
  t.match(said.at(-1), { refused: 1, reason: /the switch has its .* ports/ })
  await t.rejects(vm.send([frame()]), { code: 'ECONNREFUSED' }, 'the other end of its pair is closed')
  t.equal(vms.ports.size, 0)
})
