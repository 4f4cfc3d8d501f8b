// A socket that VMs plug into: who connects is told, who cannot be taken is refused, and it leaves nothing.

import { closeSync, existsSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { native, type Credentials } from '../../src/native.js'
import { claimSocket } from '../../src/ports/claim.js'
import { Listener } from '../../src/ports/listener.js'
import { streamPort } from '../../src/ports/run-port.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { MAX_PORTS } from '../../src/switch/switch.js'
import { Child } from '../helpers/child.js'
import { turn, until } from '../helpers/frames.js'
import { Segment } from '../switch/segment.js'
import { scratch, type Scope } from './bench.js'

const STARVED = fileURLToPath(new URL('./starved.js', import.meta.url))

function open(t: Scope) {
  const path = join(scratch(t), 's')
  const segment = new Segment()
  const connected: Credentials[] = []
  const refused: [reason: string, soFar: number][] = []
  const listener = new Listener({
    path,
    mode: 0o600,
    onConnection: (fd, peer) => {
      const port = new Port({ name: 'vm', role: 'vm' })
      streamPort({ switch: segment.switch, run: Run.allocate(), port, fd, onEnd() {} }).close()
      connected.push(peer)
    },
    onRefused: (reason, soFar) => refused.push([reason, soFar]),
  })
  let open = true
  const close = () => {
    if (open) listener.close()
    open = false
  }
  t.teardown(close)
  const dialled: number[] = []
  t.teardown(() => dialled.forEach(fd => closeSync(fd)))
  const dial = () => {
    const fd = native.dial(path, true)
    dialled.push(fd)
    return fd
  }
  return { path, segment, listener, connected, refused, dial, close }
}

t.test('whoever connects is told with PID, user and group; before the start they wait', async t => {
  const { listener, connected, dial } = open(t)
  dial()
  await turn()
  await turn()
  t.same(connected, [])
  listener.start()
  await until(() => connected.length === 1)
  t.same(connected, [{ pid: process.pid, uid: process.getuid!(), gid: process.getgid!() }])
})

t.test('a storm of connections is taken in turns, none is lost', async t => {
  const { listener, connected, dial } = open(t)
  listener.start()
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 100; i++) dial()
    await until(() => connected.length === 100 * (round + 1))
  }
})

t.test('a connection that finds no port free is closed and counted, and said once', async t => {
  const { segment, listener, connected, refused, dial } = open(t)
  listener.start()
  while (segment.switch.ports.length < MAX_PORTS) segment.plug()
  const fds = [dial(), dial()]
  await until(() => listener.refused === 2)
  for (const fd of fds) t.equal(readSync(fd, new Uint8Array(1)), 0)
  t.same(connected, [])
  t.same(refused, [[`the switch has its ${MAX_PORTS} ports`, 1]])
  segment.switch.detach(segment.switch.ports[0])
  dial()
  await until(() => connected.length === 1)
})

t.test('a listener without descriptors says so, and takes who waits once it has some', async t => {
  const path = join(scratch(t), 's')
  const child = Child.launch(
    ['sh', '-c', `ulimit -n 60; exec "${process.execPath}" "${STARVED}" "${path}"`],
    {
      stdin: true,
    },
  )
  t.teardown(() => child.close())
  await child.waitForLine(/^starved$/)
  const fd = native.dial(path, true)
  t.teardown(() => closeSync(fd))
  await child.waitForLine(/^refused: accept failed with EMFILE$/)
  child.stdin!.write('let go\n')
  t.match(await child.waitForLine(/^connected/), /connected, [12] refused/)
  t.same(await child.exited, { code: 0, signal: null })
})

t.test('closing removes the file and takes nobody any more, started or not', async t => {
  for (const started of [false, true]) {
    const { path, listener, connected, dial, close } = open(t)
    if (started) listener.start()
    dial()
    close()
    t.notOk(existsSync(path))
    t.throws(() => native.dial(path, true), { code: 'ENOENT' })
    await turn()
    t.same(connected, [])
  }
})

t.test('closing leaves a file alone that took the place of its own', async t => {
  const { path, listener, close } = open(t)
  listener.start()
  rmSync(path)
  const other = claimSocket(path, { mode: 0o600 })
  close()
  t.ok(existsSync(path))
  closeSync(other.fd)
})

t.test('closing twice is harmless: its descriptor may be somebody else’s by then', async t => {
  for (const started of [false, true]) {
    const { listener, close } = open(t)
    if (started) listener.start()
    close()
    t.doesNotThrow(() => listener.close(), started ? 'started' : 'not started')
  }
})

t.test('a second listener on the path is refused with the PID, and the first one goes on', async t => {
  const { path, listener, connected, dial } = open(t)
  listener.start()
  const options = { path, mode: 0o600, onConnection() {}, onRefused() {} }
  t.throws(() => new Listener(options), {
    code: 'ERR_SOCKET_IN_USE',
    message: `${path} is held by PID ${process.pid}`,
  })
  dial()
  await until(() => connected.length === 2)
  t.equal(connected.length, 2, 'the look of the second one, and the connection')
})
