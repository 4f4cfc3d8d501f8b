// A process whose ports wait in its own epoll set. Argument: the stage.

import { join } from 'node:path'
import { native } from '../../src/native.js'
import { Listener } from '../../src/ports/listener.js'
import { streamPort } from '../../src/ports/run-port.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { Loop } from './traffic.js'

const say = (line: string) => process.stdout.write(`${line}\n`)
const [stage, folder] = process.argv.slice(2)

if (stage === 'early') {
  // Opened while the main module runs: the loop has not turned yet.
  const loop = new Loop()
  await loop.start()
  await loop.goesRound()
  loop.close()
  say('went round')
} else {
  // Idle: ports that nothing comes from, and signals.
  const sw = new Switch({ clock: { now: () => native.now() }, random32: () => 1 })
  const run = Run.allocate()
  const path = join(folder, 's')
  const listener = new Listener({
    path,
    mode: 0o600,
    onConnection: fd => {
      streamPort({ switch: sw, run, port: new Port({ name: 'vm', role: 'vm' }), fd, onEnd() {} })
      say(`port ${sw.ports.length}`)
    },
    onRefused() {},
  })
  listener.start()
  let signals = 0
  process.on('SIGUSR2', () => say(`signal ${++signals}`))
  process.on('SIGTERM', () => {
    listener.close()
    process.exit(0)
  })
  say('listening')
}
